"""Rule finetune: trains a run."""

from dataclasses import replace
from pathlib import Path

from chestct.log import set_up_log
from chestct.run import Run
from chestct.training.finetune import finetune
from chestct.training.job import TrainingJob
from chestct.training.machine.free_gpus import claim_gpus
from chestct.training.machine.staging import staged_index
from chestct.training.selection import chosen_rate
from chestct.training.settings import TrainingSettings

set_up_log(snakemake.log[0])
inputs, params = snakemake.input, snakemake.params
claim_gpus(params.gpus)
settings = TrainingSettings.of(params.settings)
if inputs.choices:
    settings = replace(settings, learning_rate=chosen_rate(inputs.choices))
finetune(
    TrainingJob(
        run=Run(**params.run),
        initial=params.initial,
        settings=settings,
        display_window_hu=params.display_window_hu,
        intensity=params.intensity,
        window_slices=params.window_slices,
        conversion=params.conversion,
        training_data=params.training_data,
        index=staged_index(inputs.index, dict(snakemake.resources.items())),
        windows=inputs.windows,
        splits=inputs.splits,
        subset=inputs.subset,
        code_digest=params.code,
        gpus=params.gpus,
        num_workers=params.num_workers,
    ),
    str(Path(snakemake.output.weights).parent),
    threads=snakemake.threads,
)
