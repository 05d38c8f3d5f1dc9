# Video pretraining on chest CT: the study of Ke et al. (MIDL 2023), from downloads to figures.
#
#   make study        sets everything up and runs the default study; open results/default/report.html
#   make test         sets everything up and runs the tests (not those of cluster and conda)
#
# A study (STUDY=name is studies/name.yaml; STUDY="name overlay" lays a second file over it):
#   make study        runs the study, or continues it                 make study STUDY=smoke
#   make plan         prints its cost (jobs, hours, disk) and the manual steps that it needs first
#   make status       shows what its run is doing, from any terminal
#   make citation     prints what a publication that uses its data must cite
#   make evidence     copies tables, figures and verdicts of a finished study to docs/evidence/ (EVIDENCE=folder)
#   make crate        writes a finished study with its provenance as a Workflow Run RO-Crate (docs/check.md)
#   make unlock       frees the lock after a power cut or kill -9, so that the next run resumes
#                     (under Slurm it also cancels the jobs that the killed run left in the queue)
#   PROFILE=slurm     runs it on a cluster (docs/cluster.md); CORES=8 limits this machine's cores
#
# Your own scans:
#   make example      writes twelve phantom scans and their table, for studies/own_data.yaml
#   source .venv/bin/activate, then chestct init --table scans.csv: a study of your scans; chestct --help: all commands
#
# For developers:
#   make lint         runs formatters, linters and the type checker, as in CI; make format fixes what it can
#   make bench        times the hot paths against the usual way (on a quiet machine); table in results/benchmarks.md
#   make test-cluster runs the study on a real Slurm, which the tests start themselves (Debian: slurm-wlm, munge)
#   make test-envs    creates and tests the conda environment of every step
#   make test-cluster-envs  runs both; the cluster's numbers must equal those computed in the environments
#   make lock         compiles requirements.lock from requirements.in
#
# Installation options, remembered once given (docs/installation.md):
#   PYTHON=python3.13 another Python than the first of 3.11, 3.12 and 3.13 that runs
#   TORCH=cpu TORCH_INDEX=... PyTorch without CUDA, from the given index or folder

SHELL := /bin/bash
# The last choice holds until another is made.
CHOSEN := $(shell cat .uv/chosen 2>/dev/null)
TORCH ?= $(or $(word 1,$(CHOSEN)),cuda)
TORCH_INDEX ?= $(word 3,$(CHOSEN))
# A name may be there without an interpreter behind it.
PYTHON ?= $(or $(word 2,$(CHOSEN)),$(shell for name in python3.11 python3.12 python3.13 python3; do \
  "$$name" -c "$(RIGHT_PYTHON)" 2>/dev/null && { command -v "$$name"; break; }; done))
RIGHT_PYTHON := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
# uv's own version stands in requirements-uv.lock.
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements-uv.lock)
CORES ?= all
TEST_JOBS ?= 2
STUDY ?=
EVIDENCE ?= docs/evidence
# PROFILE=slurm runs on a cluster (profiles/slurm); without it, this machine (profiles/default).
PROFILE ?=
OPTIONS := $(if $(PROFILE),--workflow-profile profiles/$(PROFILE),--cores $(CORES)) \
  $(if $(STUDY),--configfile $(STUDY:%=studies/%.yaml))
SNAKEMAKE := snakemake $(OPTIONS)
SMK_FILES := Snakefile rules

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Every job starts Python anew: without cached bytecode imports take twice as long.
unexport PYTHONDONTWRITEBYTECODE
# Only what is installed here is imported.
unexport PYTHONPATH
export PYTHONNOUSERSITE := 1
# In a container the user may have no name; Snakemake keeps a cache in a home that may not be writable.
export LOGNAME := $(or $(LOGNAME),$(USER),$(shell id -un 2>/dev/null || id -u))
ifeq ($(HOME),)
export HOME := $(CURDIR)/.snakemake/home
endif
ifeq ($(shell mkdir -p "$(HOME)/.cache" 2>/dev/null && test -w "$(HOME)/.cache" && echo yes),)
export XDG_CACHE_HOME ?= $(CURDIR)/.snakemake/cache
endif

.DEFAULT_GOAL := help
.PHONY: help known-study study plan citation example evidence crate status test test-cluster test-envs \
  test-cluster-envs bench lint format unlock lock setup

help:
	@sed -n '/^SHELL/q;s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))
	@echo "Studies: $(notdir $(basename $(wildcard studies/*.yaml)))"

