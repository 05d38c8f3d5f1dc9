"""What the weights of a run say of its scans: what these are, and how they were converted."""

from collections.abc import Mapping
from typing import Any

from chestct.catalogue import MODELS
from chestct.dataset_entries import conversion_of, label_words
from chestct.run import Run
from chestct.run_grid import initial_weights
from chestct.window_forms import window_rule


def conversion_facts(config: dict[str, Any], run: Run) -> dict[str, Any]:
    """How a scan becomes what the run's network sees windows of.

    Args:
        config: the study's configuration, its datasets resolved.
        run: the run.

    Returns:
        size_px, and what the dataset says of conversion (``dataset_entries.conversion_of``), as
        ``volumes.convert_scan.convert_one`` takes them; and window_stride: slices from one window to the
        next, None where one is the whole scan.
    """
    stride = window_rule(config["subsets"], MODELS[run.model].sees).stride
    size_px = config["volumes"]["size_px"]
    return {"size_px": size_px, **conversion_of(_entry(config, run.dataset)), "window_stride": stride}


def data_facts(config: dict[str, Any], run: Run) -> dict[str, Any]:
    """What a run learned from, and what it learned.

    Args:
        config: the study's configuration, its datasets resolved.
        run: the run.

    Returns:
        dataset, source and phantoms (whether its scans are generated); label: what label 1 means, in words;
        num_folds: of cross-validation, 1 without; earlier_datasets: the same of other datasets that the
        weights were trained on before; published_weights: their identifiers in the table of weights.
    """
    entry = _entry(config, run.dataset)
    earlier: dict[str, dict[str, Any]] = {}
    published: set[str] = set()
    before: Run | None = run
    while before is not None:
        start = initial_weights(config, before)
        before = start.get("run")
        if start["kind"] == "published":
            published.add(start["weights_id"])
        if before is not None and before.dataset != run.dataset:
            earlier[before.dataset] = _kind(_entry(config, before.dataset))
    return {
        **_kind(entry),
        "label": label_words(entry),
        "num_folds": config["subsets"]["folds"],
        "earlier_datasets": list(earlier.values()),
        "published_weights": sorted(published),
    }


def _entry(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in config["datasets"] if entry["name"] == name)


def _kind(entry: Mapping[str, Any]) -> dict[str, Any]:
    source = entry["source"]
    # A source of own data may bring phantoms, too, as the example does.
    phantoms = source.startswith("phantom_") or bool(entry.get("phantoms"))
    return {"dataset": entry["name"], "source": source, "phantoms": phantoms}
