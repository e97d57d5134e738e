"""The panels in a real browser: JupyterLab in Chromium, every slider moved, every wipe dragged.

Skipped on a machine without Chromium, never in CI. Screenshots go to build/screenshots/.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]
NOTEBOOKS = ("01_data_loading", "04_interactive_evaluation")
SETTINGS = {
    # No question about news that covers a panel; cells out of sight stay in the page.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}

pytestmark = pytest.mark.skipif(
    not CHROMIUM and os.environ.get("CI") != "true", reason="no Chromium on this machine"
)

STATE = """() => {
  const cells = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')];
  const prompt = c => c.querySelector('.jp-InputPrompt').textContent;
  return {
    running: cells.filter(c => prompt(c).includes('*')).length,
    waiting: cells.filter(c => !/\\d/.test(prompt(c))).length,
    errors: [...document.querySelectorAll('[data-mime-type="application/vnd.jupyter.error"]')]
      .map(e => e.textContent.slice(-500)),
    stderr: [...document.querySelectorAll('[data-mime-type="application/vnd.jupyter.stderr"]')]
      .map(e => e.textContent.slice(-500)),
  };
}"""

# The bytes of a widget's picture; `src` alone also changes when the same picture is sent again.
DIGEST = """async img => {
  try {
    const data = await (await fetch(img.src)).arrayBuffer();
    const hash = await crypto.subtle.digest('SHA-256', data);
    return data.byteLength + ':' + [...new Uint8Array(hash)].slice(0, 8).join('.');
  } catch { return null; }  // replaced while we read it
}"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy: JupyterLab saves what it runs."""
    copy = tmp_path_factory.mktemp("browser") / "project"
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("notebooks", "helpers", "sample_data"):
        shutil.copytree(ROOT / name, copy / name, ignore=skip)
    shutil.copy(ROOT / "requirements.txt", copy)
    return copy


@pytest.fixture(scope="module")
def lab(project):
    """Address of a JupyterLab without token on the copy, with settings of its own."""
    home = project.parent
    for name, values in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(home / "config"), "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_PREFER_ENV_PATH": "1", "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
               f"--ServerApp.root_dir={project}", f"--ServerApp.port={port}",
               "--ServerApp.ip=127.0.0.1", "--ServerApp.port_retries=0",
               "--IdentityProvider.token=", "--ServerApp.password="]
    log_path = home / "lab.log"
    with open(log_path, "wb") as log:
        server = subprocess.Popen(command, cwd=project, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api/status", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, log_path.read_text()[-2000:]
                time.sleep(0.25)
        else:
            pytest.fail("JupyterLab did not start in a minute")
        yield address
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.fail("CI needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """A page, and the errors that its console has shown."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(
        f"{message.text} ({message.location.get('url', '')})") if message.type == "error" else None)
    yield page
    page.close()


def open_and_run(page, address, name, seconds=600):
    """Open a notebook, clear what is stored in it, and Run › Run All Cells, to the end."""
    page.goto(f"{address}/lab/tree/notebooks/{name}.ipynb?reset")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=60_000)
    # The notebook's own indicator says "idle" before there is a kernel; the status bar does not.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)
    menu(page, "Edit", "Clear Outputs of All Cells")
    page.wait_for_function(f"() => ({STATE})().waiting > 0")
    menu(page, "Run", "Run All Cells")
    wait_until(page, lambda: page.evaluate(STATE)["running"], seconds=10)
    assert page.locator("dialog.jp-Dialog").all_inner_texts() == []
    wait_until(page, lambda: not page.evaluate(STATE)["running"], seconds)
    state = page.evaluate(STATE)
    assert not state["running"], f"{name} is not done after {seconds} s"
    assert state["errors"] == []
    assert state["waiting"] == 0, f"{state['waiting']} cells did not run"


def menu(page, first, second):
    page.locator(".lm-MenuBar-itemLabel", has_text=first).first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text(second, exact=True).click()


