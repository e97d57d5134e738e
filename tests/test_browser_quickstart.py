"""Notebook 00 in a real browser: a file in, the file that comes back, and the wipe without kernel.

Skipped on a machine without Chromium, never in CI. Screenshots go to build/screenshots/.
"""

import subprocess
import sys

import numpy as np
import pytest
from lab_browser import (
    DIGEST,
    FLAWS,
    SCREENSHOTS,
    STATE,
    complaints,
    drag_and_press,
    move,
    open_and_run,
    panels_of,
    use_theme,
    wait_for_picture,
)
from PIL import Image, ImageCms

NAME = "00_quickstart"

@pytest.fixture
def photograph(tmp_path, project):
    """A JPEG that lies on its side, with a colour profile."""
    path, exif = tmp_path / "my photo.jpg", Image.Exif()
    exif[274] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with Image.open(project / "sample_data" / "real" / "hazy" / "china.jpg") as image:
        image.resize((900, 600)).save(path, exif=exif, icc_profile=profile)
    return path, profile


def choose(page, panel, path):
    with page.expect_file_chooser() as chooser:
        panel.locator(".widget-upload").click()
    chooser.value.set_files(path)


def test_a_photograph_of_ones_own(lab, page, photograph, tmp_path):
    path, profile = photograph
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    open_and_run(page, lab, NAME)
    drag_and_press(page, page.locator(".jp-OutputArea-output [id^=wipe-]"))

    panel = panels_of(page).first
    panel.scroll_into_view_if_needed()
    image = panel.locator("img.widget-image")
    assert wait_for_picture(page, image, bool)
    start = image.evaluate(DIGEST)
    choose(page, panel, path)
    assert wait_for_picture(page, image, lambda digest: digest != start), "the file is not shown"
    assert panel.locator("select").input_value() == path.name

    for control in panel.locator(".noUi-handle, .ui-slider-handle").all():
        assert move(control, page, image), "a slider moved, the picture stayed"
    panel.get_by_role("button", name="Make the file").click()
    link = panel.locator("a[download]")
    link.wait_for(timeout=30_000)
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == "my photo_dehazed.jpg"
    download.value.save_as(tmp_path / "back.jpg")
    with Image.open(tmp_path / "back.jpg") as back, Image.open(path) as was:
        assert back.size == (600, 900), "upright, and of its own size"
        assert back.info["icc_profile"] == profile
        assert back.getexif().get(274, 1) == 1
        before = np.asarray(was.transpose(Image.Transpose.ROTATE_270), "float32")
        assert np.abs(np.asarray(back, "float32") - before).mean() > 5, "nothing was done to it"

    for theme in ("Light", "Dark"):
        use_theme(page, theme)
        panel.scroll_into_view_if_needed()
        flaws = panel.evaluate(FLAWS)
        assert (flaws["bars"], flaws["cut"], flaws["beyond"]) == ([], [], [])
        panel.screenshot(path=SCREENSHOTS / f"{NAME}-photo-panel-{theme.lower()}.png")

    bad = tmp_path / "notes.jpg"
    bad.write_text("no image")
    choose(page, panel, bad)
    panel.get_by_text("notes.jpg: not an image, whatever its name says").wait_for(timeout=20_000)
    assert panel.locator("select").input_value() == path.name
    panel.get_by_role("button", name="Reset").click()
    assert wait_for_picture(page, image, lambda digest: digest == start)

    state = page.evaluate(STATE)
    assert state["stderr"] == [] and state["errors"] == []
    assert complaints(page) == []


def test_the_wipe_in_an_exported_page(page, project, tmp_path):
    """Opened from disk: no kernel, no server."""
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(tmp_path),
               str(project / "notebooks" / f"{NAME}.ipynb")]
    subprocess.run(command, check=True, capture_output=True)
    page.goto((tmp_path / f"{NAME}.html").as_uri())
    drag_and_press(page, page.locator("[id^=wipe-]"))


def test_the_wipe_without_scripts(browser, project):
    """Half of each picture: the cover is cut in the middle by its style alone."""
    import nbformat

    notebook = nbformat.read(project / "notebooks" / f"{NAME}.ipynb", 4)
    text = next(o["data"]["text/html"] for c in notebook.cells for o in c.get("outputs", [])
                if "wipe-" in o.get("data", {}).get("text/html", ""))
    page = browser.new_page(java_script_enabled=False)
    page.set_content(text)
    assert page.locator("img").count() == 2
    assert "inset(0px 0px 0px 50%)" in page.locator("img").nth(1).get_attribute("style").replace(
        "inset(0 0 0 50%)", "inset(0px 0px 0px 50%)")
    page.close()