# A misspelt name ends at once, with the names that exist: without a profile, Snakemake would run on this machine.
known-study:
	@unknown="$(filter-out $(basename $(notdir $(wildcard studies/*.yaml))),$(STUDY))"; \
	if [ -n "$$unknown" ]; then \
	  echo "there is no study '$$unknown': studies/ has no such file"; \
	  echo "  expected: STUDY=name with one of $(notdir $(basename $(wildcard studies/*.yaml)));"; \
	  echo "            without STUDY it is the default study"; exit 1; fi >&2
	@before=" "; for name in $(STUDY); do \
	  base=$$(sed -n 's/^#.*An overlay over \([a-z0-9_]*\)\.yaml.*/\1/p' studies/$$name.yaml | head -n 1); \
	  case "$$before" in *" $${base:-$$name} "*) ;; *) if [ -n "$$base" ]; then \
	    echo "the study '$$name' is an overlay over '$$base', and changes nothing else"; \
	    echo "  expected: STUDY=\"$$base $$name\""; exit 1; fi;; esac; before="$$before$$name "; done >&2
	@if [ -n "$(PROFILE)" ] && [ ! -d "profiles/$(PROFILE)" ]; then \
	  echo "there is no profile '$(PROFILE)': profiles/ has no such folder"; \
	  echo "  expected: PROFILE=name with one of $(notdir $(wildcard profiles/*)); without it the run is on this machine"; \
	  exit 1; fi >&2

# Snakemake's own message for invalid YAML names no line.
study: known-study setup
	@PYTHONPATH=workflow_scripts python -m chestct.yaml_file config.yaml $(STUDY:%=studies/%.yaml)
	$(SNAKEMAKE)

plan: known-study setup
	@python workflow_scripts/print_plan.py $(OPTIONS)

citation: known-study setup
	@python -m chestct_command cite $(STUDY)

example: setup
	python workflow_scripts/write_own_example.py data/own_example

evidence: known-study setup
	@test -n "$(STUDY)" || { echo "make evidence needs the STUDY that was run: make evidence STUDY=lidc_nodules" \
	  "(of the default study: python workflow_scripts/publish_evidence.py $(EVIDENCE))"; exit 1; }
	python workflow_scripts/publish_evidence.py $(EVIDENCE) $(STUDY)

crate: known-study setup
	@python -m chestct_command crate $(STUDY)

status: setup
	@python -m chestct.status $(if $(STUDY),--study $(lastword $(STUDY)))

# One thread each: processes that all take every core slow each other down.
test: setup
	OMP_NUM_THREADS=1 pytest --numprocesses $(TEST_JOBS) --dist loadfile --no-loadscope-reorder

test-cluster: setup
	pytest -m cluster tests/cluster

test-envs: setup
	pytest -m conda tests/environments

test-cluster-envs: setup
	pytest -m "cluster or conda" tests/environments tests/cluster

bench: setup
	python benchmarks/run.py results/benchmarks.md

lint: setup
	ruff check
	ruff format --check
	snakefmt --check $(SMK_FILES)
	mypy
	snakemake --lint

format: setup
	ruff check --fix
	ruff format
	snakefmt $(SMK_FILES)

unlock: known-study setup
	python -m chestct.status --cancel
	$(SNAKEMAKE) --unlock

setup: .venv/.installed

# Not on macOS, where all builds are without CUDA.
CPU_BUILD := $(filter cpu-Linux,$(TORCH)-$(shell uname -s))

# Choosing another Python or PyTorch than the installed one starts again.
.uv/chosen: FORCE
	@case "$(TORCH)" in cuda|cpu) ;; *) \
	  echo "there is no TORCH=$(TORCH): it is cuda or cpu (docs/installation.md)"; exit 1;; esac >&2
	@[ -z "$(CPU_BUILD)" ] || [ -n "$(TORCH_INDEX)" ] || { \
	  echo "TORCH=cpu needs TORCH_INDEX: the address of PyTorch's index of builds for CPUs (its page 'Start locally'"; \
	  echo "  shows it), or a folder with the two wheels of requirements-cpu.lock (docs/installation.md)"; exit 1; } >&2
	@"$(PYTHON)" -c "$(RIGHT_PYTHON)" 2>/dev/null || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed, and $(or $(PYTHON:%=% is none that runs),none was found):"; \
	  echo "  install one, or set PYTHON=/path/to/python3.13 (docs/installation.md)"; exit 1; } >&2
	@mkdir -p .uv; chosen="$(strip $(TORCH) $(PYTHON) $(if $(CPU_BUILD),$(TORCH_INDEX)))"; \
	if [ "$$(cat $@ 2>/dev/null)" != "$$chosen" ]; then rm -f .venv/.installed; echo "$$chosen" > $@; fi

