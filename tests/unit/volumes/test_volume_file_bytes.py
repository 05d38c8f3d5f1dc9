"""A volume file is judged by its own bytes: what a library would mend or misread is refused."""

import bz2
import gzip
import os
import zlib

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_files import phantom, refusal, write_series
from volume_writers import DEPTH, HU, RAW, write_meta, write_nifti, write_nrrd

from chestct.volumes.convert_scan import read_series
from chestct.volumes.refusals import RefusedScan

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ANNEX = b"/annex/objects/SHA256E-s12345--4d7a.dcm\n"


def packed_of(content):
    return f"CompressedData = True\nCompressedDataSize = {len(zlib.compress(content))}\n"


def test_the_files_that_are_bent_below_are_sound(tmp_path):
    (tmp_path / "v.raw").write_bytes(RAW)
    for path in (
        write_nifti(tmp_path / "a.nii.gz", HU),
        write_nifti(tmp_path / "a.nii", HU, packed=False),
        write_nifti(tmp_path / "b.nii.gz", HU, "f4", order=">"),
        write_nifti(tmp_path / "q.nii.gz", HU, codes=(1, 1)),
        write_meta(tmp_path / "v.mhd"),
        write_meta(tmp_path / "v.mha", "LOCAL", content=RAW),
        write_meta(tmp_path / "p.mha", "LOCAL", packed_of(RAW), content=zlib.compress(RAW)),
        write_nrrd(tmp_path / "v.nhdr"),
        write_nrrd(tmp_path / "v.nrrd", None, content=RAW),
        write_nrrd(tmp_path / "g.nrrd", None, encoding="gzip", content=gzip.compress(RAW)),
        write_nrrd(tmp_path / "b.nrrd", None, encoding="bzip2", content=bz2.compress(RAW)),
    ):
        if path.name == "b.nrrd":  # which this build of ITK may not unpack
            continue
        scan, report = read_series(path)
        np.testing.assert_array_equal(scan.hu, HU, err_msg=path.name)
        assert report.notes == [] and scan.spacing_mm == pytest.approx((2.5, 1, 1)), path.name


@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("order", ["<", ">"])
def test_voxels_that_are_no_numbers(tmp_path, code, value, order):
    values = HU.astype(np.float64)
    values[2, 3, :5] = value
    for name in ("v.nii.gz", "v.nii"):
        path = write_nifti(tmp_path / name, values, code, order=order, packed=name.endswith("gz"))
        refused = refusal(path)
        assert refused.reason == "not_finite" and "5 of 3456 voxels" in refused.detail
    image = sitk.GetImageFromArray(values.astype(code))
    for suffix in (".nrrd", ".mha"):
        sitk.WriteImage(image, str(tmp_path / f"v{suffix}"))
        assert refusal(tmp_path / f"v{suffix}").reason == "not_finite"


@pytest.mark.parametrize("change", [-1000, -1, 1, 1000])
@pytest.mark.parametrize("make", [write_meta, write_nrrd])
def test_detached_voxels_of_another_length(tmp_path, make, change):
    raw = b"\0" * change + RAW if change > 0 else RAW[:change]
    (tmp_path / "v.raw").write_bytes(raw)
    refused = refusal(make(tmp_path / ("v.mhd" if make is write_meta else "v.nhdr")))
    assert refused.reason == "wrong_length"
    assert f"{len(raw)} bytes of voxels, {len(RAW)} by the header: copy the file again" in refused.detail


def test_a_header_of_its_own_may_be_announced(tmp_path):
    (tmp_path / "v.raw").write_bytes(b"\0" * 1000 + RAW)
    for path in (
        write_meta(tmp_path / "v.mhd", more="HeaderSize = 1000\n"),
        write_meta(tmp_path / "w.mhd", more="HeaderSize = -1\n"),
        write_nrrd(tmp_path / "v.nhdr", more="byte skip: 1000\n"),
        write_nrrd(tmp_path / "w.nhdr", more="byte skip: -1\n"),
    ):
        np.testing.assert_array_equal(read_series(path)[0].hu, HU)


@pytest.mark.parametrize("change", [-1, 2, 5000])
def test_voxels_in_one_file_of_another_length(tmp_path, change):
    content = RAW + b"\0" * change if change > 0 else RAW[:change]
    pack = {"CompressedData = True\n": zlib.compress, "": bytes}
    paths = [write_meta(tmp_path / f"{len(m)}.mha", "LOCAL", m, content=p(content)) for m, p in pack.items()]
    paths += [
        write_nrrd(tmp_path / f"{name}.nrrd", None, encoding=name, content=packed(content))
        for name, packed in {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}.items()
    ]
    header = write_nifti(tmp_path / "whole.nii", HU, packed=False).read_bytes()[:352]
    for name, packed in {"v.nii": bytes, "v.nii.gz": gzip.compress}.items():
        (tmp_path / name).write_bytes(packed(header + content))
        paths.append(tmp_path / name)
    for path in paths:
        assert refusal(path).reason == "wrong_length", path.name


