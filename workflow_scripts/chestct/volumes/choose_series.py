"""Which images of a folder make the scan."""

from collections.abc import Sequence

from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from chestct.volumes.refusals import RefusedScan
from chestct.volumes.scan import Report
from chestct.volumes.slice_header import SliceHeader

#: CT images; the enhanced ones are multiframe and refused as such. Anonymised files may lack the class.
_CT_CLASSES = {"", CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage}
#: Words in ImageType by which derived images say that they are no reconstruction of one slice each.
_REFORMATTED = {"REFORMATTED", "MPR", "CPR", "MIP", "MINIP", "AVERAGE", "AVG", "MEAN", "PROJECTION", "SSD"}
_REFORMATTED |= {"VRT", "3D", "VOLUME", "COMBINED", "SUBTRACTION", "PERFUSION", "OVERLAY"}


def kind_of(header: SliceHeader) -> str:
    """What a file holds: ``original``, or the kind under which it is left out.

    An original is a CT image that is neither localizer nor derived nor a secondary capture. An absent
    ImageType, as in anonymised data, passes.
    """
    kind = header.image_type
    if header.modality != "CT" or header.sop_class not in _CT_CLASSES:
        return "secondary"
    if "LOCALIZER" in kind or "SCOUT" in kind:
        return "localizers"
    if "DERIVED" in kind[:1] or "SECONDARY" in kind[1:2]:
        return "derived"
    return "original"


def _is_derived_slice(header: SliceHeader) -> bool:
    """Whether a derived image may yet be a slice: DERIVED\\PRIMARY\\AXIAL, and no word of reformatting."""
    words = {word for value in header.image_type[3:] for word in value.replace("-", " ").split()}
    axial = header.image_type[:3] == ("DERIVED", "PRIMARY", "AXIAL")
    return axial and kind_of(header) == "derived" and not words & _REFORMATTED


def _named(headers: list[SliceHeader], report: Report, series_id: str) -> list[SliceHeader]:
    kept = [header for header in headers if header.series_uid == series_id]
    if not kept:
        found = sorted({header.series_uid for header in headers})
        raise RefusedScan("wrong_series", f"found {', '.join(found[:4])}, expected {series_id}")
    if len(kept) < len(headers):
        report.notes.append(f"{len(headers) - len(kept)} file(s) of other series beside the one named")
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


def _only_ct_slices(headers: list[SliceHeader], report: Report) -> list[SliceHeader]:
    """Leave out whatever is not a CT slice, and report it."""
    kinds = [kind_of(header) for header in headers]
    kept = [header for header, kind in zip(headers, kinds, strict=True) if kind == "original"]
    if not kept:
        kept = [header for header in headers if _is_derived_slice(header)]
        if kept:
            report.repairs.append(
                ("accepted_derived", f"{len(kept)} file(s) of type DERIVED\\PRIMARY\\AXIAL")
            )
            kinds = ["original" if _is_derived_slice(header) else kind_of(header) for header in headers]
    counts = {name: kinds.count(name) for name in ("secondary", "localizers", "derived")}
    if not kept:
        types = sorted({"\\".join(header.image_type) for header in headers})
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise RefusedScan("no_original_images", f"{found}; image types {', '.join(types[:3])}")
    report.repairs.extend((f"dropped_{name}", f"{count} file(s)") for name, count in counts.items() if count)
    return kept


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
    localizers and derived images (by ImageType). Where all CT images are derived, those of type
    DERIVED\\PRIMARY\\AXIAL count as original, which is reported too: averaged or compressed reconstructions
    carry that type.

    Args:
        headers: of every DICOM file in the folder.
        report: receives the repairs, and a note on series left aside for the one that is named.
        series_id: SeriesInstanceUID that the series must have, if known.

    Raises:
        RefusedScan: ``wrong_series``, ``wrong_modality``, ``no_original_images``, ``several_series``,
            ``mixed_identifiers``.
    """
    _check_modality(headers)
    _check_named(headers)
    if series_id is not None:
        headers = _named(headers, report, series_id)
        _check_modality(headers)
    kept = _largest(_only_ct_slices(headers, report), report)
    _check_one_scan(kept, headers)
    return kept
