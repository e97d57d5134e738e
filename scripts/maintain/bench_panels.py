"""Measures the panels in a real browser: from a slider's input to new pixels (make bench does it).

    python scripts/maintain/bench_panels.py       every slider of the notebooks that have some
    python scripts/maintain/bench_panels.py 07    those of one notebook

JupyterLab opens a notebook of the panels' cells alone in Chromium (see lab_browser). Every slider
is moved by its arrow keys, to values that it has not had until its range ends, and the time between
the key and the picture's load event is taken in the page itself. Median and slowest of the presses
count, without the first. Prints a Markdown table.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

import lab_browser
from lab_browser import label_of, panels_of, wait_until

ROOT = Path(__file__).resolve().parents[2]
AIM, AIM_OF_NETWORK = 150, 400  # ms
NETWORK = {("density-panel", "β"), ("density-panel", "airlight")}  # these run the network

# In the page: when a key went down, and when the picture that followed it was there.
WATCH = """image => {
  window.benchKey = null;
  window.benchTimes = [];
  document.addEventListener('keydown', () => { window.benchKey = performance.now(); }, true);
  image.addEventListener('load', () => {
    if (window.benchKey !== null) window.benchTimes.push(performance.now() - window.benchKey);
    window.benchKey = null;
  });
}"""


def times_of(page, control, image, presses):
    """Milliseconds from key to picture for ``presses`` moves of a slider, the first left out."""
    image.evaluate(WATCH)
    control.focus()
    key = "ArrowLeft"
    for _ in range(presses + 1):
        done, was = page.evaluate("benchTimes.length"), control.get_attribute("aria-valuetext")
        control.press(key)
        if control.get_attribute("aria-valuetext") == was:  # the end of its range
            key = "ArrowRight"
            control.press(key)
        wait_until(page, lambda done=done: page.evaluate("benchTimes.length") > done, seconds=5)
    return page.evaluate("benchTimes")[1:]


def measure(page, cells, notebook, presses):
    """One row a slider of the open notebook, whose panel cells are ``cells``."""
    rows, panels = [], panels_of(page)
    for i, cell in enumerate(cells):
        panel = panels.nth(i)
        panel.scroll_into_view_if_needed()
        image = panel.locator("img.widget-image").first
        handles = panel.locator(".noUi-handle")
        for n in range(handles.count()):
            times = times_of(page, handles.nth(n), image, presses)
            rows.append({"notebook": notebook, "panel": cell, "control": label_of(handles.nth(n)),
                         "times_ms": times})
            panel.get_by_role("button", name="Reset").click()
            page.wait_for_timeout(500)
    return rows


def aim_of(row):
    """The most milliseconds that the median of a slider should take."""
    return AIM_OF_NETWORK if (row["panel"], row["control"]) in NETWORK else AIM


def table(rows):
    """The rows as a Markdown table; raises ValueError for a slider that never moved its picture."""
    lines = ["| notebook | panel | slider | median | slowest | aim |", "|---|---|---|--:|--:|--:|"]
    for row in rows:
        if not row["times_ms"]:
            raise ValueError(f"{row['panel']}: {row['control']} moved, the picture stayed.")
        lines.append(
            f"| {row['notebook'][:2]} | {row['panel'].removesuffix('-panel')} | {row['control']} | "
            f"{median(row['times_ms']):.0f} ms | {max(row['times_ms']):.0f} ms | {aim_of(row)} ms |"
        )
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", default=["00", "01", "03", "06", "07", "08"],
                        help="numbers of notebooks")
    parser.add_argument("--presses", type=int, default=10, help="moves of each slider")
    options = parser.parse_args(arguments)
    if not lab_browser.CHROMIUM:
        print("Chromium is not installed: the panels are not measured.")
        return
    paths = [p for n in options.notebooks for p in (ROOT / "notebooks").glob(f"{n}_*.ipynb")]
    rows = []
    with tempfile.TemporaryDirectory() as home, lab_browser.chromium() as browser:
        project = lab_browser.copy_project(Path(home) / "project")
        with lab_browser.serve(project) as address:
            for path in paths:
                print(f"{path.stem} …", file=sys.stderr, flush=True)
                cells, _ = lab_browser.panels_notebook(project, path.stem)
                page = lab_browser.new_page(browser)
                lab_browser.open_and_run(page, address, f"panels-{path.stem}")
                rows += measure(page, cells, path.stem, options.presses)
                page.close()
    print(table(rows))


if __name__ == "__main__":
    main()
