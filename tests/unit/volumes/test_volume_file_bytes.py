"""A volume file is judged by its own bytes: what a library would mend or misread is refused."""

import bz2
import gzip
import os
import struct
import zlib

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from chest_volumes import chest
from dicom_files import phantom, property_test, refusal, write_series
from hypothesis import given
from hypothesis import strategies as st
from nifti_writer import write_nifti

from chestct.volumes.convert_scan import convert_one, read_series
from chestct.volumes.refusals import RefusedScan

HU = np.maximum(chest(6, 24), -1024)
DEPTH, SIDE = HU.shape[:2]
RAW = HU.astype("<i2").tobytes()
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ANNEX = b"/annex/objects/SHA256E-s12345--4d7a.dcm\n"


def meta(path, data="v.raw", more="", size=(SIDE, SIDE, DEPTH), content=b""):
    header = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\n{more}"
        "ElementSpacing = 1 1 2.5\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"
        f"DimSize = {' '.join(map(str, size))}\nElementType = MET_SHORT\n"
        f"ElementDataFile = {data}\n"
    )
    path.write_bytes(header.encode() + content)
    return path


def nrrd(path, data="v.raw", more="", step=1.0, encoding="raw", content=b"", place=True):
    directions = f"space directions: ({step},0,0) (0,{step},0) (0,0,{2.5 * step})\n"
    directions = f"space: left-posterior-superior\n{directions}" if place else ""
    header = (
        f"NRRD0005\ntype: short\ndimension: 3\nsizes: {SIDE} {SIDE} {DEPTH}\nencoding: {encoding}\n"
        f"endian: little\n{directions}{more}" + (f"data file: {data}\n" if data else "\n")
    )
    path.write_bytes(header.encode() + content)
    return path


def packed_of(content):
    return f"CompressedData = True\nCompressedDataSize = {len(zlib.compress(content))}\n"


def test_the_files_that_are_bent_below_are_sound(tmp_path):
    (tmp_path / "v.raw").write_bytes(RAW)
    for path in (
        write_nifti(tmp_path / "a.nii.gz", HU),
        write_nifti(tmp_path / "a.nii", HU, packed=False),
        write_nifti(tmp_path / "b.nii.gz", HU, "f4", order=">"),
        write_nifti(tmp_path / "q.nii.gz", HU, codes=(1, 1)),
        meta(tmp_path / "v.mhd"),
        meta(tmp_path / "v.mha", "LOCAL", content=RAW),
        meta(tmp_path / "p.mha", "LOCAL", packed_of(RAW), content=zlib.compress(RAW)),
        nrrd(tmp_path / "v.nhdr"),
        nrrd(tmp_path / "v.nrrd", None, content=RAW),
        nrrd(tmp_path / "g.nrrd", None, encoding="gzip", content=gzip.compress(RAW)),
        nrrd(tmp_path / "b.nrrd", None, encoding="bzip2", content=bz2.compress(RAW)),
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
@pytest.mark.parametrize("make", [meta, nrrd])
def test_detached_voxels_of_another_length(tmp_path, make, change):
    raw = b"\0" * change + RAW if change > 0 else RAW[:change]
    (tmp_path / "v.raw").write_bytes(raw)
    refused = refusal(make(tmp_path / ("v.mhd" if make is meta else "v.nhdr")))
    assert refused.reason == "wrong_length"
    assert f"{len(raw)} bytes of voxels, {len(RAW)} by the header: copy the file again" in refused.detail


def test_a_header_of_its_own_may_be_announced(tmp_path):
    (tmp_path / "v.raw").write_bytes(b"\0" * 1000 + RAW)
    for path in (
        meta(tmp_path / "v.mhd", more="HeaderSize = 1000\n"),
        meta(tmp_path / "w.mhd", more="HeaderSize = -1\n"),
        nrrd(tmp_path / "v.nhdr", more="byte skip: 1000\n"),
        nrrd(tmp_path / "w.nhdr", more="byte skip: -1\n"),
    ):
        np.testing.assert_array_equal(read_series(path)[0].hu, HU)


@pytest.mark.parametrize("change", [-1, 2, 5000])
def test_voxels_in_one_file_of_another_length(tmp_path, change):
    content = RAW + b"\0" * change if change > 0 else RAW[:change]
    pack = {"CompressedData = True\n": zlib.compress, "": bytes}
    paths = [meta(tmp_path / f"{len(m)}.mha", "LOCAL", m, content=p(content)) for m, p in pack.items()]
    paths += [
        nrrd(tmp_path / f"{name}.nrrd", None, encoding=name, content=packed(content))
        for name, packed in {"raw": bytes, "gzip": gzip.compress, "bzip2": bz2.compress}.items()
    ]
    header = write_nifti(tmp_path / "whole.nii", HU, packed=False).read_bytes()[:352]
    for name, packed in {"v.nii": bytes, "v.nii.gz": gzip.compress}.items():
        (tmp_path / name).write_bytes(packed(header + content))
        paths.append(tmp_path / name)
    for path in paths:
        assert refusal(path).reason == "wrong_length", path.name


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
        meta(tmp_path / "v.mhd", where, content=b"" if pattern else names),
        nrrd(tmp_path / "v.nhdr", where, content=b"" if pattern else names),
    ]
    for path in paths:
        if num_named == DEPTH:
            np.testing.assert_array_equal(read_series(path)[0].hu, HU)
        else:
            refused = refusal(path)
            assert refused.reason == "wrong_length" and f"names {num_named} files" in refused.detail


