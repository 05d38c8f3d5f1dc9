"""Rule fit_probes: the heads of all runs of a frozen probe's arm."""

from pathlib import Path

from chestct.log import set_up_log
from chestct.run import Run
from chestct.training.probes.fit import ProbesJob, fit_probes

set_up_log(snakemake.log[0])
inputs, params = snakemake.input, snakemake.params
fit_probes(
    ProbesJob(
        runs=[Run(**run) for run in params.runs],
        features=inputs.features,
        subsets=inputs.subsets,
        negative_windows=params.negative_windows,
        window_slices=params.window_slices,
        index=inputs.index,
        windows=inputs.windows,
        splits=inputs.splits,
        code_digest=params.code,
    ),
    [str(Path(path).parent) for path in snakemake.output.record],
    threads=snakemake.threads,
)
