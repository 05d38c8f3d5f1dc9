"""Whether the slices of a series are of one acquisition and one reconstruction.

Two phases, kernels or energies whose slices lie between each other, or end to end, make a stack as regular as
one scan does. Identifiers would tell them apart, unless they were blanked or written anew for all files. So
what a scan has once must be the same in all slices, and what it counts (acquisitions, times, instances) must
run along the stack.
"""

import math
import re
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from chestct.volumes.geometry import Stack
from chestct.volumes.raw_elements import CONSTANT_KEYWORDS, SETTING_KEYWORDS
from chestct.volumes.scan import Report
from chestct.volumes.slice_header import SliceHeader

#: Between neighbouring slices, seconds: a longer pause is another phase, a shorter one rotation and table.
PAUSE_S, ROTATION_S = 20.0, 3.0
#: Spacing by thickness: gaps beyond the first are noted, beyond the second refused. Sequential chest scans
#: (1 mm every 10 mm) are no volume; scanners round 1.0 and 1.25 mm.
NOTED_GAP, REFUSED_GAP = 1.2, 3.0
#: Thickness by spacing: overlap up to twice is usual, sliding slabs of 10 mm every 2 mm are projections.
NOTED_OVERLAP, REFUSED_OVERLAP = 2.2, 4.5
#: Slices of a strand of instance numbers that is no chance.
_STRAND = 4
_DAY_S = 86400.0
_DATE_TIME = re.compile(r"(\d{8})?(\d{2}):?(\d{2}):?(\d{2}(?:\.\d+)?)")


def _seconds(moment: str) -> float | None:
    """A time of DICOM, with its date or without, in seconds from a start that all share; None if unknown."""
    found = _DATE_TIME.match(moment)
    if not found:
        return None
    date, hours, minutes, seconds = found.groups()
    try:
        days = int(np.datetime64(f"{date[:4]}-{date[4:6]}-{date[6:]}", "D").astype(int)) if date else 0
    except ValueError:  # a month 13
        return None
    return days * _DAY_S + int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _check_one_reconstruction(headers: Sequence[SliceHeader], report: Report) -> None:
    """Slices must be alike in what a scan has once, whatever their identifiers say."""
    first = headers[0]
    values: dict[str, set[Any]] = {
        "kernels": {"/".join(header.kernel).upper() for header in headers},
        "tube voltages": {header.kvp for header in headers},
        "slice thicknesses": {round(header.slice_thickness or 0.0, 2) for header in headers},
        "phases": {header.phase for header in headers},
        "image types": {
            "\\".join(word for word in header.image_type if word not in ("PRIMARY", "SECONDARY"))
            for header in headers
        },
    }
    # Free text may name a patient: of these only the number goes to the ledger.
    texts: dict[str, set[Any]] = {
        "contrast agents": {header.contrast_agent.upper() for header in headers},
        "series numbers": {header.series_number for header in headers},
        "series descriptions": {header.description for header in headers},
        "scanners": {(header.manufacturer.upper(), header.scanner_model.upper()) for header in headers},
        "ages and sexes": {(header.patient_age, header.patient_sex) for header in headers},
    }
    mixed = [
        f"{len(found)} {name} ({', '.join(sorted(map(_shown, found))[:4])})"
        for name, found in values.items()
        if len(found) > 1
    ]
    mixed += [f"{len(found)} {name}" for name, found in texts.items() if len(found) > 1]
    if len({header.constants for header in headers}) > 1:
        columns = zip(*(header.constants for header in headers), strict=True)
        counts = {
            keyword: len({value.strip(b" \0") for value in column})
            for keyword, column in zip(CONSTANT_KEYWORDS, columns, strict=True)
        }
        mixed += [f"{count} values of {keyword}" for keyword, count in counts.items() if count > 1]
    if mixed:
        report.refuse(
            "several_acquisitions", f"{'; '.join(mixed)} in series {first.series_uid or 'without UID'}"
        )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        value = " ".join(value)
    return "none" if value in ("", None) else f"{value:g}" if isinstance(value, float) else str(value)


