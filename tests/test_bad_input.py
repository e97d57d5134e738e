"""Damaged, odd and hostile image files: each loads right or gets one sentence that names it.

All are loaded in one child process, which tells how much memory a file took and is killed when it
takes too long: a file that hangs or eats the machine must not take the tests with it.
"""

import io
import multiprocessing
import os
import shutil
import struct
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import images

MOST_MEMORY = 1000  # MB, all of the child's
LONGEST = 20  # seconds; 52 megapixels take about one
Y, X = np.mgrid[0:24, 0:40]
PICTURE = np.stack([X * 6, Y * 10, 255 - X * 3 - Y * 4], axis=-1).astype("uint8")
GREY = PICTURE[..., 1]
RGB = PICTURE / 255
RNG = np.random.default_rng(0)
ROUGH = RNG.integers(0, 256, (64, 64, 3)).astype("uint8")  # its files are long
OTHER = 255 - PICTURE
LOSSY = 0.06  # JPEG and WebP of quality 98 keep PICTURE to within this


# --- making files -------------------------------------------------------------------------------


def encoded(pixels=PICTURE, kind="PNG", mode=None, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name, content, checksum=None):
    checksum = zlib.crc32(name + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png(width=40, height=24, depth=8, kind=2, rows=None, before=b""):
    """A PNG by hand; without ``rows`` it has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows)) if rows else b""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + pixels + chunk(b"IEND", b""))


def png_rows(pixels):
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def cut(content, part):
    return content[: int(part * len(content))]


def put(content, place, new):
    return content[:place] + new + content[place + len(new):]


def patched(content, old, new):
    assert content.count(old) >= 1
    return content.replace(old, new, 1)


def bomb_tiff():
    """A TIFF that says that it is 100,000 pixels wide and high."""
    content = encoded(kind="TIFF")
    for tag, side in ((256, 40), (257, 24)):
        entry = struct.pack("<HHI", tag, 4, 1) + struct.pack("<I", side)
        if entry not in content:
            entry = struct.pack("<HHI", tag, 3, 1) + struct.pack("<HH", side, 0)
        content = patched(content, entry, struct.pack("<HHII", tag, 4, 1, 100_000))
    return content


def circular_tiff():
    """A TIFF whose second directory is its first one."""
    content = encoded(kind="TIFF")
    (first,) = struct.unpack_from("<I", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    return put(content, first + 2 + 12 * entries, struct.pack("<I", first))


def flat(kind, width, height, **options):
    """One colour, :data:`FLAT`, all over: the file is small, the picture is not."""
    image = Image.new("RGB", (width, height), (200, 100, 50))
    if kind == "GIF":
        image = Image.new("P", (width, height))
        image.putpalette([200, 100, 50])
    return encoded(image, kind, **options)


def animation(kind, **options):
    first, *others = (Image.fromarray(p) for p in (PICTURE, OTHER, ROUGH[:24, :40]))
    return encoded(first, kind, save_all=True, append_images=others, **options)


def palette():
    """A palette image whose colour number 2 is transparent, and what it looks like over white."""
    indices = ((X + Y) % 4).astype("uint8")
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 199]], "uint8")
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.ravel().tolist())
    image.putpalette(colours.ravel().tolist())
    seen = np.where(indices[..., None] == 2, 1, colours[indices] / 255)
    return encoded(image, transparency=2), seen


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def grey(values):
    return np.repeat(np.asarray(values, "float64")[..., None], 3, axis=-1)


# --- what loads right: name of the file, its content, the picture, the tolerance -----------------

WIDE = (X * 1600 + Y * 100 + 7).astype("uint16")
FLOATS = np.where(X == 3, np.nan, np.where(X == 5, np.inf, GREY / 255)).astype("float32")
SEEN_FLOATS = grey(np.where(X == 3, 0, np.where(X == 5, 1, GREY / 255)))
HALF = np.dstack([PICTURE, np.full(GREY.shape, 128, "uint8")])
FLAT = np.array([[[200, 100, 50]]]) / 255
LINE = np.broadcast_to((np.arange(20_000) % 251).astype("uint8")[None, :, None], (1, 20_000, 3))

GOOD = {
    "one-pixel": ("a.png", lambda: encoded(PICTURE[:1, :1]), RGB[:1, :1], 0),
    "one-row-of-20000": ("a.png", lambda: encoded(LINE), LINE / 255, 0),
    "one-column-of-20000": ("a.png", lambda: encoded(LINE.swapaxes(0, 1)),
                            LINE.swapaxes(0, 1) / 255, 0),
    "cmyk-jpeg": ("a.jpg", lambda: encoded(kind="JPEG", mode="CMYK", quality=98), RGB, LOSSY),
    "palette-with-transparency": ("a.png", lambda: palette()[0], palette()[1], 0),
    "half-transparent": ("a.png", lambda: encoded(HALF), RGB * 128 / 255 + 127 / 255, 1.01 / 255),
    "all-transparent": ("a.png", lambda: encoded(np.dstack([PICTURE, 0 * GREY])), RGB * 0 + 1, 0),
    "grey-with-alpha": ("a.png", lambda: encoded(GREY, mode="LA"), grey(GREY / 255), 0),
    "one-bit": ("a.png", lambda: encoded(Image.fromarray(GREY > 99)), grey(GREY > 99), 0),
    "animated-gif": ("a.gif", lambda: animation("GIF"), RGB, 0.12),
    "animated-webp": ("a.webp", lambda: animation("WEBP", lossless=True), RGB, 0),
    "animated-png": ("a.png", lambda: animation("PNG"), RGB, 0),
    "tiff-of-three-pages": ("a.tif", lambda: animation("TIFF"), RGB, 0),
    "tiff-that-goes-in-circles": ("a.tif", circular_tiff, RGB, 0),
    "tiff-lzw": ("a.tiff", lambda: encoded(kind="TIFF", compression="tiff_lzw"), RGB, 0),
    "16-bit-grey": ("a.png", lambda: encoded(Image.fromarray(WIDE)), grey(WIDE / 65535), 0),
    "16-bit-rgb": ("a.png", lambda: png(depth=16, rows=png_rows(
        (PICTURE.astype("uint16") * 257).astype(">u2"))), RGB, 0),
    "float-tiff-with-nan": ("a.tif", lambda: encoded(Image.fromarray(FLOATS), "TIFF"),
                            SEEN_FLOATS, 0),
    "jpeg-named-png": ("a.png", lambda: encoded(kind="JPEG", quality=98), RGB, LOSSY),
    "progressive-jpeg": ("a.JPG", lambda: encoded(kind="JPEG", quality=98, progressive=True),
                         RGB, LOSSY),
    "text-after-the-end": ("a.jpg", lambda: encoded(kind="JPEG", quality=98) + b"<html>" * 99,
                           RGB, LOSSY),
    "turned-by-exif": ("a.png", lambda: encoded(np.rot90(PICTURE).copy(), exif=turned(6)), RGB, 0),
    "exif-orientation-77": ("a.png", lambda: encoded(exif=turned(77)), RGB, 0),
    "garbage-as-exif": ("a.jpg", lambda: encoded(kind="JPEG", quality=98,
                                                 exif=b"Exif\0\0" + b"\xff\x00MM*" * 40),
                        RGB, LOSSY),
    "garbage-as-colour-profile": ("a.png", lambda: encoded(icc_profile=b"\xff" * 999), RGB, 0),
    "name-with-spaces": (" my  photo .png", encoded, RGB, 0),
    "name-with-quotes": ("it's \"so\" «good» `x` $HOME;&.png", encoded, RGB, 0),
    "name-not-latin": ("дымка 霧 ضباب 🌫️ é.png", encoded, RGB, 0),
    "name-like-an-option": ("-rf %s {0} *.png", encoded, RGB, 0),
    "name-of-250-letters": ("a" * 246 + ".png", encoded, RGB, 0),
    # As large as is allowed.
    "large-png": ("a.png", lambda: flat("PNG", 7200, 7200), FLAT, 0),
    "large-jpeg": ("a.jpg", lambda: flat("JPEG", 7200, 7200), FLAT, LOSSY),
    "large-progressive-jpeg": ("a.jpg", lambda: flat("JPEG", 7200, 7200, progressive=True), FLAT,
                               LOSSY),
    "large-gif": ("a.gif", lambda: flat("GIF", 7200, 7200), FLAT, 0),
    "large-webp": ("a.webp", lambda: flat("WEBP", 5900, 5900), FLAT, LOSSY),
    "large-tiff": ("a.tif", lambda: flat("TIFF", 7200, 7200, compression="tiff_lzw"), FLAT, 0),
}

# --- what cannot be used: name of the file, its content, a part of the sentence -------------------

DAMAGED, NO_IMAGE, TOO_LARGE = "get a new copy", "not an image", "make it smaller first"
POINTER = (b"version https://git-lfs.github.com/spec/v1\noid sha256:"
           + b"4d7a" * 16 + b"\nsize 12345\n")
BAD = {
    "zero-bytes": ("a.png", b"", NO_IMAGE),
    "header-only": ("a.jpg", encoded(ROUGH, "JPEG")[:20], NO_IMAGE),
    "wrong-magic-png": ("a.png", b"\0\0\0\0" + encoded()[4:], NO_IMAGE),
    "wrong-magic-jpeg": ("a.jpg", b"\0\0" + encoded(kind="JPEG")[2:], NO_IMAGE),
    "text": ("a.png", b"This is no image.\nNot at all.\n", NO_IMAGE),
    "web-page": ("a.jpg", b"<!doctype html><title>404</title>", NO_IMAGE),
    "git-lfs-pointer": ("a.png", POINTER, NO_IMAGE),
    "zip": ("a.png", b"PK\3\4" + bytes(99), NO_IMAGE),
    "pdf": ("a.jpg", b"%PDF-1.7\n" + bytes(99), NO_IMAGE),
    "postscript": ("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", NO_IMAGE),
    "svg": ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", NO_IMAGE),
    "heic": ("a.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), NO_IMAGE),
    "random-bytes": ("a.png", np.random.default_rng(1).bytes(999), NO_IMAGE),
    "truncated-jpeg": ("a.jpg", cut(encoded(ROUGH, "JPEG"), 0.5), DAMAGED),
    "truncated-progressive": ("a.jpg", cut(encoded(ROUGH, "JPEG", progressive=True), 0.3), DAMAGED),
    "truncated-png": ("a.png", cut(encoded(ROUGH), 0.5), DAMAGED),
    "truncated-webp": ("a.webp", cut(encoded(ROUGH, "WEBP"), 0.5), "remove it"),
    "truncated-tiff": ("a.tif", cut(encoded(ROUGH, "TIFF"), 0.5), "remove it"),
    "truncated-gif": ("a.gif", cut(encoded(ROUGH, "GIF"), 0.7), DAMAGED),
    "truncated-bmp": ("a.bmp", cut(encoded(ROUGH, "BMP"), 0.5), DAMAGED),
    "damaged-pixels": ("a.png", put(encoded(ROUGH), 6000, b"\xff" * 9), DAMAGED),
    "wrong-checksum": ("a.png", patched(encoded(), struct.pack(">I", zlib.crc32(
        encoded()[12:29])), b"oops"), "remove it"),
    "without-pixels": ("a.png", png(), DAMAGED),
    "zero-wide": ("a.png", png(width=0, rows=png_rows(PICTURE)), "remove it"),
    "png-bomb": ("a.png", png(100_000, 100_000, rows=bytes(99)), TOO_LARGE),
    "gif-bomb": ("a.gif", put(encoded(kind="GIF"), 6, b"\xff\xff\xff\xff"), TOO_LARGE),
    "bmp-bomb": ("a.bmp", put(encoded(kind="BMP"), 18, struct.pack("<ii", 99_999, 99_999)),
                 TOO_LARGE),
    "tiff-bomb": ("a.tif", bomb_tiff(), TOO_LARGE),
    "a-little-too-large": ("a.jpg", flat("JPEG", 7300, 7300), TOO_LARGE),
    "webp-a-little-too-large": ("a.webp", flat("WEBP", 6000, 6000), TOO_LARGE),
    "text-bomb": ("a.png", png(rows=png_rows(PICTURE), before=chunk(
        b"zTXt", b"Comment\0\0" + zlib.compress(bytes(400_000_000), 9))), DAMAGED),
    "profile-bomb": ("a.png", png(rows=png_rows(PICTURE), before=chunk(
        b"iCCP", b"icc\0\0" + zlib.compress(bytes(400_000_000), 9))), DAMAGED),
    "bad-name-not-latin": ("дымка \"霧\" it's.png", b"no image", NO_IMAGE),
}

# --- what is no plain file: how it is made, and a part of the sentence ----------------------------


def loop(path):
    path.symlink_to(path.with_name("b.png"))
    path.with_name("b.png").symlink_to(path)


def forbidden(path):
    path.write_bytes(encoded())
    path.chmod(0)


def in_a_forbidden_folder(path):
    path.parent.mkdir()
    path.write_bytes(encoded())
    path.parent.chmod(0)


ODD = {
    "missing": ("a.png", lambda path: None, "no such file"),
    "folder": ("a.png", Path.mkdir, "no such file"),
    "symlink-loop": ("a.png", loop, "no such file"),
    "symlink-to-itself": ("a.png", lambda path: path.symlink_to(path), "no such file"),
    "symlink-to-nothing": ("a.png", lambda path: path.symlink_to("gone.png"), "no such file"),
    "symlink-to-endless-zeros": ("a.png", lambda path: path.symlink_to("/dev/zero"),
                                 "no such file"),
    "named-pipe": ("a.png", os.mkfifo, "no such file"),
    "unreadable": ("a.png", forbidden, "cannot be read; check its rights"),
    "in-an-unreadable-folder": ("sub/a.png", in_a_forbidden_folder,
                                "cannot be read; check its rights"),
}


# --- loading, watched ---------------------------------------------------------------------------


def peak():
    """The most memory this process has had, in MB."""
    if hasattr(os, "wait4") and Path("/proc/self/status").exists():
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1e3
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # macOS counts bytes


def load(path, expected, tolerance):
    """(message or None, "" or what is wrong with the picture, MB): runs in the child."""
    image = message = None
    try:
        image = images.load_image(path)
    except images.ImageError as error:
        message = str(error)
    megabytes = peak()
    try:
        size = images.image_size(path)  # the header alone; load_pair asks it first
    except images.ImageError as error:
        size = str(error)
    if image is None:
        fine = not isinstance(size, str) or size.startswith(f"{path}: ")
        return message, "" if fine else size, megabytes
    wrong = ""
    if size != image.shape[1::-1]:
        wrong = f"image_size says {size} of {image.shape}"
    elif image.dtype != np.float32 or image.ndim != 3 or image.shape[2] != 3:
        wrong = f"{image.dtype}, {image.shape}"
    elif not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
        wrong = "values outside [0, 1]"
    elif expected is not None and expected.shape not in (image.shape, (1, 1, 3)):
        wrong = f"{image.shape} instead of {expected.shape}"
    elif expected is not None:
        off = max(np.abs(row - expected[i % len(expected)]).max() for i, row in enumerate(image))
        wrong = "" if off <= tolerance + 1e-6 else f"off by {off:.3f}"
    return None, wrong, megabytes


def serve(connection):
    """The child: loads what it is told to, as a user without special rights."""
    Image.init()  # the plugins must be read before the rights are given up
    if os.geteuid() == 0:
        os.setuid(65534)
    while (request := connection.recv()) is not None:
        connection.send(load(*request))


class Child:
    """A process that loads files; a new one when the old one had to be killed."""

    def __init__(self):
        self.process = None

    def __call__(self, path, expected=None, tolerance=0.0):
        if self.process is None or not self.process.is_alive():
            context = multiprocessing.get_context("spawn")
            self.connection, end = context.Pipe()
            self.process = context.Process(target=serve, args=(end,), daemon=True)
            self.process.start()
            end.close()
        self.connection.send((path, expected, tolerance))
        if not self.connection.poll(LONGEST + 20):  # the first answer waits for imports
            self.stop()
            pytest.fail(f"{path.name}: hangs")
        try:
            answer = self.connection.recv()
        except EOFError:
            pytest.fail(f"{path.name}: ends the process")
        if answer[-1] >= MOST_MEMORY:
            self.stop()  # the peak is this file's fault, not that of the next one
        return answer

    def stop(self):
        self.process.kill()
        self.process.join()


@pytest.fixture(scope="module")
def child():
    child = Child()
    yield child
    child.stop()


@pytest.fixture
def folder():
    """A folder that a user without special rights may look into (pytest's own they may not)."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def assert_one_sentence(message, path, remedy=""):
    assert message.startswith(f"{path}: ") and remedy in message, message
    assert message.endswith(".") and "\n" not in message and len(message) < 400 + len(str(path))


@pytest.mark.parametrize("name, content, expected, tolerance", GOOD.values(), ids=GOOD)
def test_loads_right(folder, child, name, content, expected, tolerance):
    path = folder / name
    path.write_bytes(content())
    message, wrong, megabytes = child(path, expected, tolerance)
    assert (message, wrong) == (None, "")
    assert megabytes < MOST_MEMORY


@pytest.mark.parametrize("name, content, remedy", BAD.values(), ids=BAD)
def test_says_what_is_wrong(folder, child, name, content, remedy):
    path = folder / name
    path.write_bytes(content)
    message, wrong, megabytes = child(path)
    assert message is not None, "loads"
    assert wrong == ""
    assert_one_sentence(message, path, remedy)
    assert megabytes < MOST_MEMORY


@pytest.mark.skipif(os.name == "nt", reason="no symbolic links, pipes and rights of this kind")
@pytest.mark.parametrize("name, make, remedy", ODD.values(), ids=ODD)
def test_no_plain_file(folder, child, name, make, remedy):
    path = folder / name
    make(path)
    message, wrong, _ = child(path)
    assert message is not None, "loads"
    assert wrong == ""
    assert_one_sentence(message, path, remedy)


# --- random damage ------------------------------------------------------------------------------

SMOOTH = np.asarray(Image.fromarray(PICTURE).resize((64, 64)))
ORIGINALS = [
    encoded(SMOOTH, "JPEG"), encoded(ROUGH, "JPEG", progressive=True), encoded(SMOOTH),
    encoded(Image.fromarray(WIDE)), palette()[0], encoded(SMOOTH, "GIF"),
    encoded(SMOOTH, "WEBP"), encoded(SMOOTH, "TIFF"),
    encoded(SMOOTH, "TIFF", compression="tiff_lzw"), encoded(SMOOTH, "BMP"),
]


def mutate(content, rng):
    """Cut, overwrite, repeat or insert at random, one to four times."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        # Half of the time in the header, where it hurts most.
        place = int(rng.integers(0, min(len(content), 200) if rng.random() < 0.5 else len(content)))
        length = int(rng.integers(1, 9))
        match rng.integers(5):
            case 0:
                content[place:place + length] = rng.bytes(length)
            case 1:
                content[place] ^= 1 << int(rng.integers(8))
            case 2:
                content[place:place] = rng.bytes(length)
            case 3:
                content[place:place] = content[place:place + 10 * length]
            case 4:
                del content[max(place, 16):]
    return bytes(content)


def test_200_randomly_damaged_files(folder, child):
    """Each gives a picture, the same twice and as Pillow itself sees it, or one sentence."""
    rng = np.random.default_rng(2026)
    loaded = refused = 0
    for n in range(200):
        path = folder / f"{n}.png"
        path.write_bytes(mutate(ORIGINALS[n % len(ORIGINALS)], rng))
        start = time.perf_counter()
        message, wrong, megabytes = child(path)
        if message is None:
            with Image.open(path) as image:
                plain = image.mode == "RGB" and not image.has_transparency_data
                plain = plain and image.getexif().get(0x0112, 1) == 1
                expected = np.asarray(image) / 255 if plain else None
            again, wrong, megabytes = child(path, expected)
            assert (again, wrong) == (None, ""), n
            loaded += 1
        else:
            assert wrong == "", n
            assert_one_sentence(message, path)
            refused += 1
        assert megabytes < MOST_MEMORY, n
        assert time.perf_counter() - start < LONGEST, n
    assert loaded >= 30 and refused >= 60, "the damage is too small, or too large, to tell anything"


# --- a folder with bad files --------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path):
    """A data set of five pairs, three of them unusable, and a hazy image without a partner."""
    whole, other = encoded(ROUGH), encoded(ROUGH[:, 1:])
    hazy = {"1": whole, "2": cut(whole, 0.5), "3": whole, "4": whole, "5": whole, "6": whole}
    clear = {"1": whole, "2": whole, "3": b"", "4": other, "5": whole}
    for side, files in (("hazy", hazy), ("clear", clear)):
        (tmp_path / "data" / side).mkdir(parents=True)
        for name, content in files.items():
            (tmp_path / "data" / side / f"{name}.png").write_bytes(content)
    return tmp_path / "data"


def test_bad_pairs_are_left_out_and_named(mixed):
    from helpers.data import training_batches, usable_pairs
    from helpers.pairs import scan

    pairs = scan(mixed).pairs
    good, problems = usable_pairs(pairs, size=32)
    assert [pair.scene for pair in good] == ["1", "5"]
    for problem, path in zip(problems, ("hazy/2.png", "clear/3.png", "hazy/4.png"), strict=True):
        assert problem.startswith(str(mixed / path)) and problem.endswith(".")
    hazy, _ = next(iter(training_batches(good, 2, size=32)))
    assert hazy.shape == (2, 32, 32, 3)
    with pytest.raises(images.ImageError) as error:
        training_batches(pairs, 2, size=32)
    assert str(error.value) == problems[0]


def test_the_command_line_skips_bad_files_on_request(mixed, tmp_path, capsys):
    import train as command

    def train(out, *options):
        tiny = ["--width", "4", "--batch", "1", "--steps", "1", "--precision", "float32"]
        status = command.main([str(mixed), "--out", str(tmp_path / out), *tiny, *options])
        return status, *capsys.readouterr()

    status, said, told = train("asked", "--skip-bad")
    assert status == 0, told
    assert "1 pairs of 1 scenes" in said
    listed = told.split("left out:\n")[1]
    for name in ("hazy/6.png: no clear image", "hazy/2.png: damaged", "clear/3.png: not an image",
                 "hazy/4.png is 64×64 but"):
        assert f"  {mixed}/{name}" in listed
    (mixed / "hazy" / "6.png").unlink()
    status, _, told = train("plain")
    assert status == 1
    assert told.count("\n") == 1 and str(mixed) in told


def test_nothing_usable(mixed, tmp_path, capsys):
    import train as command

    for path in (mixed / "clear").iterdir():
        path.write_bytes(b"")
    assert command.main([str(mixed), "--out", str(tmp_path / "run"), "--skip-bad"]) == 1
    said = capsys.readouterr().err
    assert f"{mixed}: no pair in it can be used" in said and f"{mixed}/clear/5.png: not" in said
    assert not (tmp_path / "run").exists()
