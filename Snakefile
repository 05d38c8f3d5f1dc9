# The study "Video pretraining advances 3D deep learning on chest CT tasks" (Ke et al., MIDL 2023):
# download -> volumes -> subsets -> training -> evaluation -> figures. One rule file a step.

from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


include: "rules/common.smk"
include: "rules/functions.smk"
include: "rules/download.smk"
include: "rules/volumes.smk"
include: "rules/subsets.smk"
include: "rules/training.smk"
include: "rules/probes.smk"
include: "rules/selection.smk"
include: "rules/evaluation.smk"
include: "rules/figures.smk"


rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",
        # All that README lists comes back where it was deleted.
        rules.collect_evaluation.output,
        rules.collect_runs.output,
        [f"{TRAINING}/{name}/{model}/predictions.csv" for name, model in SCORED],
        [f"{RESULTS}/subsets/{name}/cohort.csv" for name in (*DATASETS, *OUTSIDE)],
        rules.plot_figures.output,
        rules.write_tables.output,
        expand(rules.publish_manifests.output, dataset=DATASETS),
        rules.write_data_manifest.output,
        rules.write_citations.output,
        TRIALS,