def _runs(values: Sequence[object]) -> list[int]:
    """Lengths of the runs of equal values."""
    return [len(list(group)) for _, group in groupby(values)]


def _is_even(lengths: Sequence[int]) -> bool:
    """Whether runs are as long as those of a table that stops for every rotation: alike, but at the ends."""
    inner = lengths[1:-1]
    return len(lengths) >= 3 and len(set(inner)) == 1 and max(lengths[0], lengths[-1]) <= inner[0]


def _check_numbers(kept: Sequence[SliceHeader], jumps: np.ndarray, report: Report) -> None:
    """AcquisitionNumber must run along the stack, each a stretch of its own."""
    numbers = [header.acquisition_number for header in kept]
    lengths, count = _runs(numbers), len(set(numbers))
    if count == 1:
        return
    if len(lengths) > count:
        report.refuse(
            "several_acquisitions", f"slices of {count} acquisitions (AcquisitionNumber) interleaved"
        )
        return
    ends = np.cumsum(lengths)[:-1]
    after = np.abs(jumps[ends - 1])
    stretches = (
        f"{count} acquisitions (AcquisitionNumber) end to end, of {min(lengths)} to {max(lengths)} slices"
    )
    if _is_even(lengths) or (np.isfinite(after).all() and after.max() <= PAUSE_S):
        report.notes.append(stretches)
    else:
        pause = f"{after.max():.0f} s apart" if np.isfinite(after).all() else "their times unknown"
        report.refuse("several_acquisitions", f"{stretches}, {pause}")


def _take_turns(jumps: np.ndarray) -> bool:
    """Whether times go forth and back again from slice to slice, however little, as those of two phases.

    A scan's times run one way, or stand still, also if several slices come of one rotation.
    """
    signs = np.sign(np.where(np.isfinite(jumps), jumps, 0))
    return len(signs) >= 2 * _STRAND - 1 and any(
        {1, -1} <= set(signs[:count].tolist()) and (signs[count:] == signs[:-count]).all() for count in (2, 3)
    )


def _check_times(kept: Sequence[SliceHeader], jumps: np.ndarray, report: Report) -> None:
    """Times must run along the stack, without the pause that lies between two phases."""
    for what, changes in (("acquisition", jumps), ("content", _steps([h.content_time for h in kept]))):
        if _take_turns(changes):
            report.refuse(
                "several_acquisitions", f"times of {what} go forth and back again from slice to slice"
            )
            return
    known = jumps[np.isfinite(jumps)]
    steps = known[np.abs(known) > ROTATION_S]
    if min(np.count_nonzero(steps > 0), np.count_nonzero(steps < 0)) >= 2:
        detail = (
            f"times of acquisition go back and forth along the stack by up to {np.abs(steps).max():.0f} s"
        )
        report.refuse("several_acquisitions", detail)
        return
    pauses = np.abs(known[np.abs(known) > PAUSE_S])
    if not pauses.size:
        if steps.size == 1:
            report.notes.append(f"a pause of {abs(steps[0]):.0f} s within the scan")
    elif pauses.size >= 3 and pauses.max() <= 3 * np.median(pauses):
        report.notes.append(f"{pauses.size} pauses of up to {pauses.max():.0f} s within the scan: sequential")
    else:
        detail = f"{pauses.size} pause(s) of up to {pauses.max():.0f} s between neighbouring slices"
        report.refuse("several_acquisitions", detail)


