"""Settings of training as the configuration gives them, checked there and typed from there on.

Without torch: the workflow and the plan of a study read them too. None has a default here; config.yaml has.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How one model of a study is trained, alike in all of its arms.

    Attributes:
        nodes: machines that train one run together.
        precision: 32-true, bf16-mixed or 16-mixed.
        compile: whether torch.compile translates the model first.
        tensorboard: whether event files are written beside history.csv.
        batch_size: windows of an optimisation step, over all processes.
        accumulate: parts that a batch is computed in, one after another (BatchNorm: ``budget.check_parts``).
        max_epochs: passes over the training scans, of which min_steps may make more.
        min_steps: optimisation steps at least.
        num_validations: evenly spaced over a run.
        patience: validations without a better one that end a run; 0: none does.
        learning_rate: the largest of a run.
        weight_decay: factor of the L2 penalty that Adam adds to the gradients.
        crop_px: rows and columns that the model sees.
        max_rotation_degrees: largest angle of the random rotation in plane.
        interpolation: of that rotation, bilinear or bicubic.
        flip: whether windows are flipped left to right at random.
        batchnorm_momentum: of the running statistics of batch normalisation.
    """

    nodes: int
    precision: str
    compile: bool
    tensorboard: bool
    batch_size: int
    accumulate: int
    max_epochs: int
    min_steps: int
    num_validations: int
    patience: int
    learning_rate: float
    weight_decay: float
    crop_px: int
    max_rotation_degrees: float
    interpolation: str
    flip: bool
    batchnorm_momentum: float


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
