import pickle
from pathlib import Path

import numpy as np
import pytest

from chestct.errors import InputError
from chestct.store import AIR_HU, Volume, WindowReader, read_slices, read_volume, write_shard


def volume(study_id="1.2.3", seed=0, shape=(12, 20, 24)):
    rng = np.random.default_rng(seed)
    return Volume(
        patient_id="p",
        study_id=study_id,
        series_id="9",
        hu=rng.integers(-1024, 3000, shape).astype(np.int16),
        spacing_mm=(2.5, 0.7, 0.8),
        z_mm=np.arange(shape[0]) * 2.5,
    )


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "shard-0.h5"
    write_shard(path, [volume(), volume("4.5", seed=1)])
    return str(path)


def test_a_volume_comes_back_as_it_was(shard):
    back, original = read_volume(shard, "4.5"), volume("4.5", seed=1)
    assert np.array_equal(back.hu, original.hu)
    assert back.spacing_mm == original.spacing_mm
    assert np.array_equal(back.z_mm, original.z_mm)


def test_a_run_of_slices(shard):
    assert np.array_equal(read_slices(shard, "1.2.3", 3, 7), volume().hu[3:7])


def test_windows_are_padded_with_air_past_the_end(shard):
    window = WindowReader().read(shard, "1.2.3", 8, 16)
    assert np.array_equal(window[:4], volume().hu[8:])
    assert (window[4:] == AIR_HU).all()


def test_a_reader_travels_to_worker_processes(shard):
    reader = WindowReader()
    reader.read(shard, "1.2.3", 0, 4)
    copy = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(copy.read(shard, "1.2.3", 0, 4), volume().hu[:4])


def test_an_unknown_scan_is_named(shard):
    with pytest.raises(InputError, match=r"scan 7.7 is not in its shard"):
        WindowReader().read(shard, "7.7", 0, 4)


def test_a_damaged_shard_is_found_and_names_the_scan(shard):
    content = bytearray(Path(shard).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    Path(shard).write_bytes(content)
    with pytest.raises(InputError, match=r"1\.2\.3|4\.5|does not open"):
        for study_id in ("1.2.3", "4.5"):
            read_volume(shard, study_id)


def test_a_shard_that_is_no_hdf5_is_named(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"no")
    with pytest.raises(InputError, match=r"does not open[\s\S]*x.h5"):
        read_volume(tmp_path / "x.h5", "1")


def test_nothing_is_left_when_a_volume_fails(tmp_path):
    def volumes():
        yield volume()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "s.h5", volumes())
    assert list(tmp_path.iterdir()) == []
