"""Jobs that run out of memory or time, are cancelled or preempted, or lose their node: the run goes on.

The file is the last of its folder: the run that it looks at goes on beside the other tests.
"""

import pytest


@pytest.fixture(scope="module")
def survived(troubled):
    """A copy in which all faults happened in one run, and what Snakemake said."""
    return troubled.wait()


def content(survived, name: str) -> str:
    return (survived[0].folder / "faults" / f"{name}.txt").read_text().strip()


def starts(survived, name: str) -> list[str]:
    """Slurm's number of the job at every start."""
    return (survived[0].folder / f"{name}.started").read_text().split()


def test_a_job_over_its_memory_gets_more(survived):
    assert content(survived, "memory") == "1000"


def test_a_job_over_its_time_gets_more_and_leaves_no_partial_output(survived):
    assert content(survived, "time") == "2"
    assert "TIMEOUT" in survived[1]


def test_a_cancelled_job_is_submitted_again(survived):
    first, second = starts(survived, "cancelled")
    assert first != second
    assert "CANCELLED" in survived[1]


@pytest.mark.parametrize("name", ["preempted", "node"])
def test_slurm_requeues_a_job_and_snakemake_waits_for_it(survived, name):
    first, second = starts(survived, name)
    assert first == second, "the job keeps its number"
    assert content(survived, name) == "2"


def test_a_job_that_always_fails_is_tried_as_often_as_the_profile_says(survived):
    assert len(set(starts(survived, "never"))) == len(starts(survived, "never")) == 3
    assert not (survived[0].folder / "faults" / "never.txt").exists()


def test_only_the_jobs_that_ended_badly_were_tried_again(survived):
    assert survived[1].count("Trying to restart job") == len(["memory", "time", "cancelled"]) + 2
