#!/usr/bin/env bash
# Installs the project in /study of a fresh Debian: what Dockerfile and study.def both run, as root.
#   install.sh [cuda|cpu] [index or folder of PyTorch's builds for CPUs]
set -euo pipefail
cd /study
apt-get update
apt-get install --yes --no-install-recommends ca-certificates make python3 python3-venv
rm -rf /var/lib/apt/lists/*
# Linked into the environment from one file system, and not kept a second time.
export UV_CACHE_DIR=/study/.uv/cache
# Whoever runs it writes to data, results and .snakemake alone, as any user: compiled code is therefore made now.
export UV_COMPILE_BYTECODE=1
make setup PYTHON=/usr/bin/python3 TORCH="${1:-cuda}" TORCH_INDEX="${2:-}"
rm -rf "$UV_CACHE_DIR" ~/.cache
.venv/bin/python -m compileall -q workflow_scripts
mkdir -p data results .snakemake
chmod 1777 data results .snakemake
