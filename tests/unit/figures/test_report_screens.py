"""The report as a person sees it: first screen, phone, tables that scroll, enlarged figures, dark mode."""

import re

import pytest
from chromium import PROGRAM

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs a Chromium browser on PATH")


@pytest.mark.parametrize("kind", ["default", "seeds", "own_data", "bare"])
def test_the_first_screen_has_the_answer(browser, reports, kind):
    browser.open(reports(kind), width=1400, height=900)
    bottom = "document.querySelector('%s').getBoundingClientRect().bottom"
    assert browser.evaluate(bottom % "#data-kind") < 150
    if kind != "bare":  # it trains one arm
        bottoms = "[...document.querySelectorAll('.card')].map(e => e.getBoundingClientRect().bottom)"
        assert max(browser.evaluate(bottoms)) < 460
        assert (
            browser.evaluate("document.querySelector('#answers figure img').getBoundingClientRect().height")
            > 200
        )
    assert browser.evaluate(bottom % "#answers figure img") < 900


def test_the_verdict_is_on_a_phones_first_screen(page):
    opened = page("seeds", width=390, mobile=True)
    boxes = "[...document.querySelectorAll('.card')].map(e => e.getBoundingClientRect().bottom)"
    assert opened.evaluate(boxes)[0] < 844
    assert opened.evaluate("document.querySelector('#data-kind').getBoundingClientRect().bottom") < 400


def test_what_is_cut_on_a_phone_says_that_it_scrolls(page):
    opened = page(width=390, mobile=True)
    part = "document.querySelector('#results .scroll')"
    cue = f"{part}.previousElementSibling"
    assert opened.evaluate(f"{cue}.className") == "cue"
    opened.wait_for(f"{cue}.checkVisibility() && {part}.classList.contains('more')")
    figure = "document.querySelector('#answers figure .scroll')"
    opened.wait_for(f"{figure}.previousElementSibling.checkVisibility()")
    opened.evaluate(f"{part}.scrollLeft = {part}.scrollWidth")
    opened.wait_for(f"!{part}.classList.contains('more')")
    # A table in something folded up is measured when it is unfolded.
    opened.evaluate("document.querySelectorAll('#means').forEach(e => e.open = true)")
    opened.wait_for("document.querySelector('#means .scroll').classList.contains('more')")


def test_heads_of_tables_stay_in_sight(page):
    opened = page()
    opened.evaluate("document.getElementById('means').open = true")
    part = "document.querySelector('#means .scroll')"
    opened.evaluate(f"{part}.scrollTop = 600; new Promise(requestAnimationFrame)")
    top = "getBoundingClientRect().top"
    assert opened.evaluate(f"{part}.scrollTop") > 100
    assert opened.evaluate(f"Math.abs({part}.querySelector('th').{top} - {part}.{top})") <= 1


def test_p_values_are_in_sight(page):
    opened = page("seeds")
    table = "document.querySelector('#contrasts table')"
    heads = opened.evaluate(f"[...{table}.tHead.rows[0].cells].map(c => c.textContent)")
    right = f"{table}.tHead.rows[0].cells[{heads.index('p (Holm)')}].getBoundingClientRect().right"
    assert opened.evaluate(f"{right} <= {table}.parentElement.getBoundingClientRect().right")


def test_a_figure_is_enlarged_and_closed_by_mouse_and_by_keyboard(page):
    opened = page("smoke")
    is_open = "document.querySelector('dialog').open"
    opened.evaluate("document.querySelector('#answers figure img').click()")
    assert opened.evaluate(is_open) is True
    opened.wait_for("document.querySelector('dialog img').naturalWidth === 700")
    opened.evaluate("document.querySelector('dialog img').click()")
    assert opened.evaluate(is_open) is False
    opened.evaluate("document.querySelector('#answers figcaption button').focus()")
    opened.press("Enter", 13, "\r")
    assert opened.evaluate(is_open) is True
    opened.press("Escape", 27)
    opened.wait_for(f"!{is_open}")


#: Contrast of every text with what lies behind it, where that is less than 4.5 (WCAG 2, AA).
_FAINT = """(() => {
  const light = (rgb) => rgb.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (part) => {
    for (let e = part; e; e = e.parentElement) {
      const colour = numbers(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const part = walker.currentNode.parentElement;
    const isShown = walker.currentNode.textContent.trim() && part.checkVisibility();
    if (!isShown || part.closest("script, svg")) continue;
    const [a, b] = [light(numbers(getComputedStyle(part).color)), light(behind(part))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) faint.add(`${part.tagName}.${part.className} ${contrast.toFixed(1)}`);
  }
  return [...faint];
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_in_dark(page, scheme):
    opened = page("seeds")
    try:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        opened.call("Emulation.setEmulatedMedia", features=features)
        back = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", back)[:3])) < 150) == (scheme == "dark")
        assert opened.evaluate(_FAINT) == []
        opened.call("Emulation.setEmulatedMedia", media="print", features=features)
        assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    finally:
        opened.call("Emulation.setEmulatedMedia", media="", features=[])
