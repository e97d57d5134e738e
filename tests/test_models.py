"""helpers.models: exact sizes, shapes, the receptive field, and that the switches really switch."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.haze import add_haze
from helpers.models import (
    compiled,
    decoder_block,
    encoder_block,
    patchgan,
    physics_head,
    physics_unet,
    plain_encoder_block,
    receptive_field,
    residual_block,
    resize_block,
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


@pytest.fixture(scope="module")
def physics():
    """A small one that is no longer the identity."""
    keras.utils.set_random_seed(0)
    network = physics_unet(**SMALL)
    for w in network.weights:
        if not np.any(w):
            w.assign(RNG.normal(0, 0.05, w.shape))
    return network


# The networks of pix2pix.


def test_parameters():
    classic = unet(64, classic=True)
    assert classic.count_params() == 54_425_859
    assert sum(int(np.prod(w.shape)) for w in classic.trainable_variables) == 54_414_979
    assert classic.count_params() - unet(64).count_params() == 2048, "the bottleneck's norm"
    assert unet(16).count_params() == 3_406_915
    assert patchgan(64).count_params() == 2_770_433


def test_blocks_halve_and_double():
    x = keras.Input((32, 48, 5))
    for block in (encoder_block, plain_encoder_block):
        assert block(x, 7).shape == (None, 16, 24, 7)
    for block in (decoder_block, resize_block):
        assert block(x, 7).shape == (None, 64, 96, 7)
    assert residual_block(x, 5).shape == (None, 32, 48, 5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_decoder_block_drops_out_on_request(dropout):
    x = keras.Input((32, 32, 3))
    block = keras.Model(x, decoder_block(x, 8, dropout))
    image = picture(1, 32, 32)
    one, other = (block(image, training=True).numpy() for _ in range(2))
    assert np.array_equal(one, other) is (dropout == 0)
    assert np.array_equal(block(image), block(image))
    assert one.min() >= 0, "ReLU comes last"


@pytest.mark.parametrize("network", [lambda: unet(16, levels=4), lambda: patchgan(16)],
                         ids=["generator", "discriminator"])
def test_initial_weights(network):
    kernels = [w.numpy() for w in network().trainable_variables if "kernel" in w.path]
    values = np.concatenate([k.ravel() for k in kernels])
    assert values.std() == pytest.approx(0.02, rel=0.02) and abs(values.mean()) < 5e-4


@pytest.mark.parametrize("build, multiple, size", [
    (lambda: unet(4), 256, (512, 256)), (lambda: unet(4, levels=3), 8, (8, 24)),
    (lambda: physics_unet(**SMALL), 64, (64, 192)),
    (lambda: physics_unet((4, 4, 4), (0, 0, 1)), 8, (16, 24)),
], ids=["unet", "shallow", "physics", "shallow-physics"])
def test_generators_keep_the_size(build, multiple, size):
    network = build()
    assert size_multiple(network) == multiple
    assert network(picture(2, *size)).shape == (2, *size, 3)


def test_discriminator_shapes(discriminator):
    for size, logits in (((256, 256), (30, 30)), ((64, 72), (6, 7))):
        assert discriminator([picture(2, *size)] * 2).shape == (2, *logits, 1)


def test_classic_output_stays_in_range():
    network = unet(4, levels=2, classic=True)
    for w in network.trainable_variables:
        w.assign(w * 500)
    out = network(picture(1, 16, 16)).numpy()
    assert np.abs(out).max() <= 1 and np.abs(out).max() > 0.9


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


def test_why_the_bottleneck_is_not_normalised():
    """In training mode at batch 1, two images' bottlenecks are the same if it is."""
    spread = []
    for classic in (True, False):
        network = unet(4, classic=classic)
        last_down = [x for x in network.layers if isinstance(x, keras.layers.LeakyReLU)][-1]
        deep = keras.Model(network.input, last_down.output)
        one, other = (deep(picture(1, 256, 256), training=True) for _ in range(2))
        spread.append(float(tf.reduce_max(tf.abs(one - other))))
    assert spread[0] == 0 and spread[1] > 1e-4


@pytest.mark.parametrize("layers, side", [
    ([], 1), ([(3, 1), (3, 1)], 5), ([(4, 2), (4, 1)], 10), (PATCHGAN_LAYERS, 70)], ids=str)
