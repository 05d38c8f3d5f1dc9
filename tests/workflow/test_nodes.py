"""Training on several nodes of a cluster: every node starts its processes, and all meet."""

import os
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.training import engine_data as engine

#: Stands in for Slurm's: starts the command once a task and ends as the worst of them.
SRUN = """#!/bin/bash
for word; do case $word in --ntasks=*) tasks=${word#--ntasks=};; esac; done
while [[ $1 == --* ]]; do shift; done
for ((i = 0; i < tasks; i++)); do "$@" & done
code=0
for ((i = 0; i < tasks; i++)); do wait -n || code=$?; done
exit $code
"""


@pytest.mark.slow
def test_two_nodes_train_as_one_process_does(tmp_path, monkeypatch):
    data = engine.write_data(tmp_path)
    # A model without statistics over the batch and without dropout.
    run = replace(engine.RUN, model="videomae_narrow")
    settings = {"batch_size": 8, "budget": engine.windows(24), "learning_rate": 1e-4}
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
