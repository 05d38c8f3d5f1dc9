"""What a Slurm site says of itself, and what is found before the first job is submitted."""

import math
import re

import pytest

from chestct.errors import InputError
from chestct.jobs.slurm_requests import Request, check_requests, too_many_for_arrays
from chestct.jobs.slurm_site import in_minutes, largest_array, output_of, read_partitions

#: As ``sinfo`` prints: the default partition has a star, nodes differ, one line is of no node.
NODES = """\
short*|2:00:00|64000|32
short*|2:00:00|128000|64
long|7-00:00:00|250000+|64
gpu|1-12:00:00|500000|32
endless|infinite|64000|32
broken|n/a|?|32
"""
SITE = read_partitions(NODES)


def request(**facts) -> Request:
    return Request(
        **{"rule": "finetune", "partition": None, "mem_mb": 4000, "minutes": 60, "cpus": 4} | facts
    )


def test_partitions_have_the_largest_of_their_nodes():
    assert sorted(SITE) == ["endless", "gpu", "long", "short"]
    assert (SITE["short"].default, SITE["short"].mem_mb, SITE["short"].cpus) == (True, 128_000, 64)
    assert [one.minutes for one in SITE.values()] == [120, 7 * 1440, 2160, math.inf]
    assert not SITE["long"].default and SITE["long"].mem_mb == 250_000


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30:00", 30),
        ("1:00:00", 60),
        ("2-00:00:00", 2880),
        ("0:30", 0.5),
        ("UNLIMITED", math.inf),
        ("n/a", math.inf),
    ],
)
def test_time_limits_read_as_slurm_prints_them(text, minutes):
    assert in_minutes(text) == minutes


@pytest.mark.parametrize(
    ("text", "largest"),
    [("MaxArraySize            = 1001\n", 1000), ("x = 1\nMaxArraySize = 5", 4), (None, 1000)],
)
def test_tasks_are_numbered_below_the_size_of_arrays(text, largest):
    assert largest_array(text) == largest


def test_a_command_that_fails_or_is_absent_says_nothing():
    assert output_of(["sh", "-c", "echo x; exit 1"]) is None
    assert output_of(["no-such-command-of-slurm"]) is None
    assert output_of(["echo", "x"]) == "x\n"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"minutes": 121}, "ask for 121, and partition short has 120 minutes.*set max_runtime: 120"),
        ({"mem_mb": 128_001}, "has 128000 MB.*set max_mem_mb: 128000"),
        ({"cpus": 65}, "has 64 processors.*training.threads"),
        ({"partition": "gpu", "minutes": 2161}, "partition gpu has 2160"),
        ({"partition": "gup"}, "partition gup, which this site does not have.*endless, gpu, long, short"),
        ({"partition": "short,gup"}, "partition gup"),
    ],
)
def test_what_can_never_be_had_stops_the_run_with_what_to_set(asked, words):
    with pytest.raises(InputError) as error:
        check_requests([request(**asked)], SITE, {}, retries=0)
    assert re.search(words, str(error.value), re.DOTALL)


@pytest.mark.parametrize(
    "asked",
    [{}, {"minutes": 120, "mem_mb": 128_000, "cpus": 64}, {"partition": "endless", "minutes": 10**6},
     {"partition": "short,long", "minutes": 5000}],
)  # fmt: skip
def test_what_can_be_had_goes_on_in_silence(asked):
    assert check_requests([request(**asked)], SITE, {}, retries=0) == []
    assert check_requests([request(minutes=10**6)], {}, {}, retries=2) == [], "a site that says nothing"


def test_a_later_attempt_that_asks_for_too_much_is_said_with_the_key():
    jobs = [request(minutes=50), request(minutes=100), request(rule="predict", minutes=40, mem_mb=50_000)]
    time, memory = check_requests(jobs, SITE, {}, retries=2)
    assert "max_runtime: 120" in time and "finetune" in time
    assert "max_mem_mb: 128000" in memory and "predict" in memory
    assert check_requests(jobs, SITE, {"max_runtime": "120", "max_mem_mb": "128000"}, retries=2) == []
    assert len(check_requests(jobs, SITE, {"max_runtime": "121", "max_mem_mb": "128000"}, retries=2)) == 1


def test_rules_with_more_jobs_than_tasks_can_be_numbered_leave_arrays():
    numbers = {"finetune": 1050, "predict": 1000, "convert_series": math.nan, "download_series": 5000}
    found = too_many_for_arrays(numbers, ["finetune", "predict", "convert_series", "never"], 1000)
    assert sorted(found) == ["convert_series", "finetune"]
    assert "1,050 jobs" in found["finetune"] and "1,000 (MaxArraySize)" in found["finetune"]
    assert "not known yet" in found["convert_series"]
    assert sorted(too_many_for_arrays(numbers, ["all"], 1000)) == [
        "convert_series",
        "download_series",
        "finetune",
    ]
    assert too_many_for_arrays(numbers, [], 1000) == {}
