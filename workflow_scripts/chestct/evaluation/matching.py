"""Match the rows of predictions to the list of scans that every run must have predicted."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from chestct import simple_rivals
from chestct.errors import InputError
from chestct.evaluation.scans import name_scans

RUN_COLUMNS = ["model", "init", "percent", "seed"]


class RunKey(NamedTuple):
    """Identifies a run within a dataset."""

    model: str
    init: str
    percent: int
    seed: int

    @property
    def title(self) -> str:
        """The run in words, for messages."""
        return f"{self.model}, {self.init}, {self.percent} %, seed {self.seed}"


#: The trivial baseline that a dataset may bring, in the place of a run.
BASELINE = RunKey(model=simple_rivals.BASELINE, init="none", percent=100, seed=0)


class Matched:
    """Rows of several runs, matched to a list of scans; refused unless every run has every scan once."""

    def __init__(
        self,
        rows: pd.DataFrame,
        place: np.ndarray,
        size: int,
        path: str | Path,
        expected: str,
        scans: str,
        whole: str,
    ) -> None:
        self._rows, self._place, self._size = rows, place, size
        self._path, self._expected, self._scans, self._whole = path, expected, scans, whole
        groups = rows.groupby(RUN_COLUMNS, sort=False)
        self._run = groups.ngroup().to_numpy()
        firsts = rows[RUN_COLUMNS].iloc[np.unique(self._run, return_index=True)[1]]
        self.keys = [RunKey(m, i, int(p), int(s)) for m, i, p, s in firsts.itertuples(index=False)]

    def check(self, study_ids: np.ndarray) -> None:
        """Refuse runs with missing, repeated or unknown scans, or scores that are not finite."""
        self.refuse(f"predictions hold scans outside {self._whole}", self._place < 0)
        cell = self._run * self._size + self._place
        count = np.bincount(cell, minlength=len(self.keys) * self._size)
        self.refuse(f"predictions repeat {self._scans}", count[cell] > 1)
        absent = np.flatnonzero(count == 0)
        if len(absent):
            run = absent[0] // self._size
            mine = absent[absent // self._size == run] % self._size
            self._raise(f"predictions lack {self._scans}", self.keys[run], study_ids[mine])
        scores = self._rows["score"].to_numpy(dtype=np.float64, na_value=np.nan)
        self.refuse("scores that are not finite", ~np.isfinite(scores))

    def refuse(self, what: str, bad: np.ndarray) -> None:
        """Refuse the first run with bad rows."""
        bad = np.asarray(bad, dtype=bool)
        if bad.any():
            run = self._run[np.flatnonzero(bad)[0]]
            scans = self._rows["study_id"].to_numpy()[bad & (self._run == run)]
            self._raise(what, self.keys[run], scans)

    def _raise(self, what: str, key: RunKey, study_ids: Iterable[object]) -> None:
        raise InputError(
            f"{what}: {name_scans(study_ids)}",
            where=f"{self._path}, run {key.title}",
            expected=self._expected,
            remedy="train and predict this run again on the current splits",
        )

    def values(self, column: str) -> np.ndarray:
        """Values of a column by run and scan, shape (num_runs, size)."""
        values_KS = np.empty((len(self.keys), self._size))
        values_KS[self._run, self._place] = self._rows[column].to_numpy(dtype=np.float64)
        return values_KS
