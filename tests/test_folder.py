"""scripts/dehaze.py: a folder of photographs, whatever lies in it, and once more."""

import io
import os
import subprocess
import sys

import dehaze as command
import keras
import numpy as np
import pytest
from pictures import (
    ALPHA,
    DETAILS,
    EXPOSURE,
    GPS,
    GREY,
    LOSSY,
    MAKE,
    ORIENTATION,
    PICTURE,
    SRGB,
    WIDE,
    camera_data,
    save,
    turned,
)
from PIL import Image

from helpers import env, inference
from helpers.images import encode, open_image, to_rgb
from helpers.models import physics_unet
from helpers.weights import save_generator

FORMATS = {".jpg": "JPEG", ".jfif": "JPEG", ".png": "PNG", ".webp": "WEBP", ".avif": "AVIF",
           ".TIF": "TIFF"}



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

    monkeypatch.setattr(command, "generator_of", load)
    return loaded


def run(*arguments):
    try:
        return command.main([str(a) for a in arguments])
    except SystemExit as exit:
        return exit.code


def files(path):
    return sorted(p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file())


def bad_file(path):
    path.write_bytes(save(path).read_bytes()[:200])
    return path


# What is kept of a photograph.


@pytest.mark.parametrize("suffix, kind", FORMATS.items())
def test_a_photograph_keeps_what_belongs_to_it(tmp_path, suffix, kind):
    fine = {} if kind in ("PNG", "TIFF") else {"quality": 98}
    path = save(tmp_path / "in" / f"a{suffix}", turned(PICTURE, 6), icc_profile=SRGB,
                exif=camera_data(6), **fine)
    assert run(path, tmp_path / "out") == 0
    image = Image.open(tmp_path / "out" / f"a{suffix}")
    image.load()
    assert image.format == kind and image.mode == "RGB" and image.size == (40, 24)
    exif = image.getexif()
    assert exif.get(ORIENTATION, 1) == 1 and exif[MAKE] == "Camera"
    assert exif.get_ifd(DETAILS)[EXPOSURE] == 0.5
    assert exif.get_ifd(GPS)[2] == (47.0, 33.0, 27.0)
    assert image.info["icc_profile"] == SRGB
    assert np.abs(to_rgb(open_image(image.filename)) - halved(PICTURE)).max() < LOSSY


@pytest.mark.parametrize("name, options", [
    ("a.jpg", {"mode": "L"}), ("a.tif", {"mode": "L"}), ("a.png", {"mode": "1"}),
    ("a.png", {"mode": "P"}), ("a.png", {"pixels": WIDE}), ("a.png", {"mode": "LA"}),
    ("a.webp", {"mode": "L", "lossless": True}), ("a.png", {"pixels": np.dstack(3 * [GREY])}),
], ids=str)
def test_grey_stays_grey(tmp_path, monkeypatch, name, options):
    """Even if the network paints: the mean of its colours is taken."""
    tint = np.array([0.3, 0, -0.3], "float32")
    monkeypatch.setattr(command, "generator_of", lambda weights: lambda x, training: x * 0.5 + tint)
    pixels = options.pop("pixels", GREY)
    path = save(tmp_path / name, pixels, **options)
    assert run(path, tmp_path / "out") == 0
    found = Image.open(tmp_path / "out" / name)
    assert np.ptp(pixels_of(found.filename), axis=-1).max() == 0
    expected = {".webp": "RGB"}.get(path.suffix, "L")
    assert found.mode == ("LA" if options.get("mode") == "LA" else expected) or pixels.ndim == 3
    seen = 255 * to_rgb(open_image(path))
    assert np.abs(pixels_of(found.filename) - halved(seen)).max() < 0.01


@pytest.mark.parametrize("suffix", [".png", ".avif"])
def test_transparency_is_kept(tmp_path, suffix):
    """What is transparent was white to the network; what is not keeps its colours."""
    path = save(tmp_path / f"a{suffix}", np.dstack([PICTURE, ALPHA]))
    assert run(path, tmp_path / "out") == 0
    found = Image.open(tmp_path / "out" / path.name)
    assert found.mode == "RGBA"
    assert np.allclose(np.asarray(found)[..., 3], ALPHA, atol=9 if suffix == ".avif" else 0)
    off = np.abs(pixels_of(found.filename) - halved(PICTURE))[ALPHA == 255]
    assert off.mean() < 0.02


