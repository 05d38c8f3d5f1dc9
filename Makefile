# Video pretraining on chest CT: the study of Ke et al. (MIDL 2023), from downloads to figures.
#
#   make study        sets everything up and runs the default study; open results/default/report.html
#   make test         sets everything up and passes all tests
#
# A study (STUDY=name is studies/name.yaml; STUDY="name overlay" lays a second file over it):
#   make study        runs it, or goes on with it                     make study STUDY=smoke
#   make plan         what it costs: jobs, hours, disk; what a person must do first
#   make status       what its run is doing, from any terminal
#   make citation     what a publication that uses its data is to cite
#   make evidence     copies tables, figures and verdicts of a finished one to docs/evidence/ (EVIDENCE=folder)
#   make crate        a finished one as a folder with its provenance as metadata (Workflow Run RO-Crate; docs/check.md)
#   make unlock       frees the lock after a power cut or kill -9, so that the next run resumes
#                     (under Slurm it also cancels the jobs that the killed run left in the queue)
#   PROFILE=slurm     runs it on a cluster (docs/cluster.md); CORES=8 bounds this machine's cores
#
# Your own scans:
#   make example      twelve phantom scans and their table, for studies/own_data.yaml
#   source .venv/bin/activate, then chestct init --table scans.csv: a study of them; chestct --help: all commands
#
# For whoever changes the code:
#   make lint         formatters, linters and type checker, as CI runs them; make format mends what it can
#   make bench        the hot paths against the usual way (a quiet machine); table in results/benchmarks.md
#   make test-cluster the study on a real Slurm, which the tests start themselves (Debian: slurm-wlm, munge)
#   make test-envs    an environment a step, made by conda
#   make lock         compiles requirements.lock from requirements.in

SHELL := /bin/bash
PYTHON ?= python3.11
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
# Nor is anything imported but what is installed here.
unexport PYTHONPATH
export PYTHONNOUSERSITE := 1
# Containers know no user of this number; Snakemake keeps a cache in a home that may be closed.
export LOGNAME := $(or $(LOGNAME),$(USER),$(shell id -un 2>/dev/null || id -u))
ifeq ($(HOME),)
export HOME := $(CURDIR)/.snakemake/home
endif
ifeq ($(shell mkdir -p "$(HOME)/.cache" 2>/dev/null && test -w "$(HOME)/.cache" && echo yes),)
export XDG_CACHE_HOME ?= $(CURDIR)/.snakemake/cache
endif

.DEFAULT_GOAL := help
.PHONY: help known-study study plan citation example evidence crate status test test-cluster test-envs bench lint format \
  unlock lock setup

help:
	@sed -n '/^SHELL/q;s/^# \{0,1\}//p' $(firstword $(MAKEFILE_LIST))
	@echo "Studies: $(notdir $(basename $(wildcard studies/*.yaml)))"

# A misspelt name ends at once, with those that there are.
known-study:
	@unknown="$(filter-out $(basename $(notdir $(wildcard studies/*.yaml))),$(STUDY))"; \
	if [ -n "$$unknown" ]; then \
	  echo "there is no study '$$unknown': studies/ has no such file"; \
	  echo "  expected: STUDY=name with one of $(notdir $(basename $(wildcard studies/*.yaml)));"; \
	  echo "            without STUDY it is the default study"; exit 1; fi >&2

# Snakemake names no line of a file that is no YAML.
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

# A thread each: processes that all take every core stand in each other's way.
test: setup
	OMP_NUM_THREADS=1 pytest --numprocesses $(TEST_JOBS) --dist loadfile --no-loadscope-reorder

test-cluster: setup
	pytest -m cluster tests/cluster

test-envs: setup
	pytest -m conda tests/environments

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

# uv installs the locked requirements in seconds and checks every hash: of uv itself, of the requirements, and of
# what builds those that come as source. Both markers are written last, after a look whether what was installed
# works: a set-up that was interrupted begins anew. Of two at once the second waits, where the disk has locks.
.uv/.installed: requirements-uv.lock
	command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed: install Python 3.11, or set PYTHON=/path/to/python3.11"; exit 1; }
	@mkdir -p .uv
	@exec 9>.uv/lock; flock 9 2>/dev/null || true; set -e; if [ $@ -nt $< ]; then exit 0; fi; rm -f $@; set -x; \
	$(PYTHON) -m venv --clear .uv/venv; \
	.uv/venv/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r $<; \
	.uv/venv/bin/uv --version; mkdir -p .uv/bin; ln -sf ../venv/bin/uv .uv/bin/uv; touch $@

# Everything that a job imports first.
IMPORTS := torch, torchvision, pytorchvideo.models, transformers, safetensors.torch, SimpleITK, pydicom, h5py, hdf5plugin, \
  cv2, numpy, pandas, pyarrow.parquet, scipy.stats, sklearn, yaml, jsonschema, boto3, requests, matplotlib.pyplot, \
  jinja2, snakemake.api, snakemake_executor_plugin_slurm, chestct.tables

.venv/.installed: requirements.lock pyproject.toml .uv/.installed
	@exec 9>.uv/lock; flock 9 2>/dev/null || true; set -e; \
	if [ $@ -nt requirements.lock ] && [ $@ -nt pyproject.toml ] && [ $@ -nt .uv/.installed ]; then exit 0; fi; \
	[ -e $@ ] && old=--allow-existing || old=--clear; rm -f $@; set -x; \
	.uv/bin/uv venv --quiet $$old --python $(PYTHON) .venv; \
	.uv/bin/uv pip sync --quiet --require-hashes --preview-features build-dependency-hashes --require-build-hashes \
	  --build-constraints requirements.lock --compile-bytecode --python .venv/bin/python requirements.lock; \
	.uv/bin/uv pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python -e .; \
	{ set +x; } 2>/dev/null; .venv/bin/python -c "import $(IMPORTS)" || { \
	  echo "the environment in .venv does not work: call make again, which installs it anew;"; \
	  echo "if that does not help, free the disk (df -h) or empty uv's cache (.uv/bin/uv cache clean)"; exit 1; } >&2; \
	touch $@

lock: .uv/.installed
	.uv/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  requirements.in -o requirements.lock
	echo "uv==$(UV_VERSION)" | .uv/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate - -o requirements-uv.lock
