"""helpers.export: the exported files give Keras' picture, for a real photograph too."""

import keras
import numpy as np
import pytest

from helpers import env

tf = env.import_tensorflow()

from helpers import export  # noqa: E402
from helpers.images import load_image  # noqa: E402
from helpers.inference import WeightsError, dehaze  # noqa: E402
from helpers.models import physics_unet, unet  # noqa: E402

WEIGHTS = env.SAMPLE_DATA / "weights"
SIZES = {"pix2pix": (256, 512), "improved": (384, 512)}


@pytest.fixture(scope="module", params=SIZES)
def shipped(request, tmp_path_factory):
    """(weights' generator, a real hazy photograph of its size, what Keras makes of it, files)."""
    size, folder = SIZES[request.param], tmp_path_factory.mktemp("export")
    generator = export.load_float32(WEIGHTS / request.param / "generator.safetensors")
    photograph = load_image(env.SAMPLE_DATA / "real" / "hazy" / "golden-temple.jpg")
    hazy = photograph[-size[0]:, :size[1]]
    assert hazy.shape[:2] == size
    files = {
        "saved_model": export.save_saved_model(generator, size, folder / "saved_model"),
        "float32": export.save_litert(generator, size, folder / "g.tflite"),
        "float16": export.save_litert(generator, size, folder / "g16.tflite", half=True),
    }
    output = generator(hazy[None] * 2 - 1, training=False).numpy()[0]
    return hazy, np.clip((output + 1) / 2, 0, 1), files


@pytest.mark.parametrize("kind", ["saved_model", "float32", "float16"])
def test_an_exported_file_dehazes_a_real_photograph_as_keras_does(shipped, kind):
    hazy, expected, files = shipped
    pytest.importorskip("ai_edge_litert")
    call = export.call_saved_model if kind == "saved_model" else export.call_litert
    clear = call(files[kind])(hazy)
    assert clear.shape == hazy.shape and clear.dtype == np.float32
    assert np.abs(clear - expected).max() <= 2 / 255
    assert np.abs(clear - hazy).mean() > 0.02, "it did nothing"


def test_half_takes_half_the_bytes_and_nothing_is_left_over(shipped):
    *_, files = shipped
    whole, half = (files[kind].stat().st_size for kind in ("float32", "float16"))
    assert 0.45 < half / whole < 0.6
    names = {p.name for p in files["float32"].parent.iterdir()}
    assert names == {"saved_model", "g.tflite", "g16.tflite"}


def test_the_exported_function_is_what_dehaze_does_to_a_picture_that_fits():
    """Up to the half size at which dehaze() keeps K and B: 2.7/255 apart in the mean."""
    generator = export.load_float32(WEIGHTS / "improved" / "generator.safetensors")
    hazy = load_image(env.SAMPLE_DATA / "real" / "hazy" / "golden-temple.jpg")[-384:, :512]
    clear = export.serving_function(generator, (384, 512))(hazy[None])["clear"][0]
    assert np.abs(dehaze(generator, hazy) - clear).mean() < 4 / 255


@pytest.mark.parametrize("network, multiple", [(lambda: unet(2), 256), (lambda: unet(2, 4), 16), (
    lambda: physics_unet((2, 2, 2), (0, 1, 0)), 8)], ids=["unet", "shallow", "physics"])
def test_sizes(network, multiple):
    generator = network()
    assert export.size_multiple(generator) == multiple
    export.serving_function(generator, (multiple, 2 * multiple))
    for size in ((multiple + 2, multiple), (multiple, 0), (-multiple, multiple)):
        with pytest.raises(ValueError, match=f"must be multiples of {multiple}"):
            export.serving_function(generator, size)


def test_a_policy_of_half_precision_does_not_get_into_the_file():
    path = WEIGHTS / "pix2pix" / "generator.safetensors"
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        generator = export.load_float32(path)
        assert keras.config.dtype_policy().name == "mixed_bfloat16", "left as it was"
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in generator.layers} == {"float32"}
    with pytest.raises(WeightsError):
        export.load_float32(path.with_name("no"))


def test_exporting_is_quiet_and_replaces_what_was_there(tmp_path, capfd):
    generator = unet(2, levels=3)
    for _ in range(2):
        export.save_saved_model(generator, (8, 8), tmp_path / "model")
        export.save_litert(generator, (8, 8), tmp_path / "model.tflite")
    said = capfd.readouterr()
    assert said.err == "" and said.out == ""
    assert (tmp_path / "model" / "saved_model.pb").exists()


def test_what_cannot_be_exported_leaves_the_old_file(tmp_path):
    generator, path = unet(2, levels=3), tmp_path / "model.tflite"
    export.save_litert(generator, (8, 8), path)
    before = path.read_bytes()
    with pytest.raises(ValueError):
        export.save_litert(generator, (9, 8), path)
    assert path.read_bytes() == before
