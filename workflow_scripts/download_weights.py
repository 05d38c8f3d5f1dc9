"""Fetch one published weight file and check it."""

import os
from pathlib import Path

from chestct.download.published_weights import fetch_weights
from chestct.download.transfer.retries import transfer_settings
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
fetch_weights(
    snakemake.params.weights,
    Path(snakemake.output.weights),
    transfer_settings(snakemake.resources),
    [Path(folder) for folder in snakemake.resources.weights_folders.split(os.pathsep) if folder],
)
