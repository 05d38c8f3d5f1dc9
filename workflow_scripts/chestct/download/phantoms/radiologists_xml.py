"""Four simulated readers' marks of a LIDC-like phantom, written as LIDC-IDRI's XML."""

from xml.etree import ElementTree

import numpy as np

from chestct.download.phantoms.dicom import PhantomIds, slice_z_mm
from chestct.download.phantoms.grid import SHAPE, SPACING_MM
from chestct.download.phantoms.lidc_patients import NUM_READERS, LidcPlan

_CHARACTERISTICS = {
    "subtlety": 4,
    "internalStructure": 1,
    "calcification": 6,
    "sphericity": 4,
    "margin": 4,
    "lobulation": 2,
    "spiculation": 1,
    "texture": 5,
    "malignancy": 3,
}


def ellipse_outline(y_mm: float, x_mm: float, radius_y_mm: float, radius_x_mm: float) -> np.ndarray:
    """Outline of an ellipse as a closed run of pixels, int, shape (n, 2): row, column."""
    angles = np.linspace(0, 2 * np.pi, 25)
    rows = np.rint((y_mm + radius_y_mm * np.sin(angles)) / SPACING_MM[1]).astype(int)
    columns = np.rint((x_mm + radius_x_mm * np.cos(angles)) / SPACING_MM[2]).astype(int)
    pixels = np.clip(np.stack([rows, columns], axis=1), 0, np.array(SHAPE[1:]) - 1)
    changes = np.any(np.diff(pixels, axis=0) != 0, axis=1)
    return pixels[np.concatenate([[True], changes])]


def _child(parent: ElementTree.Element, tag: str, text: object = None) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag)
    if text is not None:
        element.text = str(text)
    return element


def _roi(nodule: ElementTree.Element, ids: PhantomIds, index: int, pixels: np.ndarray) -> None:
    roi = _child(nodule, "roi")
    _child(roi, "imageZposition", f"{slice_z_mm(index):.6f} ")
    _child(roi, "imageSOP_UID", ids.sop_ids[index])
    _child(roi, "inclusion", "TRUE")
    for row, column in pixels:
        edge = _child(roi, "edgeMap")
        _child(edge, "xCoord", int(column))
        _child(edge, "yCoord", int(row))


def readers_xml(plan: LidcPlan, ids: PhantomIds) -> bytes:
    """The marks of a planned patient as an LidcReadMessage document."""
    root = ElementTree.Element("LidcReadMessage", {"xmlns": "http://www.nih.gov", "uid": ids.study_id})
    header = _child(root, "ResponseHeader")
    _child(header, "Version", "1.8.1")
    _child(header, "TaskDescription", "Second unblinded read")
    _child(header, "SeriesInstanceUid", ids.series_id)
    _child(header, "ResponseDescription", "1 - Reading complete")
    _child(header, "StudyInstanceUID", ids.study_id)
    for reader in range(NUM_READERS):
        session = _child(root, "readingSession")
        _child(session, "annotationVersion", "3.12")
        _child(session, "servicingRadiologistID", f"phantom-{reader}")
        for number, nodule in enumerate(plan.nodules):
            if reader not in nodule.marks:
                continue
            element = _child(session, "unblindedReadNodule")
            _child(element, "noduleID", f"Nodule {number + 1:03d}")
            characteristics = _child(element, "characteristics")
            for name, value in _CHARACTERISTICS.items():
                _child(characteristics, name, value)
            for index, ellipse in nodule.slices(reader).items():
                _roi(element, ids, index, ellipse_outline(*ellipse))
        for number, (who, index, row, column) in enumerate(plan.points):
            if who == reader:
                element = _child(session, "unblindedReadNodule")
                _child(element, "noduleID", f"Point {number + 1:03d}")
                _roi(element, ids, index, np.array([[row, column]]))
    return ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
