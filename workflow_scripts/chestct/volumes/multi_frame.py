"""Files of several images: each frame becomes the header of a slice, by its functional groups.

Enhanced and legacy-converted CT (PS3.3 A.38, A.70) keep what changes from frame to frame (position, type,
rescale) in PerFrameFunctionalGroupsSequence and the rest in SharedFunctionalGroupsSequence. Read as slices,
frames have to pass every rule that files of one image have: one acquisition, one regular stack.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from chestct.volumes.raw_elements import CONSTANT_KEYWORDS, SETTING_KEYWORDS
from chestct.volumes.slice_header import SliceHeader

_ENHANCED = (EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_SHARED, _PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
_OFFSET = "ConcatenationFrameOffsetNumber"
#: Groups of a frame that hold constants and settings of single images (``raw_elements``), by keyword there.
_GROUPS = {
    "ReconstructionDiameter": ("CTReconstructionSequence", "ReconstructionDiameter"),
    "ReconstructionAlgorithm": ("CTReconstructionSequence", "ReconstructionAlgorithm"),
    "FilterType": ("CTXRayDetailsSequence", "FilterType"),
    "XRayTubeCurrent": ("CTExposureSequence", "XRayTubeCurrentInmA"),
    "ExposureTime": ("CTExposureSequence", "ExposureTimeInms"),
    "Exposure": ("CTExposureSequence", "ExposureInmAs"),
    "CTDIvol": ("CTExposureSequence", "CTDIvol"),
    "IrradiationEventUID": ("IrradiationEventIdentificationSequence", "IrradiationEventUID"),
    "TableHeight": ("CTAcquisitionDetailsSequence", "TableHeight"),
    "RevolutionTime": ("CTAcquisitionDetailsSequence", "RevolutionTime"),
    "DataCollectionDiameter": ("CTAcquisitionDetailsSequence", "DataCollectionDiameter"),
    "SpiralPitchFactor": ("CTTableDynamicsSequence", "SpiralPitchFactor"),
    "ImageComments": ("FrameContentSequence", "FrameComments"),
}
#: Where conversion from files of one image puts what the enhanced object has no place for.
_UNASSIGNED = ("UnassignedPerFrameConvertedAttributesSequence", "UnassignedSharedConvertedAttributesSequence")


def _first(holder: Dataset, sequence: str) -> Dataset | None:
    items = holder.get(sequence)
    return items[0] if items else None


class _Frame:
    """Elements of one frame: its own groups come before the shared ones."""

    def __init__(self, own: Dataset, shared: Dataset) -> None:
        self._holders = (own, shared)

    def get(self, sequence: str, keyword: str) -> Any:
        """Value of an element of a functional group; None where it is absent or empty."""
        for name in (sequence, *_UNASSIGNED):
            for holder in self._holders:
                item = _first(holder, name)
                value = None if item is None else item.get(keyword)
                if value not in (None, ""):
                    return value
        return None

    def text(self, sequence: str, keyword: str) -> str:
        value = self.get(sequence, keyword)
        return "" if value is None else str(value)

    def texts(self, sequence: str, keyword: str) -> tuple[str, ...]:
        value = self.get(sequence, keyword)
        if value is None:
            return ()
        return (value,) if isinstance(value, str) else tuple(str(part) for part in value)

    def numbers(self, sequence: str, keyword: str, count: int) -> tuple[float, ...] | None:
        value = self.get(sequence, keyword)
        if value is None:
            return None
        parts = value if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
        try:
            numbers = tuple(float(part) for part in parts)
        except (TypeError, ValueError):
            return None
        return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None

    def number(self, sequence: str, keyword: str) -> float | None:
        numbers = self.numbers(sequence, keyword, 1)
        return numbers[0] if numbers else None


def _image_type(frame: _Frame, header: SliceHeader) -> tuple[str, ...]:
    """Words on what a frame is: its FrameType, and how it was computed from a volume, if it was."""
    kind, group = frame.texts("CTImageFrameTypeSequence", "FrameType"), "CTImageFrameTypeSequence"
    technique = frame.text(group, "VolumeBasedCalculationTechnique").upper()
    properties = frame.text(group, "VolumetricProperties").upper()
    words = [*(word.upper() for word in kind)] or [*header.image_type]
    words += [technique] if technique not in ("", "NONE") else []
    words += [properties] if properties == "DISTORTED" else []
    return tuple(words)


def _of_frame(frame: _Frame, keywords: Sequence[str], shared: Sequence[bytes]) -> tuple[bytes, ...]:
    """Constants or settings of a frame: those of its groups, else of its file."""
    texts = [frame.text(*_GROUPS[keyword]) if keyword in _GROUPS else "" for keyword in keywords]
    return tuple(text.encode() or value for text, value in zip(texts, shared, strict=True))


def _span(header: SliceHeader, index: int) -> tuple[int, int] | None:
    """Where the pixels of a frame lie, if they lie uncompressed and whole."""
    size = header.rows * header.columns * header.samples * header.bits_allocated // 8
    if header.pixel_span is None or header.pixel_span[1] < header.num_frames * size:
        return None
    return header.pixel_span[0] + index * size, size


def _slice_of(header: SliceHeader, frame: _Frame, index: int, first: int) -> SliceHeader:
    values, content = "PixelValueTransformationSequence", "FrameContentSequence"
    # An enhanced object says of a frame whether there was contrast, and names the agent elsewhere.
    agent = frame.text("ContrastBolusUsageSequence", "ContrastBolusAgentAdministered")
    slope, intercept = frame.number(values, "RescaleSlope"), frame.number(values, "RescaleIntercept")
    return replace(
        header,
        frame=index,
        num_frames=1,
        pixel_span=_span(header, index),
        sop_uid=frame.text("ConversionSourceAttributesSequence", "ReferencedSOPInstanceUID"),
        instance_number=first + index,
        image_type=_image_type(frame, header),
        position=frame.numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        orientation=frame.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        pixel_spacing=frame.numbers("PixelMeasuresSequence", "PixelSpacing", 2),
        slice_thickness=frame.number("PixelMeasuresSequence", "SliceThickness"),
        slope=header.slope if slope is None else slope,
        intercept=header.intercept if intercept is None else intercept,
        rescale_type=frame.text(values, "RescaleType").upper() or header.rescale_type,
        kernel=frame.texts("CTReconstructionSequence", "ConvolutionKernel") or header.kernel,
        kvp=frame.number("CTXRayDetailsSequence", "KVP") or header.kvp,
        tilt_degrees=frame.number("CTAcquisitionDetailsSequence", "GantryDetectorTilt")
        or header.tilt_degrees,
        contrast_agent=frame.text("ContrastBolusUsageSequence", "ContrastBolusAgent")
        or agent
        or header.contrast_agent,
        phase=(
            frame.text(content, "TemporalPositionIndex"),
            frame.text("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
            frame.text(content, "StackID"),
        ),
        acquisition_number=frame.text(content, "FrameAcquisitionNumber") or header.acquisition_number,
        acquired=(
            frame.text(content, "FrameAcquisitionDateTime") or frame.text(content, "FrameReferenceDateTime"),
            "",
            "",
        ),
        constants=_of_frame(frame, CONSTANT_KEYWORDS, header.constants),
        settings=_of_frame(frame, SETTING_KEYWORDS, header.settings),
    )


def is_multi_frame(header: SliceHeader) -> bool:
    """Whether a CT file keeps its geometry by frame."""
    return header.modality == "CT" and (header.num_frames > 1 or header.sop_class in _ENHANCED)


def slices_of(header: SliceHeader) -> Sequence[SliceHeader]:
    """The slices of a file for which ``is_multi_frame`` holds.

    Returns:
        A header a frame, its SOPInstanceUID that of the image which the frame was converted from, if the file
        says so, else empty. Where the file has no functional groups for its frames, its own header alone,
        with what is amiss (``fault``).
    """
    try:
        tags = [_SHARED, _PER_FRAME, _OFFSET]
        dataset = pydicom.dcmread(header.path, stop_before_pixels=True, specific_tags=tags, force=True)
        shared = _first(dataset, _SHARED) or Dataset()
        frames = list(dataset.get(_PER_FRAME) or ())
        if len(frames) != header.num_frames:
            return [
                replace(header, fault=f"functional groups of {len(frames)} of {header.num_frames} frames")
            ]
        # Files that were one (a concatenation) number their frames on.
        first = 1 + int(dataset.get(_OFFSET) or 0)
        return [_slice_of(header, _Frame(own, shared), index, first) for index, own in enumerate(frames)]
    except Exception as error:  # pydicom fails in many ways on damaged sequences
        return [replace(header, fault=f"functional groups that do not parse: {type(error).__name__}")]
