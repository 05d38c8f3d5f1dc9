"""In a Slurm job of two nodes: trains on this one alone and on both, and writes down both last losses."""

import sys
from dataclasses import replace
from pathlib import Path

from tests.unit.training import engine_data as engine

data = engine.write_data(Path("nodes-data"))
# A model without statistics over the batch and without dropout.
run = replace(engine.RUN, model="videomae_narrow")
settings = {"batch_size": 8, "budget": engine.windows(24), "learning_rate": 1e-4}
lines = []
for nodes in (1, 2):
    folder = engine.train(engine.make_job(data, **settings, nodes=nodes), Path(f"nodes-{nodes}"), run=run)
    lines.append(f"{engine.record(folder)['device']} {engine.history(folder)['train_loss'].iloc[-1]}")
Path(sys.argv[1]).write_text("\n".join(lines))
