"""helpers.encoder: the weights of a file in Keras' layers, and gradients that are TensorFlow's."""

import check_encoder
import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from pretrained import shrink_encoder, write_encoder

from helpers import encoder
from helpers.export import call_litert, save_litert, serving_model
from helpers.inference import dehaze, haze_maps
from helpers.models import physics_efficientnet, size_multiple
from helpers.weights import load_generator, save_generator

RNG = np.random.default_rng(0)


def picture(*shape):
    return tf.constant(RNG.uniform(-1, 1, (*shape, 3)), tf.float32)


def network():
    image = keras.Input((None, None, 3))
    return keras.Model(image, encoder.efficientnet_lite0(image))


def test_sizes_of_efficientnet_lite0():
    whole = network()
    shapes = whole.compute_output_shape((1, 64, 96, 3))
    assert [tuple(s[1:]) for s in shapes] == [
        (32, 48, 16), (16, 24, 24), (8, 12, 40), (4, 6, 112), (2, 3, 320)]
    # Liu 2020: 4.65 million, of which the last convolution has 1280 · 320, its norm 2 · 1280 and
    # the classifier 1281 · 1000; folding leaves one bias of the two numbers of each norm.
    kernels = sum(int(np.prod(w.shape)) for w in whole.weights if w.name != "bias")
    biases = sum(int(np.prod(w.shape)) for w in whole.weights if w.name == "bias")
    assert kernels + 2 * biases + 1280 * 320 + 2 * 1280 + 1281 * 1000 == 4_652_008
    assert len(encoder.encoder_layers(whole)) == 1 + 2 + 15 * 3


def test_folded_weights_give_what_the_file_says(tmp_path, monkeypatch):
    """Against an independent computation that applies batch norm as it stands."""
    shrink_encoder(monkeypatch)
    monkeypatch.setattr(check_encoder, "STAGES", encoder.STAGES)
    monkeypatch.setattr(check_encoder, "LAST", encoder.LAST)
    path = write_encoder(tmp_path / "weights.safetensors")
    folded, image = network(), picture(2, 64, 96)
    encoder.load_pretrained(folded, path)
    expected = check_encoder.reference(safetensors.numpy.load_file(path), image)
    assert len(expected) == 5
    for ours, theirs in zip(folded(image), expected, strict=True):
        assert np.std(theirs) > 0.1 and np.allclose(ours, theirs, rtol=1e-4, atol=1e-4)
        assert np.allclose(folded(image, training=True)[0], expected[0], rtol=1e-4, atol=1e-4)


def test_a_file_without_a_tensor(tmp_path, monkeypatch):
    shrink_encoder(monkeypatch)
    path = write_encoder(tmp_path / "weights.safetensors")
    tensors = safetensors.numpy.load_file(path)
    del tensors["_blocks.1._bn0.bias"]
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(KeyError, match="_blocks.1._bn0.bias"):
        encoder.load_pretrained(network(), path)


@pytest.mark.parametrize("side, stride", [(3, 1), (3, 2), (5, 1), (5, 2)])
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_gradients_of_the_depthwise_convolution(side, stride, kind):
    x, kernel = RNG.normal(size=(2, 8, 12, 6)), RNG.normal(size=(side, side, 6, 1))
    slopes = tf.constant(RNG.normal(size=(2, 8 // stride, 12 // stride, 6)), tf.float32)

    def results(run, kind):
        a, b = (tf.cast(v, kind) for v in (x, kernel))
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            y = tf.cast(run(a, b), tf.float32)
            total = tf.reduce_sum(y * slopes)
        return [tf.cast(v, tf.float32).numpy() for v in (y, *tape.gradient(total, [a, b]))]

    ours = results(lambda a, b: encoder.depthwise(a, b, stride), kind)
    theirs = results(
        lambda a, b: tf.nn.depthwise_conv2d(a, b, [1, stride, stride, 1], "SAME"), "float32")
    for a, b in zip(ours, theirs, strict=True):
        assert np.abs(a - b).max() < (1e-5 if kind == "float32" else 0.02) * np.abs(b).max()


def test_the_layer_computes_the_same_in_training_and_at_odd_sizes():
    layer = encoder.Depthwise(5, 2, padding="same", activation="relu6")
    for size in ((8, 12), (7, 9)):
        x = tf.constant(RNG.normal(size=(1, *size, 4)), tf.float32)
        assert np.allclose(layer(x, training=True), layer(x), atol=1e-5)


def test_the_generator_begins_as_the_identity_and_every_weight_learns(monkeypatch):
    shrink_encoder(monkeypatch)
    keras.utils.set_random_seed(0)
    generator = physics_efficientnet((4, 4, 6, 6), (0, 1, 0, 1))
    assert size_multiple(generator) == 32
    image = picture(2, 64, 96)
    assert np.array_equal(generator(image, training=True), image)
    for w in generator.weights:
        w.assign(w if np.any(w) else RNG.normal(0, 0.05, w.shape))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(generator(image, training=True) ** 2)
    gradients = tape.gradient(loss, generator.trainable_variables)
    assert all(g is not None and np.any(g) for g in gradients)


def test_the_generator_is_stored_within_its_cap_and_comes_back(tmp_path):
    generator, path = physics_efficientnet(), tmp_path / "generator.safetensors"
    assert 5.6e6 < generator.count_params() < 5.9e6
    save_generator(generator, path, "improved", network="physics_efficientnet")
    assert path.stat().st_size < 20e6
    again = load_generator(path)
    for old, new in zip(generator.weights, again.weights, strict=True):
        assert np.allclose(old, new, rtol=1e-3, atol=1e-6), old.path


def test_dehaze_and_litert_find_the_generator(tmp_path, monkeypatch):
    """It sees a whole image of any size, and the exported file gives Keras' picture."""
    pytest.importorskip("ai_edge_litert")
    shrink_encoder(monkeypatch)
    small, path = {"filters": (4, 4, 6, 6), "blocks": (0, 0, 0, 1)}, tmp_path / "g.safetensors"
    network = physics_efficientnet(**small)
    network.get_layer("maps").bias.assign([0.5, 0.4, 0.3, 0.3, 0.2, 0.1])
    kernel = network.get_layer("maps").kernel
    kernel.assign(RNG.normal(0, 0.05, kernel.shape))
    save_generator(network, path, "tiny", "float32", network="physics_efficientnet", **small)
    generator, image = load_generator(path), RNG.random((64, 96, 3)).astype("float32")
    expected = np.clip((network(image[None] * 2 - 1)[0] + 1) / 2, 0, 1)
    assert np.abs(expected - image).mean() > 0.02, "it does something"
    assert np.abs(dehaze(generator, image) - expected).mean() < 0.02
    assert haze_maps(generator, image[:33, :47]).shape == (202, 288, 6)
    file = save_litert(serving_model(generator, (64, 96)), tmp_path / "g.tflite")
    assert np.abs(call_litert(file)(image) - expected).max() < 1e-4
