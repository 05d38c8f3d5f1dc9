# Cohort, splits by patient, nested training subsets, windows; manifests for publication.

from chestct.dataset_entries import PUBLIC_IDS

SUBSETS = f"{RESULTS}/subsets"
# Sources in which four readers marked every scan; others have one reading.
FOUR_READINGS = ("lidc_idri", "phantom_lidc")
# How the windows of every form are listed: what models see at once.
WINDOW_RULES = {
    table: asdict(window_forms.window_rule(config["subsets"], sees))
    for sees, table in window_forms.TABLES.items()
}


rule select_cohort:
    input:
        series=f"{DATA}/{{dataset}}/series.csv",
        labels=f"{DATA}/{{dataset}}/labels.csv",
        ledger=f"{RESULTS}/volumes/{{dataset}}/ledger.csv",
        index=f"{RESULTS}/volumes/{{dataset}}/index.csv",
        left_out=f"{DATA}/{{dataset}}/left_out.csv",
    output:
        cohort=f"{SUBSETS}/{{dataset}}/cohort.csv",
    log:
        f"{RESULTS}/logs/select_cohort/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/select_cohort/{{dataset}}.tsv"
    localrule: True
    conda:
        "../envs/subsets.yaml"
    resources:
        **needs("select_cohort"),
    params:
        code=lambda wildcards: code_of("select_cohort"),
    script:
        "../workflow_scripts/select_cohort.py"


rule split_patients:
    input:
        cohort=f"{SUBSETS}/{{dataset}}/cohort.csv",
        acquisition=lambda wildcards: (
            f"{RESULTS}/volumes/{wildcards.dataset}/acquisition.csv"
            if "split_by" in dataset_entry(wildcards)
            else []
        ),
    output:
        splits=f"{SUBSETS}/{{dataset}}/splits.csv",
    log:
        f"{RESULTS}/logs/split_patients/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/split_patients/{{dataset}}.tsv"
    localrule: True
    conda:
        "../envs/subsets.yaml"
    resources:
        **needs("split_patients"),
    params:
        use=lambda wildcards: {"train": wildcards.dataset in TRAINED}
        | {
            key: value
            for key, value in dataset_entry(wildcards).items()
            if key in ("split_by", "test_group")
        },
        shares=config["subsets"]["split"],
        folds=config["subsets"]["folds"],
        seed=config["subsets"]["seed"],
        code=lambda wildcards: code_of("split_patients"),
    script:
        "../workflow_scripts/split_patients.py"


rule sample_subset:
    input:
        splits=f"{SUBSETS}/{{dataset}}/splits.csv",
    output:
        subset=f"{SUBSETS}/{{dataset}}/percent-{{percent}}/seed-{{seed}}/subset.csv",
    log:
        f"{RESULTS}/logs/sample_subset/{{dataset}}-{{percent}}-{{seed}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/sample_subset/{{dataset}}-{{percent}}-{{seed}}.tsv"
    localrule: True
    conda:
        "../envs/subsets.yaml"
    resources:
        **needs("sample_subset"),
    params:
        validation_labels=config["subsets"]["validation_labels"],
        code=lambda wildcards: code_of("sample_subset"),
    script:
        "../workflow_scripts/sample_subset.py"


rule list_windows:
    input:
        cohort=f"{SUBSETS}/{{dataset}}/cohort.csv",
        slices=f"{RESULTS}/volumes/{{dataset}}/slices.parquet",
        slice_labels=f"{DATA}/{{dataset}}/slice_labels.parquet",
    output:
        windows=f"{SUBSETS}/{{dataset}}/{{form}}.parquet",
    log:
        f"{RESULTS}/logs/list_windows/{{dataset}}-{{form}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/list_windows/{{dataset}}-{{form}}.tsv"
    conda:
        "../envs/subsets.yaml"
    resources:
        **needs("list_windows"),
    params:
        window_rule=lambda wildcards: WINDOW_RULES[wildcards.form],
        min_readers=lambda wildcards: readers_of_slices(dataset_entry(wildcards)),
        code=lambda wildcards: code_of("list_windows"),
    script:
        "../workflow_scripts/list_windows.py"


