import fcntl
import hashlib
import pickle
import resource
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (registers the filter that h5py alone lacks)
import numpy as np
import pytest

from chestct import volume_store
from chestct.errors import InputError
from chestct.intensity import AIR_HU
from chestct.shard_files import new_shard


def volume(study_id="1.2.3", seed=0, shape=(12, 20, 24)):
    rng = np.random.default_rng(seed)
    return volume_store.Volume(
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
    volume_store.write_shard(path, [volume(), volume("4.5", seed=1)])
    return str(path)


def test_a_volume_comes_back_as_it_was(shard):
    back, original = volume_store.read_volume(shard, "4.5"), volume("4.5", seed=1)
    assert np.array_equal(back.hu, original.hu)
    assert back.spacing_mm == original.spacing_mm
    assert np.array_equal(back.z_mm, original.z_mm)


def test_windows_are_padded_with_air_past_the_end(shard):
    window = volume_store.WindowReader().read(shard, "1.2.3", 8, 16)
    assert np.array_equal(window[:4], volume().hu[8:])
    assert (window[4:] == AIR_HU).all()


def test_a_reader_travels_to_worker_processes(shard):
    reader = volume_store.WindowReader()
    reader.read(shard, "1.2.3", 0, 4)
    copy = pickle.loads(pickle.dumps(reader))
    assert np.array_equal(copy.read(shard, "1.2.3", 0, 4), volume().hu[:4])


@pytest.mark.parametrize("study_id", ["7.7", "", ".", "..", "/", "1.2.3/", "../1.2.3"])
def test_an_unknown_scan_is_named_and_nothing_is_to_be_deleted(shard, study_id):
    with pytest.raises(InputError, match=r"is not in its shard[\s\S]*1.2.3, 4.5[\s\S]*name one of") as caught:
        volume_store.WindowReader().read(shard, study_id, 0, 4)
    assert "delete" not in str(caught.value) and "damaged" not in str(caught.value)


def test_shards_are_read_where_locks_are_not_to_be_had(shard):
    with open(shard, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # as a file system without locks, it refuses HDF5's
        assert volume_store.check_shard(shard) == {}
        assert len(volume_store.WindowReader().read(shard, "1.2.3", 0, 4)) == 4


MANY = """
import resource, sys
from chestct.errors import InputError
from chestct.volume_store import WindowReader

limit, others, *names = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(limit), int(limit)))
held = []
while others == "all":
    try:
        held.append(open("/dev/null"))
    except OSError:
        break
reader = WindowReader()
try:
    for name in names * 2:
        reader.read(name, "1.2.3", 0, 2)
except InputError as error:
    sys.exit(str(error))
"""


def read_many(names, limit, others):
    """What a process with a limit of open files says that reads many shards, and its exit code."""
    command = [sys.executable, "-c", MANY, str(limit), others, *map(str, names)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, done.stderr


def test_more_shards_than_open_files_are_read(tmp_path):
    names = [tmp_path / f"shard-{number}.h5" for number in range(60)]
    for name in names:
        volume_store.write_shard(name, [volume(shape=(2, 8, 8))])
    assert read_many(names, 64, "none") == (0, "")


def test_too_many_open_files_are_not_the_shards_fault(shard):
    code, said = read_many([shard], 64, "all")
    assert code == 1 and "Too many open files" in said and "ulimit -n" in said
    assert "damaged" not in said and "write it again" not in said


SMALL = {"1.2.3": volume(shape=(4, 8, 8)), "4.5": volume("4.5", seed=1, shape=(5, 8, 8))}


def damage(content: bytes):
    """Damaged copies: bytes inverted one after the other, words of zeros and ones swapped, ends cut off."""
    for offset in range(0, len(content), 7):
        yield content[:offset] + bytes([content[offset] ^ 0xFF]) + content[offset + 1 :]
    for offset in range(0, len(content), 41):
        yield content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :]
        yield content[:offset] + bytes(32) + content[offset + 32 :]
        yield content[:offset] + b"\xff" * 16 + content[offset + 16 :]
        yield content[:offset]


def test_damage_is_found_and_names_the_scan_or_lies_where_nothing_is(tmp_path):
    """Whatever byte is damaged: the right voxels or an error that names scan or file, never others."""
    path = tmp_path / "s.h5"
    volume_store.write_shard(path, SMALL.values())
    outcomes = []
    for content in damage(path.read_bytes()):
        path.write_bytes(content)
        for study_id, original in SMALL.items():
            try:
                window = volume_store.WindowReader().read(str(path), study_id, 1, 4)
                assert np.array_equal(window, original.hu[1:4])
                back = volume_store.read_volume(path, study_id)
                assert np.array_equal(back.hu, original.hu) and np.array_equal(back.z_mm, original.z_mm)
                assert (back.spacing_mm, back.patient_id, back.series_id) == ((2.5, 0.7, 0.8), "p", "9")
                outcomes.append("right")
            except InputError as error:
                named = f"voxels of scan {study_id} are damaged" in str(error)
                assert named or "does not open" in error.what
                assert str(path) in str(error)
                outcomes.append("named" if named else "does not open")
    assert {outcome: outcomes.count(outcome) > 50 for outcome in outcomes} == {
        "right": True, "named": True, "does not open": True
    }  # fmt: skip


def test_only_the_slices_that_are_asked_for_are_read(tmp_path):
    """A damaged slice is no hindrance to a window beside it."""
    path = tmp_path / "s.h5"
    volume_store.write_shard(path, [volume()])
    with h5py.File(path) as file:
        info = file["1.2.3"].id.get_chunk_info(5)
    content = bytearray(path.read_bytes())
    content[info.byte_offset + 20] ^= 1
    path.write_bytes(content)
    assert np.array_equal(volume_store.read_slices(path, "1.2.3", 6, 12), volume().hu[6:])
    with pytest.raises(InputError, match=r"scan 1\.2\.3 are damaged: slice 5 does not match"):
        volume_store.read_slices(path, "1.2.3", 5, 6)
    assert volume_store.check_shard(path) == {
        "1.2.3": "voxels of scan 1.2.3 are damaged: slice 5 does not match its checksum"
    }


def test_other_tools_read_a_shard_and_its_checksums(shard):
    with h5py.File(shard) as file:
        scan = file["4.5"]
        assert np.array_equal(scan[3:7], volume("4.5", seed=1).hu[3:7])
        assert scan.attrs["sha256"].decode() == hashlib.sha256(scan[()].astype("<i2").tobytes()).hexdigest()
        stored = [scan.id.read_direct_chunk((z, 0, 0))[1] for z in range(12)]
        assert scan.attrs["crc32"].tolist() == [zlib.crc32(content) for content in stored]
        assert scan.chunks == (1, 20, 24)


def test_what_was_stored_is_stored_again_without_compressing(shard, tmp_path):
    with new_shard(tmp_path / "a.h5") as file:
        stored = [volume_store.write_volume(file, scan) for scan in (volume(), volume("4.5", seed=1))]
    with new_shard(tmp_path / "b.h5") as file:
        for scan in stored:
            volume_store.write_stored(file, scan)
    for path in (tmp_path / "a.h5", tmp_path / "b.h5"):
        assert volume_store.list_scans(path) == ["1.2.3", "4.5"]
        assert volume_store.check_shard(path) == {}
        assert path.read_bytes() == Path(shard).read_bytes()


def test_a_full_disk_is_one_message_and_leaves_nothing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(InputError, match=r"a shard cannot be written[\s\S]*make room"):
            volume_store.write_shard(tmp_path / "out.h5", [volume()])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_is_no_hdf5_is_named(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"no")
    with pytest.raises(InputError, match=r"does not open[\s\S]*x.h5"):
        volume_store.read_volume(tmp_path / "x.h5", "1")


def test_nothing_is_left_when_a_volume_fails(tmp_path):
    def volumes():
        yield volume()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        volume_store.write_shard(tmp_path / "s.h5", volumes())
    assert list(tmp_path.iterdir()) == []
