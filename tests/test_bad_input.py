"""Sound, odd, damaged and hostile image files: each loads right or gets one sentence that names it.

All are loaded in one child process, which tells how much memory it has taken and may be killed: a
file that hangs or eats the machine must not take the tests with it.
"""

import multiprocessing
import os
import shutil
import struct
import tempfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from pictures import (
    ALPHA,
    GREY,
    LOSSY,
    ORIGINALS,
    PICTURE,
    RGB,
    ROUGH,
    WIDE,
    X,
    Y,
    camera_data,
    chunk,
    damaged,
    encoded,
    png,
    png_rows,
    turned,
)
from PIL import Image

from helpers import images

MOST_MEMORY = 1000  # MB, all of the child's


def put(content, place, new):
    return content[:place] + new + content[place + len(new):]


def grey(values):
    return np.repeat(np.asarray(values, "float64")[..., None], 3, axis=-1)


def tiff(values):
    return encoded(np.asarray(values), "TIFF")


def edited_tiff(edits):
    """A TIFF with other values in its first directory: {tag: value}."""
    content = encoded(kind="TIFF")
    (first,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, first)
    for place in range(first + 2, first + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", content, place)
        if tag in edits:
            content = put(content, place + 2, struct.pack("<HII", 4, 1, edits[tag]))
    return content, first + 2 + 12 * count


def circular_tiff():
    """A TIFF whose second directory is its first one."""
    content, end = edited_tiff({})
    return put(content, end, content[4:8])


def flat(kind, width, height, **options):
    """One colour, :data:`FLAT`, all over: the file is small, the picture is not."""
    image = Image.new("RGB", (width, height), (200, 100, 50))
    return encoded(image, kind, **options)


def several(kind, **options):
    others = [Image.fromarray(p) for p in (255 - PICTURE, ROUGH[:24, :40])]
    return encoded(PICTURE, kind, save_all=True, append_images=others, **options)


def palette():
    """A palette image whose colour number 2 is transparent, and what it looks like on white."""
    indices = ((X + Y) % 4).astype("uint8")
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 199]], "uint8")
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette(colours.ravel().tolist())
    seen = np.where(indices[..., None] == 2, 1, colours[indices] / 255)
    return encoded(image, transparency=2), seen


XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
       b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
       b'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>')
FLAT = np.array([[[200, 100, 50]]]) / 255
LINE = np.broadcast_to((np.arange(20_000) % 251).astype("uint8")[None, :, None], (1, 20_000, 3))

# What loads right: name of the file, its content, the picture, the tolerance.
GOOD = {
    "bmp": ("a.BMP", lambda: encoded(kind="BMP"), RGB, 0),
    "phone": ("a.jpg", lambda: several("MPO", quality=98), RGB, LOSSY),
    "one-row-of-20000": ("a.png", lambda: encoded(LINE), LINE / 255, 0),
    "cmyk-jpeg": ("a.jpg", lambda: encoded(kind="JPEG", mode="CMYK", quality=98), RGB, LOSSY),
    "palette-with-transparency": ("a.png", lambda: palette()[0], palette()[1], 0),
    "grey-with-alpha": ("a.png", lambda: encoded(np.dstack([GREY, ALPHA])),
                        grey(np.where(ALPHA, GREY / 255, 1)), 0),
    "animated-gif": ("a.gif", lambda: several("GIF"), RGB, 0.12),
    "tiff-of-three-pages": ("a.tif", lambda: several("TIFF"), RGB, 0),
    "tiff-that-goes-in-circles": ("a.tif", circular_tiff, RGB, 0),
    "16-bit-rgb": ("a.png", lambda: png(depth=16, rows=png_rows(
        (PICTURE.astype("uint16") * 257).astype(">u2"))), RGB, 0),
    "progressive-jpeg-named-png": ("a.png", lambda: encoded(kind="JPEG", quality=98,
                                                            progressive=True), RGB, LOSSY),
    "garbage-as-exif": ("a.jpg", lambda: encoded(kind="JPEG", quality=98,
                                                 exif=b"Exif\0\0" + b"\xff\x00MM*" * 40),
                        RGB, LOSSY),
    "garbage-as-colour-profile": ("a.png", lambda: encoded(icc_profile=b"\xff" * 999), RGB, 0),
    "name-not-latin": ("-rf дымка 霧 ضباب 🌫️ é.png", encoded, RGB, 0),
    "name-of-250-letters": ("a" * 246 + ".png", encoded, RGB, 0),
    # Values of more than 8 bits: which one is white?
    "16-bits": ("a.png", lambda: encoded(WIDE), grey(WIDE / 65535), 0),
    "black-16-bits": ("a.png", lambda: encoded(WIDE * 0), grey(GREY * 0), 0),
    "12-bits-in-16": ("a.tif", lambda: tiff(GREY.astype("uint16") * 16),
                      grey(GREY / 255.9375), 0),
    "int32-to-65535": ("a.tif", lambda: tiff(GREY.astype("int32") * 257), grey(GREY / 255), 0),
    "floats-to-255": ("a.tif", lambda: tiff(GREY.astype("float32")), grey(GREY / 255), 0),
    "floats-to-1": ("a.tif", lambda: tiff(GREY.astype("float32") / 255), grey(GREY / 255), 0),
    # As large as is allowed.
    "large-jpeg": ("a.jpg", lambda: flat("JPEG", 7200, 7200, progressive=True), FLAT, LOSSY),
    "large-webp": ("a.webp", lambda: flat("WEBP", 5900, 5900, method=0), FLAT, LOSSY),
}
for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
    GOOD[f"{kind}-turned"] = (
        "a.png", lambda k=kind: encoded(turned(PICTURE, 6), k, exif=camera_data(6)),
        RGB, 0 if kind in ("PNG", "TIFF") else 2.5 * LOSSY)
