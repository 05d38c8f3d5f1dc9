# Metrics -> figures, result tables, report.

from chestct.figures.captions import (
    CAPTIONS,
    EXAMPLE_CAPTIONS,
    FLOW_CAPTION,
    QUALITY_CAPTION,
    REPORT_CAPTION,
    TITLES,
    table_captions,
)
from chestct.figures.names import EXAMPLES_INDEX, FLOW, POINTS, QUALITY, TABLES
from chestct.files import sha256_file

FIGURES = f"{RESULTS}/figures"
# The report shows PNG, whatever formats the study asks for.
FIGURE_FORMATS = sorted({*config["figures"]["formats"], "png"})
OTHER_FORMATS = [name for name in FIGURE_FORMATS if name != "png"]
# What an interactive report says of the points of figures.
FIGURE_POINTS = {"points": f"{FIGURES}/{POINTS}"} if config["figures"].get("interactive") else {}
STUDY_TABLES = {name: f"{RESULTS}/{step}/{name}.csv" for name, step in TABLES.items()}
PUBLISHED_TABLES = {"claims": "Claims", "results": "Arms", "contrasts": "Contrasts", "budgets": "Budgets"}
# What figures and tables show: the datasets, then the test sets outside the training set.
SHOWN = [*DATASETS, *OUTSIDE]
SHOWN_MANIFESTS = [*MANIFESTS, *(f"{DATA}/{outside.tested}/manifest.json" for outside in OUTSIDE.values())]
# Test sets and networks with scores of windows, and datasets whose sources mark slices.
WINDOWS_SCORED = [(name, model) for name, model in SCORED if not CATALOGUE[model].frozen]
MARKED = [name for name, entry in DATASETS.items() if window_forms.has_marks(entry)]
PARTS_OF_OUTSIDE = {name: (outside.trained, outside.tested) for name, outside in OUTSIDE.items()}


# What `snakemake --report` opens with; captions of its figures and tables lie in the same folder.
report: "../report/workflow.rst"


rule plot_figures:
    input:
        **STUDY_TABLES,
        manifests=SHOWN_MANIFESTS,
    output:
        **FIGURE_POINTS,
        figures=[in_report(f"{FIGURES}/{name}.png", TITLES[name], "3. Figures") for name in CAPTIONS],
        others=expand(f"{FIGURES}/{{name}}.{{format}}", name=CAPTIONS, format=OTHER_FORMATS),
        index=f"{FIGURES}/figures.json",
    log:
        f"{RESULTS}/logs/plot_figures.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_figures.tsv"
    conda:
        "../envs/figures.yaml"
    threads: 2
    resources:
        **needs("plot_figures"),
    params:
        datasets=SHOWN,
        outside=PARTS_OF_OUTSIDE,
        catalogue=STUDY_MODELS,
        captions=CAPTIONS,
        confidence=config["evaluation"]["confidence"],
        formats=FIGURE_FORMATS,
        dpi=config["figures"]["dpi"],
        code=lambda wildcards: code_of("plot_figures"),
    script:
        "../workflow_scripts/plot_figures.py"


rule plot_quality:
    input:
        indexes=expand(f"{RESULTS}/volumes/{{dataset}}/index.csv", dataset=DATASETS),
        ledgers=expand(f"{RESULTS}/volumes/{{dataset}}/ledger.csv", dataset=DATASETS),
        cohorts=expand(f"{RESULTS}/subsets/{{dataset}}/cohort.csv", dataset=DATASETS),
        splits=expand(f"{RESULTS}/subsets/{{dataset}}/splits.csv", dataset=DATASETS),
        manifests=MANIFESTS,
    output:
        figures=in_report(f"{FIGURES}/{QUALITY}.png", TITLES[QUALITY], "3. Figures"),
        flow=in_report(f"{FIGURES}/{FLOW}.png", TITLES[FLOW], "3. Figures"),
        others=expand(f"{FIGURES}/{{name}}.{{format}}", name=[QUALITY, FLOW], format=OTHER_FORMATS),
    log:
        f"{RESULTS}/logs/plot_quality.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_quality.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        **needs("plot_quality"),
    params:
        datasets=list(DATASETS),
        captions={QUALITY: QUALITY_CAPTION, FLOW: FLOW_CAPTION},
        formats=FIGURE_FORMATS,
        dpi=config["figures"]["dpi"],
        code=lambda wildcards: code_of("plot_quality"),
    script:
        "../workflow_scripts/plot_quality.py"


