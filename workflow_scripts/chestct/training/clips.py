"""Generated motion clips: the named stand-in for Kinetics where no video can be had.

A clip shows several shapes over a textured background, moved, turned or scaled together, standing
still, or replaced one after another (in a CT: what passes along z against what appears in a few slices).
The class is the kind of motion. No single frame tells it: position, angle and size of a frame's shapes
are drawn alike in every class, so a model must look along time.
"""

from dataclasses import dataclass

import cv2
import numpy as np

#: Kinds of motion; an index is a label.
CLASS_NAMES = (
    "left",
    "right",
    "up",
    "down",
    "expand",
    "contract",
    "turn_clockwise",
    "turn_anticlockwise",
    "hold",
    "replace",
)
NUM_CLASSES = len(CLASS_NAMES)

#: The scene is this much larger than the frame, so that moving or shrinking it uncovers more of it.
SCENE_MARGIN = 2.5
#: Groups of shapes, of which "replace" exchanges one at a time.
NUM_GROUPS = 4
#: Frames between two replacements of a group, as a share of the clip.
REPLACE_PERIOD = 0.4


@dataclass(frozen=True, kw_only=True)
class _Path:
    """Where the scene is over the clip: offset in frame widths, angle in radians, log of its scale."""

    x: np.ndarray
    y: np.ndarray
    angle: np.ndarray
    log_scale: np.ndarray


def _draw_path(kind: str, num_frames: int, rng: np.random.Generator) -> _Path:
    # What moves runs through its range; what does not stands at a random point of the same range, so
    # that the frames of all classes, taken one by one, are distributed alike.
    run = np.linspace(-0.5, 0.5, num_frames)
    spans = {
        "x": rng.uniform(0.3, 0.7),
        "y": rng.uniform(0.3, 0.7),
        "angle": rng.uniform(0.25, 0.6) * np.pi,
        "log_scale": rng.uniform(0.4, 0.8),
    }
    moving = {
        "left": ("x", -1),
        "right": ("x", 1),
        "up": ("y", -1),
        "down": ("y", 1),
        "expand": ("log_scale", 1),
        "contract": ("log_scale", -1),
        "turn_clockwise": ("angle", 1),
        "turn_anticlockwise": ("angle", -1),
    }
    axis, sign = moving.get(kind, ("", 0))
    values = {
        name: span * (sign * run if name == axis else np.full(num_frames, rng.uniform(-0.5, 0.5)))
        for name, span in spans.items()
    }
    values["angle"] = values["angle"] + rng.uniform(0, 2 * np.pi)
    return _Path(**values)


def _shape_corners(size_px: float, rng: np.random.Generator) -> np.ndarray:
    """A random polygon around 0: box, triangle, star, ellipse or bar; float, shape (corners, 2)."""
    kind = rng.integers(5)
    aspect = rng.uniform(0.5, 1.0)
    if kind == 0:
        corners = np.array([[-1, -aspect], [1, -aspect], [1, aspect], [-1, aspect]])
    elif kind == 1:
        corners = np.array([[-1, -aspect], [1, -aspect], [0, 1]])
    elif kind == 2:
        angles = np.arange(10) * np.pi / 5
        corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.tile([1.0, 0.45], 5)[:, None]
    elif kind == 3:
        angles = np.arange(16) * np.pi / 8
        corners = np.stack([np.cos(angles), aspect * np.sin(angles)], axis=1)
    else:
        corners = np.array([[-1.4, -0.25], [1.4, -0.25], [1.4, 0.25], [-1.4, 0.25]])
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return size_px * corners @ turn


def _draw_group(size_px: int, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """Shapes anywhere in the scene: (corners in scene pixels, brightness)."""
    width = SCENE_MARGIN * size_px
    # About one shape of a group lies within the frame.
    num_shapes = round(SCENE_MARGIN**2)
    return [
        (
            _shape_corners(rng.uniform(0.06, 0.16) * size_px, rng) + rng.uniform(0, width, size=2),
            float(rng.uniform(0.0, 1.0)),
        )
        for _ in range(num_shapes)
    ]


def _paint(groups: list[list[tuple[np.ndarray, float]]], size_px: int) -> np.ndarray:
    """Scene of the groups' shapes: float32, (rows, columns, 2), brightness times cover and cover."""
    width = round(SCENE_MARGIN * size_px)
    scene = np.zeros((width, width, 2), dtype=np.float32)
    for group in groups:
        for corners, brightness in group:
            cv2.fillPoly(scene, [np.round(corners).astype(np.int32)], (brightness, 1.0))
    return cv2.blur(scene, (2, 2))


def _draw_background(size_px: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth texture of a random grain, float32 around 0.5, shape (rows, columns)."""
    grain = int(rng.integers(3, 9))
    coarse = rng.standard_normal((grain, grain), dtype=np.float32)
    texture = cv2.resize(coarse, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    return np.float32(rng.uniform(0.3, 0.7)) + np.float32(rng.uniform(0.05, 0.15)) * texture


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
    clip = rng.standard_normal((num_frames, size_px, size_px), dtype=np.float32)
    clip *= np.float32(rng.uniform(0.01, 0.06))
    middle, scene_middle = (size_px - 1) / 2, (scenes[0].shape[0] - 1) / 2
    for frame, scene in enumerate(scenes):
        scale = np.exp(path.log_scale[frame])
        cos, sin = scale * np.cos(path.angle[frame]), scale * np.sin(path.angle[frame])
        x = middle + size_px * path.x[frame] - cos * scene_middle + sin * scene_middle
        y = middle + size_px * path.y[frame] - sin * scene_middle - cos * scene_middle
        matrix = np.array([[cos, -sin, x], [sin, cos, y]])
        seen = cv2.warpAffine(scene, matrix, (size_px, size_px), flags=cv2.INTER_LINEAR)
        clip[frame] += background * (1 - seen[..., 1]) + seen[..., 0]
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
