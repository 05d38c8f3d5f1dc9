"""Generated motion clips: the named stand-in for Kinetics where no video can be had.

A clip shows several shapes over a textured background: they stand still, move, turn, grow or shrink
together, or are replaced one after another (in a CT: what passes along z against what appears in a few
slices). The class is the kind of motion. No single frame tells it: place, angle and size of a frame's
shapes are drawn alike in every class, so a model must look along time.
"""

from dataclasses import dataclass

import cv2
import numpy as np

#: Kinds of motion; an index is a label.
CLASS_NAMES = (
    "hold",
    "drift",
    "sway",
    "shake",
    "expand",
    "contract",
    "pulse",
    "turn",
    "replace",
)
NUM_CLASSES = len(CLASS_NAMES)

#: The scene is this much larger than the frame, so that moving or shrinking it uncovers more of it.
SCENE_MARGIN = 4.0
#: Times that swaying and pulsing go to and fro in a clip.
SWINGS = 2
#: How far a moving scene goes in a clip: shares of the frame's width, radians, logarithms.
SHIFT_SPAN = (0.6, 1.0)
ANGLE_SPAN = (0.6 * np.pi, 1.2 * np.pi)
LOG_SCALE_SPAN = (0.6, 1.0)
#: Radius of a shape as a share of the frame's width.
SHAPE_RADIUS = (0.1, 0.25)
#: A shape is about as dark or as bright as this, the background between.
SHAPE_BRIGHTNESS = (0.1, 0.9)
#: Groups of shapes, of which "replace" exchanges one at a time.
NUM_GROUPS = 4
#: Frames between two replacements of a group, as a share of the clip.
REPLACE_PERIOD = 0.4


_STAR_ANGLES = np.arange(10) * np.pi / 5
_DISC_ANGLES = np.arange(16) * np.pi / 8
#: Box, triangle, star, disc, bar: corners around 0.
_OUTLINES = (
    np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]),
    np.array([[-1, -1], [1, -1], [0, 1]]),
    np.stack([np.cos(_STAR_ANGLES), np.sin(_STAR_ANGLES)], axis=1) * np.tile([1.3, 0.6], 5)[:, None],
    np.stack([np.cos(_DISC_ANGLES), np.sin(_DISC_ANGLES)], axis=1),
    np.array([[-1.5, -0.35], [1.5, -0.35], [1.5, 0.35], [-1.5, 0.35]]),
)

#: Shapes: their corners in scene pixels and their brightness.
_Group = list[tuple[np.ndarray, float]]


@dataclass(frozen=True, kw_only=True)
class _Path:
    """Where the scene is over the clip: offset in frame widths, angle in radians, log of its scale."""

    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    log_scale: np.ndarray


def _draw_path(kind: str, num_frames: int, rng: np.random.Generator) -> _Path:
    # Every course runs evenly through -0.5 to 0.5, and what does not move stands at a random point of the
    # same range, so that the frames of all classes, taken one by one, are distributed alike.
    along = np.linspace(0, 1, num_frames)
    to_and_fro = 2 * np.abs((SWINGS * along + rng.uniform()) % 1 - 0.5)
    courses = {
        "drift": along,
        "sway": to_and_fro,
        "expand": along,
        "contract": 1 - along,
        "pulse": to_and_fro,
        "turn": along,
    }
    axis = {"expand": "log_scale", "contract": "log_scale", "pulse": "log_scale", "turn": "angle"}
    spans = {
        "x": rng.uniform(*SHIFT_SPAN),
        "y": rng.uniform(*SHIFT_SPAN),
        "angle": rng.uniform(*ANGLE_SPAN),
        "log_scale": rng.uniform(*LOG_SCALE_SPAN),
    }
    values = {name: np.full(num_frames, rng.uniform(-0.5, 0.5)) for name in spans}
    # Either way round; only for scale does the direction make the class.
    sign = rng.choice([-1, 1])
    if kind == "shake":
        values["x"], values["y"] = rng.uniform(-0.5, 0.5, (2, num_frames))
    elif kind in axis:
        values[axis[kind]] = (courses[kind] - 0.5) * (sign if kind == "turn" else 1)
    elif kind in courses:
        values[rng.choice(["x", "y"])] = (courses[kind] - 0.5) * sign
    values = {name: spans[name] * value for name, value in values.items()}
    values["angle"] = values["angle"] + rng.uniform(0, 2 * np.pi)
    return _Path(**values)


