"""Tables of words as Markdown and as LaTeX."""

import html
from collections.abc import Iterable

import pandas as pd

from chestct.figures.style import MINUS

_TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "%": r"\%",
        "_": r"\_",
        "&": r"\&",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"$<$",
        ">": r"$>$",
        "\u2265": r"$\geq$",
        "\u2264": r"$\leq$",
        "\u2026": r"\dots{}",
        MINUS: r"$-$",
    }
)
#: Longer texts wrap in a column of their own width.
_LONG = 40


def to_markdown(table: pd.DataFrame) -> str:
    """GitHub's table syntax; what HTML or the syntax would read otherwise is escaped."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "".join("| " + " | ".join(_markdown(cell) for cell in line) + " |\n" for line in lines)


def _markdown(cell: object) -> str:
    return html.escape(str(cell), quote=False).replace("|", r"\|").replace("\n", " ")


def to_latex(table: pd.DataFrame, caption: str, *, group: str | None = None) -> str:
    r"""Tabulars with the rules of the package booktabs.

    Args:
        table: words.
        caption: written above as a comment.
        group: column whose distinct values get a tabular each, so that they fit a page; it stays a column.
    """
    parts = [table] if group is None else [part for _, part in table.groupby(group, sort=False)]
    tabulars = [_tabular(part) for part in parts or [table]]
    return "\n".join([f"% {caption} Needs \\usepackage{{booktabs}}.", *tabulars])


def _tabular(table: pd.DataFrame) -> str:
    longest = [table[column].astype(str).str.len().max() if len(table) else 0 for column in table]
    kinds = "".join("p{0.2\\linewidth}" if length > _LONG else "l" for length in longest)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{@{{}}{kinds}@{{}}}}",
            r"\toprule",
            _line(table.columns),
            r"\midrule",
            *[_line(cells) for cells in table.to_numpy().tolist()],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _line(cells: Iterable[object]) -> str:
    return " & ".join(str(cell).translate(_TEX) for cell in cells) + r" \\"
