"""helpers.data: every kind of image file, paired jitter, and batches that can be resumed."""

import struct
import zlib
from itertools import islice

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from helpers import data, images
from helpers.pairs import Pair

RNG = np.random.default_rng(0)
# Smooth, 40 wide and 24 high, so that JPEG keeps it to within a few levels.
Y, X = np.mgrid[0:24, 0:40]
PICTURE = np.stack([X * 6, Y * 10, 255 - X * 3 - Y * 4], axis=-1).astype("uint8")
GREY = PICTURE[..., 1]


def save(path, pixels, mode=None, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def png_16_bit(path, pixels):
    """Write what Pillow cannot: a 16-bit PNG, (height, width, channels) of uint16."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name, content):
        crc = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    return path


def load(path, expected, tolerance=1e-6):
    image = images.load_image(path)
    assert image.dtype == np.float32
    assert image.shape == expected.shape
    assert np.allclose(image, expected, atol=tolerance)


def rgb(grey):
    return np.repeat(np.asarray(grey, float)[..., None], 3, axis=-1)


# What loads right.


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "PNG"])
def test_rgb_without_loss(tmp_path, suffix):
    load(save(tmp_path / f"a.{suffix}", PICTURE), PICTURE / 255)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_rgb_with_loss(tmp_path, suffix):
    load(save(tmp_path / f"a.{suffix}", PICTURE, quality=98), PICTURE / 255, 0.06)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_greyscale_jpeg(tmp_path, options):
    load(save(tmp_path / "a.jpg", GREY, quality=98, **options), rgb(GREY / 255), 0.02)


def test_greyscale_png(tmp_path):
    load(save(tmp_path / "a.png", GREY), rgb(GREY / 255))


def test_one_bit_png(tmp_path):
    load(save(tmp_path / "a.png", Image.fromarray(GREY > 99)), rgb(GREY > 99))


def test_palette(tmp_path):
    indices = (X // 10).astype("uint8")
    image = Image.new("P", (40, 24))
    image.putdata(indices.ravel().tolist())
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 199]])
    image.putpalette(colours.ravel().tolist())
    load(save(tmp_path / "a.png", image), colours[indices] / 255)
    # Index 2 is transparent now: white shines through.
    load(save(tmp_path / "b.png", image, transparency=2),
         np.where(indices[..., None] == 2, 1, colours[indices] / 255))


ALPHA = np.broadcast_to((X * 6).astype("uint8"), GREY.shape)


def over_white(image):
    part = ALPHA[..., None] / 255
    return image * part + 1 - part


def test_rgba_is_laid_over_white(tmp_path):
    pixels = np.concatenate([PICTURE, ALPHA[..., None]], axis=-1)
    load(save(tmp_path / "a.png", pixels), over_white(PICTURE / 255), 1.01 / 255)


def test_grey_with_alpha(tmp_path):
    pixels = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)])
    load(save(tmp_path / "a.png", pixels), over_white(rgb(GREY / 255)), 1.01 / 255)


def test_a_transparent_colour_of_rgb(tmp_path):
    pixels = PICTURE.copy()
    pixels[:5] = [1, 2, 3]
    expected = pixels / 255
    expected[:5] = 1
    load(save(tmp_path / "a.png", pixels, transparency=(1, 2, 3)), expected)


def test_cmyk_jpeg(tmp_path):
    path = save(tmp_path / "a.jpg", PICTURE, "CMYK", quality=98)
    assert Image.open(path).mode == "CMYK"
    load(path, PICTURE / 255, 0.06)


WIDE = (X * 1600 + Y * 100 + 7).astype("uint16")  # low bytes matter


def test_16_bit_grey_png(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(WIDE))
    load(path, rgb(WIDE / 65535))
    load(png_16_bit(tmp_path / "b.png", WIDE[..., None]), rgb(WIDE / 65535))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I"])
def test_16_bit_modes(mode):
    pixels = WIDE.astype({"I;16B": ">u2", "I": "<i4"}.get(mode, "<u2"))
    image = Image.frombytes(mode, (40, 24), pixels.tobytes())
    assert np.allclose(images.to_rgb(image), rgb(WIDE / 65535), atol=1e-6)


@pytest.mark.parametrize("order", ["<u2", ">u2"], ids=["little-endian", "big-endian"])
def test_16_bit_grey_tiff(tmp_path, order):
    mode = "I;16B" if order == ">u2" else "I;16"
    image = Image.frombytes(mode, (40, 24), WIDE.astype(order).tobytes())
    load(save(tmp_path / "a.tif", image), rgb(WIDE / 65535))


@pytest.mark.parametrize("channels", [2, 3, 4], ids=["grey-alpha", "rgb", "rgba"])
def test_16_bit_colour_and_alpha_png(tmp_path, channels):
    """Pillow keeps the high bytes of these."""
    grey = channels == 2
    pixels = PICTURE[..., :1] if grey else PICTURE
    expected = rgb(pixels[..., 0] / 255) if grey else pixels / 255
    if channels in (2, 4):
        pixels, expected = np.dstack([pixels, ALPHA]), over_white(expected)
    load(png_16_bit(tmp_path / "a.png", pixels.astype("uint16") * 257), expected, 1.01 / 255)


def test_float_tiff(tmp_path):
    values = (GREY / 255).astype("float32")
    load(save(tmp_path / "a.tif", Image.fromarray(values)), rgb(values))


def turned(orientation):
    """How the EXIF standard stores an upright picture under an orientation of 1 to 8."""
    return {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a[::-1], 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["rgb", "16-bit"])
def test_exif_rotated(tmp_path, orientation, kind):
    upright, expected = (PICTURE, PICTURE / 255) if kind == "rgb" else (WIDE, rgb(WIDE / 65535))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turned(orientation)(upright)))
    assert stored.size == ((40, 24) if orientation < 5 else (24, 40))
    load(save(tmp_path / "a.png", stored, exif=exif), expected)


def test_exif_rotated_jpeg(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(np.rot90(PICTURE, 1))
    load(save(tmp_path / "a.jpg", stored, quality=98, exif=exif), PICTURE / 255, 0.06)


def test_load_depth(tmp_path):
    path = save(tmp_path / "d.png", Image.fromarray(WIDE))
    depth = images.load_depth(path)
    assert depth.dtype == np.float32
    assert np.allclose(depth, WIDE / 65535 * 5, atol=1e-5)
    assert np.allclose(images.load_depth(path, farthest=65535), WIDE, atol=0.01)


# What cannot be used: one sentence each.


def cut(path, part):
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    return path


def noise(path, **options):
    return save(path, RNG.integers(0, 256, (64, 64, 3)).astype("uint8"), **options)


def flip_middle(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(b ^ 255 for b in content[middle : middle + 8])
    path.write_bytes(content)
    return path


def huge(path):
    """A PNG header that promises 100,000 × 100,000 pixels."""
    png_16_bit(path, np.zeros((1, 1, 1), "uint16"))
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 100_000, 100_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    return path


def text_as(path):
    path.write_text("This is no image.\nNot at all.\n")
    return path


def folder_as(path):
    path.mkdir()
    return path


BAD = {
    "missing": (lambda d: d / "a.png", "no such file; check the path"),
    "folder": (lambda d: folder_as(d / "a.png"), "no such file; check the path"),
    "truncated-jpeg": (lambda d: cut(noise(d / "a.jpg"), 0.5), "get a new copy or remove it"),
    "jpeg-without-its-last-tenth": (lambda d: cut(noise(d / "a.jpg"), 0.9), "get a new copy"),
    "progressive-truncated-jpeg": (
        lambda d: cut(noise(d / "a.jpg", progressive=True), 0.3), "get a new copy or remove it",
    ),
    "truncated-png": (lambda d: cut(noise(d / "a.png"), 0.5), "get a new copy or remove it"),
    "damaged-png": (lambda d: flip_middle(noise(d / "a.png")), "get a new copy or remove it"),
    "truncated-webp": (lambda d: cut(noise(d / "a.webp"), 0.5), "remove it"),
    "truncated-tiff": (lambda d: cut(noise(d / "a.tif"), 0.5), "remove it"),
    "text-named-png": (lambda d: text_as(d / "a.png"), "not an image, whatever its name says"),
    "text-named-jpg": (lambda d: text_as(d / "a.jpg"), "not an image, whatever its name says"),
    "zero-bytes": (lambda d: cut(noise(d / "a.jpg"), 0), "save it again as PNG or JPEG"),
    "header-only": (lambda d: cut(noise(d / "a.jpg"), 0.001), "save it again as PNG or JPEG"),
    "far-too-large": (lambda d: huge(d / "a.png"), "make it smaller first"),
}


@pytest.mark.parametrize("make, remedy", BAD.values(), ids=BAD)
def test_bad_image(tmp_path, make, remedy):
    path = make(tmp_path)
    with pytest.raises(images.ImageError) as error:
        images.load_image(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and remedy in message
    assert message.endswith(".") and "\n" not in message
    assert error.value.__context__ is None, "Pillow's traceback would stand above the sentence"


def test_a_truncated_jpeg_opens_without_complaint(tmp_path):
    """Why open_image decodes at once: Pillow notices only when the pixels are asked for."""
    path = cut(noise(tmp_path / "a.jpg"), 0.5)
    image = Image.open(path)
    assert image.size == (64, 64)
    with pytest.raises(OSError, match="truncated"):
        image.load()


@pytest.mark.parametrize("pixels", [GREY, PICTURE], ids=["8-bit", "rgb"])
def test_another_image_is_no_depth_map(tmp_path, pixels):
    path = save(tmp_path / "d.png", pixels)
    with pytest.raises(images.ImageError, match="16-bit greyscale PNG") as error:
        images.load_depth(path)
    assert str(error.value).startswith(f"{path}: ")


def test_two_sizes_in_a_pair(tmp_path):
    hazy, clear = save(tmp_path / "h.png", PICTURE), save(tmp_path / "c.png", PICTURE[:, 1:])
    with pytest.raises(images.ImageError) as error:
        data.load_pair(Pair(hazy, clear, "x"))
    assert str(error.value) == (
        f"{hazy} is 40×24 but {clear} is 39×24; crop or resize them to one size."
    )


def test_load_pair_compares_upright_sizes(tmp_path):
    """A rotated and an upright file of the same picture are one size."""
    exif = Image.Exif()
    exif[0x0112] = 6
    hazy = save(tmp_path / "h.png", np.ascontiguousarray(np.rot90(PICTURE)), exif=exif)
    one, other = data.load_pair(Pair(hazy, save(tmp_path / "c.png", PICTURE), "x"))
    assert np.array_equal(one, other)


def halves(path, one, other):
    return save(path, np.concatenate([one, other], axis=1))


def test_two_sizes_are_told_although_they_shrink_to_one(tmp_path):
    hazy, clear = save(tmp_path / "h.png", PICTURE), save(tmp_path / "c.png", PICTURE[1:, 1:])
    with pytest.raises(images.ImageError, match="40×24 but .* is 39×23"):
        data.load_pair(Pair(hazy, clear, "x"), frame=(10, 10))


@pytest.mark.parametrize("cut", ["left", "right"])
def test_side_by_side(tmp_path, cut):
    path = halves(tmp_path / "a.png", PICTURE, PICTURE[::-1])
    left, right = data.load_pair(Pair(path, path, "a", cut="left"))
    assert np.allclose(left, PICTURE / 255) and np.allclose(right, PICTURE[::-1] / 255)
    hazy, clear = data.load_pair(Pair(path, path, "a", cut=cut), frame=(20, 12))
    assert hazy.shape == clear.shape == (12, 20, 3)
    expected = {"left": (left, right), "right": (right, left)}[cut]
    for small, large in zip((hazy, clear), expected, strict=True):
        assert np.allclose(small, large.reshape(12, 2, 20, 2, 3).mean((1, 3)), atol=0.02)


def test_side_by_side_of_an_odd_width(tmp_path):
    path = save(tmp_path / "a.png", PICTURE[:, 1:])
    with pytest.raises(images.ImageError, match="39 pixels wide") as error:
        data.load_pair(Pair(path, path, "a", cut="left"))
    assert str(error.value).startswith(str(path))


def test_sots_indoor_cuts_the_border_off_the_clear_image(tmp_path):
    clear = RNG.integers(0, 256, (480, 640, 3)).astype("uint8")
    files = save(tmp_path / "1400_1.png", clear[10:470, 10:630]), save(tmp_path / "c.png", clear)
    hazy, cut = data.load_pair(Pair(*files, "1400", cut="centre"))
    assert hazy.shape == (460, 620, 3) and np.array_equal(hazy, cut)
    with pytest.raises(images.ImageError, match="620×460 but .* is 640×480"):
        data.load_pair(Pair(*files, "1400"))


@pytest.mark.parametrize("shape", [(23, 40), (24, 39), (30, 48), (24, 44)],
                         ids=["less-high", "less-wide", "border-of-20-percent", "10-percent-wider"])
def test_sots_indoor_cuts_only_a_small_border(tmp_path, shape):
    clear = save(tmp_path / "c.png", np.zeros((*shape, 3), "uint8"))
    with pytest.raises(images.ImageError, match="crop or resize them"):
        data.load_pair(Pair(save(tmp_path / "h.png", PICTURE), clear, "x", cut="centre"))


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", [0, 1, 3, 6])
def test_image_size_is_that_of_the_upright_image(tmp_path, ending, orientation):
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    path = save(tmp_path / f"a.{ending}", PICTURE, exif=exif)
    assert images.image_size(path) == images.open_image(path).size


# Range and jitter.


def test_normalise_and_back():
    image = RNG.random((5, 6, 3)).astype("float32")
    assert np.allclose(data.normalise(np.array([0, 0.25, 1])), [-1, -0.5, 1])
    assert np.allclose(data.denormalise(data.normalise(image)), image, atol=1e-6)
    assert data.denormalise([-3, -1, 0, 1, 3]).tolist() == [0, 0, 0.5, 1, 1]
    assert isinstance(data.denormalise(tf.zeros((2, 2))), np.ndarray)


SIZES = [(320, 480), (480, 320), (256, 256), (24, 40), (1, 1), (300, 700)]


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_paired_jitter_does_the_same_to_both(shape):
    image = RNG.random((*shape, 3)).astype("float32")
    for seed in range(3):
        hazy, clear = data.paired_jitter(image, image, (7, seed))
        assert hazy.shape == clear.shape == (256, 256, 3)
        assert hazy.dtype == tf.float32
        assert np.array_equal(hazy, clear)
        # Weights of the resampling sum to 1 up to float32's rounding.
        assert np.min(hazy) >= -1e-6 and np.max(hazy) <= 1 + 1e-6


def test_paired_jitter_keeps_two_images_apart():
    """Where each pixel of the two came from is the same, its colour is its own image's."""
    where = np.stack([X / 39, Y / 23, X * 0], axis=-1).astype("float32")
    one, other = data.paired_jitter(where, 1 - where, (0, 5), size=32)
    assert np.allclose(one, 1 - other, atol=1e-5)


@pytest.mark.parametrize("size", [64, 100])
def test_paired_jitter_obeys_size(size):
    image = RNG.random((70, 90, 3)).astype("float32")
    assert data.paired_jitter(image, image, (0, 0), size)[0].shape == (size, size, 3)


def jitter_of_gradient(seed):
    """(left, right, top, bottom) of the source that a crop shows; left > right when mirrored."""
    y, x = np.mgrid[0:240, 0:400]
    where = np.stack([x / 399, y / 239, x * 0], axis=-1).astype("float32")
    crop = data.paired_jitter(where, where, (1, seed), size=64)[0].numpy()
    return crop[0, 0, 0], crop[0, -1, 0], crop[0, 0, 1], crop[-1, 0, 1]


def test_paired_jitter_varies_zoom_place_and_mirror():
    crops = np.array([jitter_of_gradient(seed) for seed in range(24)])
    mirrored = crops[:, 0] > crops[:, 1]
    assert 4 <= mirrored.sum() <= 20
    height = crops[:, 3] - crops[:, 2]
    assert (height > 0.7).all() and height.max() - height.min() > 0.1, "1 to 1.25 times"
    assert np.ptp(np.minimum(crops[:, 0], crops[:, 1])) > 0.2
    assert len({tuple(c) for c in crops}) == 24


def test_paired_jitter_repeats():
    image = RNG.random((50, 60, 3)).astype("float32")
    one, other = (data.paired_jitter(image, image, (3, 4), size=32)[0] for _ in range(2))
    assert np.array_equal(one, other)


# Batches.


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Seven pairs; hazy image i is of the even grey 30 i, its clear one 10 brighter."""
    folder = tmp_path_factory.mktemp("pairs")
    made = []
    for i in range(7):
        files = [
            save(folder / f"{kind}{i}.png", np.full((40, 50 + i, 3), 30 * i + extra, "uint8"))
            for kind, extra in (("hazy", 0), ("clear", 10))
        ]
        made.append(Pair(*files, f"s{i}"))
    return made


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Three pairs of noise, where every jitter shows."""
    folder = tmp_path_factory.mktemp("pictures")
    return [Pair(noise(folder / f"h{i}.png"), noise(folder / f"c{i}.png"), str(i))
            for i in range(3)]


def take(count, *args, **options):
    batches = islice(data.training_batches(*args, **options), count)
    return [(hazy.numpy(), clear.numpy()) for hazy, clear in batches]


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a, b) for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def test_batches_have_shape_and_range(pictures):
    for hazy, clear in take(2, pictures, 2, size=32):
        for image in (hazy, clear):
            assert image.shape == (2, 32, 32, 3) and image.dtype == np.float32
            assert -1 - 2e-6 <= image.min() < -0.3 and 0.3 < image.max() <= 1 + 2e-6


