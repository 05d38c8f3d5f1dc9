"""A small weight file, and rows of the weights table that describe it."""

import hashlib
import io
from pathlib import Path

import torch

from chestct.download.transfer.retries import TransferSettings
from chestct.download.weights_table import weights_row

SETTINGS = TransferSettings(attempts=4, first_wait_s=0.01, max_wait_s=0.05, reserve_bytes=0, limit_wait_s=1.5)
FILE = "tiny.pth"


def make_content(seed: int) -> bytes:
    """A PyTorch checkpoint of some 300 kB, the same in every process, as the names of tests must be."""
    stream = io.BytesIO()
    torch.save({"w": torch.rand(75_000, generator=torch.Generator().manual_seed(seed))}, stream)
    return stream.getvalue()


CONTENT, NEWER = make_content(0), make_content(1)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FLIPPED = CONTENT[:1000] + bytes([CONTENT[1000] ^ 1]) + CONTENT[1001:]

#: What the table may know of the file that is served.
KNOWN: dict[str, dict[str, str]] = {
    "sha256": {"sha256": SHA256, "size_bytes": str(len(CONTENT))},
    "prefix": {"sha256_prefix": SHA256[:8]},
    "nothing": {},
}


def make_row(**values: str) -> dict[str, str]:
    """A row of kind url; nothing is known of the file but what ``values`` tell."""
    empty = dict.fromkeys(weights_row("slow_r50_kinetics400"), "")
    known = {"weights_id": "tiny", "kind": "url", "file": FILE, "source": "the zoo"}
    return empty | known | values


def names(folder: Path) -> set[str]:
    """Files of a folder but the locks."""
    return {path.name for path in folder.iterdir() if path.is_file() and not path.name.endswith(".lock")}
