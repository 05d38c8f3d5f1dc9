"""The report's checklist: every item of CLAIM 2024 and TRIPOD+AI, and where the report answers it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_FILE = Path(__file__).with_name("checklist.yaml")
#: Name of the head of the report, which is no section.
_TOP = "top"


@dataclass(frozen=True, kw_only=True)
class Item:
    """An item of the checklist.

    Attributes:
        claim, tripod: its numbers in the guidelines; empty where one of them does not have it.
        words: what it asks for.
        place: section of the report or document that answers it; empty if it is not answered.
        title: of that place.
        reason: why it is not answered; empty if it is.
    """

    claim: str
    tripod: str
    words: str
    place: str
    title: str
    reason: str

    @property
    def in_report(self) -> bool:
        """Whether a section of the report answers it, as opposed to a document."""
        return bool(self.place) and not self.place.startswith("docs/")


def checklist_of(sections: Mapping[str, str], features: Collection[str]) -> list[tuple[str, list[Item]]]:
    """The checklist of a report.

    Args:
        sections: titles of the report's sections by their identifiers.
        features: what this study has of that not every study has, as ``checklist.yaml`` names it.

    Returns:
        Items by part of a paper.

    Raises:
        KeyError: the checklist names a section that the report lacks.
    """
    parts = yaml.safe_load(_FILE.read_text(encoding="utf-8"))["sections"]
    return [(part["title"], [_item(row, sections, features) for row in part["items"]]) for part in parts]


def answered(checklist: list[tuple[str, list[Item]]]) -> tuple[int, int]:
    """How many items are answered, and how many there are."""
    items = [item for _, part in checklist for item in part]
    return sum(bool(item.place) for item in items), len(items)


def _item(row: Mapping[str, Any], sections: Mapping[str, str], features: Collection[str]) -> Item:
    place = row.get("place", "")
    if "if" in row and row["if"] not in features:
        place = ""
    is_section = place and place != _TOP and not place.startswith("docs/")
    title = sections[place] if is_section else "Head of the report" if place == _TOP else place
    return Item(
        claim=row.get("claim", ""),
        tripod=row.get("tripod", ""),
        words=row["item"],
        place=place,
        title=title,
        reason="" if place else row["not_done"],
    )
