"""Numbers and aligned columns of a plan."""

import math
from collections.abc import Sequence


def number(value: float, digits: int = 0) -> str:
    """A number with thousands separated; what is not known is called so."""
    return "unknown" if math.isnan(value) else f"{value:,.{digits}f}"


def table(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> list[str]:
    """Aligned columns, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [columns, *rows]
    ]
