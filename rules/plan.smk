# What the study will cost: snakemake plan. It needs nothing and fetches nothing.

# What `snakemake` without a target does; the other rules are ends for people.
ENDS_FOR_PEOPLE = ("write_download_plan", "plan_download", "cite_data", "download_all")
STUDY_RULES = {
    known.name: sorted(known.wildcard_names) for known in workflow.rules if known.name not in ENDS_FOR_PEOPLE
}
STUDY_RULES["all"] = []


rule plan:
    log:
        f"{RESULTS}/logs/plan.log",
    localrule: True
    conda:
        "../envs/subsets.yaml"
    params:
        configuration=config,
        rules=STUDY_RULES,
        weights=[row for row, _ in STUDY_WEIGHTS],
        throughput=str(WORKFLOW_DIR / "workflow_scripts" / "chestct" / "plan" / "throughput.csv"),
    script:
        "../workflow_scripts/print_plan.py"
