"""Rule collect_trials: the trials of all arms in one table."""

from chestct.log import set_up_log
from chestct.training.selection import collect_trials

set_up_log(snakemake.log[0])
collect_trials(snakemake.input.choices, snakemake.output.trials)