@pytest.mark.parametrize("change", [-1, 0, 1])
@pytest.mark.parametrize("make", [write_meta, write_nrrd])
def test_voxels_as_text_are_counted(tmp_path, make, change):
    """ITK reads the first of more numbers than the header says."""
    numbers = [*map(str, HU.ravel()), "7"][: HU.size + change]
    arguments = {"data": "LOCAL"} if make is write_meta else {"data": None, "encoding": "ascii"}
    name = "v.mha" if make is write_meta else "v.nrrd"
    path = make(tmp_path / name, content=("\n".join(numbers) + "\n").encode(), **arguments)
    path.write_bytes(path.read_bytes().replace(b"BinaryData = True", b"BinaryData = False"))
    if change:
        assert refusal(path).reason == "wrong_length"
    else:
        np.testing.assert_array_equal(read_series(path)[0].hu, HU)


@pytest.mark.parametrize("name", ["V.NII.GZ", "V.NII", "V.MHA", "V.MHD", "V.NRRD", "V.NHDR"])
def test_suffixes_in_upper_case(tmp_path, name):
    (tmp_path / "v.raw").write_bytes(RAW)
    if ".NII" in name:
        path = write_nifti(tmp_path / name, HU, packed=name.endswith("GZ"))
    else:
        detached = {"data": "v.raw"} if name[3:] in ("HD", "HDR") else {"content": RAW}
        make, alone = (write_meta, "LOCAL") if name.startswith("V.M") else (write_nrrd, None)
        path = make(tmp_path / name, **{"data": alone, **detached})
    np.testing.assert_array_equal(read_series(path)[0].hu, HU)


def slices_in(folder, names):
    for number, name in enumerate(names):
        (folder / name).write_bytes(HU[number].astype("<i2").tobytes())


@pytest.mark.parametrize("pattern", [False, True])
@pytest.mark.parametrize("num_named", [1, DEPTH - 1, DEPTH, DEPTH + 1])
def test_lists_name_a_file_a_slice(tmp_path, pattern, num_named):
    slices_in(tmp_path, [f"{number}.raw" for number in range(DEPTH)])
    (tmp_path / f"{DEPTH}.raw").write_bytes(HU[0].tobytes())
    names = "".join(f"{number}.raw\n" for number in range(num_named)).encode()
    where = f"%d.raw 0 {num_named - 1} 1" if pattern else "LIST"
    paths = [
        write_meta(tmp_path / "v.mhd", where, content=b"" if pattern else names),
        write_nrrd(tmp_path / "v.nhdr", where, content=b"" if pattern else names),
    ]
    for path in paths:
        if num_named == DEPTH:
            np.testing.assert_array_equal(read_series(path)[0].hu, HU)
        else:
            refused = refusal(path)
            assert refused.reason == "wrong_length" and f"names {num_named} files" in refused.detail


def test_voxels_that_the_library_misreads(tmp_path):
    """ITK hands out memory where CompressedDataSize is lacking, and may where a list does not end."""
    path = write_meta(tmp_path / "v.mha", "LOCAL", "CompressedData = True\n", content=zlib.compress(RAW))
    refused = refusal(path)
    assert refused.reason == "unreadable_file" and "other voxels than the file holds" in refused.detail
    names = [f"{number}.raw" for number in range(DEPTH)]
    slices_in(tmp_path, names)
    try:
        scan, _ = read_series(write_meta(tmp_path / "v.mhd", "LIST", content="\n".join(names).encode()))
    except RefusedScan as refused:
        assert refused.reason == "unreadable_file"
    else:
        np.testing.assert_array_equal(scan.hu, HU)


def test_lists_whose_files_are_gone_cut_or_named_twice(tmp_path):
    names = [f"{number}.raw" for number in range(DEPTH)]
    slices_in(tmp_path, names)
    listed = write_meta(tmp_path / "v.mhd", "LIST", content="\n".join(names).encode())
    (tmp_path / "3.raw").write_bytes(HU[3].tobytes()[:-2])
    assert refusal(listed).reason == "wrong_length"
    (tmp_path / "3.raw").unlink()
    assert refusal(listed).reason == "missing_files"
    twice = write_meta(tmp_path / "w.mhd", "LIST", content="\n".join(["0.raw"] * DEPTH).encode())
    assert "1 different of 6" in refusal(twice).detail


