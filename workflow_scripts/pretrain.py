"""Rule pretrain: video pretraining of one model on generated clips."""

from chestct.log import set_up_log
from chestct.training.machine.free_gpus import claim_gpus
from chestct.training.pretrain import pretrain
from chestct.training.settings import PretrainingSettings, TrainingSettings

set_up_log(snakemake.log[0])
claim_gpus(snakemake.params.gpus)
pretrain(
    model_name=snakemake.wildcards.model,
    settings=TrainingSettings(**snakemake.params.settings),
    pretraining=PretrainingSettings(**snakemake.params.pretraining),
    window_slices=snakemake.params.window_slices,
    weights=snakemake.output.weights,
    history=snakemake.output.history,
    threads=snakemake.threads,
    gpus=snakemake.params.gpus,
    code_digest=snakemake.params.code,
)