if OUTSIDE:

    # Needs lists alone, and so stops the study before anything is downloaded or trained.
    rule compare_patients:
        input:
            tested=lambda wildcards: f"{DATA}/{OUTSIDE[wildcards.outside].tested}/series.csv",
            seen=lambda wildcards: [f"{DATA}/{dataset}/series.csv" for dataset in seen_by(wildcards)],
        output:
            compared=f"{SUBSETS}/{{outside}}/patients.txt",
        log:
            f"{RESULTS}/logs/compare_patients/{{outside}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/compare_patients/{{outside}}.tsv"
        priority: 10
        localrule: True
        conda:
            "../envs/subsets.yaml"
        resources:
            **needs("compare_patients"),
        params:
            seen=seen_by,
            code=lambda wildcards: code_of("compare_patients"),
        script:
            "../workflow_scripts/compare_patients.py"

    rule list_outside_scans:
        input:
            tested=lambda wildcards: f"{SUBSETS}/{OUTSIDE[wildcards.outside].tested}/cohort.csv",
            tested_index=lambda wildcards: f"{RESULTS}/volumes/{OUTSIDE[wildcards.outside].tested}/index.csv",
            seen_index=lambda wildcards: [
                f"{RESULTS}/volumes/{dataset}/index.csv" for dataset in seen_by(wildcards)
            ],
            compared=f"{SUBSETS}/{{outside}}/patients.txt",
            splits=lambda wildcards: f"{SUBSETS}/{OUTSIDE[wildcards.outside].trained}/splits.csv",
            acquisition=lambda wildcards: [
                f"{RESULTS}/volumes/{dataset}/acquisition.csv"
                for dataset in (OUTSIDE[wildcards.outside].trained, OUTSIDE[wildcards.outside].tested)
            ],
        output:
            cohort=f"{SUBSETS}/{{outside}}/cohort.csv",
            splits=f"{SUBSETS}/{{outside}}/splits.csv",
            acquisition=f"{SUBSETS}/{{outside}}/acquisition.csv",
        log:
            f"{RESULTS}/logs/list_outside_scans/{{outside}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/list_outside_scans/{{outside}}.tsv"
        localrule: True
        conda:
            "../envs/subsets.yaml"
        resources:
            **needs("list_outside_scans"),
        params:
            seen=seen_by,
            code=lambda wildcards: code_of("list_outside_scans"),
        script:
            "../workflow_scripts/list_outside_scans.py"


rule publish_manifests:
    input:
        cohort=f"{SUBSETS}/{{dataset}}/cohort.csv",
        splits=f"{SUBSETS}/{{dataset}}/splits.csv",
        # A dataset without training has none.
        subsets=lambda wildcards: expand(
            f"{SUBSETS}/{wildcards.dataset}/percent-{{percent}}/seed-{{seed}}/subset.csv",
            percent=config["percents"] if wildcards.dataset in TRAINED else [],
            seed=config["seeds"],
        ),
    output:
        cases=f"{RESULTS}/publication/{{dataset}}/cases.csv",
        splits=f"{RESULTS}/publication/{{dataset}}/splits.csv",
        subsets=f"{RESULTS}/publication/{{dataset}}/subsets.csv",
    log:
        f"{RESULTS}/logs/publish_manifests/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/publish_manifests/{{dataset}}.tsv"
    localrule: True
    conda:
        "../envs/subsets.yaml"
    resources:
        **needs("publish_manifests"),
    params:
        # Identifiers that no publisher gave never leave: pseudonyms, by a key that stays with the data.
        key_path=lambda wildcards: (
            f"{DATA}/{wildcards.dataset}/pseudonyms.key"
            if dataset_entry(wildcards)["source"] in PUBLIC_IDS
            else None
        ),
        public_ids=lambda wildcards: PUBLIC_IDS.get(dataset_entry(wildcards)["source"]),
        # RSPECT's licence forbids passing its labels on.
        with_labels=lambda wildcards: dataset_entry(wildcards)["source"] != "rspect",
        code=lambda wildcards: code_of("publish_manifests"),
    script:
        "../workflow_scripts/publish_manifests.py"
