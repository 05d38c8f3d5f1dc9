"""``chestct predict``: new scans, converted and scored as the study converted and scored its own.

Every part is the workflow's: conversion by ``volumes.convert_scan``, windows by ``subsets.windows``, the way
from values to logits by ``training``. Nothing is fetched. One scan is in memory at a time.
"""

import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import cv2
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from chestct.errors import InputError
from chestct.files import atomic_path, cannot_write, make_folder, one_line, shown_path
from chestct.subsets.windows import window_places
from chestct.tables import check_table
from chestct.training.machine.device import is_out_of_memory, tune
from chestct.training.machine.gpu_support import is_mac
from chestct.training.predict import KeptBatches, score_scans
from chestct.training.scoring import scoring_loader
from chestct.training.windows.dataset import Scan
from chestct.volume_store import Volume, write_shard
from chestct.volumes.convert_scan import convert_one
from chestct.volumes.remedies import remedy_lines
from chestct_command.model_card import warnings_of
from chestct_command.trained_run import TrainedRun, read_trained_run

log = logging.getLogger(__name__)

#: Reason of a scan on which the program itself fails, as in the ledger of a study.
_UNEXPECTED = "unexpected_error"
_NO_SCORE = ("score", "num_windows", "top_start", "top_stop", "top_low_mm", "top_high_mm")
_NAME = "scan"


class Scorer:
    """Scores scans with a trained run, one after another.

    Args:
        run: the run.
        gpu: whether the network runs on the GPU.
        threads: CPU threads; None: as many as PyTorch takes by itself.
        windows_at_once: None: as many as the study scored at once.

    Raises:
        InputError: there is no GPU, or the weights do not fit the model.
    """

    def __init__(
        self,
        run: TrainedRun,
        *,
        gpu: bool = False,
        threads: int | None = None,
        windows_at_once: int | None = None,
    ) -> None:
        if gpu and not torch.cuda.is_available():
            raise InputError(
                "a Mac's own GPU (MPS) is not used" if is_mac() else "PyTorch finds no GPU",
                where="--gpu",
                expected="a CUDA device that this process sees",
                remedy="leave out --gpu: scores are the same, to rounding",
            )
        if threads is not None:
            torch.set_num_threads(threads)
            cv2.setNumThreads(threads)
        self.run = run
        self.device = torch.device("cuda" if gpu else "cpu")
        self.at_once = windows_at_once or run.scoring.windows_at_once
        self.network: nn.Module = run.network()
        tune(self.network, gpus=int(gpu), precision=run.scoring.precision)

    def row(self, path: str) -> dict[str, Any]:
        """The row of a scan, of the table ``scores``; what cannot be scored has its reason there.

        Args:
            path: folder of one DICOM series, or a volume file.
        """
        keys = {"scan": shown_path(path), "run": str(self.run.run), "weights_sha256": self.run.sha256}
        try:
            ledger, scan = convert_one(path, dataset="new", **self.run.conversion)
            outcome = {"reason": ledger["reason"], "detail": ledger["detail"]}
            if scan is None:
                return keys | dict.fromkeys(_NO_SCORE) | outcome | {"status": "refused"}
            volume = Volume(
                patient_id=_NAME,
                study_id=_NAME,
                series_id=_NAME,
                hu=scan.hu,
                spacing_mm=scan.spacing_mm,
                z_mm=scan.z_mm,
                intensity=scan.intensity,
            )
            return keys | outcome | {"status": "scored"} | self._score(volume)
        except Exception as error:  # one odd scan does not stop the others
            return keys | dict.fromkeys(_NO_SCORE) | self._failure(path, error)

    def _score(self, volume: Volume) -> dict[str, Any]:
        """Score and highest-scoring window of a converted scan."""
        starts, width = window_places(len(volume.hu), self.run.rule)
        with tempfile.TemporaryDirectory(prefix="chestct-") as folder:
            shard = Path(folder) / "scan.h5"
            write_shard(shard, [volume])
            scan = Scan(
                patient_id=_NAME,
                study_id=_NAME,
                label=0,
                store=str(shard),
                starts=tuple(starts),
                stops=tuple(start + width for start in starts),
                window_labels=(0,) * len(starts),
                num_slices=self.run.rule.window,
            )
            loader = scoring_loader([scan], batch_size=self.at_once, num_workers=0)
            # What it reports of long scans is no part of the table.
            with redirect_stdout(sys.stderr):
                scores, top, _ = score_scans(
                    self.network, KeptBatches(loader), 1, self.run.input_settings, device=self.device
                )
        start = starts[int(top[0])]
        stop = min(start + width, len(volume.hu))
        return {
            "score": float(scores[0]),
            "num_windows": len(starts),
            "top_start": start,
            "top_stop": stop,
            "top_low_mm": float(volume.z_mm[start]),
            "top_high_mm": float(volume.z_mm[stop - 1]),
        }

    def _failure(self, path: str, error: Exception) -> dict[str, Any]:
        what = error.what if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        if is_out_of_memory(error):
            what = f"out of memory with {self.at_once} windows at once (fewer: --batch)"
        elif not isinstance(error, InputError):
            log.exception("%s: unexpected error", path)
        return {"status": "refused", "reason": _UNEXPECTED, "detail": what[:500]}


