"""Rule collect_runs: one table of all training runs."""

from chestct.log import set_up_log
from chestct.training.collect import collect_tables

set_up_log(snakemake.log[0])
collect_tables(snakemake.input.records, snakemake.output.runs, "runs")
