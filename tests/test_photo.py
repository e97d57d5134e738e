"""helpers.photo: a reader's own file in, a file of the same kind out; and its panel."""

import base64
import io
import re
from datetime import datetime

import ipywidgets
import numpy as np
import pytest
from PIL import Image, ImageCms

from helpers import env

env.import_tensorflow()

from helpers.images import ImageError
from helpers.panels import widgets
from helpers.panels.photo import Photo, download_link, uploaded
from helpers.weights import load_generator

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GENERATOR = load_generator(env.SAMPLE_DATA / "weights" / "improved" / "generator.safetensors")
HAZY = env.SAMPLE_DATA / "real" / "hazy" / "golden-temple.jpg"


def picture(mode="RGB", size=(60, 40)):
    with Image.open(HAZY) as image:
        return image.resize(size).convert(mode)


def file_of(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(photo, strength=1.0):
    name, mime, content = photo.file(strength)
    image = Image.open(io.BytesIO(content))
    image.load()
    assert Image.MIME[image.format] == mime
    return name, image


@pytest.mark.parametrize("kind, suffix", [
    ("JPEG", ".jpg"), ("JPEG", ".JPEG"), ("PNG", ".png"), ("WEBP", ".webp"), ("TIFF", ".tif")])
def test_a_file_comes_back_in_its_own_format_and_size_with_its_profile(kind, suffix):
    content = file_of(picture(), kind, icc_profile=PROFILE)
    name, image = opened(Photo(content, f"my photo{suffix}", GENERATOR))
    assert name == f"my photo_dehazed{suffix}"
    assert (image.format, image.size, image.mode) == (kind, (60, 40), "RGB")
    assert image.info["icc_profile"] == PROFILE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_comes_back_upright(orientation):
    exif = Image.Exif()
    exif[274], exif[271] = orientation, "A camera"
    photo = Photo(file_of(picture(), "JPEG", exif=exif, quality=95), "turned.jpg", GENERATOR)
    _, image = opened(photo, strength=0.0)
    assert image.size == ((60, 40) if orientation < 5 else (40, 60))
    assert image.getexif().get(274, 1) == 1 and image.getexif()[271] == "A camera"
    assert np.abs(np.asarray(image, "float32") / 255 - photo.image).mean() < 0.02


@pytest.mark.parametrize("mode, kind", [("L", "JPEG"), ("L", "PNG"), ("1", "PNG"), ("I;16", "PNG"),
                                        ("LA", "PNG"), ("F", "TIFF")])
def test_grey_stays_grey(mode, kind):
    image = picture("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image, "uint16") * 257)
    elif mode == "F":
        image = Image.fromarray(np.asarray(image, "float32") / 255)
    else:
        image = image.convert(mode)
    photo = Photo(file_of(image, kind), "grey", GENERATOR)
    assert np.ptp(photo.dehazed(1.5), axis=-1).max() < 1e-6
    _, saved = opened(photo)
    assert np.ptp(np.asarray(saved.convert("RGB"), int), axis=-1).max() <= (kind == "JPEG")


def test_strength_and_wipe():
    photo = Photo(HAZY, "golden-temple.jpg", GENERATOR)
    assert np.abs(photo.dehazed(0.0) - photo.image).max() < 1e-6
    changes = [np.abs(photo.dehazed(s) - photo.image).mean() for s in (0.5, 1.0, 1.5)]
    assert 0.01 < changes[0] < changes[1] < changes[2]
    left, text = photo(wipe=1.0)
    right, _ = photo(wipe=0.0)
    assert left.shape == right.shape and left.shape[1] == 640
    assert "640 pixels" in text and "golden-temple.jpg" in text
    assert np.abs(left[100:] - photo.small[100:]).mean() < 0.01 < np.abs(right - left).mean()


def test_transparency_is_kept_and_a_gif_becomes_png():
    image = picture("RGBA")
    image.putalpha(128)
    _, saved = opened(Photo(file_of(image, "PNG"), "glass.png", GENERATOR))
    assert saved.mode == "RGBA" and set(np.unique(np.asarray(saved)[..., 3])) == {128}
    name, saved = opened(Photo(file_of(picture("P"), "GIF"), "old.gif", GENERATOR))
    assert name == "old_dehazed.png" and saved.format == "PNG"


def test_a_wrong_ending_gets_the_right_one():
    name, _ = opened(Photo(file_of(picture(), "PNG"), "in/fact.jpg", GENERATOR))
    assert name == "fact_dehazed.png"


@pytest.mark.parametrize("content", [b"", b"no image", file_of(picture(), "JPEG")[:300]],
                         ids=["empty", "text", "cut"])
def test_what_is_no_image_gets_a_sentence_with_its_name(content):
    with pytest.raises(ImageError, match=r"^holiday\.jpg: .*\.$"):
        Photo(content, "holiday.jpg", GENERATOR)


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


def test_the_panel():
    panel = widgets.photo_panel(GENERATOR, [HAZY])
    said, view = panel.children[0].children[1], panel.children[1]
    save, link = panel.children[2].children
    photo, strength, _wipe, reset = view.children[0].children
    image = view.children[1].children[0].children[0]
    first = image.value
    drop(panel, "mine.png", file_of(picture(size=(90, 60)), "PNG"))
    assert photo.value == "mine.png" and image.value != first and "script" not in said.value
    drop(panel, "<b>.png", b"no image")
    assert "&lt;b&gt;.png: not an image" in said.value and photo.value == "mine.png"
    save.click()
    assert 'download="mine_dehazed.png"' in link.value
    strength.value = 0.5
    assert "download" not in link.value, "it would save another strength than the one shown"
    reset.click()
    assert photo.value == "golden-temple" and image.value == first