GOOD["turned-by-xmp"] = "a.webp", lambda: encoded(turned(PICTURE, 6), "WEBP", xmp=XMP,
                                                 lossless=True), RGB, 0

DAMAGED, NO_IMAGE = "get a new copy", "not an image"
TOO_LARGE, WHITE = "make it smaller", "is white"


def cut(part, *arguments, **options):
    content = encoded(*arguments, **options)
    return content[:int(part * len(content))]


# What cannot be used: name of the file, its content, a part of the sentence.
BAD = {
    "zero-bytes": ("a.png", b"", NO_IMAGE),
    "web-page": ("a.jpg", b"<!doctype html><title>404</title>", NO_IMAGE),
    "git-lfs-pointer": ("дымка \"霧\" it's.png", b"version https://git-lfs.github.com/spec/v1\noid",
                        NO_IMAGE),
    "heic": ("a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "save it as JPEG"),
    "heic-named-jpg": ("a.jpg", b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(99), "as JPEG"),
    "truncated-jpeg": ("a.jpg", cut(0.5, ROUGH, "JPEG"), DAMAGED),
    "truncated-png": ("a.png", cut(0.5, ROUGH), DAMAGED),
    "truncated-avif": ("a.avif", cut(0.5, ROUGH, "AVIF"), "remove it"),
    "truncated-tiff": ("a.tif", cut(0.5, ROUGH, "TIFF"), "remove it"),
    "damaged-pixels": ("a.png", put(encoded(ROUGH), 6000, b"\xff" * 9), DAMAGED),
    "without-pixels": ("a.png", png(), DAMAGED),
    "png-bomb": ("a.png", png(100_000, 100_000, rows=bytes(99)), TOO_LARGE),
    "tiff-bomb": ("a.tif", edited_tiff({256: 100_000, 257: 100_000})[0], TOO_LARGE),
    "a-little-too-large": ("a.jpg", flat("JPEG", 7300, 7300), TOO_LARGE),
    "webp-a-little-too-large": ("a.webp", flat("WEBP", 6000, 6000), TOO_LARGE),
    "text-bomb": ("a.png", png(rows=png_rows(PICTURE), before=chunk(
        b"zTXt", b"Comment\0\0" + zlib.compress(bytes(99_000_000)))), DAMAGED),
    "12-bits-in-a-png": ("a.png", encoded(GREY.astype("uint16") * 16), WHITE),
    "12-bits-a-colour": ("a.png", png(depth=16, rows=png_rows(
        (PICTURE.astype("uint16") * 16).astype(">u2"))), "save it with 8"),
    "int32-to-a-million": ("a.tif", tiff(GREY.astype("int32") * 4000), WHITE),
    "floats-from-minus-1": ("a.tif", tiff(GREY.astype("float32") / 127.5 - 1), WHITE),
    "one-nan": ("a.tif", tiff(np.where(X == 3, np.nan, GREY / 255).astype("float32")), WHITE),
    "inverted": ("a.tif", encoded(WIDE, "TIFF", tiffinfo={262: 0}), WHITE),
}


def forbidden(path):
    path.write_bytes(encoded())
    path.chmod(0)


# What is no plain file: how it is made, and a part of the sentence.
ODD = {
    "missing": (lambda path: None, "no such file"),
    "folder": (Path.mkdir, "no such file"),
    "link-to-itself": (lambda path: path.symlink_to(path), "no such file"),
    "link-to-endless-zeros": (lambda path: path.symlink_to("/dev/zero"), "no such file"),
    "named-pipe": (getattr(os, "mkfifo", None), "no such file"),
    "unreadable": (forbidden, "cannot be read (Permission denied)"),
}


def load(path):
    """(image or sentence, MB that the child has taken at most)."""
    try:
        result = images.load_image(path)
    except images.ImageError as error:
        result = str(error)
    status = Path("/proc/self/status")
    peak = int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e3 if status.exists() else 0
    if not isinstance(result, str) and result.size > 9e6:
        result = result[::999, ::999].copy()  # to send it takes memory, too
    return result, peak


def without_rights():
    """The child reads as a user without special rights."""
    Image.init()  # the plugins must be read before the rights are given up
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        os.setuid(65534)


@pytest.fixture(scope="module")
def child():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), without_rights) as pool:

        def ask(path):
            result, megabytes = pool.submit(load, path).result(timeout=60)
            assert megabytes < MOST_MEMORY, path.name
            return result

        yield ask


