"""The report in a headless Chromium: no error, sorting, filtering, phone, keyboard, print."""

import re
import shutil
import subprocess

import pytest
from chromium import PROGRAM

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs a Chromium browser on PATH")

#: The first table of the results.
_TABLE = "document.querySelector('#results table')"
_COLUMN = f"[...{_TABLE}.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[%d].textContent)"
_DIRECTION = f"{_TABLE}.tHead.rows[0].cells[%d].getAttribute('aria-sort')"


@pytest.mark.parametrize("kind", ["default", "bare"])
def test_page_renders(page, kind):
    opened = page(kind)
    assert "video pretraining on chest CT" in opened.evaluate("document.title")
    broken = "[...document.images].filter(i => !(i.complete && i.naturalWidth)).length"
    assert opened.evaluate("document.images.length") > 8 and opened.evaluate(broken) == 0
    assert opened.evaluate("document.querySelector('nav').getBoundingClientRect().width") < 300
    assert opened.evaluate("document.scrollingElement.scrollWidth <= innerWidth")


def test_console_errors_would_be_seen(browser, reports, tmp_path):
    path = tmp_path / "report.html"
    text = reports("bare").read_text(encoding="utf-8")
    path.write_text(text.replace("</body>", "<script>throw new Error('seen')</script></body>"), "utf-8")
    browser.problems.clear()
    browser.open(path, width=800)
    assert len(browser.problems) == 1 and "seen" in browser.problems.pop()


def test_headings_sort_by_number_and_by_name_and_back(page):
    opened = page()
    names, values = opened.evaluate(_COLUMN % 0), opened.evaluate(_COLUMN % 2)
    click = f"{_TABLE}.tHead.rows[0].cells[%d].querySelector('button').click()"
    ascending = sorted(values, key=lambda text: float(text.split()[0]))
    assert ascending != values
    for direction, expected in [("ascending", ascending), ("descending", ascending[::-1]), (None, values)]:
        opened.evaluate(click % 2)
        assert opened.evaluate(_DIRECTION % 2) == direction
        got = opened.evaluate(_COLUMN % 2)
        assert [text.split()[0] for text in got] == [text.split()[0] for text in expected]
    opened.evaluate(click % 2)
    opened.evaluate(click % 0)
    assert opened.evaluate(_DIRECTION % 0) == "ascending" and opened.evaluate(_DIRECTION % 2) is None
    assert opened.evaluate(_COLUMN % 0) == sorted(names, key=str.casefold)


def test_numbers_with_signs_and_limits_sort_by_value(page):
    opened = page()
    table = "document.querySelector('#contrasts table')"
    heads = opened.evaluate(f"[...{table}.tHead.rows[0].cells].map(c => c.textContent)")
    place = heads.index("Difference")
    opened.evaluate(f"{table}.tHead.rows[0].cells[{place}].querySelector('button').click()")
    cells = opened.evaluate(f"[...{table}.tBodies[0].rows].map(r => r.cells[{place}].textContent)")
    numbers = [float(text.replace("\N{MINUS SIGN}", "-")) for text in cells]
    assert numbers == sorted(numbers)
    limits = ["< 0.0001", "0.0350", "\u2265 12.0", "1e-05", "\u2264 0.50", "1,200", "\u22120.010", "+0.200"]
    values = opened.evaluate(f"{limits!r}.map(numberIn)")
    assert values == [0.0001, 0.035, 12, 1e-05, 0.5, 1200, -0.01, 0.2]


def test_dashes_are_sorted_last(page):
    cells = ["0.2", "\N{EN DASH}", "\N{MINUS SIGN}0.1", "", "0.1"]
    body = "".join(f"<tr><td>{cell}</td></tr>" for cell in cells)
    make = f"const t = document.createElement('table'); t.innerHTML = '<tbody>{body}</tbody>';"
    sort = "sortRows(t, 0, 'descending'); return [...t.rows].map(r => r.textContent);"
    expected = ["0.2", "0.1", "\N{MINUS SIGN}0.1", "\N{EN DASH}", ""]
    assert page("bare").evaluate(f"(() => {{ {make} {sort} }})()") == expected


def test_tables_sort_by_keyboard(page):
    opened = page("smoke")
    opened.evaluate(f"{_TABLE}.tHead.rows[0].cells[2].querySelector('button').focus()")
    opened.press("Enter", 13, "\r")
    assert opened.evaluate(_DIRECTION % 2) == "ascending"
    opened.press(" ", 32, " ")
    assert opened.evaluate(_DIRECTION % 2) == "descending"
    opened.press("Tab", 9)
    assert opened.evaluate("document.activeElement.textContent") == "100 %"
    # Wide tables scroll by keyboard too.
    assert opened.evaluate(f"{_TABLE}.parentElement.tabIndex") == 0


def test_filter_box_keeps_rows_that_hold_all_words(page):
    opened = page()
    rows = opened.evaluate(_COLUMN % 0)
    box = "document.querySelector('#results .filter input')"
    opened.evaluate(f"{box}.value = 'SWIN video'; {box}.dispatchEvent(new Event('input'))")
    kept = list(zip(opened.evaluate(_COLUMN % 0), opened.evaluate(_COLUMN % 1), strict=True))
    assert kept == [("Swin (narrow)", "Video pretraining")]
    said = "document.querySelector('#results .filter [role=status]').textContent"
    assert opened.evaluate(said) == f"1 of {len(rows)} rows"
    opened.evaluate(f"{box}.value = ''; {box}.dispatchEvent(new Event('input'))")
    assert opened.evaluate(_COLUMN % 0) == rows and opened.evaluate(said) == ""
    assert page("bare").evaluate("document.querySelector('#costs .filter') === null")


