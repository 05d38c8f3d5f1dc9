"""The overlay that ``chestct init`` writes, commented for whoever changes it."""

from typing import Any

import yaml

_TEXT = """\
# {title}
#
#   make study STUDY={name}      # runs it, or continues it; the report is results/{name}/report.html
#
{question}
# {validation}
# This file overrides config.yaml, which explains every key; docs/own_data.md goes through the steps.

study: {study}

datasets:
  - name: {dataset} # its list of scans lies in data/NAME/: another table needs another name
    source: own_data
    table: {table}
    columns: {columns}
    # label_rule: {{positive_above: 3, negative_below: 3}} # for a label that is a score
    # baseline_column: COLUMN # a trivial score to compare the models with, such as a volume or an age
    # intensity: display # for grey values that are not HU
    # HU shown from black to white: lung. Mediastinum: 40 and 400; vessels with contrast: 400 and 1000.
    display_window_hu: {{centre: -600, width: 1500}}

models:
  - {{name: i3d, inits: [scratch, video]}}
{rival}
inits: {inits}
percents: {percents} # shares of the training patients
seeds: {seeds} # with only one, nothing is decided

volumes:
  size_px: {size_px} # rows and columns of a slice

subsets:
  split: {{train: 0.6, validation: 0.15, test: 0.25}}{of_folds}
  folds: {folds}
  window_slices: {window} # slices seen at once
  window_stride: {stride}

training:
{device}  crop_px: {crop_px}
  learning_rate: 0.0005
  # Windows that a run sees, per training scan and at least; increase them if learning curves still rise.
  budget: {{windows_per_scan: {per_scan}, min_windows: {least}}}
  num_validations: 4
"""
_QUESTION = """\
# It asks whether video pretraining helps a 3D network (I3D, Kinetics-400) on these scans, and compares it
# with a 2D network pretrained on ImageNet."""
_FIRST_LOOK = """\
# A first look, in the smallest sizes: it shows that the scans go through, and what the report has. Its
# numbers say nothing: slices of 64 pixels hide small findings, training ends early, and every
# arm is trained once."""
_WHOLE = {
    "question": _QUESTION,
    "rival": "  - {{name: {model_2d}, inits: [imagenet]}}\n",
    "inits": "[scratch, video, imagenet]",
    "seeds": "[0, 1, 2]",
}
_QUICK = {
    "question": _FIRST_LOOK,
    "rival": "",
    "inits": "[scratch, video]",
    "seeds": "[0]",
    "size_px": 64,
    "crop_px": 56,
    "window": 16,
    "stride": 16,
    "per_scan": 1,
    "least": 96,
}
_ON_PROCESSOR = {
    "model_2d": "efficientnet_lite0",
    "size_px": 128,
    "crop_px": 112,
    "window": 16,
    "stride": 8,
    "per_scan": 8,
    "least": 480,
}
_ON_GPU = {
    "model_2d": "resnet18",
    "size_px": 256,
    "crop_px": 224,
    "window": 32,
    "stride": 16,
    "per_scan": 60,
    "least": 8000,
}
_GPU_LINES = """\
  gpus: 1
  precision: bf16-mixed
  num_workers: 4
  threads: 4
  batch_size: 16
"""


def overlay_text(
    name: str, entry: dict[str, Any], sizes: dict[str, Any], *, gpu: bool, quick: bool = False
) -> str:
    """The text of a study's file.

    Args:
        name: of the study.
        entry: of its dataset: name, table and columns.
        sizes: folds, percents and cohort (``begin.cohort_sizes``).
        gpu: sizes for a GPU.
        quick: smallest sizes, one network, one repetition, in the place of those.
    """
    folds, cohort = sizes["folds"], sizes["cohort"]
    validation = (
        f"All {cohort.patients} patients are tested, under {folds}-fold cross-validation by patient."
        if folds > 1
        else f"A quarter of the {cohort.patients} patients is held out for testing."
    )
    values = (_ON_GPU if gpu else _ON_PROCESSOR) | (_QUICK if quick else _WHOLE)
    values["rival"] = str(values["rival"]).format(**values)
    scans = f"{cohort.scans} scans of {cohort.patients} patients ({cohort.positive} positive)"
    return _TEXT.format(
        title=f"Your own scans: {scans}.",
        name=name,
        study=_inline(name),
        validation=validation,
        dataset=_inline(entry["name"]),
        table=_inline(entry["table"]),
        columns=_inline(entry["columns"]),
        percents=[100] if quick else sizes["percents"],
        folds=folds,
        of_folds=" # with folds, only train : validation counts, for the other patients" if folds > 1 else "",
        device=_GPU_LINES if gpu else "",
        **values,
    )


def _inline(value: Any) -> str:
    """A value as YAML in one line, whatever characters it holds."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