@pytest.fixture
def folder():
    """A folder that a user without special rights may look into (pytest's own they may not)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def assert_one_sentence(message, path, remedy=""):
    assert isinstance(message, str), "it loads"
    assert message.startswith(f"{path}: ") and remedy in message, message
    assert message.endswith(".") and "\n" not in message and len(message) < 400 + len(str(path))


@pytest.mark.parametrize("name, content, expected, tolerance", GOOD.values(), ids=GOOD)
def test_loads_right(folder, child, name, content, expected, tolerance):
    path = folder / name
    path.write_bytes(content())
    image = child(path)
    assert not isinstance(image, str), image
    assert image.dtype == np.float32 and (image.shape == expected.shape or expected is FLAT)
    assert np.abs(image - expected).max() <= tolerance + 1e-6


@pytest.mark.parametrize("name, content, remedy", BAD.values(), ids=BAD)
def test_says_what_is_wrong(folder, child, name, content, remedy):
    path = folder / name
    path.write_bytes(content)
    assert_one_sentence(child(path), path, remedy)


@pytest.mark.skipif(os.name == "nt", reason="no symbolic links, pipes and rights of this kind")
@pytest.mark.parametrize("make, remedy", ODD.values(), ids=ODD)
def test_no_plain_file(folder, child, make, remedy):
    make(folder / "a.png")
    assert_one_sentence(child(folder / "a.png"), folder / "a.png", remedy)


@pytest.mark.parametrize("name, content, reason", [
    ("a.jpg", b"", None), ("notes.txt", b"no picture", None), ("a.HEIC", b"", "as JPEG"),
    ("a.cr2", b"", "not read; save it"), ("photo", encoded(), "add .jpg or .png"),
    ("photo.jpg_original", encoded(kind="JPEG"), "add .jpg or .png"), ("empty", b"", None),
])
def test_why_a_file_is_passed_over(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    told = images.why_not(tmp_path / name)
    assert told == reason if reason is None else reason in told


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "AVIF"])
def test_shrunk_while_it_is_read(kind):
    content = encoded(Image.fromarray(turned(PICTURE, 6)).resize((240, 400)), kind,
                      exif=camera_data(6))
    image = images.open_image(content, within=(np.inf, 24))
    assert image.size == (40, 24) and image.info["size"] == (400, 240)
    assert np.abs(images.to_rgb(image) - RGB).mean() < 0.03
    assert images.open_image(content, within=(9999, 9999)).size == (400, 240)


def test_500_randomly_damaged_files(folder, child):
    """Each loads as Pillow itself sees it or gets one sentence: the same in folder and panel."""
    import dehaze

    from helpers.models import physics_unet
    from helpers.panels.photo import Photo

    rng, generator = np.random.default_rng(2026), physics_unet(filters=(4, 4), blocks=(0, 1))
    generator.architecture = {"network": "physics_unet"}
    problems, bad = [], set()
    for n in range(500):
        path = folder / f"{n}.png"
        path.write_bytes(damaged(ORIGINALS[n % len(ORIGINALS)], rng))
        result = child(path)
        if isinstance(result, str):
            assert_one_sentence(result, path)
            problems.append(result)
            bad.add(path)
            with pytest.raises(images.ImageError, match=r"^my photo: .*\.$"):
                Photo(path.read_bytes(), "my photo", generator)
            continue
        assert result.min() >= 0 and result.max() <= 1, n
        with Image.open(path) as image:
            if image.mode == "RGB" and image.getexif().get(0x0112, 1) == 1:
                assert np.abs(result - np.asarray(image) / 255).max() < 1e-6, n
        if n % 10 == 0:  # the network takes longer than the file
            Photo(path.read_bytes(), "my photo", generator).file()
    pairs, none = dehaze.plan(folder, folder / "out")
    made, told = dehaze.dehaze_files(lambda x, training: x, pairs)
    assert none == [] and sorted(told) == sorted(problems)
    assert made == 500 - len(bad) == len(list((folder / "out").iterdir()))
    assert made >= 75 and len(bad) >= 150, "too little damage, or too much"
