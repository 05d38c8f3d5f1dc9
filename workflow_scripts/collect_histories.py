"""Rule collect_histories: the learning curves of all runs in one table."""

from chestct.log import set_up_log
from chestct.training.collect import collect_histories

set_up_log(snakemake.log[0])
collect_histories(snakemake.input.records, snakemake.input.histories, snakemake.output.histories)
