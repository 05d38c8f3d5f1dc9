"""Rule list_windows: the windows of every scan in one form, with labels for training."""

from chestct.log import set_up_log
from chestct.subsets.windows import write_windows
from chestct.window_forms import WindowRule

set_up_log(snakemake.log[0])
write_windows(
    cohort=snakemake.input.cohort,
    slices=snakemake.input.slices,
    slice_labels=snakemake.input.slice_labels,
    output=snakemake.output.windows,
    rule=WindowRule(**snakemake.params.window_rule),
    min_readers=snakemake.params.min_readers,
)
