"""Rule list_windows: the windows of every scan, with labels for training."""

from chestct.log import set_up_log
from chestct.subsets.windows import write_windows

set_up_log(snakemake.log[0])
write_windows(
    cohort=snakemake.input.cohort,
    slices=snakemake.input.slices,
    slice_labels=snakemake.input.slice_labels,
    output=snakemake.output.windows,
    window=snakemake.params.window,
    stride=snakemake.params.stride,
    min_positive=snakemake.params.min_positive,
    min_readers=snakemake.params.min_readers,
)
