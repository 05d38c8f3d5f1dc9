"""Rule collect_trials: the trials of all arms in one table."""

from chestct.log import set_up_log
from chestct.training.collect import collect_tables

set_up_log(snakemake.log[0])
collect_tables(snakemake.input.choices, snakemake.output.trials, "choices")
