"""Files of generators: the round trip, where they are found, one sentence for each that fails."""

import json

import keras
import numpy as np
import pytest
import safetensors.numpy

from helpers import env
from helpers.models import physics_unet, unet
from helpers.weights import WeightsError, digest, find_weights, load_generator, save_generator

SMALL = {"filters": [4, 4, 4, 4, 4, 4], "blocks": [0, 0, 1, 0, 0, 1]}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "generator.safetensors"
    save_generator(unet(4), path, "tiny", network="unet", width=4, skips=True)
    return path


@pytest.mark.parametrize(
    "build, architecture",
    [(unet, {"width": 8, "skips": False}), (unet, {"width": 4, "levels": 4}),
     (physics_unet, SMALL)],
    ids=["cut", "shallow", "physics"],
)
def test_the_file_says_what_to_build(tmp_path, build, architecture):
    network, path = build(**architecture), tmp_path / "g.safetensors"
    save_generator(network, path, "tiny", "float32", network=build.__name__, **architecture)
    for old, new in zip(network.weights, load_generator(path).weights, strict=True):
        assert np.array_equal(old, new), old.path


def metadata_of(path):
    """The description in the header of a safetensors file, read without the library."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8:8 + length])["__metadata__"], length


def rewrite(path, source, change=lambda tensors: tensors, sign=True, **metadata):
    """The weights again, some of their tensors or of their description changed."""
    tensors = change(safetensors.numpy.load_file(source))
    texts = metadata_of(source)[0]
    if sign:
        texts["sha256"] = json.dumps(digest([tensors[k] for k in sorted(tensors)]))
    texts |= metadata
    texts = {k: v for k, v in texts.items() if v is not None}
    safetensors.numpy.save_file(tensors, path, texts)


def shorten(path, source, count=100):
    path.write_bytes(source.read_bytes()[:-count])


def flip(path, source, place):
    content = bytearray(source.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def network(**architecture):
    """A change of the description alone."""
    return lambda p, s: rewrite(p, s, architecture=json.dumps(architecture))


def foreign(**metadata):
    return lambda p, s: safetensors.numpy.save_file({"w": np.zeros(3, "float32")}, p, metadata)


FOREIGN = "not a generator of this project"
BAD = {
    "missing": (lambda p, s: None, "no such file; run notebook 05 first"),
    "truncated": (shorten, FOREIGN),
    "text": (lambda p, s: p.write_text("hello\nthere"), FOREIGN),
    "last-byte-flipped": (lambda p, s: flip(p, s, -1), "damaged, its SHA-256"),
    "foreign": (foreign(), FOREIGN),
    "format-of-tomorrow": (lambda p, s: rewrite(p, s, format="3"),
                           f"format 3, made with Keras {keras.__version__}; update this code"),
    "unsigned": (lambda p, s: rewrite(p, s, sha256=None), "damaged, its SHA-256"),
    "architecture-missing": (lambda p, s: rewrite(p, s, architecture=None), "cannot be built"),
    "unknown-network": (network(network="transformer"), "cannot be built"),
    "another-width": (network(network="unet", width=8), "weights do not fit"),
    "a-wrong-shape": (
        lambda p, s: rewrite(p, s, lambda t: t | {"0000": t["0000"][:2]}), "do not fit"),
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
        f"{shipped.parent / 'l1-only'}: no such weights; run notebook 05 to train l1-only."
    )
