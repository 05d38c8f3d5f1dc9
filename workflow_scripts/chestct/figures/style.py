"""The common style of all figures: sizes, fonts, colours, markers, names.

Seaborn's "ticks" style and paper context, and its colour-blind palette; markers and line styles carry the
same information as colours, so figures can be read in grey.
"""

import re
import textwrap
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import seaborn as sns
from matplotlib.colors import to_hex, to_rgb

from chestct import claimed_models, simple_rivals
from chestct.catalogue import INIT_TITLES, MODELS
from chestct.chosen_rival import COMPOSED, COMPOSED_TITLE, is_composed, models_of

#: Widths of one and of two columns of a journal page, and its height, in inches (89, 183, 240 mm).
SINGLE_COLUMN, DOUBLE_COLUMN, PAGE_HEIGHT = 3.5, 7.2, 9.4

#: Blue, orange, green, red, purple, brown, pink, grey, yellow, cyan, which can be distinguished under all
#: common forms of colour blindness.
PALETTE = sns.color_palette("colorblind").as_hex()

RC_PARAMS: dict[str, Any] = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper"),
    "font.family": "DejaVu Sans",  # part of matplotlib: the same glyphs on every machine
    "text.hinting": "no_hinting",  # hinting changes the width of letters with the resolution
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "legend.columnspacing": 1.4,
    "legend.handletextpad": 0.6,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.4,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 4,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.h_pad": 0.06,
    "pdf.fonttype": 42,  # text stays editable
    "svg.fonttype": "path",
    "svg.hashsalt": "chestct",  # the same identifiers in every run
}

FOOTER_SIZE = 5.5
FOOTER_COLOUR = "#8a3b00"
REFERENCE_COLOUR = "#777777"
#: Background of highlighted rows, and lines between rows.
SHADE_COLOUR, RULE_COLOUR = "#f0f0f0", "#e6e6e6"
#: Letters per inch at the size of the footer, and at that of titles and legends.
FOOTER_LETTERS_PER_INCH, LETTERS_PER_INCH = 24, 17


class Mark(NamedTuple):
    """Colour, marker and line style."""

    colour: str
    marker: str
    line: Any


INIT_MARKS = {
    "scratch": Mark("#4d4d4d", "o", (0, (4, 2))),
    "scratch_long": Mark("#806000", "P", (0, (3, 1, 1, 1))),
    "video": Mark(PALETTE[0], "s", "-"),
    "ct": Mark(PALETTE[3], "^", (0, (6, 1.5, 1, 1.5))),
    "video_ct": Mark(PALETTE[2], "D", (0, (1, 1))),
    "imagenet": Mark(PALETTE[4], "v", (0, (2, 1))),
    "none": Mark("#000000", "x", (0, (1, 2))),
}

#: Marks of the scores without a network that figures show.
SIMPLE_MARKS = {
    simple_rivals.BASELINE: INIT_MARKS["none"],
    simple_rivals.SIZE_AND_SPACING: Mark(PALETTE[1], "d", (0, (5, 1.5))),
    simple_rivals.METADATA: Mark(PALETTE[5], "*", (0, (3, 1, 1, 1, 1, 1))),
}

#: Marks of interval methods, and of datasets in one panel, by position.
METHOD_MARKS = [Mark(PALETTE[0], "o", "-"), Mark(PALETTE[1], "s", "-"), Mark(PALETTE[2], "^", "-")]
DATASET_MARKS = [
    Mark("#000000", "D", "-"),
    Mark("#8c6d31", "P", (0, (4, 2))),
    Mark("#6a51a3", "X", (0, (1, 1))),
    Mark("#777777", "v", (0, (6, 1.5, 1, 1.5))),
]

METRIC_TITLES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "sensitivity": "Sensitivity (threshold from test set)",
    "sensitivity_validation": "Sensitivity (threshold from validation)",
    "specificity_validation": "Specificity (threshold from validation)",
    "ppv_validation": "PPV (threshold from validation)",
    "npv_validation": "NPV (threshold from validation)",
    "brier": "Brier score",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
    "calibration_error": "Calibration error",
}


MINUS = "\N{MINUS SIGN}"
#: Stands in tables where a number does not exist.
NONE = "\N{EN DASH}"


def lighter(colour: str, share: float = 0.45) -> str:
    """A colour mixed with this share of white."""
    red, green, blue = (part + (1 - part) * share for part in to_rgb(colour))
    return to_hex((red, green, blue))


def signed(value: float) -> str:
    """A difference with its sign, three decimals."""
    return f"{value:+.3f}".replace("-", MINUS)


def wrap_name(name: str, letters: int) -> str:
    """Break a long name into lines: at blanks if possible, else also after underscores, hyphens and dots."""
    words = textwrap.wrap(name, letters, break_long_words=False, break_on_hyphens=False)
    if all(len(word) <= letters for word in words):
        return "\n".join(words)
    lines = [""]
    for part in filter(None, re.findall(r"[^ _.-]*[ _.-]?", name)):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > letters:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip(" ") for line in lines)


def init_title(init: str) -> str:
    """Name of an init in figures and tables; empty for scores without a network."""
    return INIT_TITLES.get(init, "")


def in_sentence(title: str) -> str:
    """A title within a sentence: "From scratch" becomes "from scratch"; "CT", "AUROC" and "ImageNet" stay."""
    first = title.split(" ", 1)[0]
    return title if first[1:] != first[1:].lower() else title[:1].lower() + title[1:]


def model_title(model: str) -> str:
    """Name of a model, of a mean over models, or of a score without a network in figures and tables."""
    if simple_rivals.is_simple(model):
        return simple_rivals.TITLES[model]
    if model == COMPOSED:
        return COMPOSED_TITLE
    return claimed_models.mean_title(model) if is_mean(model) else MODELS[model].title


def run_title(run: Mapping[Any, Any]) -> str:
    """A training run in words, from a row with its model, init, percent and seed."""
    start = in_sentence(init_title(run["init"]))
    subset = f"{run['percent']} % of the training patients"
    return f"{model_title(run['model'])}, {start}, {subset}, seed {run['seed']}"


def rival_title(rival: str) -> str:
    """Name of whom a contrast is against: "ResNet-18", or "ResNet-18 in 2 folds, LRCN (ResNet-18) in 1".

    Args:
        rival: of the table "comparisons" (``chosen_rival``).
    """
    if not is_composed(rival):
        return model_title(rival)
    num_folds = Counter(sorted(models_of(rival), key=model_rank)).most_common()
    words = [f"{model_title(model)} in {number}" for model, number in num_folds]
    words[0] += " folds" if num_folds[0][1] > 1 else " fold"
    return ", ".join(words)


def is_mean(model: str) -> bool:
    """Whether the name of a model is that of a mean over models."""
    return claimed_models.is_mean(model)


def is_probe(model: str) -> bool:
    """Whether a model is the frozen probe of another."""
    return model in MODELS and MODELS[model].probe_of is not None


def model_rank(model: str) -> tuple[int, str]:
    """Sort key: scores without a network, models in the catalogue's order, the folds' best 2D, then means."""
    if simple_rivals.is_simple(model):
        return list(simple_rivals.TITLES).index(model) - len(simple_rivals.TITLES), model
    if model == COMPOSED or is_mean(model):
        return len(MODELS) + is_mean(model), model
    return list(MODELS).index(model), model


def init_rank(init: str) -> int:
    """Sort key: inits in the catalogue's order."""
    return list(INIT_MARKS).index(init)
