"""What ImageType says: the standard's values, vendors' words, in any place, case and spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chestct.image_type import computed_words, kind_of_image, rank_of_image

SLICES = {
    "original": [
        "ORIGINAL\\PRIMARY\\AXIAL",
        "ORIGINAL\\PRIMARY\\AXIAL\\HELIX",
        "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI",
        "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SEQ",
        "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM7 SPI DUAL\\STD\\SNRG\\DET_AB",
        "ORIGINAL\\PRIMARY\\AXIAL\\HELICAL_CT",
        "ORIGINAL\\PRIMARY\\VOLUME\\NONE",
        "ORIGINAL\\PRIMARY\\AXIAL\\LOW_DOSE",
        "ORIGINAL\\PRIMARY\\AXIAL\\LUNG SCREENING",
        "ORIGINAL\\PRIMARY\\AXIAL\\COMPRESSED",
        "ORIGINAL\\PRIMARY\\AXIAL\\SOME VENDORS WORD",
        "ORIGINAL\\PRIMARY\\PARALLEL\\NONE",
        "ORIGINAL\\PRIMARY\\RESP_GATED\\NONE",
        "ORIGINAL\\PRIMARY\\AXIAL\\MINIMAL DOSE",
        "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 MON",
        "ORIGINAL PRIMARY AXIAL",
        "\\PRIMARY\\AXIAL\\",
        "",
    ],
    "later": ["ORIGINAL\\SECONDARY\\AXIAL", "original\\secondary\\axial"],
    "derived_slice": [
        "DERIVED\\PRIMARY\\AXIAL",
        "DERIVED\\PRIMARY\\AXIAL\\CT_SOM5 SPI",
        "DERIVED\\CT_SOM5 SPI\\PRIMARY\\AXIAL",
        "DERIVED\\PRIMARY\\AXIAL\\JP2K LOSSY 6:1",
        "DERIVED\\PRIMARY\\AXIAL\\COMPRESSED",
        "DERIVED\\PRIMARY\\AXIAL\\FILTERED",
        "DERIVED\\PRIMARY\\AXIAL\\ASIR-V 40%",
        "DERIVED\\PRIMARY\\AXIAL\\DLIR",
        "DERIVED\\PRIMARY\\VOLUME\\NONE",
    ],
}
COMPUTED = {
    "derived": [
        "DERIVED\\PRIMARY\\AXIAL\\CT_SOM5 AVE",
        "DERIVED\\SECONDARY\\AXIAL\\CT_SOM7 VPCT\\AVG",
        "DERIVED\\PRIMARY\\AXIAL\\MAXIP",
        "DERIVED\\PRIMARY\\AXIAL\\T-MAXIP",
        "DERIVED\\PRIMARY\\AXIAL\\THICK_MIP",
        "DERIVED\\PRIMARY\\AXIAL\\CT_SOM5 MIN",
        "DERIVED\\PRIMARY\\AXIAL\\MINIP10MM",
        "DERIVED\\PRIMARY\\AXIAL\\PHASEAVG",
        "DERIVED\\PRIMARY\\AXIAL\\MIPZ",
        "ORIGINAL\\PRIMARY\\AXIAL\\BONE REMOVED",
        "ORIGINAL\\PRIMARY\\AXIAL\\4DCT_AVE",
        "DERIVED\\PRIMARY\\AXIAL\\SOME VENDORS WORD",
        "DERIVED\\PRIMARY\\AXIAL\\RAY SUM",
        "ORIGINAL\\PRIMARY\\AXIAL\\MIP",
        "ORIGINAL\\PRIMARY\\MPR",
        "DERIVED\\SECONDARY\\REFORMATTED\\AVERAGE",
        "DERIVED\\SECONDARY\\OTHER\\CSA MPR\\CSAPARALLEL",
        "DERIVED\\PRIMARY\\AXIAL\\CSA RESAMPLED",
        "DERIVED\\SECONDARY\\PROJECTION IMAGE",
        "DERIVED\\PRIMARY\\AXIAL\\MONOE 70KEV",
        "ORIGINAL\\PRIMARY\\AXIAL\\VMI",
        "DERIVED\\PRIMARY\\AXIAL\\VNC",
        "DERIVED\\PRIMARY\\AXIAL\\MAT_REMOVED",
        "DERIVED\\SECONDARY\\AXIAL",
        "DERIVED\\PRIMARY",
        "['DERIVED', 'SECONDARY', 'MPR']",
        "ORIGINAL\\PRIMARY\\AXIAL\\SLIDING THIN SLAB",
        "ORIGINAL\\PRIMARY\\AXIAL\\MAXINTENSITY",
        "ORIGINAL\\PRIMARY\\AXIAL\\MEANIP",
        "ORIGINAL\\PRIMARY\\AXIAL\\MONOPLUS 55",
        "ORIGINAL\\PRIMARY\\AXIAL\\SUMMED",
        "ORIGINAL\\PRIMARY\\AXIAL\\INTERPOLATED",
        "ORIGINAL\\PRIMARY\\AXIAL\\DEFORMED",
        "ORIGINAL\\PRIMARY\\AXIAL\\MULTI PLANAR",
        "ORIGINAL\\SECONDARY\\OTHER\\CSA PARALLEL",
        "MIXED\\PRIMARY\\VOLUME\\NONE",
    ],
    "no_hu": [
        "DERIVED\\PRIMARY\\AXIAL\\IODINE",
        "DERIVED\\SECONDARY\\AXIAL\\GSI MD (IODINE)",
        "DERIVED\\PRIMARY\\AXIAL\\MAT_SPECIFIC",
        "DERIVED\\PRIMARY\\AXIAL\\MAT_FRACTIONAL",
        "DERIVED\\PRIMARY\\AXIAL\\EFF_ATOMIC_NUM",
        "DERIVED\\PRIMARY\\AXIAL\\ELECTRON_DENSITY",
        "DERIVED\\SECONDARY\\AXIAL\\Z EFFECTIVE",
        "DERIVED\\PRIMARY\\AXIAL\\ZEFFECTIVE",
        "DERIVED\\PRIMARY\\AXIAL\\SUBTRACTION",
        "DERIVED\\SECONDARY\\AXIAL\\CBF",
        "DERIVED\\SECONDARY\\SCREEN SAVE",
        "DERIVED\\SECONDARY\\AXIAL\\STD_DEVIATION",
        "ORIGINAL\\PRIMARY\\AXIAL\\PERFUSION",
        "DERIVED\\SECONDARY\\OTHER\\CSA MPR\\VRT",
        "DERIVED\\SECONDARY\\AXIAL\\FUNCTIONAL MAP",
        "ORIGINAL\\PRIMARY\\AXIAL\\UMAP",
        "DERIVED\\PRIMARY\\AXIAL\\CBVD",
        "DERIVED\\PRIMARY\\AXIAL\\DIRECTDENSITY",
        "DERIVED\\PRIMARY\\AXIAL\\XENON",
        "DERIVED\\PRIMARY\\AXIAL\\STOPPING POWER",
        "ORIGINAL\\PRIMARY\\AXIAL\\SPECTRAL\\EFFECTIVE ATOMIC NUMBER",
        "ORIGINAL\\PRIMARY\\AXIAL\\RHOZ",
    ],
    "localizers": [
        "ORIGINAL\\PRIMARY\\LOCALIZER",
        "ORIGINAL\\PRIMARY\\LOCALIZER\\CT_SOM5 TOP",
        "ORIGINAL\\PRIMARY\\AXIAL\\SCOUT",
        "ORIGINAL\\PRIMARY\\SCANOSCOPE",
        "ORIGINAL\\PRIMARY\\SURVEY",
        "ORIGINAL\\PRIMARY\\PILOT",
        "ORIGINAL\\PRIMARY\\RADIOGRAPH",
        "ORIGINAL\\PRIMARY\\LOCALIZERS",
    ],
}
CASES = [(kind, text) for kind, texts in (SLICES | COMPUTED).items() for text in texts]


def values(text):
    return tuple(text.split("\\")) if text else ()


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_each_type_is_of_its_kind(kind, text):
    assert kind_of_image(values(text)) == kind


def test_the_order_in_which_images_are_taken():
    ranks = [rank_of_image(values(texts[0])) for texts in (SLICES | COMPUTED).values()]
    assert ranks == [3, 2, 1, 0, 0, 0]
    assert rank_of_image(None) == 3 and rank_of_image("LOCALIZER") == 0


@given(
    word=st.sampled_from(
        ["MIP", "MINIP", "MAXIP", "AVE", "AVG", "AVERAGE", "MEAN", "MPR", "IODINE", "CBV", "VNC"]
    ),
    before=st.sampled_from(["", "T-", "T_", "THICK ", "CT_SOM5 ", "CT_SOM7 "]),
    after=st.sampled_from(["", "10", " 10MM", "_3", " THK"]),
    first=st.sampled_from(["ORIGINAL", "DERIVED"]),
    second=st.sampled_from(["PRIMARY", "SECONDARY"]),
    place=st.integers(2, 4),
    lower=st.booleans(),
)
def test_a_word_of_what_was_computed_counts_wherever_and_however_it_stands(
    word, before, after, first, second, place, lower
):
    parts = [first, second, "AXIAL", "HELIX"]
    parts.insert(place, f"{before}{word}{after}")
    kind = kind_of_image(tuple(part.lower() if lower else part for part in parts))
    assert kind == ("no_hu" if word in ("IODINE", "CBV") else "derived")


def test_words_of_a_description_are_the_modules_own():
    assert computed_words("Thorax MIP 10 mm AVERAGE, Iodine map, Jane Doe") == ["AVERAG", "IODIN", "MIP"]
    assert computed_words("CTPA 1.0 B60f, max insp, low dose") == []