def test_voxels_that_the_library_misreads(tmp_path):
    """ITK hands out memory where CompressedDataSize is lacking, and may where a list does not end."""
    path = meta(tmp_path / "v.mha", "LOCAL", "CompressedData = True\n", content=zlib.compress(RAW))
    refused = refusal(path)
    assert refused.reason == "unreadable_file" and "other voxels than the file holds" in refused.detail
    names = [f"{number}.raw" for number in range(DEPTH)]
    slices_in(tmp_path, names)
    try:
        scan, _ = read_series(meta(tmp_path / "v.mhd", "LIST", content="\n".join(names).encode()))
    except RefusedScan as refused:
        assert refused.reason == "unreadable_file"
    else:
        np.testing.assert_array_equal(scan.hu, HU)


def test_lists_whose_files_are_gone_cut_or_named_twice(tmp_path):
    names = [f"{number}.raw" for number in range(DEPTH)]
    slices_in(tmp_path, names)
    listed = meta(tmp_path / "v.mhd", "LIST", content="\n".join(names).encode())
    (tmp_path / "3.raw").write_bytes(HU[3].tobytes()[:-2])
    assert refusal(listed).reason == "wrong_length"
    (tmp_path / "3.raw").unlink()
    assert refusal(listed).reason == "missing_files"
    twice = meta(tmp_path / "w.mhd", "LIST", content="\n".join(["0.raw"] * DEPTH).encode())
    assert "1 different of 6" in refusal(twice).detail


