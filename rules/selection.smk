# Learning-rate search: every arm tries the same rates on the same run, validation alone decides, and the
# chosen rate goes to all runs of the arm. No rule here sees a prediction of a test scan. rules/jobs.smk
# says how trials become jobs.

if RATES:

    wildcard_constraints:
        rate="|".join(re.escape(rate) for rate in RATES),

    if config["training"]["one_job_per"] == "run":

        # Both rules could make such a run.
        ruleorder: choose_learning_rate > finetune

    rule try_learning_rates:
        input:
            **training_inputs(TRIAL_JOB),
        output:
            **trial_files(TRIAL_JOB.folders),
        log:
            f"{RESULTS}/logs/try_learning_rates/{TRIAL_JOB.label}.log",
        benchmark:
            f"{RESULTS}/benchmarks/try_learning_rates/{TRIAL_JOB.label}.tsv"
        priority: 4  # all other training of the arm waits for them
        conda:
            "../envs/training.yaml"
        threads: config["training"]["threads"]
        resources:
            **training_needs("try_learning_rates"),
        params:
            **training_params(TRIAL_JOB, trial_specs),
        script:
            "../workflow_scripts/try_learning_rates.py"

    rule choose_learning_rate:
        input:
            **trial_files(ALL_RATE_FOLDERS),
        output:
            # The chosen trial is one of the arm's runs already.
            **trial_files([ADOPTED_FOLDER]),
            choices=f"{ARM_FOLDER}/choices.csv",
        log:
            f"{RESULTS}/logs/choose_learning_rate/{{dataset}}/{{model}}/{{init}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/choose_learning_rate/{{dataset}}/{{model}}/{{init}}.tsv"
        localrule: True
        conda:
            "../envs/training.yaml"
        resources:
            **needs("choose_learning_rate"),
        params:
            run=lambda wildcards: TRIAL_JOB.runs_of(wildcards)[0].asdict(),
            rates=list(RATES.values()),
            code=SELECTION_CODE,
        script:
            "../workflow_scripts/choose_learning_rate.py"

    rule collect_trials:
        input:
            choices=[f"{TRAINING}/{dataset}/{model}/{init}/choices.csv" for dataset, model, init in ARMS],
        output:
            trials=f"{TRAINING}/trials.csv",
        log:
            f"{RESULTS}/logs/collect_trials.log",
        benchmark:
            f"{RESULTS}/benchmarks/collect_trials.tsv"
        localrule: True
        conda:
            "../envs/training.yaml"
        resources:
            **needs("collect_trials"),
        params:
            code=SELECTION_CODE,
        script:
            "../workflow_scripts/collect_trials.py"
