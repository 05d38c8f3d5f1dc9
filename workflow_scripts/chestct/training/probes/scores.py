"""Scores of scans from features and heads: what prediction gives, without running a network."""

from collections.abc import Sequence

import pandas as pd
import torch

from chestct.errors import InputError
from chestct.models.weight_files import parse_own, read_checked
from chestct.run import Run
from chestct.tables import read_table
from chestct.training.prediction_rows import predictions_of, windows_in_order, write_predictions
from chestct.training.probes.features import Features, read_features
from chestct.training.probes.heads import Head
from chestct.training.record import check_weights
from chestct.training.scoring import largest, top_windows


def read_head(path: str, features: Features) -> Head:
    """The head that a probe's run left in its weights file.

    Raises:
        InputError: the file is missing, or does not hold the head of the network that gave the features.
    """
    tensors = parse_own(read_checked(path, None)[0], path)
    names = [f"{features.head}.weight", f"{features.head}.bias"]
    if set(tensors) != set(names) or tuple(tensors[names[0]].shape) != features.head_shape:
        raise InputError(
            f"weight file holds {', '.join(sorted(tensors)) or 'nothing'}",
            where=path,
            expected=f"the head of a probe and nothing else: {names[0]} {features.head_shape} and {names[1]}",
            remedy=f"let the workflow fit it again: snakemake --cores all --forcerun {path}",
        )
    return Head(weight=tensors[names[0]].flatten(), bias=tensors[names[1]].squeeze())


def predict_probes(
    *,
    runs: Sequence[Run],
    weights: Sequence[str],
    features: Sequence[str],
    windows: str,
    splits: str,
    output: str,
    threads: int,
    outside: str | None = None,
    own_predictions: str | None = None,
) -> None:
    """Score validation and test scans with every run of a probe on one dataset.

    A scan's score is the sigmoid of the largest logit over its windows, as of every model.

    Args:
        runs: of one probe on one dataset.
        weights: its weights file, in the same order.
        features: paths of the features that each run reads, in the same order.
        windows, splits: paths of the tables.
        output: table of schema ``predictions``.
        threads: CPU threads that torch may use.
        outside, own_predictions: as of ``predict.predict``; features, windows and splits are then of that
            set.

    Raises:
        InputError: features are of other windows, or weights are no head of this probe.
    """
    torch.set_num_threads(threads)
    window_table, split_table = read_table(windows, "windows"), read_table(splits, "splits")
    scored = ["validation", "test"] if outside is None else ["test"]
    tables: dict[int, pd.DataFrame] = {}
    read, path_read = None, ""
    # Runs that share features follow each other, so that one file is in memory at a time.
    for number in sorted(range(len(runs)), key=lambda number: features[number]):
        run, path = runs[number], features[number]
        if read is None or path != path_read:
            read, path_read = read_features(path), path
        chosen = split_table[(split_table["fold"] == run.fold) & split_table["split"].isin(scored)]
        study_ids = chosen["study_id"].tolist()
        listed = windows_in_order(study_ids, window_table)
        starts, stops = listed["start"].tolist(), listed["stop"].tolist()
        rows = read.rows_of(study_ids, starts, stops, where=path)
        numbers = torch.tensor(listed["number"].to_numpy(dtype="int64"))
        check_weights(weights[number], run.folder)
        logits = read_head(weights[number], read).logits(read.values[rows])
        scores = largest(logits, numbers, len(chosen)).sigmoid().numpy()
        top = top_windows(logits, numbers, len(chosen)).numpy()
        tables[number] = predictions_of(run, chosen, listed, scores, top)
        print(f"{run}: {len(chosen)} scans", flush=True)
    in_order = [tables[number] for number in range(len(runs))]
    write_predictions(in_order, output, outside=outside, own_predictions=own_predictions)
