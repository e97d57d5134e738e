"""python -m helpers.inference: a folder of photographs, whatever lies in it, and once more."""

import errno
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dehaze as folder
import keras
import numpy as np
import pytest
from PIL import Image, ImageCms

from helpers import env
from helpers.images import ImageError, encode, open_image, to_rgb
from helpers.models import physics_unet
from helpers.weights import WeightsError, save_generator

# Smooth, so that JPEG and WebP keep it to within a few levels.
Y, X = np.mgrid[0:24, 0:40]
PICTURE = np.stack([X * 6, Y * 10, 255 - X * 3 - Y * 4], axis=-1).astype("uint8")
GREY = PICTURE[..., 1]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, MAKE, EXIF, WIDTH, EXPOSURE, GPS = 0x0112, 0x010F, 0x8769, 40962, 33434, 0x8825
FORMATS = pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".png", ".webp", ".tif", ".TIFF"])


def profile(colours):
    """A colour profile of which only the kind of colours matters here."""
    return SRGB[:16] + colours + SRGB[20:]


def photograph(orientation):
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "Camera"
    exif[EXIF] = {EXPOSURE: 0.5, WIDTH: 24, WIDTH + 1: 40}
    exif[GPS] = {1: "N", 2: (47.0, 33.0, 27.0)}
    return exif.tobytes()


