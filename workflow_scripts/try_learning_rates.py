"""Rule try_learning_rates: trials of an arm's learning rates, a folder each."""

from pathlib import Path

from chestct.log import set_up_log
from chestct.training.finetune import Job
from chestct.training.machine.free_gpus import claim_gpus
from chestct.training.machine.staging import staged_index
from chestct.training.settings import TrainingSettings
from chestct.training.trials import try_learning_rates

set_up_log(snakemake.log[0])
params = snakemake.params
claim_gpus(params.job["gpus"])
try_learning_rates(
    Job(
        **{**params.job, "settings": TrainingSettings(**params.job["settings"])},
        index=staged_index(snakemake.input.index, dict(snakemake.resources.items())),
        windows=snakemake.input.windows,
        splits=snakemake.input.splits,
        subsets=dict(zip(params.subset_keys, snakemake.input.subsets, strict=True)),
    ),
    params.runs,
    [str(Path(path).parent) for path in snakemake.output.weights],
    threads=snakemake.threads,
)