def test_encode_without_what_does_not_fit():
    original = Image.fromarray(PICTURE)
    with pytest.raises(ValueError, match="was not made from"):
        encode(np.zeros((24, 39, 3)), original, ".png")
    original.getexif()[MAKE] = "x" * 70_000  # no JPEG can hold it
    assert not Image.open(io.BytesIO(encode(PICTURE / 255, original, ".jpg"))).getexif()


# Folders.


def test_subfolders_are_mirrored(tmp_path, capsys):
    names = ["a.jpg", "b/a.png", "b/c/d.webp", "e.TIF"]
    for name in [*names, ".hidden/a.png", "b/.hidden.png", "f.bmp"]:
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    assert run(tmp_path / "in", tmp_path / "deep" / "out") == 0
    assert files(tmp_path / "deep" / "out") == [*names, "f.png"]
    printed = capsys.readouterr()
    assert printed.out == "5 of 5 images dehazed.\n"
    assert "5/5" in printed.err, "the progress bar"
    assert np.abs(pixels_of(tmp_path / "deep/out/b/a.png") - halved(PICTURE)).max() < 0.01


def test_what_is_not_used_is_told_and_the_status_says_so(tmp_path, capsys):
    for name in ("0.jpg", "3.jfif", "8.avif"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "IMG_7.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    save(tmp_path / "in" / "nameless", kind="PNG")
    (tmp_path / "in" / "gone.png").symlink_to("nowhere")
    save(tmp_path / "elsewhere" / "a.png")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    bad = bad_file(tmp_path / "in" / "b.jpg")
    assert run(tmp_path / "in", tmp_path / "out") == 1
    assert files(tmp_path / "out") == ["0.jpg", "3.jfif", "8.avif"]
    printed = capsys.readouterr()
    assert printed.out == "3 of 4 images dehazed; 5 not used.\n"
    told = dict(line.split(": ", 1) for line in printed.err.splitlines()[-5:])
    assert told[f"{tmp_path / 'in' / 'IMG_7.heic'}"].startswith("HEIC, which is not read; save it")
    assert told[f"{tmp_path / 'in' / 'nameless'}"].endswith("add .jpg or .png to it.")
    assert told[f"{tmp_path / 'in' / 'gone.png'}"] == "no such file; check the path."
    assert told[f"{tmp_path / 'in' / 'linked'}"].startswith("a link to a folder")
    assert told[str(bad)].startswith("damaged")


def test_out_may_lie_inside(tmp_path, monkeypatch):
    save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run(".", "x/out", "--again") == 0
        assert files(tmp_path) == ["a.png", "x/out/a.png"]


def test_a_second_run_does_what_is_missing(tmp_path, capsys, generator):
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name)
    arguments = tmp_path / "in", tmp_path / "out"
    assert run(*arguments) == 0
    (tmp_path / "out" / "a.png").unlink()
    (tmp_path / "out" / "b.png").write_text("old")
    assert run(*arguments, "--weights", "mine") == 0
    assert "1 of 1 images dehazed, 1 were there already (--again" in capsys.readouterr().out
    assert (tmp_path / "out" / "b.png").read_text() == "old"
    assert run(*arguments) == 0
    assert capsys.readouterr().out.startswith("no image was missing, 2 were there already")
    assert generator == ["improved", "mine"], "nothing is loaded when nothing is to be done"
    assert run(*arguments, "--again", "--strength", "0.5") == 0
    expected = (PICTURE / 255 + halved(PICTURE)) / 2
    assert np.abs(pixels_of(tmp_path / "out" / "b.png") - expected).max() < 0.51 / 255


def test_nothing_is_overwritten(tmp_path, capsys):
    """Of two images of one result, the one that keeps its name comes first, whenever it came."""
    for name in ("a.bmp", "a.png"):
        save(tmp_path / "in" / name)
    for _ in range(2):
        assert run(tmp_path / "in", tmp_path / "out") == 1
        told = capsys.readouterr().err.splitlines()[-1]
        bmp, png = tmp_path / "in" / "a.bmp", tmp_path / "in" / "a.png"
        assert told == f"{bmp}: its result would overwrite that of {png}; rename one."
    path, inner = save(tmp_path / "b" / "x.png"), save(tmp_path / "b" / "b" / "x.png")
    before = path.read_bytes()
    assert run(path, tmp_path / "b", "--again") == 1
    assert run(tmp_path / "b", tmp_path, "--again") == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == f"{inner}: its result would overwrite {path}; take another folder."
    assert path.read_bytes() == before == inner.read_bytes()