CONTRADICTIONS = {
    "slope 0 and an intercept": ({"scaling": (0, -1024)}, "scl_slope 0 says that values are not scaled"),
    "no slope and an intercept": ({"scaling": (np.nan, -1024)}, "scl_inter -1024"),
    "spacings": ({"sform": (-0.7, -0.7, 1.25), "pixdim": (1, 1, 1)}, "0.7 x 0.7 x 1.25 mm by the sform"),
    "a half turn": ({"sform": (1, 1, 2.5), "codes": (1, 2)}, "turn axis x 180 degrees apart"),
    "a quarter turn": ({"codes": (1, 1), "quaternion": (0, 0, 0.70710678)}, "turn axis x 90 degrees apart"),
    "a flip": ({"sform": (-1, -1, -2.5), "codes": (1, 1)}, "turn axis z 180 degrees apart"),
    "bits and type": ({"edit": {72: struct.pack("<h", 32)}}, "bitpix 32 of datatype 4"),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_headers_of_nifti_that_contradict_themselves(tmp_path, name):
    arguments, words = CONTRADICTIONS[name]
    refused = refusal(write_nifti(tmp_path / "v.nii.gz", HU, **arguments))
    assert refused.reason == "contradicting_header" and words in refused.detail
    assert "write the scan anew" in refused.detail


def test_headers_of_others_that_contradict_themselves(tmp_path):
    (tmp_path / "v.raw").write_bytes(RAW)
    for path in (
        meta(tmp_path / "a.mhd", more="ElementSpacing = 2 2 5\n"),
        meta(tmp_path / "b.mhd", more="Offset = 0 0 0\nPosition = 0 0 5\n"),
        meta(tmp_path / "c.mhd", size=(SIDE, SIDE * DEPTH)),
        nrrd(tmp_path / "a.nhdr", more="spacings: 1 1 5\n"),
        nrrd(tmp_path / "b.nhdr", more="encoding: gzip\n"),
    ):
        assert refusal(path).reason == "contradicting_header", path.name


def test_headers_that_say_the_same_twice_or_nothing(tmp_path):
    slight = write_nifti(tmp_path / "a.nii.gz", HU, codes=(1, 1), origins=((0, 0, 0), (0, 0, 0.4)))
    assert read_series(slight)[1].notes == []
    apart = write_nifti(tmp_path / "b.nii.gz", HU, codes=(1, 1), origins=((0, 0, 0), (0, 0, -200)))
    assert read_series(apart)[1].notes == ["origins of sform and qform are 200 mm apart"]
    for scaling in ((0, 0), (np.nan, np.nan)):
        path = write_nifti(tmp_path / "c.nii.gz", HU, scaling=scaling)
        np.testing.assert_array_equal(read_series(path)[0].hu, HU)
    (tmp_path / "v.raw").write_bytes(RAW)
    for path in (
        write_nifti(tmp_path / "d.nii.gz", HU, codes=(0, 0)),
        nrrd(tmp_path / "d.nhdr", place=False, more="spacings: 1 1 2.5\n"),
    ):
        row, _ = convert_one(path, dataset="d", size_px=None)
        assert row["status"] == "accepted" and row["detail"].startswith("orientation unknown")


BENT = {
    "negative slope": ({"scaling": (-1, 0)}, "bad_rescale"),
    "infinite intercept": ({"scaling": (1, np.inf)}, "bad_rescale"),
    "sheared": ({"sform": [[-1, 0.2, 0], [0, -1, 0], [0, 0, 2.5]], "pixdim": (1, 1.02, 2.5)}, "sheared_axes"),
    "tilted gantry": ({"sform": [[-1, 0, 0], [0, -1, 0.5], [0, 0, 2.45]]}, "sheared_axes"),
    "metres": ({"units": 1, "pixdim": (1e-3, 1e-3, 2.5e-3), "sform": (-1e-3, -1e-3, 2.5e-3)}, "other_units"),
    "micrometres": ({"units": 3, "pixdim": (700, 700, 1250), "sform": (-700, -700, 1250)}, "other_units"),
    "metres without a word": ({"units": 0, "pixdim": (7e-4, 7e-4, 1e-3), "codes": (0, 0)}, "bad_geometry"),
    "centimetres without a word": (
        {"units": 0, "pixdim": (0.07, 0.07, 0.1), "codes": (0, 0)},
        "bad_geometry",
    ),
    "micrometres without a word": ({"units": 0, "pixdim": (700, 700, 1250), "codes": (0, 0)}, "bad_geometry"),
    "slices 100 mm apart": ({"pixdim": (1, 1, 100), "sform": (-1, -1, 100)}, "bad_geometry"),
    "slices 1000 km apart": ({"pixdim": (1, 1, 1e6), "sform": (-1, -1, 1e6)}, "bad_geometry"),
    "slices 0.02 mm apart": ({"pixdim": (1, 1, 0.02), "sform": (-1, -1, 0.02)}, "bad_geometry"),
    "no spacing": ({"pixdim": (0, 0, 0), "codes": (0, 0)}, "bad_geometry"),
    "NaN spacing": ({"pixdim": (1, np.nan, 1), "codes": (0, 0)}, "bad_geometry"),
    "NaN axes": ({"sform": (-1, np.nan, 2.5)}, "bad_geometry"),
    "NaN origin": ({"origins": ((0, 0, 0), (0, np.nan, 0))}, "bad_geometry"),
    "infinite origin": ({"origins": ((0, 0, 0), (0, 0, np.inf))}, "bad_geometry"),
    "an axis without length": ({"sform": (-1, 0, 2.5)}, "bad_geometry"),
    "a quaternion too long": ({"codes": (1, 0), "quaternion": (1, 1, 1)}, "bad_geometry"),
    "a NaN quaternion": ({"codes": (1, 0), "quaternion": (np.nan, 0, 0)}, "bad_geometry"),
    "32767 slices": ({"edit": {40: struct.pack("<4h", 3, SIDE, SIDE, 32767)}}, "too_large"),
    "5000 columns": ({"edit": {40: struct.pack("<4h", 3, 5000, SIDE, DEPTH)}}, "too_large"),
    "4096 x 4096 x 4096": ({"edit": {40: struct.pack("<4h", 3, 4096, 4096, 4096)}}, "too_large"),
    "no columns": ({"edit": {40: struct.pack("<4h", 3, 0, SIDE, DEPTH)}}, "unreadable_file"),
    "negative columns": ({"edit": {40: struct.pack("<4h", 3, -5, SIDE, DEPTH)}}, "unreadable_file"),
    "Analyze": ({"edit": {344: b"\0\0\0\0"}}, "unsupported_format"),
    "NIfTI-2": ({"edit": {0: struct.pack("<i", 540)}}, "unsupported_format"),
    "voxels within the header": ({"edit": {108: struct.pack("<f", 0)}}, "unreadable_file"),
    "voxels nowhere": ({"edit": {108: struct.pack("<f", np.nan)}}, "unreadable_file"),
    "voxels far away": ({"edit": {108: struct.pack("<f", 1e12)}}, "unreadable_file"),
}


@pytest.mark.parametrize("name", BENT)
def test_headers_of_nifti_beyond_reason(tmp_path, name):
    arguments, reason = BENT[name]
    refused = refusal(write_nifti(tmp_path / "v.nii.gz", HU, **arguments))
    assert refused.reason == reason, refused


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("Offset = 0 nan 0\n", "bad_geometry"),
        ("DistanceUnits = um\n", "other_units"),
        ("ElementToIntensityFunctionSlope = 1\nElementToIntensityFunctionOffset = -1024\n", "bad_rescale"),
        ("Rotation = 1 0 0 0 1 0 0 0 1\n", None),
        ("CompressedData = True\nCompressedDataSize = 99999999999999\n", "wrong_length"),
        ("HeaderSize = many\n", "unreadable_file"),
    ],
)
def test_headers_of_meta_images_beyond_reason(tmp_path, more, reason):
    path = meta(tmp_path / "v.mha", "LOCAL", more, content=RAW)
    if reason is None:
        read_series(path)
    else:
        assert refusal(path).reason == reason


