"""Rule finetune: trains the runs of a job, a folder a run."""

from pathlib import Path

from chestct.log import set_up_log
from chestct.training.finetune import Job, finetune
from chestct.training.machine.free_gpus import claim_gpus
from chestct.training.machine.staging import staged_index
from chestct.training.selection import with_chosen_rates
from chestct.training.settings import TrainingSettings

set_up_log(snakemake.log[0])
params = snakemake.params
claim_gpus(params.job["gpus"])
finetune(
    Job(
        **{**params.job, "settings": TrainingSettings(**params.job["settings"])},
        index=staged_index(snakemake.input.index, dict(snakemake.resources.items())),
        windows=snakemake.input.windows,
        splits=snakemake.input.splits,
        subsets=dict(zip(params.subset_keys, snakemake.input.subsets, strict=True)),
    ),
    with_chosen_rates(params.runs, snakemake.input.choices),
    [str(Path(path).parent) for path in snakemake.output.weights],
    threads=snakemake.threads,
)
