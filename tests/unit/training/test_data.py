import numpy as np
import pandas as pd
import torch

from chestct.store import Volume, write_shard
from chestct.training.data import BalancedSampler, TrainingWindows, collect_scans, scoring_loader


def make_scans(tmp_path, num=6):
    """Scans whose slices hold their own number: value = 100 * scan + slice."""
    path = str(tmp_path / "shard-0.h5")
    values = np.arange(24, dtype=np.int16)[:, None, None]
    volumes = [
        Volume(
            patient_id=f"p{i}",
            study_id=f"s{i}",
            series_id="1",
            hu=np.broadcast_to(values + 100 * i, (24, 8, 8)).astype(np.int16),
            spacing_mm=(1.0, 1.0, 1.0),
            z_mm=np.arange(24.0),
        )
        for i in range(num)
    ]
    write_shard(path, volumes)
    names = [f"s{i}" for i in range(num)]
    index = pd.DataFrame({"study_id": names, "store": path})
    windows = pd.DataFrame(
        [
            {"study_id": name, "start": start, "stop": start + 16, "label": int(i % 2 and start == 8)}
            for i, name in enumerate(names)
            for start in (0, 8)
        ]
    )
    table = pd.DataFrame({"patient_id": [f"p{i}" for i in range(num)], "study_id": names})
    return collect_scans(table, index, windows, {name: i % 2 for i, name in enumerate(names)})


def test_training_takes_positive_windows_of_positive_scans(tmp_path):
    dataset = TrainingWindows(make_scans(tmp_path), seed=0)
    starts = {label: set() for label in (0.0, 1.0)}
    for draw in range(40):
        window, label = dataset[draw, draw % 6]
        assert window.shape == (16, 8, 8)
        starts[label].add(int(window[0, 0, 0]) % 100)
    assert starts == {0.0: {0, 8}, 1.0: {8}}


def test_a_draw_is_the_same_whenever_it_is_read(tmp_path):
    dataset = TrainingWindows(make_scans(tmp_path), seed=3)
    first = [int(dataset[draw, 0][0][0, 0, 0]) for draw in range(20)]
    again = [int(dataset[draw, 0][0][0, 0, 0]) for draw in reversed(range(20))][::-1]
    assert first == again
    assert len(set(first)) == 2


def test_the_sampler_balances_classes_and_uses_every_scan_before_repeating():
    labels = [1] * 5 + [0] * 15
    sampler = BalancedSampler(labels, batch_size=8, seed=0)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 24
    positions = [position for _, position in drawn]
    assert sum(labels[p] for p in positions) == 12
    counts = np.bincount(positions, minlength=20)
    assert set(counts[:5]) <= {2, 3}
    assert set(counts[5:]) <= {0, 1}
    second = [position for _, position in sampler]
    assert second != positions


def test_draw_numbers_never_repeat_over_epochs():
    sampler = BalancedSampler([0, 1, 0, 1], batch_size=2, seed=0)
    draws = [draw for _ in range(3) for draw, _ in sampler]
    assert draws == list(range(12))


def test_scoring_reads_every_window_once_the_last_small_batch_included(tmp_path):
    scans = make_scans(tmp_path)
    seen = []
    for hu, numbers in scoring_loader(scans, batch_size=5, num_workers=0):
        seen += [(int(n), int(w[0, 0, 0]) - 100 * int(n)) for n, w in zip(numbers, hu, strict=True)]
    assert sorted(seen) == [(n, start) for n in range(6) for start in (0, 8)]


def test_worker_processes_read_the_same_windows(tmp_path):
    scans = make_scans(tmp_path)
    one, two = (
        torch.cat([hu for hu, _ in scoring_loader(scans, batch_size=4, num_workers=n)]) for n in (0, 2)
    )
    assert torch.equal(one, two)
