# make study   sets everything up and runs the default study (STUDY=name runs studies/name.yaml;
#              STUDY="name overlay" puts studies/overlay.yaml over it)
# make plan     prints what STUDY costs (jobs, hours, disk), then what it downloads
# make citation prints what a publication of STUDY is to cite
# make example writes twelve phantom scans and their table for studies/own_data.yaml
# make evidence copies tables, figures and verdicts of the finished STUDY to docs/evidence/ (EVIDENCE=folder)
# make test    sets everything up and passes all tests
# make bench   measures the hot paths against the usual way; table in results/benchmarks.md (a quiet machine!)
# make lint    formatters, linters and type checker, as CI runs them
# make format  formats what make lint checks
# make status  what the run of STUDY is doing: running, done, failed, left, time left (any terminal, any time)
# make unlock  after a power cut or kill -9: frees the lock, so that the next run resumes
#              (under Slurm it also cancels the jobs that the killed run left in the queue)
# make test-cluster  the study on a real Slurm, which the tests start themselves (Debian: slurm-wlm, munge)
# make test-envs     an environment a step, made by conda
# make lock    compiles requirements.lock from requirements.in

SHELL := /bin/bash
PYTHON ?= python3.11
UV_VERSION := 0.13.9
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

.PHONY: study plan citation example evidence status test test-cluster test-envs bench lint format unlock lock setup

study: setup
	$(SNAKEMAKE)

plan: setup
	python workflow_scripts/print_plan.py $(OPTIONS)
	$(SNAKEMAKE) --quiet all -- plan_download

citation: setup
	$(SNAKEMAKE) --quiet all -- cite_data

example: setup
	python workflow_scripts/write_own_example.py data/own_example

evidence: setup
	@test -n "$(STUDY)" || { echo "make evidence needs the STUDY that was run: make evidence STUDY=lidc_nodules" \
	  "(of the default study: python workflow_scripts/publish_evidence.py $(EVIDENCE))"; exit 1; }
	python workflow_scripts/publish_evidence.py $(EVIDENCE) $(STUDY)

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

unlock: setup
	python -m chestct.status --cancel
	$(SNAKEMAKE) --unlock

setup: .venv/.installed

# uv installs the locked requirements in seconds and checks every hash; it comes from PyPI itself.
.uv/bin/uv:
	command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed: install Python 3.11, or set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet uv==$(UV_VERSION)

.venv/.installed: requirements.lock pyproject.toml | .uv/bin/uv
	.uv/bin/uv venv --quiet --allow-existing --python $(PYTHON) .venv
	.uv/bin/uv pip sync --quiet --require-hashes --compile-bytecode --python .venv/bin/python requirements.lock
	.uv/bin/uv pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python -e .
	touch $@

lock: .uv/bin/uv
	.uv/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  requirements.in -o requirements.lock
