"""Training on several nodes of a cluster: every node starts its processes, and all meet."""

import importlib.util
import os
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

#: Stands in for Slurm's: starts the command once a task and ends as the worst of them.
SRUN = """#!/bin/bash
for word; do case $word in --ntasks=*) tasks=${word#--ntasks=};; esac; done
while [[ $1 == --* ]]; do shift; done
for ((i = 0; i < tasks; i++)); do "$@" & done
code=0
for ((i = 0; i < tasks; i++)); do wait -n || code=$?; done
exit $code
"""


def load(root: Path, name: str) -> ModuleType:
    """A helper of the training step's tests."""
    path = root / "tests" / "unit" / "training" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.mark.slow
def test_two_nodes_train_as_one_process_does(root, tmp_path, monkeypatch):
    engine = load(root, "engine_data")
    data = engine.write_data(tmp_path)
    # A model without statistics over the batch and without dropout.
    run = replace(engine.RUN, model="videomae_narrow")
    settings = {"batch_size": 8, "min_steps": 3, "max_epochs": 1, "learning_rate": 1e-4}
    alone = engine.train(engine.make_job(data, **settings), tmp_path / "alone", run=run)

    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text(SRUN)
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    together = engine.train(engine.make_job(data, **settings, nodes=2), tmp_path / "together", run=run)
    assert engine.record(together)["device"] == "2 x cpu"
    one, other = engine.weights(alone), engine.weights(together)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=1e-5)
    losses = [engine.history(folder)["train_loss"] for folder in (alone, together)]
    np.testing.assert_allclose(*losses, atol=1e-5)
