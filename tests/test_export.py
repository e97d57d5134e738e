"""helpers.export: the exported files give Keras' picture, and nothing that was there is lost."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import env, export
from helpers.images import load_image
from helpers.inference import apply_maps, haze_maps
from helpers.models import physics_unet, unet
from helpers.weights import RunError

WEIGHTS = env.SAMPLE_DATA / "weights"
SIZES = {"pix2pix": (256, 256), "improved": (384, 512)}


@pytest.fixture(scope="module", params=SIZES)
def shipped(request, tmp_path_factory):
    """(name, the generator, a real hazy photograph, what Keras makes of it, the exported files)."""
    size, folder = SIZES[request.param], tmp_path_factory.mktemp("export")
    generator = export.load_float32(WEIGHTS / request.param / "generator.safetensors")
    photograph = load_image(env.SAMPLE_DATA / "real" / "hazy" / "golden-temple.jpg")
    hazy = photograph[-size[0]:, :size[1]]
    model = export.serving_model(generator, size)
    files = {
        "saved_model": export.save_saved_model(model, folder / "saved_model"),
        "float32": export.save_litert(model, folder / "g.tflite"),
        "float16": export.save_litert(model, folder / "g16.tflite", "float16"),
        "int8": export.save_litert(model, folder / "g8.tflite", "int8"),
    }
    names = {"saved_model", "g.tflite", "g16.tflite", "g8.tflite"}
    assert {p.name for p in folder.iterdir()} == names
    with pytest.raises(ValueError, match="must be float32, float16 or int8"):
        export.save_litert(model, folder / "no.tflite", "int4")
    output = generator(hazy[None] * 2 - 1, training=False).numpy()[0]
    return request.param, generator, hazy, np.clip((output + 1) / 2, 0, 1), files


def test_the_exported_files_dehaze_a_real_photograph_as_keras_does(shipped):
    name, generator, hazy, expected, files = shipped
    pytest.importorskip("ai_edge_litert")
    for kind, path in files.items():
        call = export.call_saved_model if kind == "saved_model" else export.call_litert
        clear = call(path)(hazy)
        assert clear.shape == hazy.shape and clear.dtype == np.float32
        error = np.abs(clear - expected)
        assert error.mean() <= 4 / 255 if kind == "int8" else error.max() <= 2 / 255, kind
    assert np.abs(expected - hazy).mean() > 0.02, "it did nothing"
    if name == "improved":  # what dehaze does, but for its second look and for the enlargement
        once = apply_maps(hazy, haze_maps(generator, hazy, sizes=(512,)))
        assert np.abs(once - expected).mean() < 4 / 255


def test_weights_are_stored_once_in_the_bytes_of_their_type(shipped):
    _, generator, _, _, files = shipped
    whole, half, quarter = (files[k].stat().st_size for k in ("float32", "float16", "int8"))
    assert 0.45 < half / whole < 0.6 and 0.22 < quarter / whole < 0.32
    stored = sum(p.stat().st_size for p in files["saved_model"].rglob("*") if p.is_file())
    assert stored < 1.2 * 4 * generator.count_params()


@pytest.mark.parametrize("network, multiple", [(lambda: unet(2), 256), (lambda: unet(2, 4), 16), (
    lambda: physics_unet((2, 2, 2), (0, 1, 0)), 8)], ids=["unet", "shallow", "physics"])
def test_sizes(network, multiple):
    generator = network()
    export.serving_model(generator, (multiple, 2 * multiple))
    for size in ((multiple + 2, multiple), (multiple, 0), (-multiple, multiple)):
        with pytest.raises(ValueError, match=f"must be multiples of {multiple}"):
            export.serving_model(generator, size)


def test_a_policy_of_half_precision_does_not_get_into_the_file():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        generator = export.load_float32(WEIGHTS / "pix2pix" / "generator.safetensors")
        assert keras.config.dtype_policy().name == "mixed_bfloat16", "left as it was"
        with pytest.raises(ValueError, match="16 bits: load it by load_float32"):
            export.serving_model(unet(2, levels=3), (8, 8))
    finally:
        keras.config.set_dtype_policy("float32")
    export.serving_model(generator, (256, 256))


def test_an_export_takes_the_place_of_an_export_alone(tmp_path, capfd):
    model = export.serving_model(unet(2, levels=3), (8, 8))
    new, empty = tmp_path / "not" / "yet", tmp_path / "empty"
    empty.mkdir()
    for folder in (new, new, empty):
        assert (export.save_saved_model(model, folder) / "saved_model.pb").exists()
    mine, file = tmp_path / "photographs", tmp_path / "file"
    mine.mkdir()
    (mine / "saved_model.pb").touch()
    (mine / "holiday.jpg").write_text("precious")
    file.write_text("precious")
    (tmp_path / "mine" / "variables").mkdir(parents=True)  # called like a part of an export
    for place in (mine, file, tmp_path, tmp_path / "mine"):
        with pytest.raises(ValueError, match=f"{place}: holds other things") as error:
            export.save_saved_model(model, place)
        assert "\n" not in str(error.value)
    assert (mine / "holiday.jpg").read_text() == file.read_text() == "precious"
    with pytest.raises(RunError, match=f"{mine}: cannot be written"):
        export.save_litert(model, mine)
    below = file / "model"
    with pytest.raises(RunError, match=f"{below}: cannot be written"):
        export.save_litert(model, below)
    with pytest.raises(ValueError, match=f"{below}: cannot be made"):
        export.save_saved_model(model, below)
    said = capfd.readouterr()
    assert said.err == said.out == ""


def test_a_failed_export_leaves_the_former_one(tmp_path, monkeypatch):
    model = export.serving_model(unet(2, levels=3), (8, 8))
    folder = export.save_saved_model(model, tmp_path / "model")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    def fails(*args, **options):
        raise RuntimeError("no room")

    monkeypatch.setattr(tf.saved_model, "save", fails)
    with pytest.raises(RuntimeError, match="no room"):
        export.save_saved_model(model, folder)
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert list(tmp_path.iterdir()) == [folder], "no half of one is left"
