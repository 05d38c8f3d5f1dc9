"""Rule pretrain: video pretraining of one model on generated clips."""

from pathlib import Path

from chestct.log import set_up_log
from chestct.training.machine.free_gpus import claim_gpus
from chestct.training.pretrain import PretrainingJob, pretrain
from chestct.training.settings import PretrainingSettings, TrainingSettings

set_up_log(snakemake.log[0])
params = snakemake.params
claim_gpus(params.gpus)
pretrain(
    PretrainingJob(
        model_name=snakemake.wildcards.model,
        settings=TrainingSettings.of(params.settings),
        pretraining=PretrainingSettings(**params.pretraining),
        window_slices=params.window_slices,
        gpus=params.gpus,
        code_digest=params.code,
    ),
    str(Path(snakemake.output.weights).parent),
    threads=snakemake.threads,
)
