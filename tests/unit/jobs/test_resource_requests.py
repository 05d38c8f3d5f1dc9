"""What jobs ask for: memory and time that grow, nodes and GPUs as the site asks for them."""

import re

import pytest

from chestct.jobs.resource_requests import (
    MEMORY_AND_TIME,
    growing,
    memory_and_time,
    nodes_and_gpus,
    partition,
)
from chestct.tables import read_table


def test_jobs_ask_for_more_than_was_measured():
    table = read_table(MEMORY_AND_TIME, "resources", recorded=False)
    # A job under Slurm is Snakemake twice, 140 MB each, beside the rule's process.
    assert (table["mem_mb"] >= table["measured_mb"] + 300).all()
    assert (table["runtime_min"] >= 3 * table["measured_min"]).all()
    assert table["rule"].is_unique


def test_every_row_names_a_rule(root):
    text = "".join(path.read_text() for path in (root / "rules").glob("*.smk"))
    known = {*re.findall(r"^ *(?:rule|checkpoint) (\w+):", text, re.M), "reader"}
    assert set(read_table(MEMORY_AND_TIME, "resources", recorded=False)["rule"]) <= known


def test_a_request_doubles_with_every_attempt_up_to_the_limit():
    assert [growing(500)(None, attempt) for attempt in (1, 2, 3)] == [500, 1000, 2000]
    assert [growing(500, "1200")(None, attempt) for attempt in (1, 2, 3)] == [500, 1000, 1200]


def test_memory_and_time_keep_the_sites_limits_and_count_readers():
    free = memory_and_time("finetune", {})
    with_readers = memory_and_time("finetune", {}, readers=3)["mem_mb"](None, 1)
    row = read_table(MEMORY_AND_TIME, "resources", recorded=False).set_index("rule")["mem_mb"]
    assert free["mem_mb"](None, 1) == row["finetune"]
    assert with_readers == row["finetune"] + 3 * row["reader"]
    bound = memory_and_time("finetune", {"max_mem_mb": "100", "max_runtime": "10"})
    assert {name: value(None, 3) for name, value in bound.items()} == {"mem_mb": 100, "runtime": 10}


@pytest.mark.parametrize(
    ("site", "nodes", "gpus", "expected"),
    [
        ({}, 1, 0, {"gpu": 0}),
        ({}, 1, 2, {"gpu": 2}),
        ({"gpu_type": "a100", "gpu_partition": "big"}, 1, 0, {"gpu": 0}),
        ({"gpu_type": "a100"}, 1, 1, {"gpu": 1, "gpu_model": "a100"}),
        ({"gpu_request": "gres"}, 1, 2, {"gres": "gpu:2"}),
        ({"gpu_request": "gres"}, 1, 0, {"gpu": 0}),
        ({"gpu_request": "gres", "gpu_type": "a100"}, 1, 1, {"gres": "gpu:a100:1"}),
        ({"gpu_partition": "big"}, 1, 1, {"gpu": 1, "slurm_partition": "big"}),
        ({}, 2, 4, {"gpu": 8, "mpi": "srun", "tasks": 2, "tasks_per_gpu": 0}),
    ],
)
def test_gpus_are_asked_for_as_the_site_says(site, nodes, gpus, expected):
    assert nodes_and_gpus(nodes, gpus, site) == expected | {"nodes": nodes}


def test_a_purpose_has_a_partition_where_the_site_names_one():
    assert partition("download", {"download_partition": "transfer"}) == {"slurm_partition": "transfer"}
    assert partition("download", {"gpu_partition": "big"}) == {}
