"""helpers.models: exact sizes, shapes, the receptive field, and that the switches really switch."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.models import (
    compiled,
    patchgan,
    physics_unet,
    receptive_field,
    size_multiple,
    unet,
)

RNG = np.random.default_rng(0)
PATCHGAN_LAYERS = [(4, 2), (4, 2), (4, 2), (4, 1), (4, 1)]
SMALL = {"filters": (4, 6, 8, 8, 8, 8), "blocks": (0, 1, 0, 1, 0, 2)}


def picture(*shape):
    return tf.constant(RNG.uniform(-1, 1, (*shape, 3)), tf.float32)


@pytest.fixture(scope="module")
def generator():
    keras.utils.set_random_seed(0)
    return unet(4)


@pytest.fixture(scope="module")
def discriminator():
    keras.utils.set_random_seed(0)
    return patchgan(4)


# The networks of pix2pix.


def test_parameters():
    classic = unet(64, classic=True)
    assert classic.count_params() == 54_425_859
    assert sum(int(np.prod(w.shape)) for w in classic.trainable_variables) == 54_414_979
    assert classic.count_params() - unet(64).count_params() == 2048, "the bottleneck's norm"
    assert unet(16).count_params() == 3_406_915
    assert patchgan(64).count_params() == 2_770_433


@pytest.mark.parametrize("network", [lambda: unet(16, levels=4), lambda: patchgan(16)],
                         ids=["generator", "discriminator"])
def test_initial_weights(network):
    kernels = [w.numpy() for w in network().trainable_variables if "kernel" in w.path]
    values = np.concatenate([k.ravel() for k in kernels])
    assert values.std() == pytest.approx(0.02, rel=0.02) and abs(values.mean()) < 5e-4


@pytest.mark.parametrize("build, multiple, size", [
    (lambda: unet(4), 256, (512, 256)), (lambda: unet(4, levels=3), 8, (8, 24)),
    (lambda: physics_unet(**SMALL), 64, (64, 192)),
], ids=["unet", "shallow", "physics"])
def test_generators_keep_the_size(build, multiple, size):
    network = build()
    assert size_multiple(network) == multiple
    assert network(picture(2, *size)).shape == (2, *size, 3)


def changed(network, image, other):
    """Largest change of the output when the input changes from ``image`` to ``other``."""
    return float(tf.reduce_max(tf.abs(network(image) - network(other))))


def without_bottleneck(network):
    """Silence the innermost level: the first decoder's kernel becomes 0."""
    first_up = next(x for x in network.layers if isinstance(x, keras.layers.Conv2DTranspose))
    first_up.kernel.assign(first_up.kernel * 0)
    return network


@pytest.mark.parametrize("classic", [False, True], ids=["ours", "classic"])
def test_skips_false_leaves_one_way_only(classic):
    """With the bottleneck's way cut too, the output no longer depends on the input at all."""
    image, other = picture(1, 256, 256), picture(1, 256, 256)
    assert changed(without_bottleneck(unet(4, classic=classic)), image, other) > 1e-6
    alone = unet(4, skips=False, classic=classic)
    assert changed(alone, image, other) > 0, "by way of the bottleneck it does"
    assert changed(without_bottleneck(alone), image, other) == 0


def test_conditional_false_ignores_the_hazy_image(discriminator):
    image, hazy, other = (picture(1, 64, 64) for _ in range(3))
    blind = patchgan(4, conditional=False)
    assert np.array_equal(blind([hazy, image]), blind([other, image]))
    assert not np.array_equal(blind([hazy, image]), blind([hazy, other]))
    assert not np.array_equal(discriminator([hazy, image]), discriminator([other, image]))


def test_receptive_field_by_arithmetic():
    for layers, side in (([], 1), ([(3, 1), (3, 1)], 5), (PATCHGAN_LAYERS, 70)):
        assert receptive_field(layers) == side


@pytest.mark.parametrize("training", [False, True])
def test_receptive_field_by_gradient(discriminator, training):
    """70 pixels; in training mode the batch statistics widen it to nearly the whole image."""
    hazy, image = picture(1, 256, 256), picture(1, 256, 256)
    with tf.GradientTape() as tape:
        tape.watch(image)
        logit = discriminator([hazy, image], training=training)[0, 15, 15, 0]
    seen = np.abs(tape.gradient(logit, image).numpy()[0]).sum(axis=-1) > 0
    sides = [int(np.ptp(np.nonzero(seen.any(axis=axis))[0])) + 1 for axis in (0, 1)]
    assert min(sides) > 200 if training else sides == [70, 70]


def test_outputs_are_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        networks = unet(4), physics_unet(**SMALL), patchgan(4)
    finally:
        keras.config.set_dtype_policy("float32")
    image = picture(1, 256, 256)
    for network in networks:
        output = network([image] * len(network.inputs))
        assert output.dtype == "float32"
        assert network.layers[2].compute_dtype == "bfloat16"


# The improved generator.


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_physics_unet_begins_as_the_exact_identity(policy):
    keras.config.set_dtype_policy(policy)
    try:
        network = physics_unet()
    finally:
        keras.config.set_dtype_policy("float32")
    image = picture(1, 64, 128)
    assert np.array_equal(network(image, training=True), image)


def test_every_weight_of_physics_unet_learns():
    """Once it is no longer the identity that it begins as."""
    keras.utils.set_random_seed(0)
    network, image = physics_unet(**SMALL), picture(1, 64, 64)
    for w in network.weights:
        w.assign(w if np.any(w) else RNG.normal(0, 0.05, w.shape))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(network(image, training=True) ** 2)
    gradients = tape.gradient(loss, network.trainable_variables)
    assert all(g is not None and np.any(g) for g in gradients)


# As a graph.


def test_a_compiled_network_is_the_network_without_dropout(generator):
    for count in (1, 3):  # one graph for batches of any size
        image = picture(count, 256, 256)
        assert np.allclose(compiled(generator)(image), generator(image), atol=1e-6)
    assert compiled(generator) is compiled(generator), "traced once"


def test_a_compiled_network_follows_its_weights_and_goes_with_it():
    network, image = unet(2, levels=2), picture(1, 256, 256)
    before = compiled(network)(image).numpy()
    for variable in network.trainable_variables:
        variable.assign(variable + 0.1)
    after = compiled(network)(image).numpy()
    assert np.allclose(after, network(image), atol=1e-6) and not np.allclose(after, before)
    gone = weakref.ref(network)
    del network, variable
    gc.collect()
    assert gone() is None, "no cache keeps it"