rule plot_examples:
    input:
        **STUDY_TABLES,
        manifests=SHOWN_MANIFESTS,
        indexes=expand(f"{RESULTS}/volumes/{{dataset}}/index.csv", dataset=DATASETS),
        ledgers=expand(f"{RESULTS}/volumes/{{dataset}}/ledger.csv", dataset=DATASETS),
        slices=expand(f"{RESULTS}/subsets/{{dataset}}/{window_forms.TABLES['slice']}.parquet", dataset=MARKED),
        window_scores=[
            f"{RESULTS}/training/{name}/{model}/window_scores.parquet" for name, model in WINDOWS_SCORED
        ],
    output:
        figures=[in_report(f"{FIGURES}/{name}.png", TITLES[name], "3. Figures") for name in EXAMPLE_CAPTIONS],
        others=expand(f"{FIGURES}/{{name}}.{{format}}", name=EXAMPLE_CAPTIONS, format=OTHER_FORMATS),
        index=f"{FIGURES}/{EXAMPLES_INDEX}",
    log:
        f"{RESULTS}/logs/plot_examples.log",
    benchmark:
        f"{RESULTS}/benchmarks/plot_examples.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        **needs("plot_examples"),
    params:
        datasets=SHOWN,
        outside=PARTS_OF_OUTSIDE,
        catalogue=STUDY_MODELS,
        captions=EXAMPLE_CAPTIONS,
        confidence=config["evaluation"]["confidence"],
        scored=WINDOWS_SCORED,
        marked=MARKED,
        crop_px={model: run_grid.training_settings(config, model).crop_px for _, model in WINDOWS_SCORED},
        display_windows_hu={name: entry["display_window_hu"] for name, entry in DATASETS.items()},
        burned_in_annotation={name: pictures.of_dataset(entry) for name, entry in DATASETS.items()},
        formats=FIGURE_FORMATS,
        dpi=config["figures"]["dpi"],
        code=lambda wildcards: code_of("plot_examples"),
    script:
        "../workflow_scripts/plot_examples.py"


rule write_tables:
    input:
        **STUDY_TABLES,
        manifests=SHOWN_MANIFESTS,
    output:
        csv=[
            in_report(f"{FIGURES}/{name}.csv", title, "2. Tables")
            for name, title in PUBLISHED_TABLES.items()
        ],
        texts=expand(f"{FIGURES}/{{name}}.{{format}}", name=PUBLISHED_TABLES, format=["md", "tex"]),
    log:
        f"{RESULTS}/logs/write_tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_tables.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        **needs("write_tables"),
    params:
        datasets=SHOWN,
        outside=PARTS_OF_OUTSIDE,
        catalogue=STUDY_MODELS,
        captions=table_captions(
            confidence=config["evaluation"]["confidence"],
            num_resamples=config["evaluation"]["num_resamples"],
            num_seeds=len(config["seeds"]),
            margin=config["evaluation"]["margin"],
        ),
        confidence=config["evaluation"]["confidence"],
        code=lambda wildcards: code_of("write_tables"),
    script:
        "../workflow_scripts/write_tables.py"


rule write_report:
    input:
        **STUDY_TABLES,
        **FIGURE_POINTS,
        trials=TRIALS,
        figures=expand(f"{FIGURES}/{{name}}.png", name=CAPTIONS),
        quality=f"{FIGURES}/{QUALITY}.png",
        single_scans=expand(f"{FIGURES}/{{name}}.png", name=EXAMPLE_CAPTIONS),
        index=f"{FIGURES}/figures.json",
        examples_index=f"{FIGURES}/{EXAMPLES_INDEX}",
        cohorts=expand(f"{RESULTS}/subsets/{{dataset}}/cohort.csv", dataset=DATASETS),
        splits=expand(f"{RESULTS}/subsets/{{dataset}}/splits.csv", dataset=DATASETS),
        ledgers=expand(f"{RESULTS}/volumes/{{dataset}}/ledger.csv", dataset=DATASETS),
        indexes=expand(f"{RESULTS}/volumes/{{dataset}}/index.csv", dataset=DATASETS),
        acquisitions=expand(f"{RESULTS}/volumes/{{dataset}}/acquisition.csv", dataset=DATASETS),
        thumbnails=expand(f"{RESULTS}/volumes/{{dataset}}/thumbnails.csv", dataset=DATASETS),
        data_manifest=f"{RESULTS}/download/data_manifest.json",
        manifests=SHOWN_MANIFESTS,
    output:
        report=in_report(f"{RESULTS}/report.html", "The study on one page", "1. Report"),
    log:
        f"{RESULTS}/logs/write_report.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_report.tsv"
    conda:
        "../envs/figures.yaml"
    resources:
        **needs("write_report"),
    params:
        study=STUDY,
        captions={"report": REPORT_CAPTION},
        datasets=SHOWN,
        outside=PARTS_OF_OUTSIDE,
        catalogue=STUDY_MODELS,
        confidence=config["evaluation"]["confidence"],
        dpi=config["figures"]["dpi"],
        configuration=config,
        provenance=code_by_step,
        # Tables of the package that the report is filled from, whose changes the code's digest does not see.
        guidelines=[
            sha256_file(PACKAGE_DIR / "figures" / name)
            for name in ("checklist.yaml", "analysis_plan.yaml", "analysis_plan_lidc_nodules.yaml")
        ],
        code=lambda wildcards: code_of("write_report"),
    script:
        "../workflow_scripts/write_report.py"
