"""Rule predict_probes: scores of the runs of one frozen probe, on its dataset or another, from features."""

from chestct.log import set_up_log
from chestct.run import Run
from chestct.training.probes.scores import predict_probes

set_up_log(snakemake.log[0])
params = snakemake.params
predict_probes(
    runs=[Run(**run) for run in params.runs],
    weights=snakemake.input.weights,
    features=snakemake.input.features,
    windows=snakemake.input.windows,
    splits=snakemake.input.splits,
    output=snakemake.output.predictions,
    threads=snakemake.threads,
    outside=params.outside,
    own_predictions=snakemake.input.own or None,
)