@pytest.mark.parametrize("unit", ["um", "cm", "m", "μm"])
def test_units_of_nrrd(tmp_path, unit):
    step = {"cm": 0.1, "m": 0.001}.get(unit, 1000)
    path = nrrd(tmp_path / "v.nrrd", None, f'space units: "{unit}" "{unit}" "{unit}"\n', step, content=RAW)
    refused = refusal(path)
    assert refused.reason == "other_units" and "expected mm" in refused.detail
    mm = nrrd(tmp_path / "w.nrrd", None, 'space units: "mm" "mm" "mm"\n', content=RAW)
    assert read_series(mm)[0].spacing_mm == pytest.approx((2.5, 1, 1))


@pytest.mark.parametrize("make", [meta, nrrd])
@pytest.mark.parametrize(
    "name", ["/etc/v.raw", "../v.raw", "in/../../v.raw", "C:\\data\\v.raw", "..\\v.raw", "v.pipe"]
)
def test_headers_that_name_voxels_elsewhere(tmp_path, make, name):
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "v.raw").write_bytes(RAW)
    os.mkfifo(folder / "v.pipe")  # reading it would wait for ever
    refused = refusal(make(folder / ("v.mhd" if make is meta else "v.nhdr"), name))
    assert refused.reason == "outside_file", refused


