"""Readers' marks of a real LIDC-IDRI study against an independent count of the XML."""

import re
from collections import defaultdict
from pathlib import Path

import pandas as pd

from chestct.download.labels.lidc_labels import read_labels


def count_readers(xml: str) -> dict[str, tuple[float, int]]:
    """SOPInstanceUID -> (z, readers who outlined something), by regular expressions alone.

    In this study the outlines of 3 mm and more are all of one nodule, so no clustering is needed.
    """
    readers: dict[str, set[int]] = defaultdict(set)
    heights: dict[str, float] = {}
    for reader, session in enumerate(re.findall(r"<readingSession>(.*?)</readingSession>", xml, re.S)):
        for roi in re.findall(r"<roi>(.*?)</roi>", session, re.S):
            if roi.count("<edgeMap>") == 1 or "TRUE" not in roi:
                continue
            match = re.search(r"<imageSOP_UID>([\d.]+)</imageSOP_UID>", roi)
            assert match is not None
            readers[match[1]].add(reader)
            z = re.search(r"<imageZposition>([-\d.]+)", roi)
            assert z is not None
            heights[match[1]] = float(z[1])
    return {sop: (heights[sop], len(who)) for sop, who in readers.items()}


def test_slice_labels_agree_with_the_readers(real_ct: Path, real_series: Path) -> None:
    (path,) = real_series.glob("*.xml")
    expected = count_readers(path.read_text(encoding="utf-8"))
    row = {"patient_id": "LIDC-IDRI-0001", "study_id": "study", "series_id": real_series.name}
    series = pd.DataFrame([row | {"path": str(real_series.relative_to(real_ct))}])
    labels, marks = read_labels({"name": "lidc"}, real_ct, series)
    table = marks.set_index("sop_instance_uid")
    assert {s: (r.z_mm, r.num_readers) for s, r in table.iterrows()} == expected
    # Four readers; seen in the XML: 7 to 9 slices each, from -125 to -105 mm.
    by_z = table.set_index("z_mm")["num_readers"].to_dict()
    assert by_z == {-125: 3, **{-122.5 + 2.5 * k: 4 for k in range(7)}, -105: 1}
    assert labels["label"].tolist() == [1] and labels["exclusion"].isna().all()
