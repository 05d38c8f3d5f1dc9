"""The file that a run's training starts from, and what is known of it."""

from typing import Any

from chestct.download.weights_table import weights_row
from chestct.run import Run
from chestct.run_grid import initial_weights


def starting_weights(config: dict[str, Any], run: Run, *, training: str) -> dict[str, Any]:
    """The starting weights of a run.

    Args:
        config: the study's configuration.
        run: the run.
        training: folder of the study's training results.

    Returns:
        path: of the file; None where training starts from random weights.
        sha256: what the file must hash to; None where nothing is published.
        trusted_as: where no digest is published, the name under which the first file seen is recorded.
        words: the data that the weights were trained on.
        stand_in: whether those data are generated.
    """
    start = initial_weights(config, run)
    known: dict[str, Any] = {"path": None, "sha256": None, "words": None, "stand_in": False}
    if start["kind"] == "published":
        row = weights_row(start["weights_id"])
        return known | {
            "path": f"{config['data_dir'].rstrip('/')}/weights/{row['weights_id']}.weights",
            "sha256": row["sha256"] or None,
            "trusted_as": None if row["sha256"] else row["weights_id"],
            "words": f"{row['training_data']} ({row['source']})",
        }
    if start["kind"] == "pretraining":
        return known | {
            "path": f"{training}/pretraining/{start['model']}/video/weights.safetensors",
            "words": "generated motion clips (this study)",
            "stand_in": True,
        }
    if start["kind"] == "run":
        source = start["run"]
        entry = next(entry for entry in config["datasets"] if entry["name"] == source.dataset)
        generated = entry["source"].startswith("phantom_") and source.dataset != run.dataset
        return known | {
            "path": f"{training}/{source.folder}/weights.safetensors",
            "words": f"{source.dataset}, {source.model} {source.init}, {source.percent} % (this study)",
            "stand_in": generated or starting_weights(config, source, training=training)["stand_in"],
        }
    return known
