"""Which images of a folder make the scan."""

from collections.abc import Sequence

from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from chestct.image_type import (
    DERIVED,
    DERIVED_SLICE,
    LATER,
    LOCALIZER,
    NO_HU,
    ORIGINAL,
    computed_words,
    kind_of_image,
)
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.scan import Report
from chestct.volumes.slice_header import SliceHeader

#: CT images, of one frame or several. Anonymised files may lack the class.
_CT_CLASSES = {"", CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}
_SECONDARY = "secondary"


def kind_of(header: SliceHeader) -> str:
    """What a file holds: a kind of CT image (``kind_of_image``), or ``secondary``, another object."""
    if header.modality != "CT" or header.sop_class not in _CT_CLASSES:
        return _SECONDARY
    return kind_of_image(header.image_type)


def other_series(num_files: int) -> str:
    """The note on files that are not of the series that was named."""
    return f"{num_files} file(s) of other series beside the one named"


def _named(headers: list[SliceHeader], report: Report, series_id: str) -> list[SliceHeader]:
    kept = [header for header in headers if header.series_uid == series_id]
    if not kept:
        found = sorted({header.series_uid for header in headers})
        raise RefusedScan("wrong_series", f"found {', '.join(found[:4])}, expected {series_id}")
    if len(kept) < len(headers):
        report.notes.append(other_series(len(headers) - len(kept)))
    return kept


def _check_modality(headers: list[SliceHeader]) -> None:
    modalities = sorted({header.modality for header in headers})
    if "CT" not in modalities:
        raise RefusedScan("wrong_modality", f"{', '.join(modalities)} instead of CT")


def _check_named(headers: list[SliceHeader]) -> None:
    """Refuse files without SeriesInstanceUID beside others: a damaged file would count as a series."""
    num_unnamed = sum(not header.series_uid for header in headers)
    if 0 < num_unnamed < len(headers):
        raise RefusedScan("mixed_identifiers", f"{num_unnamed} file(s) without SeriesInstanceUID")


def _usable(headers: list[SliceHeader], kinds: list[str], report: Report) -> list[SliceHeader]:
    """The images of the first kind that there is; repairs and notes say which, where it is not the first."""
    primary = {header.series_uid for header, kind in zip(headers, kinds, strict=True) if kind == ORIGINAL}
    by_kind = {
        name: [header for header, kind in zip(headers, kinds, strict=True) if kind == name]
        for name in (LATER, DERIVED_SLICE, DERIVED)
    }
    # Images of one position, by which a bolus was watched, make no scan: another one may be meant.
    others = [header.position for kind in (LATER, DERIVED_SLICE) for header in by_kind[kind]]
    if primary and (len(set(others)) < 2 or _has_stack(headers, kinds)):
        # Value 2 may change within a series, whose slices stay together.
        return [
            header
            for header, kind in zip(headers, kinds, strict=True)
            if kind == ORIGINAL or (kind == LATER and header.series_uid in primary)
        ]
    if primary:
        report.notes.append(f"{kinds.count(ORIGINAL)} original file(s) at one position left out")
    if kept := by_kind[LATER]:
        none = "" if primary else ", none of type PRIMARY"
        report.notes.append(f"{len(kept)} file(s) of type ORIGINAL\\SECONDARY{none}")
    elif kept := by_kind[DERIVED_SLICE]:
        report.repairs.append(("accepted_derived", f"{len(kept)} file(s) of type DERIVED\\PRIMARY\\AXIAL"))
    elif "no_original_images" in report.accept and (kept := by_kind[DERIVED]):
        types = sorted({"\\".join(header.image_type) for header in kept})
        report.refuse("no_original_images", f"{len(kept)} file(s), image types {', '.join(types[:3])}")
    return kept


def _has_stack(headers: list[SliceHeader], kinds: list[str]) -> bool:
    """Whether original images of some series lie at two positions or more."""
    places = {(h.series_uid, h.position) for h, kind in zip(headers, kinds, strict=True) if kind == ORIGINAL}
    return len(places) > len({series for series, _ in places})


def _only_ct_slices(headers: list[SliceHeader], report: Report) -> list[SliceHeader]:
    """Leave out whatever is not a CT slice, and report it."""
    kinds = [kind_of(header) for header in headers]
    kept = _usable(headers, kinds, report)
    taken = {id(header) for header in kept}
    left = [kind for header, kind in zip(headers, kinds, strict=True) if id(header) not in taken]
    computed = sum(kind not in (_SECONDARY, LOCALIZER, ORIGINAL) for kind in left)
    counts = {"secondary": left.count(_SECONDARY), "localizers": left.count(LOCALIZER), "derived": computed}
    if not kept:
        types = sorted({"\\".join(header.image_type) for header in headers})
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        no_hu = f"; {kinds.count(NO_HU)} hold no HU" if NO_HU in kinds else ""
        raise RefusedScan("no_original_images", f"{found}{no_hu}; image types {', '.join(types[:3])}")
    report.repairs.extend((f"dropped_{name}", f"{count} file(s)") for name, count in counts.items() if count)
    return kept


