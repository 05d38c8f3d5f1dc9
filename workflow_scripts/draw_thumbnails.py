"""Rule draw_thumbnails: small pictures of a sample of a dataset's scans, for the quality page."""

from pathlib import Path

import numpy as np

from chestct.log import set_up_log
from chestct.volumes.thumbnails import draw_thumbnails

set_up_log(snakemake.log[0])
window = snakemake.params.display_window_hu
draw_thumbnails(
    index_path=snakemake.input.index,
    ledger_path=snakemake.input.ledger,
    series_path=snakemake.input.series,
    root=Path(snakemake.input.series).parent,
    display_window_hu=(window["centre"], window["width"]),
    burned_in_annotation=snakemake.params.burned_in_annotation,
    num_tiles=snakemake.params.num_tiles,
    rng=np.random.default_rng(snakemake.params.seed),
    thumbnails_path=snakemake.output.thumbnails,
)
