"""Settings of training as the configuration gives them, checked there and typed from there on.

Without torch: the workflow and the plan of a study read them too. None has a default here; config.yaml has.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class WindowsSeen:
    """A number of training windows, by the number of training scans.

    Attributes:
        windows_per_scan: windows for every training scan.
        min_windows: windows at least, so that small subsets are not left with next to none.
    """

    windows_per_scan: float
    min_windows: int

    def of(self, num_scans: int) -> float:
        """Windows of a run with so many training scans, before rounding to whole steps and validations."""
        return max(self.min_windows, self.windows_per_scan * num_scans)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How one model of a study is trained, alike in all of its arms.

    Attributes:
        nodes: machines that train one run together.
        precision: 32-true, bf16-mixed or 16-mixed; of scores, see ``chestct.training.precision``.
        compile: whether torch.compile translates the model first: auto, always or never; true and false are
            always and never (``compile_choice.wish``).
        compile_form: what of it: blocks, whole or graphs.
        fast_forms: where models take their faster forms: on_gpus, always or never.
        tensorboard: whether event files are written beside history.csv.
        batch_size: windows of an optimisation step, over all processes.
        accumulate: parts that a batch is computed in, one after another (BatchNorm: ``budget.check_parts``).
        budget: windows that a run sees at most.
        num_validations: evenly spaced over the budget.
        patience: windows seen without a better validation that end a run; None: none does.
        budget_factor: times the budget, the validations and the patience that a run has: long_factor of the
            configuration in the arms that train longer, 1 in all others.
        learning_rate: the largest of a run.
        weight_decay: factor of the L2 penalty that Adam adds to the gradients.
        crop_px: rows and columns that the model sees.
        max_rotation_degrees: largest angle of the random rotation in plane.
        max_shift_px: largest distance of a random crop's centre from the image's, by rows and by columns;
            None: as far as the crop lies within the image.
        interpolation: of that rotation, bilinear or bicubic.
        flip: whether windows are flipped left to right at random.
        negative_windows: scans that negative training windows come from, negative_scans or all_scans; models
            of single slices take those of all scans.
        batchnorm_momentum: of the running statistics of batch normalisation.
    """

    nodes: int
    precision: str
    compile: bool | str
    compile_form: str
    fast_forms: str
    tensorboard: bool
    batch_size: int
    accumulate: int
    budget: WindowsSeen
    num_validations: int
    patience: WindowsSeen | None
    budget_factor: float = 1
    learning_rate: float
    weight_decay: float
    crop_px: int
    max_rotation_degrees: float
    max_shift_px: float | None
    interpolation: str
    flip: bool
    negative_windows: str
    batchnorm_momentum: float

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "TrainingSettings":
        """Settings from plain data, such as ``asdict`` gives; other keys among them are left out."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        patience = known["patience"]
        known["budget"] = WindowsSeen(**known["budget"])
        known["patience"] = None if patience is None else WindowsSeen(**patience)
        return cls(**known)


@dataclass(frozen=True, kw_only=True)
class FeatureSettings:
    """How the network of a frozen probe sees windows: as in scoring, without augmentation.

    Attributes:
        precision: of the training; features are computed as scores are (``chestct.training.precision``).
        windows_at_once: that are computed at once, which changes them by rounding alone.
        crop_px: rows and columns that the network sees.
        fast_forms: as of the training. Weights do not say it of themselves, so it has a default here.
    """

    precision: str
    windows_at_once: int
    crop_px: int
    fast_forms: str = "on_gpus"
    max_rotation_degrees: ClassVar[float] = 0.0
    max_shift_px: ClassVar[float | None] = None
    interpolation: ClassVar[str] = "bilinear"
    flip: ClassVar[bool] = False

    @classmethod
    def of(cls, settings: TrainingSettings) -> "FeatureSettings":
        """Those of a model that would be trained with these settings."""
        return cls(
            precision=settings.precision,
            windows_at_once=windows_scored_at_once(settings),
            crop_px=settings.crop_px,
            fast_forms=settings.fast_forms,
        )


#: Windows that fit in memory without gradients, for each that does with them.
SCORED_PER_TRAINED = 2


def windows_scored_at_once(settings: TrainingSettings) -> int:
    """Windows that a prediction scores at once, on one GPU."""
    return max(1, SCORED_PER_TRAINED * settings.batch_size // settings.accumulate)


@dataclass(frozen=True, kw_only=True)
class PretrainingSettings:
    """Video pretraining of models without published weights.

    Attributes:
        num_clips: generated motion clips.
        epochs: passes over them.
        seed: of clips, fresh parameters and order.
    """

    num_clips: int
    epochs: int
    seed: int
