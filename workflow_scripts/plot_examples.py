"""Rule plot_examples: single test scans, by their windows and by the scores along them."""

from pathlib import Path

from chestct.figures.example_figures import plot_examples
from chestct.figures.example_scans import Files
from chestct.figures.names import TABLES
from chestct.figures.study_tables import read_study
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
params, inputs = snakemake.params, snakemake.input
study = read_study(
    **{name: inputs[name] for name in TABLES},
    manifests=inputs.manifests,
    datasets=params.datasets,
    outside=params.outside,
    confidence=params.confidence,
)
slices = dict(zip(params.marked, map(Path, inputs.get("slices") or []), strict=True))
files = {
    name: Files(
        ledger=Path(ledger),
        index=Path(index),
        slices=slices.get(name),
        display_window_hu=params.display_windows_hu[name],
        otherwise=params.burned_in_annotation[name],
    )
    for name, ledger, index in zip(study.scanned, inputs.ledgers, inputs.indexes, strict=True)
}
plot_examples(
    study,
    files,
    dict(zip(map(tuple, params.scored), inputs.window_scores, strict=True)),
    params.crop_px,
    folder=Path(snakemake.output.index).parent,
    formats=params.formats,
    dpi=params.dpi,
)
