"""Rule write_tables: the results table as CSV, Markdown and LaTeX."""

from chestct.figures.result_tables import write_results
from chestct.figures.study_tables import read_study
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
study = read_study(
    means=snakemake.input.means,
    comparisons=snakemake.input.comparisons,
    runs=snakemake.input.runs,
    manifests=snakemake.input.manifests,
    datasets=snakemake.params.datasets,
    confidence=snakemake.params.confidence,
)
write_results(
    study,
    csv_path=snakemake.output.csv,
    markdown_path=snakemake.output.markdown,
    latex_path=snakemake.output.latex,
)