.PHONY: FORCE
FORCE:

# uv installs the locked requirements in seconds and checks every hash: of uv itself, of the requirements, and of
# what builds those that come as source. Both markers are written last, after a check that the installation
# works: an interrupted set-up starts again. Of two at once the second waits, if the disk has locks.
.uv/.installed: requirements-uv.lock | .uv/chosen
	@exec 9>.uv/lock; flock 9 2>/dev/null || true; set -e; if [ $@ -nt $< ]; then exit 0; fi; rm -f $@; set -x; \
	"$(PYTHON)" -m venv --clear .uv/venv; \
	.uv/venv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r $<; \
	.uv/venv/bin/uv --version; mkdir -p .uv/bin; ln -sf ../venv/bin/uv .uv/bin/uv; touch $@

# Everything that a job imports first. It is compiled here as it is imported; of the 17,000 files that are installed, most
# never are. (UV_COMPILE_BYTECODE=1 compiles all, for users who cannot write to .venv.)
IMPORTS := torch, torchvision, pytorchvideo.models, transformers, safetensors.torch, SimpleITK, pydicom, h5py, hdf5plugin, \
  cv2, numpy, pandas, pyarrow.parquet, scipy.stats, sklearn, yaml, jsonschema, boto3, requests, matplotlib.pyplot, \
  jinja2, snakemake.api, snakemake_executor_plugin_slurm, chestct.tables

# PyTorch without CUDA: its two wheels are not on the package index, so they come from TORCH_INDEX.
LOCKED := $(if $(CPU_BUILD),.uv/without-cuda.lock,requirements.lock)
INSTALL_TORCH = .uv/bin/uv pip install --quiet --no-deps --require-hashes --only-binary :all: \
  $(if $(wildcard $(TORCH_INDEX)/.),--no-index --find-links,--index-url) "$(TORCH_INDEX)" \
  --python .venv/bin/python -r requirements-cpu.lock

.uv/without-cuda.lock: requirements.lock | .uv/chosen
	@awk '/^[^ ]/ {cuda = /^(torch|torchvision|triton|nvidia-[^=]*|cuda-[^=]*)==/} !cuda' $< > $@.new && mv $@.new $@

.venv/.installed: $(LOCKED) requirements-cpu.lock pyproject.toml .uv/.installed .uv/chosen
	@exec 9>.uv/lock; flock 9 2>/dev/null || true; set -e; \
	[ -e $@ ] && old=--allow-existing || old=--clear; \
	missing=; for made_from in $^; do [ $@ -nt $$made_from ] || missing=yes; done; [ "$$missing" ] || exit 0; \
	rm -f $@; set -x; \
	.uv/bin/uv venv --quiet $$old --python "$(PYTHON)" .venv; \
	.uv/bin/uv pip sync --quiet --require-hashes --preview-features build-dependency-hashes --require-build-hashes \
	  --build-constraints requirements.lock --python .venv/bin/python $(LOCKED); \
	$(if $(CPU_BUILD),$(INSTALL_TORCH);) \
	.uv/bin/uv pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python -e .; \
	{ set +x; } 2>/dev/null; .venv/bin/python -c "import $(IMPORTS)" || { \
	  echo "the environment in .venv does not work: call make again, which installs it anew;"; \
	  echo "if that does not help, free the disk (df -h) or empty uv's cache (.uv/bin/uv cache clean)"; exit 1; } >&2; \
	touch $@

# One lock for Python 3.11 to 3.13, Linux and macOS: what only some of them need has a marker. With TORCH_INDEX
# (an address), the builds for CPUs are locked too.
COMPILE := .uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
lock: .uv/.installed
	$(COMPILE) requirements.in -o requirements.lock
	echo "uv==$(UV_VERSION)" | $(COMPILE) - -o requirements-uv.lock
	[ -z "$(TORCH_INDEX)" ] || sed -n 's/^\(torch[a-z]*==.*\)/\1+cpu/p' requirements.in | \
	  $(COMPILE) --no-deps --index-url "$(TORCH_INDEX)" - -o requirements-cpu.lock
