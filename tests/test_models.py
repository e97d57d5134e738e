"""helpers.models: exact sizes, shapes, the receptive field, and that the switches really switch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers.haze import add_haze
from helpers.models import (
    PATCHGAN_LAYERS,
    decoder_block,
    encoder_block,
    patchgan,
    physics_head,
    physics_unet,
    plain_encoder_block,
    receptive_field,
    residual_block,
    resize_block,
    unet,
)

RNG = np.random.default_rng(0)


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


def trainable(network):
    return sum(int(np.prod(w.shape)) for w in network.trainable_variables)


def test_parameters_of_the_classic_networks():
    generator = unet(64, classic=True)
    assert generator.count_params() == 54_425_859
    assert trainable(generator) == 54_414_979
    assert patchgan(64).count_params() == 2_770_433


@pytest.mark.parametrize("width, bottleneck", [(64, 2048), (16, 512)])
def test_ours_leaves_out_the_bottlenecks_normalisation(width, bottleneck):
    assert unet(width, classic=True).count_params() - unet(width).count_params() == bottleneck


@pytest.mark.parametrize("width", [4, 16])
def test_parameters_by_arithmetic(width):
    filters = [width * min(2**i, 8) for i in range(8)]
    down = [3, *filters]
    expected = sum(16 * a * b for a, b in zip(down, filters, strict=False))
    up = [filters[7], *(2 * f for f in reversed(filters[:7]))]
    expected += sum(16 * a * b for a, b in zip(up, reversed(filters[:7]), strict=False))
    expected += 4 * (sum(filters[1:7]) + sum(filters[:7]))  # batch normalisation
    expected += 16 * up[-1] * 3 + 3
    assert unet(width).count_params() == expected


def test_blocks_halve_and_double():
    x = keras.Input((32, 48, 5))
    assert encoder_block(x, 7).shape == (None, 16, 24, 7)
    assert decoder_block(x, 7).shape == (None, 64, 96, 7)


@pytest.mark.parametrize("norm", [True, False])
def test_encoder_block_normalises_on_request(norm):
    x = keras.Input((32, 32, 3))
    block = keras.Model(x, encoder_block(x, 8, norm=norm))
    kinds = [type(layer).__name__ for layer in block.layers]
    assert ("BatchNormalization" in kinds) is norm
    assert block.count_params() == 16 * 3 * 8 + (4 * 8 if norm else 0)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_decoder_block_drops_out_on_request(dropout):
    x = keras.Input((32, 32, 3))
    block = keras.Model(x, decoder_block(x, 8, dropout))
    image = picture(1, 32, 32)
    one, other = (block(image, training=True).numpy() for _ in range(2))
    assert np.array_equal(one, other) is (dropout == 0)
    assert np.array_equal(block(image), block(image))
    assert one.min() >= 0, "ReLU comes last"


@pytest.mark.parametrize("where", ["generator", "discriminator"])
def test_initial_weights(where):
    network = unet(16, levels=4) if where == "generator" else patchgan(16)
    kernels = [w.numpy() for w in network.trainable_variables if "kernel" in w.path]
    values = np.concatenate([k.ravel() for k in kernels])
    assert values.std() == pytest.approx(0.02, rel=0.02)
    assert abs(values.mean()) < 5e-4


@pytest.mark.parametrize("size", [(256, 256), (256, 512), (512, 256)], ids=str)
@pytest.mark.parametrize("batch", [1, 2])
def test_generator_keeps_the_size(generator, size, batch):
    assert generator(picture(batch, *size)).shape == (batch, *size, 3)


@pytest.mark.parametrize("levels, size", [(3, (8, 24)), (5, (96, 64))], ids=str)
def test_fewer_levels_need_smaller_multiples(levels, size):
    assert unet(4, levels=levels)(picture(1, *size)).shape == (1, *size, 3)


def test_discriminator_shapes(discriminator):
    for size, logits in (((256, 256), (30, 30)), ((128, 256), (14, 30)), ((64, 72), (6, 7))):
        found = discriminator([picture(2, *size), picture(2, *size)])
        assert found.shape == (2, *logits, 1)


@pytest.mark.parametrize("options", [{}, {"classic": True}, {"skips": False}], ids=str)
def test_a_new_generator_paints_within_reach(options):
    image = picture(1, 256, 256)
    out = unet(4, **options)(image).numpy()
    # The last layer's tanh is near 0 at first: ours starts as the input, the others as grey.
    start = image.numpy() if not options else 0
    assert np.abs(out - start).max() < 0.2


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
    with_skips = without_bottleneck(unet(4, classic=classic))
    assert changed(with_skips, image, other) > 1e-6
    cut = unet(4, skips=False, classic=classic)
    assert changed(cut, image, other) > 0, "by way of the bottleneck it does"
    assert changed(without_bottleneck(cut), image, other) == 0
    kinds = {type(layer).__name__ for layer in cut.layers}
    assert not kinds & {"Concatenate", "Add"}


def test_skips_halve_what_the_decoders_read():
    def inputs(network):
        return [x.kernel.shape[-1] for x in network.layers
                if isinstance(x, keras.layers.Conv2DTranspose)]

    joined, alone = inputs(unet(4)), inputs(unet(4, skips=False))
    assert joined[0] == alone[0] == 32
    assert joined[1:] == [2 * n for n in alone[1:]]


def test_conditional_false_ignores_the_hazy_image(discriminator):
    image, hazy, other = (picture(1, 64, 64) for _ in range(3))
    blind = patchgan(4, conditional=False)
    assert np.array_equal(blind([hazy, image]), blind([other, image]))
    assert not np.array_equal(blind([hazy, image]), blind([hazy, other]))
    assert not np.array_equal(discriminator([hazy, image]), discriminator([other, image]))
    assert discriminator.count_params() - blind.count_params() == 16 * 3 * 4


# The improved generator.


SMALL = {"filters": (4, 6, 8, 8, 8, 8), "blocks": (0, 1, 0, 1, 0, 2)}


@pytest.fixture(scope="module")
def physics():
    """A small one that is no longer the identity."""
    keras.utils.set_random_seed(0)
    network = physics_unet(**SMALL)
    for w in network.weights:
        if not np.any(w):
            w.assign(RNG.normal(0, 0.05, w.shape))
    return network


def test_plain_blocks_halve_and_double():
    x = keras.Input((32, 48, 5))
    assert plain_encoder_block(x, 7).shape == (None, 16, 24, 7)
    assert resize_block(x, 7).shape == (None, 64, 96, 7)
    assert residual_block(x, 5).shape == (None, 32, 48, 5)


def test_a_resize_block_makes_no_checkerboard():
    """An even input stays even inside; a transposed convolution with random weights does not."""
    x = keras.Input((None, None, 4))
    even = tf.fill((1, 8, 8, 4), 0.5)
    inside = np.s_[0, 2:-2, 2:-2]
    for make, blocks in ((resize_block, False), (decoder_block, True)):
        keras.utils.set_random_seed(3)
        out = keras.Model(x, make(x, 16))(even).numpy()[inside]
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
@pytest.mark.parametrize("options", [{}, SMALL], ids=["default", "small"])
def test_physics_unet_begins_as_the_exact_identity(policy, options):
    keras.config.set_dtype_policy(policy)
    try:
        network = physics_unet(**options)
    finally:
        keras.config.set_dtype_policy("float32")
    image = picture(1, 64, 128)
    out = network(image)
    assert out.dtype == tf.float32 and np.array_equal(out, image)
    assert np.array_equal(network(image, training=True), image)


@pytest.mark.parametrize("size", [(64, 64), (64, 192), (256, 128)], ids=str)
@pytest.mark.parametrize("batch", [1, 2])
def test_physics_unet_keeps_the_size(physics, size, batch):
    image = picture(batch, *size)
    assert physics(image).shape == image.shape
    maps = keras.Model(physics.input, physics.get_layer("maps").output)(image)
    assert maps.shape == (batch, size[0] // 2, size[1] // 2, 6)


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
    still = [w.path for w, g in zip(physics.trainable_variables, gradients, strict=True)
             if g is None or not np.any(g)]
    assert still == []


def test_physics_unet_sees_the_whole_image(physics):
    """By way of the mean at the bottom, one corner knows of the opposite one."""
    image = picture(1, 512, 512)
    other = np.array(image)
    other[0, :64, :64] = 1
    change = np.abs(physics(image) - physics(tf.constant(other)))[0]
    assert change[-16:, -16:].max() > 0


def test_parameters_of_physics_unet_by_arithmetic():
    filters, blocks = SMALL["filters"], SMALL["blocks"]

    def convolution(a, b, kernel):
        return kernel * kernel * a * b + b

    def residual(n):
        return 2 * convolution(n, n, 3)

    down = zip((3, *filters), filters, blocks, strict=False)
    expected = sum(convolution(a, b, 4) + n * residual(b) for a, b, n in down)
    expected += convolution(8, 8, 1)
    for below, here, n in zip(filters[1:], filters[:-1], blocks[:-1], strict=True):
        expected += convolution(below, here, 3) + convolution(2 * here, here, 3)
        expected += n * residual(here)
    expected += convolution(filters[0], 6, 3)
    assert physics_unet(**SMALL).count_params() == expected


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


def test_receptive_field_by_arithmetic():
    assert receptive_field([]) == 1
    assert receptive_field([(3, 1)]) == 3
    assert receptive_field([(3, 1), (3, 1)]) == 5
    assert receptive_field([(4, 2), (4, 1)]) == 10
    assert receptive_field(PATCHGAN_LAYERS) == 70
    assert receptive_field([(4, 2)] * 8) == 766  # what the U-Net's encoder alone sees


def test_the_layers_listed_are_the_networks():
    convolutions = [x for x in patchgan(4).layers if isinstance(x, keras.layers.Conv2D)]
    assert [(x.kernel_size[0], x.strides[0]) for x in convolutions] == PATCHGAN_LAYERS


def side_of_gradient(network, training):
    hazy, image = picture(1, 256, 256), picture(1, 256, 256)
    with tf.GradientTape() as tape:
        tape.watch(image)
        logit = network([hazy, image], training=training)[0, 15, 15, 0]
    seen = np.abs(tape.gradient(logit, image).numpy()[0]).sum(axis=-1) > 0
    return [int(np.ptp(np.nonzero(seen.any(axis=axis))[0])) + 1 for axis in (0, 1)]


def test_receptive_field_by_gradient(discriminator):
    assert side_of_gradient(discriminator, training=False) == [70, 70]


def test_batch_statistics_widen_the_receptive_field(discriminator):
    assert min(side_of_gradient(discriminator, training=True)) > 200


def test_inference_repeats_and_training_drops_out(generator):
    image = picture(1, 256, 256)
    assert np.array_equal(generator(image), generator(image))
    one, other = (generator(image, training=True).numpy() for _ in range(2))
    assert not np.array_equal(one, other)


def spread_behind_bottleneck(classic):
    """Largest difference between two images' bottlenecks in training mode at batch 1."""
    network = unet(4, classic=classic)
    last_down = [x for x in network.layers if isinstance(x, keras.layers.LeakyReLU)][-1]
    deep = keras.Model(network.input, last_down.output)
    one, other = (deep(picture(1, 256, 256), training=True) for _ in range(2))
    return float(tf.reduce_max(tf.abs(one - other)))


def test_why_the_bottleneck_is_not_normalised():
    assert spread_behind_bottleneck(classic=True) == 0
    assert spread_behind_bottleneck(classic=False) > 1e-4


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        generator, discriminator = unet(4), patchgan(4)
    finally:
        keras.config.set_dtype_policy("float32")
    image = picture(1, 256, 256)
    assert generator(image).dtype == discriminator([image, image]).dtype == tf.float32
    assert generator.layers[2].compute_dtype == policy.removeprefix("mixed_")
