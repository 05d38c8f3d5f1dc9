# Metrics -> figures, result tables, report.

from chestct.figures.names import CAPTIONS, QUALITY

# The report shows PNG, whatever formats the study asks for.
FIGURE_FORMATS = sorted({*config["figures"]["formats"], "png"})
EVALUATION = f"{RESULTS}/evaluation"
FIGURES = f"{RESULTS}/figures"


rule plot_figures:
    input:
        comparisons=f"{EVALUATION}/comparisons.csv",
        means=f"{EVALUATION}/means.csv",
        runs=f"{RESULTS}/training/runs.csv",
        manifests=expand(f"{DATA}/{{dataset}}/manifest.json", dataset=DATASETS),
    output:
        figures=expand(f"{FIGURES}/{{name}}.{{format}}", name=CAPTIONS, format=FIGURE_FORMATS),
        index=f"{FIGURES}/figures.json",
    log:
        f"{RESULTS}/logs/plot_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_figures.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        datasets=list(DATASETS),
        titles={name: CATALOGUE[name].title for name in MODELS},
        confidence=config["evaluation"]["confidence"],
        formats=FIGURE_FORMATS,
        dpi=config["figures"]["dpi"],
        code=code("figures"),
    script:
        "../workflow_scripts/plot_figures.py"


rule plot_quality:
    input:
        indexes=expand(f"{RESULTS}/volumes/{{dataset}}/index.csv", dataset=DATASETS),
        ledgers=expand(f"{RESULTS}/volumes/{{dataset}}/ledger.csv", dataset=DATASETS),
        manifests=expand(f"{DATA}/{{dataset}}/manifest.json", dataset=DATASETS),
    output:
        figures=expand(f"{FIGURES}/{QUALITY}.{{format}}", format=FIGURE_FORMATS),
    log:
        f"{RESULTS}/logs/plot_quality.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_quality.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        datasets=list(DATASETS),
        formats=FIGURE_FORMATS,
        dpi=config["figures"]["dpi"],
        code=code("figures"),
    script:
        "../workflow_scripts/plot_quality.py"


rule write_tables:
    input:
        comparisons=f"{EVALUATION}/comparisons.csv",
        means=f"{EVALUATION}/means.csv",
        runs=f"{RESULTS}/training/runs.csv",
        manifests=expand(f"{DATA}/{{dataset}}/manifest.json", dataset=DATASETS),
    output:
        csv=f"{FIGURES}/results.csv",
        markdown=f"{FIGURES}/results.md",
        latex=f"{FIGURES}/results.tex",
    log:
        f"{RESULTS}/logs/write_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_tables.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        datasets=list(DATASETS),
        titles={name: CATALOGUE[name].title for name in MODELS},
        confidence=config["evaluation"]["confidence"],
        code=code("figures"),
    script:
        "../workflow_scripts/write_tables.py"


rule write_report:
    input:
        metrics=f"{EVALUATION}/metrics.csv",
        comparisons=f"{EVALUATION}/comparisons.csv",
        means=f"{EVALUATION}/means.csv",
        runs=f"{RESULTS}/training/runs.csv",
        figures=expand(f"{FIGURES}/{{name}}.png", name=CAPTIONS),
        quality=f"{FIGURES}/{QUALITY}.png",
        index=f"{FIGURES}/figures.json",
        cohorts=expand(f"{RESULTS}/subsets/{{dataset}}/cohort.csv", dataset=DATASETS),
        splits=expand(f"{RESULTS}/subsets/{{dataset}}/splits.csv", dataset=DATASETS),
        ledgers=expand(f"{RESULTS}/volumes/{{dataset}}/ledger.csv", dataset=DATASETS),
        thumbnails=expand(f"{RESULTS}/volumes/{{dataset}}/thumbnails.csv", dataset=DATASETS),
        data_manifest=f"{RESULTS}/download/data_manifest.json",
        manifests=expand(f"{DATA}/{{dataset}}/manifest.json", dataset=DATASETS),
    output:
        report=f"{RESULTS}/report.html",
    log:
        f"{RESULTS}/logs/write_report.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_report.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        study=STUDY,
        datasets=list(DATASETS),
        titles={name: CATALOGUE[name].title for name in MODELS},
        confidence=config["evaluation"]["confidence"],
        dpi=config["figures"]["dpi"],
        configuration=config,
        provenance={
            f"code of {step}": code(step)
            for step in ("download", "volumes", "subsets", "evaluation", "figures")
        },
        code=code("figures"),
    script:
        "../workflow_scripts/write_report.py"
