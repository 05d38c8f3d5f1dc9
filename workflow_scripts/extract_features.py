"""Rule extract_features: what the head of a frozen probe's network sees of every window of a dataset."""

from chestct.log import set_up_log
from chestct.training.machine.free_gpus import claim_gpus
from chestct.training.machine.staging import staged_index
from chestct.training.probes.features import FeaturesJob, extract_features
from chestct.training.settings import FeatureSettings

set_up_log(snakemake.log[0])
inputs, params = snakemake.input, snakemake.params
claim_gpus(min(1, params.gpus))
extract_features(
    FeaturesJob(
        dataset=params.trained_on,
        model=snakemake.wildcards.model,
        init=snakemake.wildcards.init,
        seed=params.seed,
        initial=params.initial,
        settings=FeatureSettings(**params.settings),
        display_window_hu=params.display_window_hu,
        intensity=params.intensity,
        window_slices=params.window_slices,
        index=staged_index(inputs.index, dict(snakemake.resources.items())),
        windows=inputs.windows,
        splits=inputs.splits,
        outside=params.outside,
        code_digest=params.code,
        gpus=params.gpus,
        num_workers=params.num_workers,
    ),
    snakemake.output.features,
    threads=snakemake.threads,
)
