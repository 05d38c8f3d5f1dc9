"""Rule try_learning_rates: trains the run on which an arm's learning rates are tried, with one of them."""

from pathlib import Path

from chestct.log import set_up_log
from chestct.training.finetune import Job
from chestct.training.machine.free_gpus import claim_gpus
from chestct.training.trials import try_learning_rates

set_up_log(snakemake.log[0])
inputs, params = snakemake.input, snakemake.params
claim_gpus(params.gpus)
try_learning_rates(
    Job(),
    [{"run": params.run, "initial": params.initial, "learning_rate": params.learning_rate}],
    [str(Path(snakemake.output.weights).parent)],
    threads=snakemake.threads,
)
