"""Rule collect_runs: the records and the learning curves of all training runs, in a table each."""

from chestct.log import set_up_log
from chestct.training.collect import collect_histories, collect_tables

set_up_log(snakemake.log[0])
inputs, outputs = snakemake.input, snakemake.output
collect_tables(inputs.records, outputs.runs, "runs")
collect_histories(inputs.records, inputs.histories, outputs.histories)
