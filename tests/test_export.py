"""helpers.export: the exported files give Keras' picture, for a real photograph too."""

import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from helpers import env

tf = env.import_tensorflow()

from helpers import export
from helpers.images import load_image
from helpers.inference import dehaze
from helpers.models import physics_unet, unet
from helpers.weights import WeightsError

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
    model = export.save_saved_model(generator, size, folder / "saved_model")
    files = {
        "saved_model": model,
        "float32": export.save_litert(model, folder / "g.tflite"),
        "float16": export.save_litert(model, folder / "g16.tflite", half=True),
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
        model = export.save_saved_model(generator, (8, 8), tmp_path / "model")
        export.save_litert(model, tmp_path / "model.tflite")
    said = capfd.readouterr()
    assert said.err == "" and said.out == ""
    assert (tmp_path / "model" / "saved_model.pb").exists()


def test_what_cannot_be_exported_leaves_what_was_there(tmp_path):
    generator, path = unet(2, levels=3), tmp_path / "model.tflite"
    model = export.save_saved_model(generator, (8, 8), tmp_path / "model")
    export.save_litert(model, path)
    before = path.read_bytes(), (model / "saved_model.pb").read_bytes()
    with pytest.raises(ValueError, match="multiples of 8"):
        export.save_saved_model(generator, (9, 8), model)
    for no_model in (tmp_path / "gone", tmp_path, path):
        with pytest.raises(ValueError, match=f"{no_model}: no SavedModel"):
            export.save_litert(no_model, path)
    assert before == (path.read_bytes(), (model / "saved_model.pb").read_bytes())


def test_the_lines_in_the_readme_dehaze_export_and_call(tmp_path, monkeypatch):
    """The last block in a process of its own, which knows nothing of the project."""
    readme = (env.ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    whole, convert, call = (next(block for block in blocks if words in block)
                            for words in ("dehaze(generator", "save_litert(", "Interpreter("))
    photograph = env.SAMPLE_DATA / "real" / "hazy" / "golden-temple.jpg"
    shutil.copy(photograph, tmp_path / "my_photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(whole, {})
    exec(convert, {})
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole, small = (load_image(f"my_photo_dehazed.{kind}") for kind in ("jpg", "png"))
    assert whole.shape == load_image(photograph).shape and small.shape == (384, 512, 3)
    shrunk = keras.ops.image.resize(whole, (384, 512), antialias=True)
    assert np.abs(small - shrunk).mean() < 0.03, "not the same picture"
