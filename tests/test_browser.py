"""The panels in a real browser: JupyterLab in Chromium, every slider moved, every wipe dragged.

A lesson's panels run without the lesson, see lab_browser.panels_notebook. Skipped on a machine
without Chromium, never in CI. Screenshots go to build/screenshots/.
"""

import io

import numpy as np
import pytest
from lab_browser import (
    DIGEST,
    FLAWS,
    SCREENSHOTS,
    STATE,
    complaints,
    drag_and_press,
    label_of,
    move,
    open_and_run,
    panels_notebook,
    panels_of,
    use_theme,
    wait_for_picture,
)
from PIL import Image

from helpers import viz

NOTEBOOKS = ("01_haze", "03_why_an_adversary", "06_what_breaks_if", "07_interactive_evaluation",
             "08_beyond_pix2pix")

# Contrast of the numbers and labels with what is behind them, as WCAG defines it; 4.5 is its floor.
CONTRAST = """panel => {
  const rgb = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => rgb(c).slice(0, 3).map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor, parts = rgb(c);
      if (parts.length === 3 || parts[3] > 0.99) return c;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = [...panel.querySelectorAll('label, td, p')].filter(e => e.textContent);
  return Math.min(...texts.map(e => {
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  }));
}"""


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_panels_and_wipes(name, lab, page, project):
    panel_cells, wipe_cells = panels_notebook(project, name)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    open_and_run(page, lab, f"panels-{name}")

    panels = panels_of(page)
    assert panels.count() == len(panel_cells) > 0
    for i, cell in enumerate(panel_cells):
        panel = panels.nth(i)
        panel.scroll_into_view_if_needed()
        image = panel.locator("img.widget-image").first
        assert wait_for_picture(page, image, bool), f"{cell}: no picture"
        start = image.evaluate(DIGEST)
        height = panel.bounding_box()["height"]
        controls = panel.locator("select, .noUi-handle, .ui-slider-handle")
        assert controls.count(), f"{cell}: nothing to move"
        for n in range(controls.count()):
            control = controls.nth(n)
            label = label_of(control)
            assert move(control, page, image), f"{cell}: {label!r} moved, the picture stayed"
            if control.evaluate("e => e.tagName") != "SELECT":
                assert panel.bounding_box()["height"] == height, f"{cell}: {label!r} makes it jump"
            height = panel.bounding_box()["height"]
        panel.get_by_role("button", name="Reset").click()
        back = wait_for_picture(page, image, lambda digest, start=start: digest == start)
        assert back, f"{cell}: Reset does not bring the first picture back"
        flaws = panel.evaluate(FLAWS)
        assert len(flaws.pop("sizes")) == 1 and not any(flaws.values()), f"{cell}: {flaws}"
    for theme in ("Dark", "Light"):
        use_theme(page, theme)
        for i, cell in enumerate(panel_cells):
            panel = panels.nth(i)
            panel.scroll_into_view_if_needed()
            assert panel.evaluate(CONTRAST) > 4.5, f"{cell}: hard to read in the {theme} theme"
            for chart in panel.locator(".panel-chart").all():
                inverted = chart.evaluate("e => getComputedStyle(e).filter") != "none"
                assert inverted == (theme == "Dark"), f"{cell}: the chart in the {theme} theme"
            panel.screenshot(path=SCREENSHOTS / f"{name}-{cell}-{theme.lower()}.png")

    wipes = page.locator(".jp-OutputArea-output [id^=wipe-]")
    assert wipes.count() == len(wipe_cells)
    for i, cell in enumerate(wipe_cells):
        wipe = wipes.nth(i)
        drag_and_press(page, wipe)
        wipe.screenshot(path=SCREENSHOTS / f"{name}-{cell}.png")

    assert page.evaluate(STATE)["stderr"] == []
    assert complaints(page) == []


def test_a_wipe_without_scripts_shows_half_of_each(browser):
    """As on a page that forbids them: the cover is divided in the middle by its style alone."""
    black, white = (np.full((80, 120, 3), level, "float32") for level in (0, 1))
    page = browser.new_page(java_script_enabled=False)
    page.set_content(f"<body style='margin:0'>{viz.wipe(black, white, width=120).data}")
    seen = np.asarray(Image.open(io.BytesIO(page.locator("[id^=wipe-]").screenshot())))
    page.close()
    assert seen.shape[:2] == (80, 120)
    assert seen[10:40, 10:50].max() < 10 and seen[10:40, 70:110, :3].min() > 245