def _check_instances(kept: Sequence[SliceHeader], report: Report) -> None:
    """Instance numbers of two series that were merged: two strands between each other, or a second start."""
    numbers = np.array([header.instance_number for header in kept])
    steps = np.diff(numbers)
    if len(numbers) < 2 * _STRAND or (steps == steps[0]).all():
        return
    for count in (2, 3):
        strands = [np.diff(numbers[start::count]) for start in range(count)]
        alike = all(len(strand) >= _STRAND - 1 and (strand == strand[0]).all() for strand in strands)
        if alike and all(abs(int(strand[0])) == 1 for strand in strands):
            detail = f"instance numbers run in {count} strands, one slice between the other"
            report.refuse("several_acquisitions", detail)
            return
    starts = [0, *(int(i) + 1 for i in np.flatnonzero(np.abs(steps) != 1)), len(numbers)]
    stretches = [numbers[start:stop] for start, stop in pairwise(starts)]
    long = [set(stretch.tolist()) for stretch in stretches if len(stretch) >= _STRAND]
    if len(long) >= 2 and any(a & b for a, b in pairwise(long)):
        report.refuse(
            "several_acquisitions", f"instance numbers start anew: {len(long)} stretches end to end"
        )


def _check_settings(kept: Sequence[SliceHeader], report: Report) -> None:
    """Settings that take turns from slice to slice are those of two scans; one change is noted."""
    if len(kept) < 2 * _STRAND:
        return
    columns: list[Sequence[object]] = [*zip(*(header.settings for header in kept), strict=True)]
    columns.append([(header.slope, header.intercept) for header in kept])
    for keyword, values in zip((*SETTING_KEYWORDS, "RescaleIntercept"), columns, strict=True):
        for count in (2, 3):
            if len(set(values[:count])) == count and values[count:] == values[:-count]:
                detail = f"{keyword} has {count} values that take turns from slice to slice"
                report.refuse("several_acquisitions", detail)
                return
        lengths = _runs(values)
        if len(lengths) == 2 and min(lengths) >= _STRAND:
            report.notes.append(f"{keyword} changes once, after {lengths[0]} slices")


def _steps(moments: Sequence[str]) -> np.ndarray:
    """Seconds from each of some dates and times to the next, NaN where unknown; without dates, not across
    midnight."""
    times = [_seconds(moment) for moment in moments]
    steps = np.diff(np.array([math.nan if time is None else time for time in times]))
    dated = any(moment[:8].isdigit() for moment in moments)
    return steps if dated else (steps + _DAY_S / 2) % _DAY_S - _DAY_S / 2


def _jumps(kept: Sequence[SliceHeader]) -> np.ndarray:
    """Seconds from the acquisition of each slice to that of the next, as ``_steps``."""
    return _steps(
        [moment if len(moment) >= 14 else day + time for moment, day, time in (h.acquired for h in kept)]
    )


def check_one_acquisition(stack: Stack, report: Report) -> None:
    """Refuse slices of several acquisitions; note what is merely unusual.

    Args:
        stack: the slices in their order. Of copies, whose headers may have been changed, the first counts.
        report: receives notes, and what is accepted by hand.

    Raises:
        RefusedScan: ``several_acquisitions``, ``gaps_between_slices``, ``thick_slabs``.
    """
    kept = [group[0] for group in stack.positions]
    before = len(report.repairs)
    jumps = _jumps(kept)
    for check in (
        lambda: _check_one_reconstruction(kept, report),
        lambda: _check_numbers(kept, jumps, report),
        lambda: _check_times(kept, jumps, report),
        lambda: _check_instances(kept, report),
        lambda: _check_settings(kept, report),
    ):
        if len(report.repairs) == before:  # one reason accepted by hand is enough
            check()
    _check_thickness(kept[0].slice_thickness, stack.spacing_z_mm, report)


def _check_thickness(thickness_mm: float | None, spacing_mm: float, report: Report) -> None:
    if thickness_mm is None or thickness_mm <= 0:
        return
    words = f"slices {thickness_mm:g} mm thick, {spacing_mm:.3g} mm apart"
    if spacing_mm >= REFUSED_GAP * thickness_mm:
        report.refuse("gaps_between_slices", words)
    elif thickness_mm >= REFUSED_OVERLAP * spacing_mm:
        report.refuse("thick_slabs", words)
    elif spacing_mm > NOTED_GAP * thickness_mm or thickness_mm > NOTED_OVERLAP * spacing_mm:
        report.notes.append(words)