def _draw_group(size_px: int, rng: np.random.Generator) -> _Group:
    """Shapes anywhere in the scene: (corners in scene pixels, brightness)."""
    # About three shapes of all groups lie within a frame of mean scale.
    num_shapes = round(0.75 * SCENE_MARGIN**2)
    shapes = rng.integers(len(_OUTLINES), size=num_shapes)
    sizes = rng.uniform(*SHAPE_RADIUS, num_shapes) * size_px
    aspects = rng.uniform(0.5, 1.0, num_shapes)
    angles = rng.uniform(0, 2 * np.pi, num_shapes)
    places = rng.uniform(0, SCENE_MARGIN * size_px, (num_shapes, 2))
    brightness = rng.choice(SHAPE_BRIGHTNESS, num_shapes) + rng.uniform(-0.1, 0.1, num_shapes)
    cos, sin = sizes * np.cos(angles), sizes * np.sin(angles)
    turns = np.array([[cos, sin], [-aspects * sin, aspects * cos]]).transpose(2, 0, 1)
    return [
        (np.rint(_OUTLINES[shape] @ turn + place).astype(np.int32), float(value))
        for shape, turn, place, value in zip(shapes, turns, places, brightness, strict=True)
    ]


def _paint(groups: list[_Group], size_px: int) -> np.ndarray:
    """Scene of the groups' shapes: float32, (rows, columns, 2), brightness times cover and cover."""
    width = round(SCENE_MARGIN * size_px)
    scene = np.zeros((width, width, 2), dtype=np.float32)
    for group in groups:
        for corners, brightness in group:
            cv2.fillPoly(scene, [corners], (brightness, 1.0))
    return scene


def _draw_background(size_px: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth texture of a random grain, float32 around 0.5, shape (rows, columns)."""
    grain = int(rng.integers(3, 9))
    coarse = rng.standard_normal((grain, grain), dtype=np.float32)
    texture = cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return np.float32(rng.uniform(0.4, 0.6)) + np.float32(rng.uniform(0.0, 0.1)) * texture


def _draw_scenes(kind: str, num_frames: int, size_px: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The scene of every frame; one and the same array where nothing is replaced."""
    groups = [_draw_group(size_px, rng) for _ in range(NUM_GROUPS)]
    scene = _paint(groups, size_px)
    if kind != "replace":
        return [scene] * num_frames
    period = max(2.0, REPLACE_PERIOD * num_frames)
    phases = rng.permutation(NUM_GROUPS) / NUM_GROUPS + rng.uniform(0, 1 / NUM_GROUPS)
    scenes = []
    for frame in range(num_frames):
        # A group is exchanged when a multiple of the period, after its phase, falls before this frame.
        turns = [int(frame / period + phase) - int((frame - 1) / period + phase) for phase in phases]
        if frame > 0 and any(turns):
            groups = [
                _draw_group(size_px, rng) if turn else group
                for turn, group in zip(turns, groups, strict=True)
            ]
            scene = _paint(groups, size_px)
        scenes.append(scene)
    return scenes


def make_clip(kind: str, num_frames: int, size_px: int, rng: np.random.Generator) -> np.ndarray:
    """One clip of a kind of motion: float32 in [0, 1], shape (T, H, W)."""
    path = _draw_path(kind, num_frames, rng)
    scenes = _draw_scenes(kind, num_frames, size_px, rng)
    background = _draw_background(size_px, rng)
    noise = rng.standard_normal((num_frames, size_px, size_px), dtype=np.float32)
    noise *= np.float32(rng.uniform(0.0, 0.05))
    # The scene turns and scales around its middle, which lies in the frame's middle but for the offset.
    middle, scene_middle = (size_px - 1) / 2, (scenes[0].shape[0] - 1) / 2
    cos = np.exp(path.log_scale) * np.cos(path.angle)
    sin = np.exp(path.log_scale) * np.sin(path.angle)
    x = middle + size_px * path.x - (cos - sin) * scene_middle
    y = middle + size_px * path.y - (sin + cos) * scene_middle
    matrices = np.stack([np.stack([cos, -sin, x], axis=1), np.stack([sin, cos, y], axis=1)], axis=1)
    seen = np.empty((num_frames, size_px, size_px, 2), dtype=np.float32)
    for frame, scene in enumerate(scenes):
        cv2.warpAffine(scene, matrices[frame], (size_px, size_px), dst=seen[frame])
    clip = background * (1 - seen[..., 1])
    clip += seen[..., 0]
    clip += noise
    return np.clip(clip, 0, 1, out=clip)


def make_clips(
    num_clips: int, num_frames: int, size_px: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Clips of all classes in random order, as many of each as ``num_clips`` allows.

    Args:
        num_clips: N.
        num_frames: T.
        size_px: H and W.
        rng: alone decides the result.

    Returns:
        Clips, float32 in [0, 1], shape (N, T, H, W), and labels, int64, shape (N,).
    """
    labels = rng.permutation(np.arange(num_clips) % NUM_CLASSES).astype(np.int64)
    clips = np.empty((num_clips, num_frames, size_px, size_px), dtype=np.float32)
    for index, label in enumerate(labels):
        clips[index] = make_clip(CLASS_NAMES[label], num_frames, size_px, rng)
    return clips, labels
