"""Rule write_citations: what a publication that uses the study's data is to cite."""

from pathlib import Path

from chestct.download.manifest import write_citations
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
write_citations(
    [Path(path) for path in snakemake.input.manifests],
    snakemake.params.weights,
    Path(snakemake.output.citations),
)