@pytest.mark.parametrize("kind", ["default", "full", "own_data"])
def test_page_fits_a_phone(page, kind):
    opened = page(kind, width=390, mobile=True)
    opened.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert opened.evaluate("innerWidth") == 390
    assert opened.evaluate("document.scrollingElement.scrollWidth") <= 390
    small = "[...document.querySelectorAll('p, li, td, figcaption')].filter(e => parseFloat("
    assert opened.evaluate(f"{small}getComputedStyle(e).fontSize) < 12).length") == 0


def test_menu_leads_to_the_sections(page):
    opened = page("smoke", width=390, mobile=True)
    assert opened.evaluate("document.querySelector('nav .menu').open") is False
    links = opened.evaluate("[...document.querySelectorAll('nav a')].map(a => a.hash.slice(1))")
    assert len(links) > 10
    for link in links:
        opened.evaluate(f"location.hash = '{link}'")
        below = f"document.getElementById('{link}').getBoundingClientRect().top + 2"
        at_end = "scrollY + innerHeight >= document.scrollingElement.scrollHeight - 2"
        opened.wait_for(f"(0 <= {below} && {below} <= 42) || {at_end}")


def test_a_link_unfolds_what_it_leads_to(page):
    opened = page("smoke")
    assert opened.evaluate("document.getElementById('multipliers').open") is False
    opened.evaluate("location.hash = 'multipliers'")
    opened.wait_for("document.getElementById('multipliers').open")


@pytest.fixture(scope="module")
def prints():
    """Printed pages by kind, each of which the first test that needs it prints."""
    return {}


@pytest.mark.parametrize(("kind", "most"), [("default", 32), ("full", 41)])
def test_page_prints(page, prints, kind, most):
    opened = page(kind)
    opened.call("Emulation.setEmulatedMedia", media="print")
    hidden = ("nav", ".filter", "details:not([open])")
    shown = [
        opened.evaluate(f"[...document.querySelectorAll('{part}')].filter(e => e.checkVisibility()).length")
        for part in hidden
    ]
    opened.call(
        "Emulation.setDeviceMetricsOverride", width=680, height=1000, deviceScaleFactor=1, mobile=False
    )
    parts = "[...document.querySelectorAll('table, img, pre')].filter(e => e.checkVisibility())"
    cut = "filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.closest('section').id)"
    too_wide = opened.evaluate(f"{parts}.{cut}")
    whole = "[...document.querySelectorAll('.card, .claim, .box, figure')]"
    split = opened.evaluate(
        f"{whole}.filter(e => getComputedStyle(e).breakInside !== 'avoid').map(e => e.className)"
    )
    printed = "[...document.querySelectorAll('#provenance dd')].filter(e => e.checkVisibility())"
    digests = opened.evaluate(f"{printed}.map(e => e.textContent).filter(t => /[0-9a-f]{{16}}/.test(t))")
    opened.call("Emulation.setEmulatedMedia", media="")
    pdf = prints[kind] = opened.print()
    assert shown == [0, 0, 0] and too_wide == [] and split == [] and digests == []
    assert pdf.startswith(b"%PDF-") and 5 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= most


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext of poppler-utils on PATH")
def test_headings_of_tables_are_printed_on_every_page(page, prints, tmp_path):
    (tmp_path / "report.pdf").write_bytes(prints.get("full") or page("full").print())
    command = ["pdftotext", "-layout", tmp_path / "report.pdf", "-"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Of the results, and of the operating points.
    heading = re.compile(r"Model +Start +(1 ?% +10 ?% +25 ?% +50 ?% +100 ?%|.*Sensitivity)")
    row = re.compile(r"From scratch +0\.\d{3} [([]")
    printed = [part for part in text.split("\f") if row.search(part)]
    without = [part for part in printed if not heading.search(part)]
    assert len(printed) > 2 and without == []


def test_the_tallest_figure_and_its_caption_fit_a_page_of_letter_paper(page):
    opened = page("default")
    opened.call("Emulation.setEmulatedMedia", media="print")
    mm = 96 / 25.4  # pixels of CSS
    width, height = round((215.9 - 2 * 14) * mm), round((279.4 - 2 * 14) * mm)
    opened.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
    )
    svg = "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='1440' height='2000'/>"
    heights = opened.evaluate(
        "Promise.all([...document.querySelectorAll('figure')].map(async figure => {"
        f'  const image = figure.querySelector("img"); image.src = "{svg}"; await image.decode();'
        "  return figure.getBoundingClientRect().height; }))"
    )
    assert len(heights) > 12 and max(heights) < height


def test_page_without_script_is_complete(browser, reports):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(reports("smoke"), width=390, mobile=True)
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.evaluate("document.querySelectorAll('th button, .filter').length") == 0
    assert browser.evaluate(
        f"{_TABLE}.checkVisibility() && document.querySelector('nav a').checkVisibility()"
    )