def test_receptive_field_by_arithmetic(layers, side):
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


def test_a_resize_block_makes_no_checkerboard():
    """An even input stays even inside; a transposed convolution with random weights does not."""
    x = keras.Input((None, None, 4))
    even = tf.fill((1, 8, 8, 4), 0.5)
    for make, blocks in ((resize_block, False), (decoder_block, True)):
        keras.utils.set_random_seed(3)
        out = keras.Model(x, make(x, 16))(even).numpy()[0, 2:-2, 2:-2]
        spread = (out - out[0, 0]).std() / out.std()
        assert (spread > 0.1) if blocks else (spread < 1e-5), make


def test_a_residual_block_begins_as_the_identity_and_learns():
    x = keras.Input((8, 8, 5))
    block = keras.Model(x, residual_block(x, 5))
    features = tf.random.stateless_normal((1, 8, 8, 5), (0, 0))
    assert np.array_equal(block(features), features)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(block(features) ** 3)
    gradient = tape.gradient(loss, block.trainable_variables[2])
    assert np.abs(gradient).max() > 0, "zero weights, and a gradient that moves them"


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_physics_unet_begins_as_the_exact_identity(policy):
    keras.config.set_dtype_policy(policy)
    try:
        network = physics_unet()
    finally:
        keras.config.set_dtype_policy("float32")
    image = picture(1, 64, 128)
    assert np.array_equal(network(image, training=True), image)


def test_physics_unet_has_neither_norm_nor_dropout(physics):
    """Hence training and inference are one, and an image does not depend on its batch."""
    one, other = picture(1, 64, 64), picture(1, 64, 64)
    alone, both = physics(one), physics(tf.concat([one, other], 0))
    assert np.allclose(alone, both[:1], atol=1e-5)
    assert np.array_equal(alone, physics(one, training=True))
    assert len(physics.weights) == len(physics.trainable_variables)


def test_every_weight_of_physics_unet_learns(physics):
    image = picture(1, 64, 64)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(physics(image, training=True) ** 2)
    gradients = tape.gradient(loss, physics.trainable_variables)
    assert all(g is not None and np.any(g) for g in gradients)


def test_physics_unet_sees_the_whole_image(physics):
    """By way of the mean at the bottom, one corner knows of the opposite one."""
    image = picture(1, 512, 512)
    other = np.array(image)
    other[0, :64, :64] = 1
    change = np.abs(physics(image) - physics(tf.constant(other)))[0]
    assert change[-16:, -16:].max() > 0


def test_physics_head_is_the_scattering_model_inverted():
    """With K = 1/t - 1 and B = A·K for values in [0, 1], the picture behind the haze comes out."""
    image, features = keras.Input((None, None, 3)), keras.Input((None, None, 4))
    head = keras.Model([image, features], physics_head(image, features))
    t, airlight = 0.4, np.array([0.9, 0.8, 0.7])
    k = np.full(3, 1 / t - 1)
    head.get_layer("maps").bias.assign([*k, *(airlight * k)])
    clear = RNG.random((1, 16, 24, 3))
    hazy = add_haze(clear[0], np.full((16, 24), t), airlight)[None]
    found = head([hazy * 2 - 1, np.zeros((1, 8, 12, 4), "float32")])
    assert np.allclose(found, clear * 2 - 1, atol=5e-6)


# As a graph.


def test_a_compiled_network_is_the_network_without_dropout(generator):
    for count in (1, 3):  # one graph for batches of any size
        image = picture(count, 256, 256)
        assert np.allclose(compiled(generator)(image), generator(image), atol=1e-6)
    assert compiled(generator) is compiled(generator), "traced once"


def test_a_compiled_physics_network_gives_its_maps():
    network = physics_unet(**SMALL)
    network.architecture = {"network": "physics_unet", **SMALL}
    network.get_layer("maps").bias.assign([1, 2, 3, 4, 5, 6])
    for height, width in ((64, 128), (192, 64)):
        maps = compiled(network)(picture(1, height, width))
        assert np.array_equal(maps, np.ones((1, height // 2, width // 2, 6)) * range(1, 7))


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
