"""Figures of an interactive report: where their points lie, what is said of them, what the page does."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from chromium import PROGRAM
from matplotlib.figure import Figure
from report_page import draw_figures, report_of

from chestct.figures import render, report, style
from chestct.figures.hover import note_points, points_of
from chestct.figures.panels import subject_of
from chestct.figures.render import FIGURES, plot_figures
from chestct.figures.table_columns import value_texts
from chestct.records import write_recorded

#: Figures of all kinds of rows: means, differences, bounds, curves, histories.
SHOWN = ("auroc_by_percent", "paired_differences", "label_efficiency", "roc_curves", "learning_curves")
KIND = "smoke"


@pytest.fixture(scope="module")
def drawn(tables, tmp_path_factory):
    """Folder with some figures of a small study, stand-ins for the others, and points.json."""
    folder = tmp_path_factory.mktemp("hover")
    draw_figures(folder)
    reasons = (folder / "figures.json").read_text(encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "FIGURES", {name: FIGURES[name] for name in SHOWN})
        plot_figures(tables(KIND), folder=folder, formats=["png"], dpi=100, points=folder / "points.json")
    write_recorded(folder / "figures.json", reasons)
    return folder


@pytest.fixture(scope="module")
def told(drawn):
    """What is said of points, by figure."""
    return json.loads((drawn / "points.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def interactive(studies, drawn, tmp_path_factory):
    path = tmp_path_factory.mktemp("interactive") / "report.html"
    return report_of(studies(KIND), drawn, path, points=drawn / "points.json")


def test_points_lie_where_they_are_drawn():
    figure = Figure(figsize=(4, 2), dpi=100)
    axis = figure.add_axes((0.25, 0.1, 0.5, 0.8))
    axis.set(xlim=(0, 10), ylim=(0, 1))
    note_points(
        axis,
        np.array([0, 5, 11]),
        np.array([1, 0.5, 0.5]),
        pd.DataFrame({"name": list("abc")}),
        lambda study, rows: [("arm", name) for name in rows["name"]],
    )
    # From the left and from the top; the third lies beyond the panel, where nothing is seen of it.
    assert points_of(figure, None) == [("arm", [(0.25, 0.1, "a"), (0.5, 0.5, "b")])]


def test_every_point_has_the_numbers_of_the_table(tables, told):
    study = tables(KIND)
    rows = subject_of(study.means[study.means["metric"] == "auroc"])
    words = [f"{shared}\n{own}" for shared, points in told["auroc_by_percent"] for _, _, own in points]
    for (_, row), value in zip(rows.iterrows(), value_texts(rows), strict=True):
        place = f"{row['dataset']}, {row['percent']} %: {row['num_patients']:g} training patients"
        arm = f"{style.model_title(row['model'])}, {style.init_title(row['init'])}\n"
        found = [text for text in words if place in text and text.startswith(arm)]
        assert len(found) == 1 and f"\nAUROC {value}\n" in found[0], (place, found)
        assert "[95 % interval over patients alone]" in found[0] and "seed" in found[0]
    assert any(text.startswith("Best 2D model on validation: ") and "seed 0: 0." in text for text in words)
    assert all(told[name] for name in SHOWN)
    places = np.array([place[:2] for groups in told.values() for _, points in groups for place in points])
    assert len(places) > 100 and places.min() > 0 and places.max() < 1
    differences = " ".join(own for _, points in told["paired_differences"] for _, _, own in points)
    assert "Average over 2 cells" in differences and "Difference in AUROC" in differences
    assert any("seed 0, fold 0" in shared for shared, _ in told["learning_curves"])
    efficiency = "\n".join(own for _, points in told["label_efficiency"] for _, _, own in points)
    for row in study.multipliers[study.multipliers["model"].isin(rows["model"])].to_dict("records"):
        ends = f"[{row['patients_low']:.2f} to {row['patients_high']:.2f}]"
        assert f"{row['multiplier']:.2f} {ends} times as many patients\n[95 % interval over" in efficiency


def test_off_or_too_large_is_the_page_without_any_of_it(studies, drawn, interactive, tmp_path, monkeypatch):
    with_points = interactive.read_text(encoding="utf-8")
    monkeypatch.setattr(report, "MAX_BYTES", len(with_points.encode()) - 1)
    path = report_of(studies(KIND), drawn, tmp_path / "plain.html", points=drawn / "points.json")
    plain = path.read_text(encoding="utf-8")
    for word in ('class="points"', "pointsOf", "#told"):
        assert word not in plain
    # Without their data, style and script the page is the plain one, to the byte.
    without = re.sub(r'<script type="application/json" class="points">.*?</script>\n', "", with_points)
    for part in ("css", "js"):
        addition = report._environment().get_template(f"report_hover.{part}.j2").render()
        assert with_points.count(addition) == 1
        without = without.replace(addition, "")
    assert without == plain


def test_an_interactive_page_is_one_small_file(interactive):
    html = interactive.read_text(encoding="utf-8")
    assert len(html.encode()) < report.MAX_BYTES == 5_000_000
    assert html.count('class="points"') == len(SHOWN)
    assert 'src="http' not in html and "fetch(" not in html


_TOLD = "document.querySelector('#told')"
_IS_TOLD = f"{_TOLD}.matches(':popover-open')"
_IMAGE = "document.querySelector('#figure-auroc_by_percent img')"
_BOX = "(() => { const b = %s.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })()"


def _place(browser, image: str, left: float, top: float) -> tuple[float, float]:
    """Where a point of a figure lies in the window, in CSS pixels."""
    x, y, width, height = browser.evaluate(_BOX % image)
    return x + left * width, y + top * height


@pytest.mark.skipif(PROGRAM is None, reason="needs a Chromium browser on PATH")
def test_a_point_below_the_mouse_tells_the_value_of_the_table(browser, interactive, told):
    browser.problems.clear()
    browser.open(interactive, width=1400)
    points = [(shared, *point) for shared, points in told["auroc_by_percent"] for point in points]
    arm, left, top = next(
        (shared, left, top)
        for shared, left, top, own in points
        if "Video pretraining" in shared and " 50 %" in own
    )
    browser.evaluate(f"{_IMAGE}.scrollIntoView({{block: 'center'}}); new Promise(requestAnimationFrame)")
    x, y = _place(browser, _IMAGE, left, top)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 2, y=y - 2)
    browser.wait_for(_IS_TOLD)
    words = browser.evaluate(f"{_TOLD}.textContent")
    rows = "[...document.querySelector('#results table').tBodies[0].rows]"
    cells = browser.evaluate(f"{rows}.map(row => [...row.cells].map(cell => cell.textContent))")
    [value] = [row[2] for row in cells if ", ".join(row[:2]) == arm]
    assert f"AUROC {value}" in words and "training patients" in words and "seed" in words
    box_x, box_y, width, height = browser.evaluate(_BOX % _TOLD)
    assert box_x >= 0 and box_y >= 0 and box_x + width <= 1400 and box_y + height <= 900
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=5)
    browser.wait_for(f"!{_IS_TOLD}")
    # Enlarged, the same point lies elsewhere and tells the same.
    browser.evaluate(f"{_IMAGE}.click()")
    browser.wait_for("document.querySelector('dialog img').naturalWidth > 0")
    x, y = _place(browser, "document.querySelector('dialog img')", left, top)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    browser.wait_for(_IS_TOLD)
    assert browser.evaluate(f"{_TOLD}.textContent") == words
    assert browser.problems == []


@pytest.mark.skipif(PROGRAM is None, reason="needs a Chromium browser on PATH")
def test_a_tap_on_a_point_tells_it_and_one_beside_it_enlarges(browser, interactive, told):
    browser.open(interactive, width=390, height=844, mobile=True)
    browser.evaluate(f"{_IMAGE}.scrollIntoView({{block: 'center'}}); new Promise(requestAnimationFrame)")
    tap = (
        f"{_IMAGE}.dispatchEvent(new PointerEvent('click', "
        "{bubbles: true, pointerType: 'touch', clientX: %f, clientY: %f}))"
    )
    is_enlarged = "document.querySelector('dialog').open"
    left, top, _ = told["auroc_by_percent"][0][1][0]
    browser.evaluate(tap % _place(browser, _IMAGE, left, top))
    assert browser.evaluate(f"[{_IS_TOLD}, {is_enlarged}]") == [True, False]
    browser.evaluate(tap % _place(browser, _IMAGE, 0.01, 0.01))
    assert browser.evaluate(f"[{_IS_TOLD}, {is_enlarged}]") == [False, True]