def _note_description(kept: Sequence[SliceHeader], report: Report) -> None:
    """Note a description of the series by which its images may be computed, against their ImageType."""
    texts = {header.description for header in kept}
    words = sorted({word for text in texts for word in computed_words(text)})
    if words:
        report.notes.append(f"SeriesDescription has the word(s) {', '.join(words)}: was it computed?")


def _largest(headers: list[SliceHeader], report: Report) -> list[SliceHeader]:
    """Take the series with the most slices."""
    by_series: dict[str, list[SliceHeader]] = {}
    for header in headers:
        by_series.setdefault(header.series_uid, []).append(header)
    if len(by_series) == 1:
        return headers
    # Positions, not files: a bolus is watched by a hundred images of one slice.
    slices = {uid: len({header.position for header in group}) for uid, group in by_series.items()}
    ranked = sorted(by_series, key=lambda uid: (-slices[uid], uid))
    counts = ", ".join(f"{uid} ({slices[uid]} slices, {len(by_series[uid])} files)" for uid in ranked[:4])
    if slices[ranked[0]] == slices[ranked[1]]:
        raise RefusedScan("several_series", f"{len(ranked)} series, and none has most slices: {counts}")
    report.repairs.append(("chose_largest_series", f"of {len(ranked)}: {counts}"))
    return by_series[ranked[0]]


def _check_one_study(kept: Sequence[SliceHeader], series_id: str | None) -> None:
    """Refuse slices of several studies where none is named: which of them is labelled, nobody can tell."""
    studies: dict[str, set[str]] = {}
    for header in kept:
        studies.setdefault(header.study_uid, set()).add(header.series_uid)
    # A series in two studies is damaged: ``_check_one_scan`` says so.
    apart = sum(map(len, studies.values())) == len(set().union(*studies.values()))
    if series_id is None and len(studies) > 1 and apart:
        shown = [f"{uid or 'without UID'} ({len(of)} series)" for uid, of in sorted(studies.items())]
        detail = f"{len(studies)}: {', '.join(shown[:4])}; name one by study_id, or by its folder"
        raise RefusedScan("several_studies", detail)


def _check_one_scan(kept: Sequence[SliceHeader], everything: Sequence[SliceHeader]) -> None:
    """Refuse one series with slices of several patients, studies or frames of reference, or with files of
    several modalities: DICOM knows no such series, so one of them is damaged or mislabelled."""
    uid = kept[0].series_uid
    found = {
        "patients": {header.patient_id for header in kept},
        "studies": {header.study_uid for header in kept},
        "frames of reference": {header.frame_uid for header in kept},
        "modalities": {header.modality for header in everything if uid and header.series_uid == uid},
    }
    mixed = [f"{len(values)} {name}" for name, values in found.items() if len(values) > 1]
    if mixed:
        raise RefusedScan("mixed_identifiers", f"{', '.join(mixed)} in series {uid}")


def choose_series(
    headers: list[SliceHeader], report: Report, series_id: str | None = None
) -> list[SliceHeader]:
    """Keep the CT slices of one series.

    The rule: a series that is named is taken, and no other; otherwise, among the series with original CT
    images, the one with the most slice positions, and none where two have as many. Left out, and reported
    as repairs, are objects other than CT images and secondary captures (by Modality and SOP class),
    localizers and computed images (by ImageType, ``chestct.image_type``). Where no image is
    ORIGINAL\\PRIMARY, those of ORIGINAL\\SECONDARY are taken, with a note; else those of type
    DERIVED\\PRIMARY\\AXIAL, as a repair; else, where the user accepts ``no_original_images`` by hand, other
    derived ones in HU.

    Args:
        headers: of every DICOM file in the folder.
        report: receives the repairs, and a note on series left aside for the one that is named.
        series_id: SeriesInstanceUID that the series must have, if known.

    Raises:
        RefusedScan: ``wrong_series``, ``wrong_modality``, ``no_original_images``, ``several_studies``,
            ``several_series``, ``mixed_identifiers``.
    """
    _check_modality(headers)
    _check_named(headers)
    if series_id is not None:
        headers = _named(headers, report, series_id)
        _check_modality(headers)
    slices = _only_ct_slices(headers, report)
    _check_one_study(slices, series_id)
    kept = _largest(slices, report)
    _check_one_scan(kept, headers)
    _note_description(kept, report)
    return kept
