"""JupyterLab in Chromium: a server on a copy of the project, a page, Run All, controls to move.

The browser tests take it through the fixtures of conftest.py, bench_panels.py directly.
"""

import ast
import contextlib
import dis
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

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium")
WIDTH = 1280
UPLOADS = "--ServerApp.tornado_settings={'websocket_max_message_size':104857600}"  # as `make lab`
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SETTINGS = {
    # No question about news that covers a panel; cells out of sight stay in the page.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}

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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def copy_project(folder):
    """A copy of what the notebooks need: JupyterLab saves what it runs."""
    skip = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in ("notebooks", "helpers", "sample_data"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    shutil.copy(ROOT / "requirements.txt", folder)
    return folder


def names_of(code):
    """(names that a code object binds, names that it and its functions use)."""
    found = {"STORE_NAME": set(), "LOAD_NAME": set(), "LOAD_GLOBAL": set()}
    for instruction in dis.get_instructions(code):
        found.get(instruction.opname, set()).add(instruction.argval)
    inner = [names_of(part)[1] for part in code.co_consts if hasattr(part, "co_code")]
    return found["STORE_NAME"], found["LOAD_NAME"].union(found["LOAD_GLOBAL"], *inner)


def panels_notebook(project, name):
    """Write a lesson's panels and wipes into a notebook ``panels-NAME`` beside it.

    Of the other cells, only the statements are kept that bind what these need: it runs in seconds,
    where the lesson takes a minute. Returns (ids of the panels' cells, ids of the wipes').
    """
    lesson = nbformat.read(project / "notebooks" / f"{name}.ipynb", 4)
    setup, *cells = [cell for cell in lesson.cells if cell.cell_type == "code"]
    kept, needed = [], set()
    for cell in reversed(cells):
        shown = cell.id.endswith("-panel") or "viz.wipe(" in cell.source
        statements = []
        for statement in reversed(ast.parse(cell.source).body):
            bound, used = names_of(compile(ast.Module([statement], []), cell.id, "exec"))
            if shown or bound & needed:
                needed = needed - bound | used
                statements.insert(0, ast.unparse(statement))
        if statements:
            cell.source = "\n".join(statements)
            kept.insert(0, cell)
    lesson.cells = [setup, *kept]
    nbformat.write(lesson, project / "notebooks" / f"panels-{name}.ipynb")
    return ([cell.id for cell in kept if cell.id.endswith("-panel")],
            [cell.id for cell in kept if "viz.wipe(" in cell.source])


@contextlib.contextmanager
def serve(project):
    """Address of a JupyterLab without token on a copy, with settings of its own beside it."""
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
               "--IdentityProvider.token=", "--ServerApp.password=", UPLOADS]
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
            raise AssertionError("JupyterLab did not start in a minute")
        yield address
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def chromium():
    """Debian's Chromium under Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def new_page(browser):
    """A page of 1280 pixels, and in ``page.problems`` the errors that its console has shown."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 1000})
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(
        f"{message.text} ({message.location.get('url', '')})") if message.type == "error" else None)
    return page


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
    # aria-valuenow is rounded to one decimal; aria-valuetext is not, but ipywidgets 7 has none.
    place = "e => e.getAttribute('aria-valuetext') || e.style.left"
    for key in ("ArrowLeft", "ArrowRight"):  # at one end of its range only one of them moves it
        was = control.evaluate(place)
        control.press(key)  # once: a second picture would be taken for the next control's
        if control.evaluate(place) != was:
            return changed()
    return False


def drag_and_press(page, wipe):
    """Drag the edge of a wipe by mouse and by finger, then move it by keys."""
    cover = wipe.locator("img").nth(1)

    def edge():
        return float(cover.evaluate("e => e.style.clipPath").rstrip(") %").rsplit(" ", 1)[1])

    wipe.scroll_into_view_if_needed()
    box = wipe.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 5, y, steps=5)
    page.mouse.up()
    assert 15 < edge() < 25, "the edge does not follow the mouse"
    before = edge()
    wipe.locator("input[type=range]").press("ArrowRight")
    assert edge() > before
    touch = page.context.new_cdp_session(page)
    for kind, part in (("touchStart", 0.3), ("touchMove", 0.6), ("touchMove", 0.8)):
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [
            {"x": box["x"] + part * box["width"], "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert wait_until(page, lambda: 70 < edge() < 90, 5), f"no touch: the edge is at {edge()}"


def complaints(page):
    """Errors of the console, but for two that are not ours.

    The Colab badge lies elsewhere, and the test needs no network; the front end of ipywidgets 7
    asks for MathJax 2, which JupyterLab 4 has not.
    """
    return [p for p in page.problems if "colab-badge.svg" not in p and "'Queue'" not in p]


def panels_of(page):
    """The panels on a page: outputs with controls and a picture."""
    panels = page.locator(".jp-OutputArea-output .widget-vbox:not(.widget-vbox .widget-vbox)")
    return panels.filter(has=page.locator("img.widget-image"))


def label_of(control):
    return control.locator(
        "xpath=ancestor::*[contains(@class,'widget-inline-hbox')][1]//label"
    ).first.inner_text()


def use_theme(page, name):
    """Switch JupyterLab to its "Light" or "Dark" theme by its own menu."""
    page.locator(".lm-MenuBar-itemLabel", has_text="Settings").first.click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Theme", exact=True).hover()
    page.locator(".lm-Menu-itemLabel").get_by_text(f"JupyterLab {name}", exact=True).click()
    light = "true" if name == "Light" else "false"
    page.wait_for_function(f"() => document.body.dataset.jpThemeLight === '{light}'")
    page.locator("#jupyterlab-splash").wait_for(state="detached")  # it fades over the page
