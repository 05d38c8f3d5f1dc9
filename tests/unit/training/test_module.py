"""Accumulated gradients, one batch's random parameters in any cut, schedules."""

from dataclasses import replace

import pytest
import torch
import tracing_worker
from engine_data import (
    LUNG,
    RUN,
    SETTINGS,
    assert_close_runs,
    history,
    make_job,
    record,
    train,
    weights,
)
from torch import nn

from chestct.errors import InputError
from chestct.training.budget import Batches
from chestct.training.pretrain import PretrainingJob, pretrain
from chestct.training.schedule import Schedule
from chestct.training.settings import PretrainingSettings
from chestct.training.windows.training_input import WindowInput

INPUT = replace(LUNG, crop_px=24)


def windows(num=8, device="cpu"):
    generator = torch.Generator().manual_seed(1)
    hu = torch.randint(-1000, 200, (num, 8, 32, 32), generator=generator, dtype=torch.int16)
    return hu.to(device), torch.arange(num, device=device).double() % 2


@pytest.mark.parametrize(("world", "accumulate"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_a_window_gets_its_parameters_however_the_batch_is_cut(world, accumulate):
    hu, labels = windows()
    whole = WindowInput(INPUT, Batches(size=8), seed=5)
    expected = [whole((hu, labels))[0].clone() for _ in range(2)]
    found = [[None] * world * accumulate for _ in range(2)]
    for rank in range(world):
        batches = Batches(size=8, accumulate=accumulate, rank=rank, world=world)
        own = WindowInput(INPUT, batches, seed=5)
        for step in range(2):
            for part, rows in enumerate(batches.own(list(range(8)))):
                inputs, targets = own((hu[rows], labels[rows]))
                found[step][part * world + rank] = inputs.clone()
                assert targets.tolist() == [[row % 2] for row in rows]
    for step in range(2):
        assert torch.equal(torch.cat(found[step]), expected[step])


def test_accumulated_gradients_equal_those_of_the_whole_batch():
    model = tracing_worker.build_plain(seed=0).double()
    hu, labels = windows()
    loss = nn.functional.binary_cross_entropy_with_logits

    def gradients(accumulate):
        batches = Batches(size=8, accumulate=accumulate)
        prepare = WindowInput(replace(INPUT, crop_px=32), batches, seed=0)
        model.zero_grad()
        for rows in batches.own(list(range(8))):
            inputs, targets = prepare((hu[rows], labels[rows]))
            (loss(model(inputs.double()), targets.double()) / accumulate).backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    whole = gradients(1)
    for accumulate in (2, 4, 8):
        for one, other in zip(gradients(accumulate), whole, strict=True):
            assert torch.allclose(one, other, rtol=1e-9, atol=1e-15)


def test_a_run_with_accumulation_takes_the_same_steps(data, tmp_path, plain):
    train(make_job(data, batch_size=8), tmp_path / "whole")
    train(make_job(data, batch_size=8, accumulate=4), tmp_path / "parts")
    assert_close_runs(tmp_path / "parts", tmp_path / "whole")
    assert [record(tmp_path / name)["accumulate"] for name in ("whole", "parts")] == [1, 4]
    for column in ("step", "windows_seen", "learning_rate"):
        assert history(tmp_path / "parts")[column].tolist() == history(tmp_path / "whole")[column].tolist()


NOWHERE = dict.fromkeys(("index", "windows", "splits", "subset"), "nowhere.csv")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accumulate": 2}, r"'slow_narrow' has BatchNorm: 2 parts of a batch[\s\S]*set accumulate: 1"),
        ({"processes": 2}, r"'slow_narrow' has BatchNorm, whose statistics 2 processes share on GPUs only"),
    ],
)
def test_a_model_with_batchnorm_refuses_parts_before_anything_is_read(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        train(make_job(NOWHERE, **changes), tmp_path / "run", run=replace(RUN, model="slow_narrow"))
    assert not (tmp_path / "run").exists()
    settings = {name: value for name, value in changes.items() if name == "accumulate"}
    job = PretrainingJob(
        model_name="slow_narrow",
        settings=replace(SETTINGS, **settings),
        pretraining=PretrainingSettings(num_clips=8, epochs=1, seed=0),
        window_slices=8,
        gpus=0,
        processes=changes.get("processes", 1),
    )
    with pytest.raises(InputError, match=words):
        pretrain(job, str(tmp_path / "run"), threads=1)
    assert not (tmp_path / "run").exists()


def test_training_in_bf16_is_near_that_in_float32(data, tmp_path, plain):
    train(make_job(data), tmp_path / "full")
    train(make_job(data, precision="bf16-mixed"), tmp_path / "mixed")
    full, mixed = history(tmp_path / "full"), history(tmp_path / "mixed")
    assert weights(tmp_path / "mixed")["head.weight"].dtype == torch.float32
    assert (full["train_loss"] - mixed["train_loss"]).abs().max() < 0.02
    assert not (full["train_loss"] == mixed["train_loss"]).all()


def rates(schedule):
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=schedule.learning_rate)
    scheduler = schedule.build(optimizer)
    found = []
    for _ in range(schedule.num_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_one_cycle_where_the_end_is_known():
    found = rates(Schedule(learning_rate=0.1, weight_decay=0, num_steps=20))
    assert max(found) == pytest.approx(0.1, rel=0.02)
    assert found[0] < 0.02
    assert found[-1] < 0.002


@pytest.mark.parametrize("warm_up", [1, 4])
def test_a_rate_that_stays_where_the_end_is_unknown(warm_up):
    found = rates(Schedule(learning_rate=0.1, weight_decay=0, num_steps=12, warm_up_steps=warm_up))
    expected = [0.1 * min(1, (step + 1) / warm_up) for step in range(12)]
    assert found == pytest.approx(expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_augmentation_runs_where_the_batch_is():
    hu, labels = windows(device="cuda")
    inputs, targets = WindowInput(INPUT, Batches(size=8), seed=5)((hu, labels))
    assert inputs.device.type == targets.device.type == "cuda"
    expected, _ = WindowInput(INPUT, Batches(size=8), seed=5)((hu.cpu(), labels.cpu()))
    assert torch.allclose(inputs.cpu(), expected, atol=1e-3)