def wait_until(page, condition, seconds):
    """Wait until ``condition()`` holds; False if that does not happen in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        page.wait_for_timeout(100)
    return False


def wait_for_picture(page, image, accept, seconds=60):
    """Wait until the digest of a picture is one to ``accept``; False if that never happens."""

    def shown():
        digest = image.evaluate(DIGEST)
        return digest and accept(digest)

    return wait_until(page, shown, seconds)


def move(control, page, image):
    """Move one slider or drop-down list, either way; True if the picture changed."""
    before = image.evaluate(DIGEST)

    def changed():
        return wait_for_picture(page, image, lambda digest: digest != before, seconds=20)

    if control.evaluate("e => e.tagName") == "SELECT":
        count = control.locator("option").count()
        control.select_option(index=(control.evaluate("e => e.selectedIndex") + 1) % count)
        return changed()
    control.focus()
    # aria-valuenow is rounded to one decimal; aria-valuetext is not.
    for key in ("ArrowLeft", "ArrowRight"):  # at one end of its range only one of them moves it
        was = control.get_attribute("aria-valuetext")
        control.press(key)  # once: a second picture would be taken for the next control's
        if control.get_attribute("aria-valuetext") != was:
            return changed()
    return False


# What a panel may not have: a bar to scroll by, text that is cut off, or more than one text size.
FLAWS = """panel => {
  const all = [panel, ...panel.querySelectorAll('*')];
  const visible = e => e.offsetParent !== null && getComputedStyle(e).visibility !== 'hidden';
  const bars = all.filter(e => /auto|scroll/.test(getComputedStyle(e).overflow)
    && (e.scrollHeight > e.clientHeight + 1 || e.scrollWidth > e.clientWidth + 1));
  const labels = [...panel.querySelectorAll('label, button, td, th, p')].filter(visible);
  const cut = labels.filter(e => e.scrollWidth > e.clientWidth + 1);
  const right = panel.closest('.jp-OutputArea-output').getBoundingClientRect().right;
  const beyond = all.filter(e => visible(e) && e.getBoundingClientRect().right > right + 1);
  return {
    bars: bars.map(e => e.className), cut: cut.map(e => e.textContent),
    beyond: beyond.map(e => e.className),
    sizes: [...new Set(labels.map(e => getComputedStyle(e).fontSize))],
  };
}"""
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


def use_theme(page, name):
    """Switch JupyterLab to its «Light» or «Dark» theme by its own menu."""
    page.locator(".lm-MenuBar-itemLabel", has_text="Settings").first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Theme", exact=True).hover()
    page.locator(".lm-Menu-itemLabel").get_by_text(f"JupyterLab {name}", exact=True).click()
    light = "true" if name == "Light" else "false"
    page.wait_for_function(f"() => document.body.dataset.jpThemeLight === '{light}'")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_panels_and_wipes(name, lab, page, project):
    notebook = nbformat.read(project / "notebooks" / f"{name}.ipynb", 4)
    sources = {c.id: c.source for c in notebook.cells if c.cell_type == "code"}
    panel_cells = [cell for cell in sources if cell.endswith("-panel")]
    wipe_cells = [cell for cell, source in sources.items() if "viz.wipe(" in source]
    assert panel_cells or wipe_cells
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    open_and_run(page, lab, name)

    panels = page.locator(".jp-OutputArea-output > .widget-vbox, "
                          ".jp-OutputArea-output .jupyter-widgets.widget-vbox")
    panels = panels.filter(has=page.locator("img.widget-image"))
    assert panels.count() == len(panel_cells)
    for i, cell in enumerate(panel_cells):
        panel = panels.nth(i)
        panel.scroll_into_view_if_needed()
        image = panel.locator("img.widget-image")
        assert wait_for_picture(page, image, bool), f"{cell}: no picture"
        start = image.evaluate(DIGEST)
        height = panel.bounding_box()["height"]
        controls = panel.locator("select, .noUi-handle")
        assert controls.count(), f"{cell}: nothing to move"
        for n in range(controls.count()):
            control = controls.nth(n)
            label = control.locator(
                "xpath=ancestor::*[contains(@class,'widget-inline-hbox')][1]//label"
            ).first.inner_text()
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
            panel.screenshot(path=SCREENSHOTS / f"{name}-{cell}-{theme.lower()}.png")

    wipes = page.locator(".jp-OutputArea-output [id^=wipe-]")
    assert wipes.count() == len(wipe_cells)
    for i, cell in enumerate(wipe_cells):
        wipe = wipes.nth(i)
        wipe.scroll_into_view_if_needed()
        cover = wipe.locator("img").nth(1)
        before = cover.evaluate("e => e.style.clipPath")
        box = wipe.bounding_box()
        y = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] / 2, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 5, y, steps=5)
        page.mouse.up()
        after = cover.evaluate("e => e.style.clipPath")
        assert before != after, f"{cell}: dragged, the edge stayed"
        percent = float(after.rstrip(") %").rsplit(" ", 1)[1])
        assert 15 < percent < 25, f"{cell}: the edge does not follow the mouse"
        wipe.locator("input[type=range]").press("ArrowRight")
        assert cover.evaluate("e => e.style.clipPath") != after, f"{cell}: arrow keys do nothing"
        wipe.screenshot(path=SCREENSHOTS / f"{name}-{cell}.png")

    assert page.evaluate(STATE)["stderr"] == []
    # The Colab badge lies elsewhere, and the test needs no network.
    assert [problem for problem in page.problems if "colab-badge.svg" not in problem] == []