def test_voxels_may_lie_in_a_folder_below_or_behind_a_link(tmp_path):
    """As git-annex keeps files."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "object").write_bytes(RAW)
    (tmp_path / "v.raw").symlink_to("store/object")
    np.testing.assert_array_equal(read_series(meta(tmp_path / "v.mhd"))[0].hu, HU)
    np.testing.assert_array_equal(read_series(meta(tmp_path / "w.mhd", "store/object"))[0].hu, HU)


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
    for path in (leave(tmp_path / "v.nii.gz"), leave(tmp_path / "v.nrrd"), meta(tmp_path / "v.mhd"), series):
        refused = refusal(path)
        assert refused.reason == "missing_files" and "fetch it with `git" in refused.detail, refused
    assert str(tmp_path) not in refused.detail


def test_a_folder_with_a_pipe_or_a_link_to_itself(tmp_path):
    series = write_series(tmp_path / "series", phantom())
    os.mkfifo(series / "006.dcm")
    assert refusal(series).detail == "1 file(s) of the folder: a pipe or a device, no file"
    (series / "006.dcm").unlink()
    (series / "loop.dcm").symlink_to("loop.dcm")
    assert refusal(series).detail == "1 file(s) of the folder: a link to a file that is not there"
    (series / "loop.dcm").unlink()
    (series / "below").mkdir()
    read_series(series)


DICOM = b"\0" * 128 + b"DICM" + b"\0" * 100
CONTENTS = {
    "packed.nii": (lambda p: write_nifti(p, HU), "wrong_suffix", "rename it to .nii.gz"),
    "plain.nii.gz": (lambda p: write_nifti(p, HU, packed=False), "wrong_suffix", "rename it to .nii"),
    "packed.mha": (lambda p: p.write_bytes(gzip.compress(b"ObjectType")), "wrong_suffix", "unpack it"),
    "nrrd.mha": (lambda p: nrrd(p, None, content=RAW), "wrong_suffix", "rename it to .nrrd"),
    "meta.nrrd": (lambda p: meta(p, "LOCAL", content=RAW), "wrong_suffix", "rename it to .mha"),
    "dicom.nii": (lambda p: p.write_bytes(DICOM), "unsupported_format", "name the folder"),
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
        pack, head = zlib.compressobj(9, wbits=31), nrrd(path, None, encoding="gzip").read_bytes()
        content = pack.compress(RAW)
    else:
        pack, head = zlib.compressobj(9), meta(path, "LOCAL", "CompressedData = True\n").read_bytes()
        content = pack.compress(RAW)
    content += b"".join(pack.compress(zeros) for _ in range(64)) + pack.flush()
    path.write_bytes(head + content)
    monkeypatch.setattr(sitk.ImageFileReader, "Execute", None)  # never reached
    assert refusal(path).reason == "wrong_length"


@property_test(60)
@given(
    start=st.integers(0, 351),
    content=st.binary(min_size=1, max_size=8),
    kind=st.sampled_from(["nii", "mha", "nrrd"]),
)
def test_a_damaged_header_is_refused_or_says_what_it_said(tmp_path_factory, start, content, kind):
    """Never an exception, never other voxels under a name that is accepted."""
    path = tmp_path_factory.mktemp("bent") / f"v.{kind}"
    {
        "nii": lambda: write_nifti(path, HU, packed=False),
        "mha": lambda: meta(path, "LOCAL", content=RAW),
        "nrrd": lambda: nrrd(path, None, content=RAW),
    }[kind]()
    whole = bytearray(path.read_bytes())
    start = start % (len(whole) - len(RAW))
    stop = min(start + len(content), len(whole) - len(RAW))
    whole[start:stop] = content[: stop - start]
    path.write_bytes(whole)
    try:
        scan, _ = read_series(path)
    except RefusedScan as refused:
        assert refused.reason != "unexpected_error"
    else:
        assert scan.hu.size == HU.size