def save(path, pixels=PICTURE, mode=None, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    path.parent.mkdir(parents=True, exist_ok=True)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def halved(pixels):
    """What the generator below makes of an image of 8 bits a channel."""
    return 0.25 + np.asarray(pixels) / 510


def pixels_of(path):
    return np.asarray(Image.open(path).convert("RGB")) / 255


@pytest.fixture(autouse=True)
def generator(monkeypatch):
    """Loads at once and halves the contrast; the list says with which weights it was loaded."""
    loaded = []

    def load(weights):
        loaded.append(weights)
        return lambda x, training: x * 0.5

    monkeypatch.setattr(folder, "generator_of", load)
    return loaded


def run(*arguments):
    return folder.main([str(a) for a in arguments])


def files(path):
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


def bad_file(path):
    path.write_bytes(save(path).read_bytes()[:200])
    return path


# What is kept of a photograph.


@FORMATS
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_photograph_keeps_what_belongs_to_it(tmp_path, suffix, orientation):
    stored = np.ascontiguousarray(np.rot90(PICTURE, {1: 0, 3: 2, 6: 1}[orientation]))
    path = save(tmp_path / "in" / f"a{suffix}", stored, exif=photograph(orientation),
                icc_profile=SRGB, **({} if suffix.lower().startswith(".t") else {"quality": 98}))
    assert run(path, tmp_path / "out") == 0
    image = Image.open(tmp_path / "out" / f"a{suffix}")
    kind = {"j": "JPEG", "p": "PNG", "w": "WEBP", "t": "TIFF"}[suffix[1].lower()]
    assert image.format == kind and image.mode == "RGB" and image.size == (40, 24)
    exif = image.getexif()
    assert exif.get(ORIENTATION, 1) == 1 and exif[MAKE] == "Camera"
    details = exif.get_ifd(EXIF)
    assert details[EXPOSURE] == 0.5 and details[WIDTH] == 40 and details[WIDTH + 1] == 24
    assert exif.get_ifd(GPS)[2] == (47.0, 33.0, 27.0)
    assert image.info["icc_profile"] == SRGB
    assert np.allclose(image, 255 * halved(PICTURE), atol=12)
    assert np.allclose(to_rgb(open_image(image.filename)), halved(PICTURE), atol=12 / 255)


@FORMATS
def test_a_picture_without_anything_else(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}")
    assert run(path, tmp_path / "out") == 0
    image = Image.open(tmp_path / "out" / path.name)
    assert "icc_profile" not in image.info and not image.getexif().get_ifd(EXIF)


def test_jpeg_is_fine(tmp_path):
    """Quality 95, and a colour for every pixel."""
    run(save(tmp_path / "a.jpg"), tmp_path / "out")
    image = Image.open(tmp_path / "out" / "a.jpg")
    assert [layer[1:3] for layer in image.layer] == [(1, 1)] * 3
    other = io.BytesIO()
    image.save(other, "JPEG", quality=95)
    assert image.quantization == Image.open(other).quantization


@pytest.mark.parametrize("suffix", ["bmp", "BMP"])
def test_other_formats_become_png(tmp_path, suffix):
    path = save(tmp_path / f"a.b.{suffix}")
    assert run(path, tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.b.png"]
    assert np.abs(pixels_of(tmp_path / "out" / "a.b.png") - halved(PICTURE)).max() <= 0.51 / 255


def grey_16(path):
    return save(path, (GREY.astype("uint16") * 257))


@pytest.mark.parametrize("make", [
    lambda p: save(p / "a.jpg", GREY, quality=98), lambda p: save(p / "a.png", GREY),
    lambda p: save(p / "a.tif", GREY), lambda p: grey_16(p / "a.png"),
    lambda p: grey_16(p / "a.tif"),
], ids=["jpg", "png", "tif", "16-bit-png", "16-bit-tif"])
def test_grey(tmp_path, make):
    path = make(tmp_path)
    assert run(path, tmp_path / "out") == 0
    found = Image.open(tmp_path / "out" / path.name)
    assert found.mode == "RGB"
    assert np.allclose(np.asarray(found)[..., 0] / 255, halved(GREY), atol=0.02)


@pytest.mark.parametrize("colours", [b"GRAY", b"CMYK", b"Lab "])
def test_a_profile_of_other_colours_is_not_kept(tmp_path, colours):
    mode = {b"GRAY": "L", b"CMYK": "CMYK"}.get(colours)
    path = save(tmp_path / "a.jpg", PICTURE, mode, icc_profile=profile(colours))
    assert Image.open(path).info["icc_profile"] == profile(colours)
    assert run(path, tmp_path / "out") == 0
    found = Image.open(tmp_path / "out" / "a.jpg")
    assert found.mode == "RGB" and "icc_profile" not in found.info


def test_cmyk(tmp_path):
    path = save(tmp_path / "a.jpg", PICTURE, "CMYK", quality=98)
    assert run(path, tmp_path / "out") == 0
    assert np.allclose(pixels_of(tmp_path / "out" / "a.jpg"), halved(PICTURE), atol=0.06)


ALPHA = np.broadcast_to((X * 6.5).astype("uint8"), GREY.shape)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparency_is_kept(tmp_path, suffix):
    """Over white, as the network saw it, the file shows what the network made of it."""
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", np.dstack([PICTURE, ALPHA]), **options)
    assert run(path, tmp_path / "out") == 0
    found = Image.open(tmp_path / "out" / path.name)
    assert found.mode == "RGBA" and np.array_equal(np.asarray(found)[..., 3], ALPHA)
    seen, expected = to_rgb(found), halved(255 * to_rgb(open_image(path)))
    # What no colour can show: where white shines through more than the result has of it.
    reach = expected >= 1 - ALPHA[..., None] / 255 + 0.02
    assert np.allclose(seen[reach], expected[reach], atol=2 / 255 if suffix != ".webp" else 0.08)


@pytest.mark.parametrize("image", [
    Image.fromarray(GREY).convert("P"), Image.fromarray(np.dstack([GREY, ALPHA]), "LA"),
    Image.fromarray(GREY > 99), Image.fromarray(GREY.astype("uint16") * 257),
], ids=["palette", "grey-alpha", "one-bit", "16-bit"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_encode_of_every_mode(tmp_path, image, suffix):
    for options in ({}, {"transparency": 7}) if image.mode != "LA" else ({},):
        path = save(tmp_path / "a.png", image, **options)
        original = open_image(path)
        result = halved(255 * to_rgb(original))
        again = Image.open(io.BytesIO(encode(result, original, suffix)))
        assert again.mode in ("RGB", "RGBA") and again.size == (40, 24)


def test_encode_repeats():
    original = Image.fromarray(PICTURE)
    one, two = (encode(PICTURE / 255, original, ".jpg") for _ in range(2))
    assert one == two and one[:2] == b"\xff\xd8"


def test_encode_refuses_another_size():
    with pytest.raises(ValueError, match="was not made from"):
        encode(np.zeros((24, 39, 3)), Image.fromarray(PICTURE), ".png")


def test_encode_lays_off_exif_that_no_jpeg_can_hold():
    original = Image.fromarray(PICTURE)
    original.getexif()[MAKE] = "x" * 70_000
    encode(PICTURE / 255, original, ".jpg")
    original.getexif()[MAKE] = "Camera"
    content = encode(PICTURE / 255, original, ".jpg")
    assert Image.open(io.BytesIO(content)).getexif()[MAKE] == "Camera"


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, io.BytesIO])
def test_open_an_upload(tmp_path, wrap):
    path = save(tmp_path / "a.png")
    assert np.array_equal(to_rgb(open_image(wrap(path.read_bytes()))), PICTURE / np.float32(255))
    with pytest.raises(ImageError, match=r"^dog\.jpg: not an image"):
        open_image(wrap(b"woof"), "dog.jpg")
    with pytest.raises(ImageError, match="^the image: not an image"):
        open_image(wrap(b""))


# Folders.


def test_subfolders_are_mirrored(tmp_path, capsys):
    names = ["a.jpg", "b/a.png", "b/c/d.webp", "e.TIF"]
    for name in [*names, ".hidden/a.png", "b/.hidden.png"]:
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    assert run(tmp_path / "in", tmp_path / "deep" / "out") == 0
    assert files(tmp_path / "deep" / "out") == names
    printed = capsys.readouterr()
    assert printed.out == "4 of 4 images dehazed.\n"
    assert "4/4" in printed.err, "the progress bar"
    assert np.allclose(pixels_of(tmp_path / "deep" / "out" / "b" / "a.png"), halved(PICTURE),
                       atol=0.01)


def test_out_may_lie_inside(tmp_path, monkeypatch):
    save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run(".", "x/out", "--again") == 0
        assert files(tmp_path) == ["a.png", "x/out/a.png"]


def test_a_second_run_does_what_is_missing(tmp_path, capsys, generator):
    for name in ("a.png", "b.png", "c.bmp"):
        save(tmp_path / "in" / name)
    arguments = tmp_path / "in", tmp_path / "out"
    assert run(*arguments) == 0
    marks = {p: p.stat().st_ino for p in (tmp_path / "out").iterdir()}
    (tmp_path / "out" / "a.png").unlink()
    assert run(*arguments, "--weights", "mine") == 0
    assert "1 of 1 images dehazed, 2 were there already (--again" in capsys.readouterr().out
    assert (tmp_path / "out" / "a.png").exists()
    for name in ("b.png", "c.png"):
        path = tmp_path / "out" / name
        assert path.stat().st_ino == marks[path]
    assert run(*arguments) == 0
    assert capsys.readouterr().out.startswith("no image was missing, 3 were there already")
    assert generator == ["improved", "mine"], "nothing is loaded when nothing is to be done"
    (tmp_path / "out" / "b.png").write_text("old")
    assert run(*arguments, "--again") == 0
    assert Image.open(tmp_path / "out" / "b.png").size == (40, 24)


def test_strength(tmp_path):
    path = save(tmp_path / "a.png")
    for strength in (0, 0.5):
        assert run(path, tmp_path / "out", "--strength", strength, "--again") == 0
        expected = PICTURE / 255 + strength * (halved(PICTURE) - PICTURE / 255)
        assert np.allclose(pixels_of(tmp_path / "out" / "a.png"), expected, atol=0.51 / 255)


def test_a_bad_file_in_the_middle(tmp_path, capsys):
    for name in ("a.png", "c.png"):
        save(tmp_path / "in" / name)
    bad = bad_file(tmp_path / "in" / "b.jpg")
    (tmp_path / "in" / "d.png").symlink_to("nowhere")
    assert run(tmp_path / "in", tmp_path / "out") == 1
    assert files(tmp_path / "out") == ["a.png", "c.png"]
    printed = capsys.readouterr()
    assert printed.out == "2 of 4 images dehazed.\n"
    told = printed.err.splitlines()[-2:]
    assert told[0].startswith(f"{bad}: damaged") and told[0].endswith("remove it.")
    assert told[1] == f"{tmp_path / 'in' / 'd.png'}: no such file; check the path."


def test_any_other_error_is_one_sentence_too(tmp_path, capsys, monkeypatch):
    save(tmp_path / "in" / "a.png")

    def fail(x, training):
        raise MemoryError("much\nmuch " + 300 * "more ")

    monkeypatch.setattr(folder, "generator_of", lambda weights: fail)
    assert run(tmp_path / "in", tmp_path / "out") == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"{tmp_path / 'in' / 'a.png'}: could not be dehazed (MemoryError: much")
    assert len(told) < 400


def test_two_images_of_one_result(tmp_path, capsys):
    """The one that keeps its name comes first, whenever it came."""
    save(tmp_path / "in" / "a.bmp", 255 - PICTURE)
    for name in ("a.jpg", "a.png"):
        save(tmp_path / "in" / name)
    for _ in range(2):
        assert run(tmp_path / "in", tmp_path / "out") == 1
        assert files(tmp_path / "out") == ["a.jpg", "a.png"]
        told = capsys.readouterr().err.splitlines()[-1]
        bmp, png = tmp_path / "in" / "a.bmp", tmp_path / "in" / "a.png"
        assert told == f"{bmp}: its result would overwrite that of {png}; rename one."
    found = pixels_of(tmp_path / "out" / "a.png")
    assert np.allclose(found, halved(PICTURE), atol=0.01)


def test_no_original_is_overwritten(tmp_path, capsys):
    path = save(tmp_path / "a" / "x.png")
    before = path.read_bytes()
    assert run(path, tmp_path / "a", "--again") == 1
    inner = save(tmp_path / "a" / "a" / "x.png")
    assert run(tmp_path / "a", tmp_path, "--again") == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == f"{inner}: its result would overwrite {path}; take another folder."
    assert path.read_bytes() == before == inner.read_bytes()
    assert files(tmp_path) == ["a/a/x.png", "a/x.png", "x.png"]


@pytest.mark.parametrize("arguments, problem", [
    (["nowhere", "out"], "nowhere: no such file or folder; check the path."),
    (["in", "in"], "in: the results would overwrite the photographs; name another folder."),
    (["in", "in/../in"], "in/../in: the results would overwrite"),
    (["in/a.png", "in/a.png"], "in/a.png: the results would overwrite"),
    (["in", "in/a.png"], "in/a.png: a file; name a folder for the results."),
    (["in/empty", "out"], "in/empty: no images in it; put .jpg or .png files there."),
    (["in"], "the following arguments are required: OUT"),
    (["in", "out", "--strength", "nan"], "argument --strength: invalid"),
    (["in", "out", "--strength", "-1"], "argument --strength: invalid"),
])
def test_wrong_usage(tmp_path, monkeypatch, capsys, arguments, problem):
    save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    try:
        status = run(*arguments)
    except SystemExit as exit:
        status = exit.code
    assert status == 2
    assert problem in capsys.readouterr().err.splitlines()[-1]
    assert files(tmp_path) == ["in/a.png"]


# Writing.


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
                                   OSError(errno.EROFS, os.strerror(errno.EROFS))],
                         ids=["full", "read-only"])
