"""helpers.panels.photo: a reader's own file in, a file of the same kind out; and its panel."""

import base64
import io
import re
from datetime import datetime

import ipywidgets
import numpy as np
import pytest
from pictures import SRGB, camera_data, encoded
from PIL import Image

from helpers import env
from helpers.images import open_image, to_rgb
from helpers.inference import dehaze
from helpers.panels.photo import HINT, Photo, download_link, photo_panel, uploaded
from helpers.weights import load_generator

HAZY = env.SAMPLE_DATA / "real" / "hazy" / "golden-temple.jpg"


@pytest.fixture(scope="module")
def generator():
    return load_generator(env.SAMPLE_DATA / "weights" / "improved" / "generator.safetensors")


def picture(mode="RGB", size=(60, 40)):
    with Image.open(HAZY) as image:
        return image.resize(size).convert(mode)


def opened(photo, strength=1.0):
    name, mime, content = photo.file(strength)
    image = Image.open(io.BytesIO(content))
    image.load()
    assert Image.MIME[image.format] == mime
    return name, image


def test_a_file_comes_back_as_the_folder_command_would_write_it(generator):
    content = encoded(picture(), "JPEG", icc_profile=SRGB, exif=camera_data(6))
    told, image = opened(Photo(content, "in/my photo.JFIF", generator))
    assert told == "my photo_dehazed.JFIF"
    assert (image.format, image.size, image.mode) == ("JPEG", (40, 60), "RGB")
    expected = dehaze(generator, to_rgb(open_image(content)))
    assert np.abs(np.asarray(image) / 255 - expected).mean() < 0.02


def test_grey_stays_grey(generator):
    photo = Photo(encoded(picture("L")), "grey.png", generator)
    shown, _ = photo(1.5, wipe=0)
    assert np.ptp(shown, axis=-1).max() == 0
    _, image = opened(photo, 1.5)
    assert image.mode == "L"


def test_strength_and_wipe(generator):
    photo = Photo(HAZY, "golden-temple.jpg", generator)
    right = {s: photo(s, wipe=0)[0] for s in (0, 0.5, 1, 1.5)}
    assert np.abs(right[0] - photo.small)[:400].max() < 0.01
    changes = [np.abs(right[s] - photo.small).mean() for s in (0.5, 1.0, 1.5)]
    assert 0.01 < changes[0] < changes[1] < changes[2]
    left, text = photo(wipe=1.0)
    assert left.shape == right[1].shape and left.shape[1] == 640
    assert "640 pixels" in text and "golden-temple.jpg" in text
    assert np.abs(left[100:] - photo.small[100:]).mean() < 0.01
    _, image = opened(photo)
    assert np.abs(np.asarray(image) / 255 - right[1])[:400].mean() < 0.02, "what is shown is made"


def test_uploaded_reads_both_versions_of_ipywidgets():
    old = {"a.jpg": {"content": b"1", "metadata": {}}, "b.jpg": {"content": b"2", "metadata": {}}}
    new = ({"name": "b.jpg", "content": memoryview(b"2"), "size": 1},)
    assert uploaded(old) == uploaded(new) == ("b.jpg", b"2")
    assert uploaded({}) is None and uploaded(()) is None


def test_a_link_holds_the_file_and_nothing_that_its_name_smuggles_in():
    text = download_link('x"><script>.png', "image/png", b"\x89PNG")
    assert "<script>" not in text and 'download="x&quot;&gt;&lt;script&gt;.png"' in text
    data = re.search(r'href="data:image/png;base64,([^"]+)"', text)[1]
    assert base64.b64decode(data) == b"\x89PNG"


def drop(panel, name, content):
    """What the browser does to the upload button."""
    upload = panel.children[0].children[0]
    if ipywidgets.__version__.startswith("7"):
        return upload.set_trait("value", {name: {"content": content, "metadata": {"name": name}}})
    upload.set_trait("value", ({"name": name, "content": memoryview(content), "type": "",
                                "size": len(content), "last_modified": datetime.now()},))


def test_the_panel(generator, tmp_path):
    panel = photo_panel(generator, [HAZY])
    (_, path), said, view = panel.children[0].children, panel.children[1], panel.children[2]
    save, link = panel.children[3].children
    photo, strength, _wipe, reset = view.children[0].children
    image = view.children[1].children[0].children[0]
    first = image.value
    assert HINT in said.value, "an upload that gets lost is never heard of"
    drop(panel, "mine.png", encoded(picture(size=(90, 60))))
    assert photo.value == "mine.png" and image.value != first and HINT in said.value
    drop(panel, "<b>.png", b"no image")
    assert "&lt;b&gt;.png: not an image" in said.value and photo.value == "mine.png"
    save.click()
    assert 'download="mine_dehazed.png"' in link.value
    strength.value = 0.5
    assert "download" not in link.value, "it would save another strength than the one shown"
    reset.click()
    assert photo.value == "golden-temple" and image.value == first

    named = tmp_path / "other.png"
    named.write_bytes(encoded(picture(size=(90, 60))))
    path.value = f' "{named}" '
    assert photo.value == "other.png" and HINT in said.value
    path.value = "~nobody/<i>.png"
    assert "~nobody/&lt;i&gt;.png: no such file" in said.value and photo.value == "other.png"
    named.unlink()
    save.click()
    assert "other.png: no such file" in link.value
