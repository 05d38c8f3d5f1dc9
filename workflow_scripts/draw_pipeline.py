"""README's picture of the pipeline: ``python workflow_scripts/draw_pipeline.py docs/images/pipeline.svg``.

Steps and the rules of each are those of the rule files; a test draws the picture again and compares.
Letters are large enough for a phone (390 px), and the card is white, so that it reads on a dark page.
"""

import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

RULES = Path(__file__).parents[1] / "rules"
#: Rules that plan or bundle others, and make nothing that a study shows.
LEFT_OUT = {"write_download_plan", "plan_download", "cite_data", "download_all"}
_WIDTH, _EDGE, _PAD = 390, 12, 12
_INK, _SOFT, _LINE, _BLUE = "#1d2129", "#565e6b", "#9aa2ad", "#005a8f"
_LETTERS, _RULE_LETTERS = 46, 47  # a line inside a box
_TITLE, _TEXT, _NAMES = 16, 14, 12.5  # points, as pixels of the picture
_DOWN = 40  # from one box to the next


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of the study.

    Attributes:
        name: of its package, tests and results.
        files: its rule files.
        does: what it does.
        gives: what the next step takes from it.
    """

    name: str
    files: tuple[str, ...]
    does: str
    gives: str


STEPS = (
    Step(
        name="download",
        files=("download",),
        does="obtains scans, labels and weights, and checks their digests",
        gives="DICOM series, labels, starting weights",
    ),
    Step(
        name="volumes",
        files=("volumes",),
        does="DICOM to HU volumes, strictly: what is refused goes to a ledger with its reason",
        gives="HU volumes, ledger",
    ),
    Step(
        name="subsets",
        files=("subsets",),
        does="cohort, splits by patient, nested training subsets, windows",
        gives="patients and windows of every run",
    ),
    Step(
        name="training",
        files=("training", "selection", "probes"),
        does="pretraining, fine-tuning, prediction; every run is a job",
        gives="one score a scan and run",
    ),
    Step(
        name="evaluation",
        files=("evaluation",),
        does="bootstrap over patients, training runs and models; a verdict on each claim",
        gives="metrics with intervals, verdicts",
    ),
    Step(name="figures", files=("figures",), does="figures, tables, one report", gives=""),
)


def rules_of(step: Step) -> list[str]:
    """The rules of a step, in the order of its files."""
    found: list[str] = []
    for name in step.files:
        text = (RULES / f"{name}.smk").read_text(encoding="utf-8")
        found += re.findall(r"^\s*(?:rule|checkpoint) (\w+):", text, re.MULTILINE)
    return [rule for rule in found if rule not in LEFT_OUT]


def _text(x: float, y: float, words: str, *, size: float, colour: str = _INK, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{colour}"{more}>{escape(words)}</text>'


def _arrow(y: float, words: str) -> list[str]:
    x, end = _EDGE + 40, y + _DOWN
    return [
        f'<path d="M{x} {y + 3:g} V{end - 9:g}" stroke="{_BLUE}" stroke-width="2" fill="none"/>',
        f'<path d="M{x - 5} {end - 10:g} H{x + 5} L{x} {end - 2:g} Z" fill="{_BLUE}"/>',
        _text(x + 14, y + _DOWN / 2 + 5, words, size=_TEXT, colour=_BLUE),
    ]


def draw() -> str:
    """The picture as SVG."""
    parts: list[str] = []
    y = 34.0
    parts.append(_text(_EDGE + 4, y - 8, "RSPECT, LIDC-IDRI, your own scans, phantoms", size=_TEXT))
    parts += _arrow(y - 6, "")
    y += _DOWN - 6
    for number, step in enumerate(STEPS, start=1):
        does = textwrap.wrap(step.does, _LETTERS)
        names = textwrap.wrap(", ".join(rules_of(step)), _RULE_LETTERS)
        height = _PAD + _TITLE + 4 + 19 * len(does) + 3 + 17 * len(names) + _PAD
        box = f'x="{_EDGE}" y="{y:g}" width="{_WIDTH - 2 * _EDGE}" height="{height:g}"'
        parts.append(f'<rect {box} rx="7" fill="#f5f6f8" stroke="{_LINE}"/>')
        line, x = y + _PAD + _TITLE - 3, _EDGE + _PAD
        parts.append(_text(x, line, f"{number}  {step.name}", size=_TITLE, more=' font-weight="700"'))
        line += 4
        for words in does:
            line += 19
            parts.append(_text(x, line, words, size=_TEXT))
        line += 3
        for words in names:
            line += 17
            parts.append(_text(x, line, words, size=_NAMES, colour=_SOFT))
        y += height
        parts += _arrow(y, step.gives)
        y += _DOWN
    parts.append(_text(_EDGE + 4, y + 12, "report.html", size=_TITLE, more=' font-weight="700"'))
    total = y + 26
    words = "Pipeline: " + ", ".join(f"{step.name} ({step.does})" for step in STEPS)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {total:g}" width="{_WIDTH}" '
            f'height="{total:g}" role="img" aria-label="{escape(words)}" '
            'font-family="system-ui, -apple-system, &quot;Segoe UI&quot;, Roboto, &quot;DejaVu Sans&quot;, '
            'sans-serif">',
            f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{total - 1:g}" rx="8" fill="#fff" '
            f'stroke="{_LINE}"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(), encoding="utf-8")
