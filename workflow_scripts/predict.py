"""Rules predict and predict_outside: scores of the runs of one model, on its dataset or on another."""

from chestct.log import set_up_log
from chestct.run import Run
from chestct.training.machine.free_gpus import claim_gpus
from chestct.training.machine.staging import staged_index
from chestct.training.predict import predict
from chestct.training.settings import TrainingSettings

set_up_log(snakemake.log[0])
claim_gpus(min(1, snakemake.params.gpus))
params = snakemake.params
predict(
    runs=[Run(**run) for run in params.runs],
    weights=snakemake.input.weights,
    settings=TrainingSettings.of(params.settings),
    display_window_hu=params.display_window_hu,
    intensity=params.intensity,
    window_slices=params.window_slices,
    index=staged_index(snakemake.input.index, dict(snakemake.resources.items())),
    windows=snakemake.input.windows,
    splits=snakemake.input.splits,
    output=snakemake.output.predictions,
    threads=snakemake.threads,
    num_workers=params.num_workers,
    gpus=params.gpus,
    outside=snakemake.wildcards.get("outside"),
    own_predictions=snakemake.input.get("own"),
    window_scores=snakemake.output.window_scores,
)
