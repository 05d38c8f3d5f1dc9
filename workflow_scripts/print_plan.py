"""``make plan``: what a study costs, from Snakemake's own graph of its jobs; starts and fetches nothing.

    python workflow_scripts/print_plan.py --cores 1 --configfile studies/paper.yaml

takes the options of ``snakemake``, whose profiles hold too.
"""

import logging
import sys
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.cli import parse_args, parse_config
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

from chestct.exit_status import exit_status
from chestct.plan.cost import PlannedJob
from chestct.plan.text import plan_text


def read_jobs(workflow: Any) -> list[PlannedJob]:
    """All jobs of a workflow, done or not, from the graph that Snakemake builds.

    Snakemake offers no public way to the graph: these are the calls of its own ``--d3dag``.
    """
    workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
    workflow._build_dag()
    dag = workflow.dag
    numbers = {job: number for number, job in enumerate(dag.jobs)}
    return [
        PlannedJob(
            rule=job.rule.name,
            wildcards=dict(job.wildcards_dict),
            after=tuple(numbers[other] for other in dag.dependencies[job]),
            to_do=dag.needrun(job),
        )
        for job in numbers
    ]


def main() -> int:
    """Build the graph and print the plan; returns the exit status."""
    _, options = parse_args(sys.argv[1:])
    output = OutputSettings(enable_file_logging=False, log_level_override=logging.WARNING)
    with SnakemakeApi(output) as api:
        try:
            workflow_api = api.workflow(
                ResourceSettings(cores=1, default_resources=options.default_resources),
                config_settings=ConfigSettings(
                    config=parse_config(options.config), configfiles=options.configfile
                ),
                snakefile=options.snakefile,
                workdir=options.directory,
            )
            workflow_api.dag(DAGSettings(rerun_triggers=options.rerun_triggers))
            workflow = workflow_api._workflow
            jobs = read_jobs(workflow)
            rules = {rule.name: rule.wildcard_names for rule in workflow.rules}
            text = plan_text(workflow.globals["config"], rules, jobs)
        except Exception as error:
            api.print_exception(error)
            return 1
    print(text, end="")
    return 0


sys.exit(exit_status(main))
