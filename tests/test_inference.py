"""helpers.inference: any size, the same result twice, and one sentence for weights that fail."""

import json

import keras
import numpy as np
import pytest
import safetensors.numpy

from helpers import env
from helpers.inference import WeightsError, dehaze, find_weights, load_generator
from helpers.models import unet
from helpers.runs import save_generator

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def generator():
    """A network whose weights and batch statistics are those of no beginner."""
    keras.utils.set_random_seed(0)
    network = unet(4)
    for v in network.variables:
        if "moving_variance" in v.path or "gamma" in v.path:
            v.assign(RNG.uniform(0.5, 1.5, v.shape))
        elif "seed" not in v.path:
            v.assign(v + RNG.normal(0, 0.05, v.shape))
    return network


def picture(*shape):
    return RNG.random((*shape, 3)).astype("float32")


@pytest.mark.parametrize(
    "shape", [(32, 32), (33, 47), (1, 1), (1, 300), (256, 256), (257, 255), (300, 200), (320, 480)],
    ids=str,
)
def test_dehaze_keeps_shape_and_range(generator, shape):
    result = dehaze(generator, picture(*shape))
    assert result.shape == (*shape, 3) and result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 1


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (257, 300), (320, 200)], ids=str)
def test_dehaze_pads_and_cuts_at_the_same_place(shape):
    """A generator that changes nothing gives back the image, pixel for pixel."""
    image, sizes = picture(*shape), []

    def unchanged(x, training):
        assert training is False
        sizes.append(x.shape[1:3])
        return x

    assert np.allclose(dehaze(unchanged, image), image, atol=1e-6)
    assert all(side % 256 == 0 for side in sizes[0])


def test_dehaze_continues_by_reflection():
    image = picture(300, 260)
    seen = []
    dehaze(lambda x, training: seen.append(x) or x, image)
    first = (seen[0][0] + 1) / 2  # the upper left tile; the picture begins 32 pixels inside
    assert np.allclose(first[32:, 32:], image[:224, :224], atol=1e-6)
    assert np.allclose(first[31, 32:], image[0, :224], atol=1e-6)
    assert np.allclose(first[30, 32:], image[1, :224], atol=1e-6)
    assert np.allclose(first[32:, 30], image[:224, 1], atol=1e-6)


def test_tiles_blend_without_a_border():
    """Tiles that differ in brightness: no step between neighbours beyond the blending's own."""
    count = iter(range(1000))

    def uneven(x, training):
        return np.stack([np.full_like(tile, 0.1 * (next(count) % 2)) for tile in x])

    out = dehaze(uneven, picture(600, 700)).mean(axis=-1)
    assert np.abs(np.diff(out, axis=0)).max() < 0.003
    assert np.abs(np.diff(out, axis=1)).max() < 0.003


def test_dehaze_clips():
    assert dehaze(lambda x, training: x * 0 + 3, picture(8, 8)).max() == 1


def test_dehaze_of_float64_and_float32_agree(generator):
    image = picture(40, 40)
    assert np.array_equal(dehaze(generator, image), dehaze(generator, image.astype("float64")))


def test_inference_repeats_and_changes_nothing(generator):
    """No dropout, and the moving statistics stay: unlike with training=True."""
    before = [np.array(v) for v in generator.variables]
    image = picture(100, 120)
    one = dehaze(generator, image)
    dehaze(generator, picture(64, 64))
    assert np.array_equal(one, dehaze(generator, image))
    assert all(map(np.array_equal, before, [np.array(v) for v in generator.variables]))