@pytest.mark.parametrize("arguments, problem", [
    (["nowhere", "out"], "nowhere: no such file or folder; check the path."),
    (["in", "in/../in"], "in/../in: the results would overwrite"),
    (["in/a.png", "in/a.png"], "in/a.png: the results would overwrite"),
    (["in", "in/a.png"], "in/a.png: a file; name a folder for the results."),
    (["in", "in/a.png/out"], "in/a.png/out: cannot be made (Not a directory); name another"),
    (["a" * 300, "out"], f"{'a' * 300}: File name too long; name another one."),
    (["circle", "out"], "circle: no such file or folder; check the path."),
    (["in", ""], "an argument is empty; check the variable that it came from."),
    (["in/empty", "out"], "in/empty: no images in it; put .jpg or .png files there."),
    (["in"], "the following arguments are required: OUT"),
    (["in", "out", "--strength", "nan"], "--strength nan: it goes from 0 to 2."),
    (["in", "out", "--weights", "nowhere.safetensors"], "nowhere.safetensors: no such file;"),
    (["in", "out", "--weights", "no-such-run"], "no such weights"),
])
def test_wrong_usage(tmp_path, monkeypatch, capsys, arguments, problem):
    monkeypatch.undo()
    save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "empty").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    told = capsys.readouterr().err
    assert problem in told.splitlines()[-1] and "Traceback" not in told
    assert files(tmp_path) == ["in/a.png"]


# Writing.


def test_what_cannot_be_written_ends_it_with_one_sentence(tmp_path, capsys):
    for name in ("a.png", "b/b.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b").touch()  # where a folder should be
    assert run(tmp_path / "in", tmp_path / "out") == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"{tmp_path / 'out' / 'b'}: cannot be made (")
    assert files(tmp_path / "out") == ["a.png", "b"]


def test_an_interruption_leaves_what_is_whole(tmp_path, capsys, monkeypatch):
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name)
    whole, count = inference.dehaze, []

    def interrupted(*arguments):
        count.append(arguments)
        if len(count) == 2:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(inference, "dehaze", interrupted)
    assert run(tmp_path / "in", tmp_path / "out") == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("interrupted; ")
    assert files(tmp_path / "out") == ["a.png"]
    assert run(tmp_path / "in", tmp_path / "out") == 0
    assert files(tmp_path / "out") == ["a.png", "b.png"]


# The real thing, in a process of its own.


SMALL = {"filters": (4, 4), "blocks": (0, 1)}
COMMAND = [sys.executable, env.ROOT / "scripts" / "dehaze.py"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("weights") / "generator.safetensors"
    network = physics_unet(**SMALL)
    network.get_layer("maps").bias.assign([0.5, 0.4, 0.3, 0.3, 0.2, 0.1])
    save_generator(network, path, "tiny", network="physics_unet", **SMALL)
    return path


@pytest.mark.skipif(os.name == "nt", reason="no shell of this kind")
def test_the_command_on_a_poor_terminal(tmp_path, weights):
    """A Cyrillic code page cannot say "×" or "霧", and stderr is closed: it works all the same."""
    save(tmp_path / "in" / "霧.jpg")
    save(tmp_path / "in" / "c.png", GREY)
    (tmp_path / "in" / "×.heic").write_bytes(b"")
    line = f"'{COMMAND[0]}' '{COMMAND[1]}' in out --weights '{weights}'"
    for redirection, encoding, said in (
            ("2>&-", "ascii", "2 of 2 images dehazed; 1 not used."),
            ("2>&1", "cp1251", "no image was missing, 2 were there already")):
        result = subprocess.run(
            ["sh", "-c", f"{line} {redirection}"], cwd=tmp_path, capture_output=True,
            env=os.environ | {"PYTHONIOENCODING": encoding}, check=False)
        text = result.stdout.decode(encoding)
        assert result.returncode == 1 and said in text, text
        assert "Traceback" not in text and "oneDNN" not in text
        assert ("\\xd7.heic: HEIC" in text) == (redirection == "2>&1")
    gone = subprocess.run(["bash", "-c", f"{line} > /dev/full; {line} --again | true; "
                           "exit ${PIPESTATUS[0]}"], cwd=tmp_path, capture_output=True, check=False)
    assert gone.returncode == 130 and b"Traceback" not in gone.stderr
    assert b"\nthe output: No space left on device; name another one.\n" in b"\n" + gone.stderr
    assert files(tmp_path / "out") == ["c.png", "霧.jpg"]
    assert np.ptp(pixels_of(tmp_path / "out" / "c.png"), axis=-1).max() == 0
    assert np.abs(pixels_of(tmp_path / "out" / "c.png")[..., 0] - GREY / 255).max() > 0.05