def test_what_cannot_be_written_ends_the_run(tmp_path, capsys, monkeypatch, error):
    for name in ("a.png", "b.png", "c.png"):
        save(tmp_path / "in" / name)
    whole, count = Path.write_bytes, []

    def write_bytes(path, content):
        count.append(path)
        if len(count) == 2:
            whole(path, content[:9])
            raise error
        return whole(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert run(tmp_path / "in", tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert printed.out == "1 of 3 images dehazed.\n"
    last = printed.err.splitlines()[-1]
    assert last.startswith(f"{tmp_path / 'out' / 'b.png'}: cannot be written ({error.strerror})")
    assert files(tmp_path / "out") == ["a.png"]


def test_out_below_a_file(tmp_path, capsys):
    save(tmp_path / "in" / "a.png")
    (tmp_path / "file").touch()
    assert run(tmp_path / "in", tmp_path / "file" / "out") == 1
    assert "cannot be written (" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("place", ["write_bytes", "replace"])
def test_an_interruption_leaves_no_half_file(tmp_path, capsys, monkeypatch, place):
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_text("old")
    whole = Path.write_bytes

    def interrupt(path, content):
        if place == "write_bytes":
            whole(path, content[:9])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, place) if place == "write_bytes" else (os, place)), interrupt)
        assert run(tmp_path / "in", tmp_path / "out", "--again") == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("interrupted; ")
    assert files(tmp_path / "out") == ["a.png"]
    assert (tmp_path / "out" / "a.png").read_text() == "old"
    assert run(tmp_path / "in", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.png", "b.png"]


# The real thing, in a process of its own.


SMALL = {"filters": (4, 4), "blocks": (0, 1)}
COMMAND = [sys.executable, "-m", "helpers.inference"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("weights") / "generator.safetensors"
    network = physics_unet(**SMALL)
    network.get_layer("maps").bias.assign([0.5, 0.4, 0.3, 0.3, 0.2, 0.1])
    save_generator(network, path, "tiny", network="physics_unet", **SMALL)
    return path


def test_generator_of(weights, monkeypatch):
    monkeypatch.undo()
    assert folder.generator_of(str(weights)).get_layer("maps")
    with pytest.raises(WeightsError, match="no such weights"):
        folder.generator_of("no-such-run")
    with pytest.raises(WeightsError, match="no such file"):
        folder.generator_of("nowhere.safetensors")


def test_no_weights(tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    save(tmp_path / "a.png")
    assert run(tmp_path / "a.png", tmp_path / "out", "--weights", "nowhere.safetensors") == 2
    told = capsys.readouterr().err
    assert told == "nowhere.safetensors: no such file; run notebook 03 first.\n"


def test_the_command(tmp_path, weights):
    save(tmp_path / "in" / "b" / "a.jpg", exif=photograph(6), icc_profile=SRGB)
    save(tmp_path / "in" / "c.png", GREY)
    bad = bad_file(tmp_path / "in" / "b" / "b.jpg")
    result = subprocess.run(
        [*COMMAND, tmp_path / "in", tmp_path / "out", "--weights", weights], cwd=env.ROOT,
        capture_output=True, text=True, check=False,
    )
    assert result.returncode == 1, result.stderr
    assert result.stdout == "2 of 3 images dehazed.\n"
    bar, told = result.stderr.splitlines()[-2:]
    assert "3/3" in bar and told.startswith(f"{bad}: damaged")
    assert "oneDNN" not in result.stderr and "Traceback" not in result.stderr
    assert files(tmp_path / "out") == ["b/a.jpg", "c.png"]
    image = Image.open(tmp_path / "out" / "b" / "a.jpg")
    assert image.size == (24, 40) and image.info["icc_profile"] == SRGB
    assert np.abs(pixels_of(tmp_path / "out" / "c.png") - GREY[..., None] / 255).max() > 0.05


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT to a single process")
def test_ctrl_c(tmp_path, weights):
    for n in range(100):
        save(tmp_path / "in" / f"{n:03}.png", np.tile(PICTURE, (40, 20, 1)))
    out = tmp_path / "out"
    with subprocess.Popen(
        [*COMMAND, tmp_path / "in", out, "--weights", weights], cwd=env.ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A job in the background of a shell ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        end = time.monotonic() + 120
        while not (out / "001.png").exists() and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        printed, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told and told.splitlines()[-1].startswith("interrupted; ")
    made = list(out.iterdir())
    assert 2 <= len(made) < 100
    for path in made:
        assert path.suffix == ".png"
        Image.open(path).load()