@pytest.fixture(scope="module")
def saved(generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "generator.safetensors"
    save_generator(generator, path, width=4, skips=True)
    return path


def test_round_trip_within_half_precision(generator, saved):
    again = load_generator(saved)
    for old, new in zip(generator.variables, again.variables, strict=True):
        if "seed" not in old.path:
            # Half precision keeps 11 bits; below 6e-5 its steps are 6e-8.
            assert np.allclose(old, new, rtol=2**-11, atol=6e-8), old.path
    image = picture(64, 64)
    assert np.abs(dehaze(again, image) - dehaze(generator, image)).max() < 0.01
    assert not again.trainable_variables[0].dtype.startswith("float16")


def test_round_trip_in_float32_is_exact(generator, tmp_path):
    path = tmp_path / "g.safetensors"
    save_generator(generator, path, dtype="float32", width=4)
    image = picture(64, 64)
    assert np.array_equal(dehaze(load_generator(path), image), dehaze(generator, image))


def test_half_precision_halves_the_file(generator, saved, tmp_path):
    save_generator(generator, tmp_path / "g.safetensors", dtype="float32", width=4)
    ratio = saved.stat().st_size / (tmp_path / "g.safetensors").stat().st_size
    assert 0.45 < ratio < 0.6
    assert not list(saved.parent.glob("*.part"))


@pytest.mark.parametrize("architecture", [{"width": 8, "skips": False}, {"width": 4, "levels": 4}],
                         ids=str)
def test_the_file_says_what_to_build(tmp_path, architecture):
    network = unet(**architecture)
    save_generator(network, tmp_path / "g.safetensors", **architecture)
    again = load_generator(tmp_path / "g.safetensors")
    assert [v.shape for v in again.variables] == [v.shape for v in network.variables]


def cut(path, source):
    path.write_bytes(source.read_bytes()[:-100])


def rewrite(path, source, metadata=None, change=lambda tensors: tensors):
    tensors = change(safetensors.numpy.load_file(source))
    metadata = {"architecture": json.dumps({"width": 4})} if metadata is None else metadata
    safetensors.numpy.save_file(tensors, path, metadata)


BAD = {
    "missing": (lambda p, s: None, "no such file; run notebook 03 first"),
    "folder": (lambda p, s: p.mkdir(), "not a generator of this project"),
    "empty": (lambda p, s: p.write_bytes(b""), "not a generator of this project"),
    "truncated": (cut, "not a generator of this project"),
    "text": (lambda p, s: p.write_text("hello\nthere"), "not a generator of this project"),
    "foreign": (
        lambda p, s: safetensors.numpy.save_file({"w": np.zeros(3, "float32")}, p),
        "not a generator of this project",
    ),
    "foreign-metadata": (lambda p, s: rewrite(p, s, {"format": "pt"}), "not a generator"),
    "architecture-not-json": (
        lambda p, s: rewrite(p, s, {"architecture": "U-Net"}), "not a generator"),
    "architecture-a-list": (lambda p, s: rewrite(p, s, {"architecture": "[4]"}), "not a generator"),
    "unknown-argument": (
        lambda p, s: rewrite(p, s, {"architecture": '{"depth": 3}'}), "not a generator"),
    "absurd-width": (
        lambda p, s: rewrite(p, s, {"architecture": '{"width": -4}'}), "not a generator"),
    "no-levels": (
        lambda p, s: rewrite(p, s, {"architecture": '{"width": 4, "levels": 0}'}), "do not fit"),
    "another-width": (
        lambda p, s: rewrite(p, s, {"architecture": '{"width": 8}'}), "weights do not fit"),
    "a-variable-missing": (
        lambda p, s: rewrite(p, s, change=lambda t: dict(list(t.items())[:-1])), "do not fit"),
    "a-wrong-shape": (
        lambda p, s: rewrite(p, s, change=lambda t: t | {"000": t["000"][:2]}), "do not fit"),
}


@pytest.mark.parametrize("make, problem", BAD.values(), ids=BAD)
def test_bad_weights(saved, tmp_path, make, problem):
    path = tmp_path / "generator.safetensors"
    make(path, saved)
    with pytest.raises(WeightsError) as error:
        load_generator(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and problem in message
    assert message.endswith(".") and "\n" not in message and len(message) < 400


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    monkeypatch.setattr(env, "SAMPLE_DATA", tmp_path / "sample_data")
    folder = tmp_path / "sample_data" / "weights" / "pix2pix"
    folder.mkdir(parents=True)
    return folder


def test_find_weights_prefers_the_newest_finished_run(shipped, tmp_path):
    runs = tmp_path / "runs"
    for number, finished in ((2, True), (10, True), (11, False)):
        folder = runs / f"pix2pix-{number:03}"
        folder.mkdir(parents=True)
        if finished:
            (folder / "generator.safetensors").touch()
    assert find_weights("pix2pix", runs) == runs / "pix2pix-010"


def test_find_weights_falls_back_to_the_shipped_ones(shipped, tmp_path, monkeypatch):
    monkeypatch.setenv("DEHAZE_RUNS", str(tmp_path / "runs"))
    (tmp_path / "runs" / "pix2pix-001").mkdir(parents=True)
    assert find_weights("pix2pix") == shipped


def test_no_weights_at_all(shipped, tmp_path):
    with pytest.raises(WeightsError) as error:
        find_weights("l1-only", tmp_path)
    assert str(error.value) == (
        f"{shipped.parent / 'l1-only'}: no such weights; run notebook 03 to train l1-only."
    )
