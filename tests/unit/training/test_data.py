import os
import signal

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset

from chestct.errors import InputError
from chestct.intensity import AIR_HU
from chestct.training.machine.processes import Processes
from chestct.training.scoring import scoring_loader
from chestct.training.windows.dataset import (
    ScoringWindows,
    TrainingWindows,
    collect_scans,
    split_by_label,
)
from chestct.training.windows.loader import Loader
from chestct.volume_store import Volume, write_shard


def make_scans(tmp_path, num=6, places=((0, 16), (8, 24)), num_slices=None):
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
            {"study_id": name, "start": start, "stop": stop, "label": int(i % 2 and start == places[-1][0])}
            for i, name in enumerate(names)
            for start, stop in places
        ]
    )
    table = pd.DataFrame({"patient_id": [f"p{i}" for i in range(num)], "study_id": names})
    labels = {name: i % 2 for i, name in enumerate(names)}
    return collect_scans(table, index, windows, labels, num_slices)


def test_training_takes_positive_windows_of_positive_scans(tmp_path):
    dataset = TrainingWindows(make_scans(tmp_path), seed=0)
    starts = {label: set() for label in (0.0, 1.0)}
    for draw in range(40):
        window, label = dataset[draw, draw % 6]
        assert window.shape == (16, 8, 8)
        starts[label].add(int(window[0, 0, 0]) % 100)
    assert starts == {0.0: {0, 8}, 1.0: {8}}


def test_slices_without_a_finding_come_from_scans_with_one_too(tmp_path):
    slices = [(z, z + 1) for z in range(24)]
    parts = split_by_label(make_scans(tmp_path, num=3, places=slices, num_slices=1))
    assert [(part.study_id, part.label) for part in parts] == [("s0", 0), ("s1", 0), ("s1", 1), ("s2", 0)]
    assert [len(part.starts) for part in parts] == [24, 23, 1, 24]
    dataset = TrainingWindows(parts, seed=0)
    seen = {position: set() for position in range(4)}
    for draw in range(200):
        window, label = dataset[draw, draw % 4]
        assert window.shape == (1, 8, 8) and label == parts[draw % 4].label
        seen[draw % 4].add(int(window[0, 0, 0]))
    assert seen[2] == {123}  # the only positive slice
    assert len(seen[1]) > 10 and 123 not in seen[1]


@pytest.mark.parametrize(
    ("stop", "num_slices", "expected"),
    [
        (24, 24, list(range(24))),
        (24, 12, list(range(1, 24, 2))),
        (24, 8, list(range(1, 24, 3))),
        (24, 10, [1, 3, 6, 8, 10, 13, 15, 18, 20, 22]),
        (30, 30, [*range(24), *[AIR_HU] * 6]),  # shorter than what the model sees
    ],
)
def test_a_whole_scan_is_evenly_spaced_slices_at_most(tmp_path, stop, num_slices, expected):
    scans = make_scans(tmp_path, num=1, places=((0, stop),), num_slices=num_slices)
    window, number = ScoringWindows(scans)[0]
    assert window.shape == (num_slices, 8, 8) and number == 0
    assert window[:, 0, 0].tolist() == expected


def test_a_draw_is_the_same_whenever_it_is_read(tmp_path):
    dataset = TrainingWindows(make_scans(tmp_path), seed=3)
    first = [int(dataset[draw, 0][0][0, 0, 0]) for draw in range(20)]
    again = [int(dataset[draw, 0][0][0, 0, 0]) for draw in reversed(range(20))][::-1]
    assert first == again
    assert len(set(first)) == 2


def read_all(loader):
    """Windows of all batches, and (number of the scan, first slice) of each; the loader is closed."""
    batches = [(hu.clone(), numbers.clone()) for hu, numbers in loader]
    loader.close()
    windows = torch.cat([hu for hu, _ in batches])
    numbers = torch.cat([numbers for _, numbers in batches]).tolist()
    return windows, [(n, int(w[0, 0, 0]) - 100 * n) for n, w in zip(numbers, windows, strict=True)]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_scoring_reads_every_window_once_the_last_small_batch_included(tmp_path, num_workers):
    loader = scoring_loader(make_scans(tmp_path), batch_size=5, num_workers=num_workers)
    assert read_all(loader)[1] == [(n, start) for n in range(6) for start in (0, 8)]


def test_worker_processes_do_not_use_the_open_files_of_this_one(tmp_path):
    """A file that was open before the fork would share its position with this process."""
    loader = scoring_loader(make_scans(tmp_path), batch_size=4, num_workers=1)
    dataset = loader.loader.dataset.dataset
    reader, first = dataset.reader, dataset[0][0]
    assert reader._files
    del reader._files[dataset.scans[0].store]
    reader._scans = {key: "not a scan" for key in reader._scans}
    windows, _ = read_all(loader)
    assert torch.equal(windows[0], first)


def test_processes_share_the_windows_out_evenly_and_leave_none_out(tmp_path):
    scans = make_scans(tmp_path, num=5)  # 10 windows
    shares = [
        read_all(scoring_loader(scans, batch_size=2, num_workers=0, processes=Processes(rank=rank, world=4)))
        for rank in range(4)
    ]
    assert [len(seen) for _, seen in shares] == [3, 3, 3, 3]
    assert {place for _, seen in shares for place in seen} == {
        (n, start) for n in range(5) for start in (0, 8)
    }


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_bad_shard_is_one_clear_message_from_any_process(tmp_path, num_workers, damage):
    scans = make_scans(tmp_path)
    path = tmp_path / "shard-0.h5"
    if damage == "missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
        path.write_bytes(bytes(content))
    loader = scoring_loader(scans, batch_size=4, num_workers=num_workers)
    with pytest.raises(InputError) as error:
        read_all(loader)
    loader.close()
    assert "shard-0.h5" in str(error.value)
    assert "remedy: " in str(error.value)
    assert "Traceback" not in str(error.value)


def test_a_reading_process_that_is_killed_is_explained(tmp_path):
    class Deadly(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, key):
            os.kill(os.getpid(), signal.SIGKILL)

    loader = Loader(Deadly(), batch_size=2, num_workers=1, pin_memory=False)
    with pytest.raises(InputError, match="process that reads windows ended"):
        next(iter(loader))
    loader.close()


@pytest.mark.parametrize(
    "words",
    [
        "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers "
        "are out of shared memory. Please try to raise your shared memory limit.",
        "Caught RuntimeError in DataLoader worker process 0.\nunable to allocate shared memory(shm) for file "
        "</torch_1>: No space left on device (28)",
        "unable to allocate shared memory(shm) for file </torch_1_2>: No space left on device (28)",
    ],
)
def test_too_little_shared_memory_is_named(words):
    class Full(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, key):
            raise RuntimeError(words)

    loader = Loader(Full(), batch_size=2, num_workers=0, pin_memory=False)
    with pytest.raises(InputError, match=r"/dev/shm is full[\s\S]*MiB free[\s\S]*--shm-size") as caught:
        next(iter(loader))
    assert "mem_mb" not in str(caught.value)


def test_time_spent_waiting_is_counted(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)

    class Slow(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, key):
            nonlocal now
            now += 1
            return key

    loader = Loader(Slow(), batch_size=2, num_workers=0, pin_memory=False)
    for _ in loader:
        now += 10  # a step, which does not count
    assert loader.waited == 4