def predict(
    folder: Path,
    scans: Sequence[str],
    *,
    output: Path | None,
    gpu: bool,
    threads: int | None,
    windows_at_once: int | None,
) -> int:
    """Score scans, print a line for each, and write the table ``scores``.

    An interrupted call leaves the rows that it has in the table.

    Args:
        folder: of the run.
        scans: DICOM folders and volume files.
        output: CSV to write, or None.
        gpu, threads, windows_at_once: as of ``Scorer``.

    Returns:
        Exit status: 1 where no scan was scored, 130 where a person stopped it.

    Raises:
        InputError: the run cannot be used, or the table cannot be written.
    """
    _check_output(output, scans)
    run = read_trained_run(folder)
    print("\n".join(introduction(run)), file=sys.stderr)
    scorer = Scorer(run, gpu=gpu, threads=threads, windows_at_once=windows_at_once)
    rows: list[dict[str, Any]] = []
    stopped = False
    try:
        for row in _with_progress(scorer, scans):
            rows.append(row)
            tqdm.write(line(row), file=sys.stdout)
            sys.stdout.flush()
    except KeyboardInterrupt:
        stopped = True
    finally:  # also where nobody reads the lines any more
        if output is not None and rows:
            write_scores(rows, output)
    scored = sum(row["status"] == "scored" for row in rows)
    refused = [str(row["reason"]) for row in rows if row["status"] == "refused"]
    print("".join(f"{line}\n" for line in remedy_lines(refused)), end="", file=sys.stderr)
    ended = f"stopped after {len(rows)}: " if stopped else ""
    table = f"; table: {output}" if output and rows else ""
    print(f"{ended}{scored} of {len(scans)} scans scored{table}", file=sys.stderr)
    return 130 if stopped else 0 if scored else 1


def _check_output(output: Path | None, scans: Sequence[str]) -> None:
    if output is None:
        return
    if (
        output.suffix != ".csv"
        or output.is_dir()
        or any(output.absolute() == Path(s).absolute() for s in scans)
    ):
        raise InputError(
            "this is not a table that can be written",
            where=f"-o {output}",
            expected="a file whose name ends in .csv, and none of the scans",
            remedy="give it such a name, as in -o scores.csv",
        )
    try:  # before hours of scoring
        make_folder(output.parent)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise cannot_write(output, error) from error


def _with_progress(scorer: Scorer, scans: Sequence[str]) -> Iterator[dict[str, Any]]:
    # disable=None: none where standard error is no terminal.
    with tqdm(scans, unit="scan", file=sys.stderr, disable=None, leave=False) as bar:
        for path in bar:
            yield scorer.row(path)


def write_scores(rows: Sequence[dict[str, Any]], output: Path) -> None:
    """Write the table ``scores`` whole or not at all; like all that names scans, closed to others.

    Raises:
        InputError: it cannot be written.
    """
    table = check_table(pd.DataFrame(rows), "scores", where=output)
    with atomic_path(output, private=True) as temporary:
        table.to_csv(temporary, index=False)


def line(row: dict[str, Any]) -> str:
    """A row in words: score, scan, and the slices that score highest; or why it was refused."""
    if row["status"] == "refused":
        return f"refused  {one_line(row['scan'])}  {row['reason']}: {row['detail']}"
    repaired = f"  ({row['detail']})" if row["reason"] else ""  # the detail begins with the reason
    scan = one_line(row["scan"])
    return (
        f"{row['score']:.5f}  {scan}  highest in slices {row['top_start']} to {row['top_stop'] - 1}, "
        f"z {row['top_low_mm']:.1f} to {row['top_high_mm']:.1f} mm{repaired}"
    )


def introduction(run: TrainedRun) -> list[str]:
    """What whoever reads the scores must know: the run, what it learned from, what its scores are."""
    data = run.facts["training_data"]
    lines = [
        f"Run: {run}",
        f"A high score means: {data['label']}. It orders scans; it is no probability, and no diagnosis.",
    ]
    if run.num_folds > 1:
        lines.append(
            f"It is the model of fold {run.run.fold + 1} of {run.num_folds}; each was trained without "
            "patients that the others saw. All of them may score new patients, and their scores be averaged."
        )
    return lines + warnings_of(run)
