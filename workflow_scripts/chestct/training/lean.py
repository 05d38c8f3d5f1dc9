"""pytorch_lightning, imported in half the time; import it from here.

torchmetrics, which Lightning needs, imports what it finds installed for metrics of text, images and
sound: transformers, torchvision, matplotlib, scipy. None of these metrics is used here, and many training
jobs are short. So they are hidden from torchmetrics, and from nothing else.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from typing import Any

import lightning_utilities.core.imports as checks

_HIDDEN = {"matplotlib", "scipy", "torchvision", "transformers"}


class _Absent:
    """A finder that says that a package is not there."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in _HIDDEN:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


@contextmanager
def _hidden() -> Iterator[None]:
    usual, finder = getattr(checks, "_version", None), _Absent()

    def version(distribution_name: str) -> str:
        if distribution_name in _HIDDEN:
            raise PackageNotFoundError(distribution_name)
        return usual(distribution_name)  # type: ignore[misc]

    if usual is None or not _HIDDEN.isdisjoint(sys.modules):
        yield  # another release, or they are imported already: slower, and as good
        return
    checks._version = version  # type: ignore[attr-defined]
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    try:
        yield
    finally:
        sys.meta_path.remove(finder)  # type: ignore[arg-type]
        checks._version = usual  # type: ignore[attr-defined]


with _hidden():
    from torchmetrics.functional.classification import binary_auroc

import pytorch_lightning as pl  # noqa: E402
from pytorch_lightning.plugins.environments import LightningEnvironment, TorchElasticEnvironment  # noqa: E402
from pytorch_lightning.strategies import DDPStrategy  # noqa: E402

__all__ = ["DDPStrategy", "LightningEnvironment", "TorchElasticEnvironment", "binary_auroc", "pl"]
