"""Rule try_learning_rates: trials of an arm's learning rates, a folder each."""

from pathlib import Path

from chestct.log import set_up_log
from chestct.training.finetune import Job
from chestct.training.gpus import claim_gpus
from chestct.training.staging import staged_index
from chestct.training.trials import try_learning_rates

set_up_log(snakemake.log[0])
claim_gpus(snakemake.params.gpus)
params = snakemake.params
try_learning_rates(
    Job(
        settings=params.settings,
        display_window_hu=params.display_window_hu,
        window_slices=params.window_slices,
        index=staged_index(snakemake.input.index, dict(snakemake.resources.items())),
        windows=snakemake.input.windows,
        splits=snakemake.input.splits,
        subsets=dict(zip(params.subset_keys, snakemake.input.subsets, strict=True)),
        code_digest=params.code,
        gpus=params.gpus,
        num_workers=params.num_workers,
    ),
    params.runs,
    [str(Path(path).parent) for path in snakemake.output.weights],
    threads=snakemake.threads,
)
