"""The picture of the pipeline is that of the rules as they are."""

import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[3]
DRAWING = runpy.run_path(str(ROOT / "workflow_scripts/draw_pipeline.py"))


def test_the_stored_picture_is_what_is_drawn():
    stored = (ROOT / "docs/images/pipeline.svg").read_text(encoding="utf-8")
    assert stored == DRAWING["draw"](), "python workflow_scripts/draw_pipeline.py docs/images/pipeline.svg"


def test_every_rule_is_in_it_and_fits():
    root = ElementTree.fromstring(DRAWING["draw"]())
    texts = [element for element in root.iter() if element.tag.endswith("text")]
    words = " ".join(element.text or "" for element in texts)
    rules = {
        rule
        for path in (ROOT / "rules").glob("*.smk")
        for rule in re.findall(
            r"^\s*(?:rule|checkpoint) (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert len(rules) > 30
    assert {rule for rule in rules if not re.search(rf"\b{rule}\b", words)} == DRAWING["LEFT_OUT"]
    # On a phone of 390 px no letter is smaller than 12 px, and no line leaves the card.
    for element in texts:
        size, letters = float(element.get("font-size")), len(element.text or "")
        assert size >= 12 and float(element.get("x")) + 0.5 * size * letters < 390 - 8, element.text