def test_voxels_may_lie_in_a_folder_below_or_behind_a_link(tmp_path):
    """As git-annex keeps files."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "object").write_bytes(RAW)
    (tmp_path / "v.raw").symlink_to("store/object")
    np.testing.assert_array_equal(read_series(write_meta(tmp_path / "v.mhd"))[0].hu, HU)
    np.testing.assert_array_equal(read_series(write_meta(tmp_path / "w.mhd", "store/object"))[0].hu, HU)


@pytest.mark.parametrize("pointer", [LFS, ANNEX, b"../.git/annex/objects/Wx/0q/SHA256E-s123\n", None])
def test_files_that_were_not_fetched(tmp_path, pointer):
    """A volume, the voxels of one, and a slice of a series; None: a link to nothing."""

    def leave(path):
        path.unlink(missing_ok=True)
        if pointer is None:
            path.symlink_to(".git/annex/objects/gone")
        else:
            path.write_bytes(pointer)
        return path

    series = write_series(tmp_path / "series", phantom())
    leave(series / "003.dcm")
    leave(tmp_path / "v.raw")
    for path in (
        leave(tmp_path / "v.nii.gz"),
        leave(tmp_path / "v.nrrd"),
        write_meta(tmp_path / "v.mhd"),
        series,
    ):
        refused = refusal(path)
        assert refused.reason == "missing_files" and "fetch it with `git" in refused.detail, refused
    assert str(tmp_path) not in refused.detail


def test_a_folder_with_a_pipe_or_a_link_to_itself(tmp_path):
    series = write_series(tmp_path / "series", phantom())
    os.mkfifo(series / "006.dcm")
    assert refusal(series).detail == "1 file(s) of the folder: a pipe or a device, no file"
    (series / "006.dcm").unlink()
    (series / "loop.dcm").symlink_to("loop.dcm")
    refused = refusal(series)
    assert refused.reason == "missing_files" and str(tmp_path) not in refused.detail
    (series / "loop.dcm").unlink()
    (series / "below").mkdir()
    read_series(series)


CONTENTS = {
    "packed.nii": (lambda p: write_nifti(p, HU), "wrong_suffix", "rename it to .nii.gz"),
    "plain.nii.gz": (lambda p: write_nifti(p, HU, packed=False), "wrong_suffix", "rename it to .nii"),
    "packed.mha": (lambda p: p.write_bytes(gzip.compress(b"ObjectType")), "wrong_suffix", "unpack it"),
    "nrrd.mha": (lambda p: write_nrrd(p, None, content=RAW), "wrong_suffix", "rename it to .nrrd"),
    "meta.nrrd": (lambda p: write_meta(p, "LOCAL", content=RAW), "wrong_suffix", "rename it to .mha"),
    "zip.nrrd": (lambda p: p.write_bytes(b"PK\3\4" + bytes(100)), "unsupported_format", "unpack it"),
    "login.nii.gz": (lambda p: p.write_bytes(b"<!DOCTYPE html><html>"), "unreadable_file", "login"),
    "empty.nii.gz": (lambda p: p.write_bytes(b""), "unreadable_file", "empty"),
    "zeros.nii.gz": (lambda p: p.write_bytes(bytes(9000)), "unreadable_file", "zeros"),
    "v.img": (lambda p: p.write_bytes(RAW), "unsupported_format", ".nii.gz"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_what_is_behind_a_name(tmp_path, name):
    make, reason, words = CONTENTS[name]
    path = tmp_path / name
    make(path)
    refused = refusal(path)
    assert refused.reason == reason and words in refused.detail and name not in refused.detail


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_bombs_are_not_unpacked(tmp_path, suffix, monkeypatch):
    """A gigabyte of zeros behind a small header: no more is unpacked than the header announces."""
    path, zeros = tmp_path / f"v{suffix}", bytes(1 << 20)
    whole = write_nifti(tmp_path / "whole.nii", HU, packed=False).read_bytes()
    if suffix == ".nii.gz":
        pack, head = zlib.compressobj(9, wbits=31), b""
        content = pack.compress(whole)
    elif suffix == ".nrrd":
        pack, head = zlib.compressobj(9, wbits=31), write_nrrd(path, None, encoding="gzip").read_bytes()
        content = pack.compress(RAW)
    else:
        pack, head = zlib.compressobj(9), write_meta(path, "LOCAL", "CompressedData = True\n").read_bytes()
        content = pack.compress(RAW)
    content += b"".join(pack.compress(zeros) for _ in range(64)) + pack.flush()
    path.write_bytes(head + content)
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", None)  # never reached
    assert refusal(path).reason == "wrong_length"
