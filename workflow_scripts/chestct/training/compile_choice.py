"""Whether a network is compiled: what the configuration asks for, and whether it pays.

Without torch, for the plan of a study too. What compiling saves is known where both ways were measured on the
device: rows of plan/throughput.csv that are alike but for their column ``compiled``.
"""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from chestct.tables import read_table
from chestct.training.measure.prediction_speed import with_prediction

#: Values of ``training.compile``: nowhere, where it pays (never on a CPU), or everywhere.
NEVER, AUTO, ALWAYS = "never", "auto", "always"
#: Values of ``training.compile_form``: every kind of repeated block by itself, the whole network, or the
#: whole network with its kernels launched all at once (CUDA graphs).
BLOCKS, WHOLE, GRAPHS = "blocks", "whole", "graphs"
FORMS = (BLOCKS, WHOLE, GRAPHS)
#: Speeds by device and model.
THROUGHPUT = Path(__file__).resolve().parents[1] / "plan" / "throughput.csv"


def wish(setting: bool | str) -> str:
    """The value of ``training.compile`` as a word; true and false are always and never."""
    if isinstance(setting, bool):
        return ALWAYS if setting else NEVER
    return setting


@dataclass(frozen=True, kw_only=True)
class BothWays:
    """What was measured of a model on a device.

    Attributes:
        train, score, predict: windows a second as it is: trained, validated, and scored as it is stored.
        compiled_train, compiled_score, compiled_predict: the same compiled.
        compile_seconds: what compiling takes, once a job.
    """

    train: float
    score: float
    predict: float
    compiled_train: float
    compiled_score: float
    compiled_predict: float
    compile_seconds: float

    def saving(self, *, train: float = 0, score: float = 0, predict: float = 0) -> float:
        """Seconds that compiling saves a job, below zero if it does not pay.

        Args:
            train, score, predict: windows that the job trains on, validates on, and scores for good.
        """
        less = train * (1 / self.train - 1 / self.compiled_train)
        less += score * (1 / self.score - 1 / self.compiled_score)
        return less + predict * (1 / self.predict - 1 / self.compiled_predict) - self.compile_seconds


def measured_both_ways(table: pd.DataFrame, form: str) -> dict[tuple[str, str], BothWays]:
    """What is known of compiling, by device and model.

    Args:
        table: rows of schema ``throughput`` of one precision and size, and of windows as models see them. Of
            several for the same thing the last counts; estimates do not.
        form: what is compiled.
    """
    table = with_prediction(table[table["standing"].str.startswith("measured")])
    keys, is_compiled = ["device", "model"], (table["compiled"] == form).fillna(False)
    plain, compiled = (
        table[chosen].drop_duplicates(keys, keep="last").set_index(keys)
        for chosen in (table["compiled"].isna(), is_compiled & table["compile_seconds"].notna())
    )
    found = {}
    for device, model in compiled.index.intersection(plain.index):
        one, other = plain.loc[(device, model)], compiled.loc[(device, model)]
        found[str(device), str(model)] = BothWays(
            train=float(one["train_windows_per_second"]),
            score=float(one["score_windows_per_second"]),
            predict=float(one["predict_windows_per_second"]),
            compiled_train=float(other["train_windows_per_second"]),
            compiled_score=float(other["score_windows_per_second"]),
            compiled_predict=float(other["predict_windows_per_second"]),
            compile_seconds=float(other["compile_seconds"]),
        )
    return found


def measured_on(
    device: str, model: str, *, precision: str, window: int, size: int, form: str
) -> BothWays | None:
    """What the table knows of compiling a model on a device; None: nothing.

    Args:
        device: its name, as PyTorch says it.
        model: in the catalogue.
        precision: of the training.
        window: slices that the model sees at once.
        size: rows and columns.
        form: what is compiled.

    Raises:
        InputError: the table is broken.
    """
    table = read_table(THROUGHPUT, "throughput", recorded=False)
    same = (table["precision"] == precision) & (table["window"] == window) & (table["size"] == size)
    return measured_both_ways(table[same], form).get((device, model))