def numbers_of(batches):
    """Which pairs of ``pairs`` a list of batches holds, and that hazy and clear belong together."""
    numbers = []
    for hazy, clear in batches:
        values = np.round((hazy[:, 0, 0, 0] + 1) / 2 * 255)
        assert np.allclose((clear - hazy) / 2 * 255, 10, atol=0.01)
        numbers += (values / 30).astype(int).tolist()
    return numbers


@pytest.mark.parametrize("batch", [1, 3])
def test_every_epoch_holds_every_pair_once(pairs, batch):
    numbers = numbers_of(take(21 // batch, pairs, batch, size=8))
    epochs = [numbers[i : i + 7] for i in (0, 7, 14)]
    assert [sorted(e) for e in epochs] == [list(range(7))] * 3
    assert len({tuple(e) for e in epochs}) == 3, "another order in each"


@pytest.mark.parametrize("start", [1, 2, 5])
def test_start_equals_skipping(pictures, start):
    whole = take(6, pictures, 2, size=16, seed=9)
    assert same(take(6 - start, pictures, 2, size=16, seed=9, start=start), whole[start:])


@pytest.mark.parametrize("memory", [0, 6000], ids=["nothing-kept", "one-pair-kept"])
def test_what_is_kept_in_memory_changes_nothing(pictures, memory):
    kept = take(4, pictures, 2, size=16)
    assert same(kept, take(4, pictures, 2, size=16, memory=memory))


def test_the_seed_decides(pictures):
    runs = [take(3, pictures, 1, size=16, seed=seed) for seed in (0, 0, 1)]
    assert same(runs[0], runs[1]) and not same(runs[0], runs[2])


def test_an_image_comes_back_jittered_anew(pictures):
    first, second = take(2, pictures[:1], 1, size=16)
    assert not same([first], [second])


def test_what_is_kept_is_read_once(pictures, monkeypatch):
    count = []

    def counted(pair, frame=None, load=data.open_pair):
        count.append(pair)
        return load(pair, frame)

    monkeypatch.setattr(data, "open_pair", counted)
    take(6, pictures, 1, size=16)
    assert len(count) == 3


@pytest.mark.parametrize("memory", [data.MEMORY, 0], ids=["kept", "not-kept"])
@pytest.mark.parametrize("kind", ["missing", "truncated", "text", "two-sizes"])
def test_a_bad_pair_is_told_before_the_first_batch(pictures, tmp_path, memory, kind):
    path = {
        "missing": lambda: tmp_path / "a.jpg",
        "truncated": lambda: cut(noise(tmp_path / "a.jpg"), 0.5),
        "text": lambda: text_as(tmp_path / "a.jpg"),
        "two-sizes": lambda: save(tmp_path / "a.jpg", PICTURE),
    }[kind]()
    with pytest.raises(images.ImageError) as error:
        data.training_batches([*pictures, Pair(path, pictures[0].clear, "x")], 1, memory=memory)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_no_pairs():
    with pytest.raises(images.ImageError, match="no pairs to train on"):
        data.training_batches([], 1)


def test_pairs_in_batch_are_those_that_it_shows(pairs):
    numbers = numbers_of(take(6, pairs, 3, size=8, seed=5))
    named = [p for n in range(6) for p in data.pairs_in_batch(pairs, 3, n, seed=5)]
    assert [p.scene for p in named] == [f"s{number}" for number in numbers]


def test_shards_share_the_batches_out(pictures):
    whole = take(6, pictures, 2, size=32, start=1)
    for i in (0, 1):
        assert same(take(3, pictures, 2, size=32, start=1, shard=(2, i)), whole[i::2])


# Copies on disk.


@pytest.fixture
def large(tmp_path):
    """Two pairs of 900×600, and one more hazy version of the first."""
    def picture(name):
        small = Image.fromarray(RNG.integers(0, 256, (9, 12, 3)).astype("uint8"))
        return save(tmp_path / name, small.resize((900, 600), Image.Resampling.BICUBIC))

    hazy = [picture(f"h{i}.png") for i in range(3)]
    clear = [picture(f"c{i}.png") for i in range(2)]
    return [Pair(h, c, c.stem) for h, c in zip(hazy, [*clear, clear[0]], strict=True)]


def files_in(folder):
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}


def test_copies_are_small_shared_and_reused(large, tmp_path):
    folder = tmp_path / "new" / "copies"
    first = take(4, large, 2, copies=folder)
    made = files_in(folder)
    assert len(made) == 5, "three hazy ones, and two clear ones"
    for name in made:
        with Image.open(folder / name) as image:
            assert image.size == (480, 320), "1.25 times the crop"
    assert same(first, take(4, large, 2, copies=folder))
    assert same(first, take(4, large, 2, copies=folder, memory=0))
    assert files_in(folder) == made


def test_a_wide_copy_has_512_pixels(tmp_path):
    hazy = save(tmp_path / "h.png", np.zeros((300, 1200, 3), "uint8"))
    take(1, [Pair(hazy, hazy, "a")], 1, copies=tmp_path / "copies")
    (copy,) = (tmp_path / "copies").iterdir()
    assert images.image_size(copy) == (512, 128)


def test_copied_pairs_give_the_same_batches(large, tmp_path):
    copied = data.copied_pairs(large, tmp_path / "copies")
    assert [p.scene for p in copied] == [p.scene for p in large]
    assert copied[2].hazy.name.startswith("h2-") and copied[2].clear == copied[0].clear
    assert same(take(3, copied, 2), take(3, large, 2, copies=tmp_path / "copies"))


@pytest.mark.parametrize("start", [1, 3])
def test_batch_n_is_a_function_of_seed_and_n_with_copies_too(large, tmp_path, start):
    whole = take(5, large, 2, size=64, seed=3, copies=tmp_path / "one")
    rest = take(5 - start, large, 2, size=64, seed=3, copies=tmp_path / "two", start=start)
    assert same(rest, whole[start:])


def test_batches_from_copies_show_what_the_originals_do(large, tmp_path):
    plain, copied = take(3, large, 2, size=64), take(3, large, 2, size=64, copies=tmp_path / "c")
    for one, other in zip(plain, copied, strict=True):
        assert np.abs(np.subtract(one, other)).mean() < 0.01, "1.3 of 255 levels"


def test_a_changed_original_gets_a_new_copy(large, tmp_path):
    folder = tmp_path / "copies"
    before = take(2, large[:1], 1, copies=folder)
    save(large[0].hazy, np.full((600, 900, 3), 99, "uint8"))
    after = take(2, large[:1], 1, copies=folder)
    assert not same(before, after) and np.allclose(after[0][0], 99 / 127.5 - 1, atol=0.02)
    assert len(files_in(folder)) == 3


def test_a_damaged_copy_is_made_again(large, tmp_path):
    folder = tmp_path / "copies"
    before = take(2, large, 1, copies=folder)
    cut(next(folder.iterdir()), 0.5)
    assert same(before, take(2, large, 1, copies=folder))


def test_copies_of_halves_and_of_sots(tmp_path):
    wide = halves(tmp_path / "a.png", np.full((60, 80, 3), 50, "uint8"),
                  np.full((60, 80, 3), 200, "uint8"))
    for side, level in (("left", 50), ("right", 200)):
        ((hazy, clear),) = take(1, [Pair(wide, wide, "a", cut=side)], 1, copies=tmp_path / "c")
        assert np.allclose(hazy, level / 127.5 - 1, atol=0.02)
        assert np.allclose(clear, (250 - level) / 127.5 - 1, atol=0.02)
    assert len(files_in(tmp_path / "c")) == 2, "which half is hazy is no matter for its copy"
    clear = save(tmp_path / "1400.png", np.full((48, 64, 3), 9, "uint8"))
    hazy = save(tmp_path / "1400_1.png", np.full((46, 62, 3), 9, "uint8"))
    (batch,) = take(1, [Pair(hazy, clear, "1400", cut="centre")], 1, copies=tmp_path / "d")
    assert np.allclose(batch, 9 / 127.5 - 1, atol=0.02)


def test_nothing_half_written_stays(large, tmp_path, monkeypatch):
    def full(self, file, *_args, **_options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(images.ImageError, match="No space left on device.*name another folder"):
        data.training_batches(large, 1, copies=tmp_path / "copies")
    assert files_in(tmp_path / "copies") == {}


def test_copies_where_a_file_is(large, tmp_path):
    (tmp_path / "copies").write_text("")
    with pytest.raises(images.ImageError, match="copies cannot be written") as error:
        data.training_batches(large, 1, copies=tmp_path / "copies")
    assert str(error.value).startswith(str(tmp_path / "copies"))


def test_copies_are_too_small_for_large_crops(large, tmp_path):
    with pytest.raises(images.ImageError, match="too small for crops of 512"):
        data.training_batches(large, 1, size=512, copies=tmp_path / "copies")


def test_a_missing_original_is_told_with_copies_too(large, tmp_path):
    large[0].clear.unlink()
    with pytest.raises(images.ImageError, match="no such file; check the path") as error:
        data.training_batches(large, 1, copies=tmp_path / "copies")
    assert str(error.value).startswith(str(large[0].clear))
