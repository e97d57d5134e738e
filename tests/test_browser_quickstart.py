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
    UPLOADS,
    complaints,
    drag_and_press,
    move,
    open_and_run,
    panels_of,
    use_theme,
    wait_for_picture,
)
from pictures import SRGB
from PIL import Image

from helpers import env

NAME = "00_quickstart"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A JPEG of 24 megapixels and 13 MB that lies on its side, with a colour profile."""
    path, exif = tmp_path_factory.mktemp("photograph") / "my photo.jpg", Image.Exif()
    exif[274] = 6
    with Image.open(env.SAMPLE_DATA / "real" / "hazy" / "bent-pyramid.jpg") as image:
        image.resize((6000, 4000)).save(path, quality=95, exif=exif, icc_profile=SRGB)
    with open(path, "ab") as file:  # a smooth picture is small; what follows its end is not read
        file.write(np.random.default_rng(0).bytes(13_000_000 - path.stat().st_size))
    return path


def choose(page, panel, path):
    with page.expect_file_chooser() as chooser:
        panel.locator(".widget-upload").click()
    chooser.value.set_files(path)


def test_make_lab_takes_what_the_test_uploads():
    assert UPLOADS in (env.ROOT / "Makefile").read_text()


def test_a_photograph_of_ones_own(lab, page, large, tmp_path):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    open_and_run(page, lab, NAME)
    drag_and_press(page, page.locator(".jp-OutputArea-output [id^=wipe-]"))

    panel = panels_of(page).first
    panel.scroll_into_view_if_needed()
    image = panel.locator("img.widget-image")
    assert wait_for_picture(page, image, bool)
    start = image.evaluate(DIGEST)
    choose(page, panel, large)
    assert wait_for_picture(page, image, lambda digest: digest != start), "the file is not shown"
    assert panel.locator("select").input_value() == large.name

    for control in panel.locator(".noUi-handle, .ui-slider-handle").all():
        assert move(control, page, image), "a slider moved, the picture stayed"
    panel.get_by_role("button", name="Make the file").click()
    link = panel.locator("a[download]")
    link.wait_for(timeout=60_000)
    with page.expect_download(timeout=60_000) as download:
        link.click()
    assert download.value.suggested_filename == "my photo_dehazed.jpg"
    download.value.save_as(tmp_path / "back.jpg")
    with Image.open(tmp_path / "back.jpg") as back, Image.open(large) as was:
        assert back.size == (4000, 6000), "upright, and of its own size"
        assert back.info["icc_profile"] == SRGB and back.getexif().get(274, 1) == 1
        was, back = (np.asarray(picture.reduce(10), "float32") for picture in (
            was.transpose(Image.Transpose.ROTATE_270), back))
        assert np.abs(back - was).mean() > 5, "nothing was done to it"

    bad = tmp_path / "notes.jpg"
    bad.write_text("no image")
    choose(page, panel, bad)
    panel.get_by_text("notes.jpg: not an image, whatever its name says").wait_for(timeout=20_000)
    assert panel.locator("select").input_value() == large.name
    path = panel.get_by_placeholder("or the path of a file")
    path.fill(str(env.SAMPLE_DATA / "real" / "hazy" / "china.jpg"))
    path.press("Enter")
    panel.get_by_text("An upload of more than 10 MB gets lost").wait_for(timeout=20_000)
    assert panel.locator("select").input_value() == "china.jpg"
    for theme in ("Light", "Dark"):
        use_theme(page, theme)
        panel.scroll_into_view_if_needed()
        flaws = panel.evaluate(FLAWS)
        assert (flaws["bars"], flaws["cut"], flaws["beyond"]) == ([], [], [])
        panel.screenshot(path=SCREENSHOTS / f"{NAME}-photo-panel-{theme.lower()}.png")
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
