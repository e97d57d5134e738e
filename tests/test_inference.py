"""helpers.inference: any size, the same result twice, and one sentence for what is no image."""

import tracemalloc

import keras
import numpy as np
import pytest

from helpers.haze import add_haze, resize
from helpers.inference import LOOKS, apply_maps, dehaze, haze_maps, in_tiles, verdict
from helpers.models import compiled, patchgan, physics_unet, unet

RNG = np.random.default_rng(0)
SMALL = {"filters": [4, 4, 4, 4, 4, 4], "blocks": [0, 0, 1, 0, 0, 1]}
BOTH = pytest.mark.parametrize("kind", ["generator", "physics"])


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


def physics_network(**architecture):
    network = physics_unet(**architecture)
    network.architecture = {"network": "physics_unet", **architecture}
    return network


@pytest.fixture(scope="module")
def physics():
    """A small network with a physics head that no longer leaves its input as it is."""
    keras.utils.set_random_seed(0)
    network = physics_network(**SMALL)
    kernel, bias = network.get_layer("maps").weights
    kernel.assign(RNG.normal(0, 0.05, kernel.shape))
    bias.assign([0.5, 0.4, 0.3, 0.3, 0.2, 0.1])
    return network


def picture(*shape):
    return RNG.random((*shape, 3)).astype("float32")


@pytest.mark.parametrize("shape", [(33, 47), (1, 1), (513, 255)], ids=str)
@BOTH
def test_dehaze_keeps_shape_and_range(request, kind, shape):
    """And traces no new graph for a new size."""
    network, image = request.getfixturevalue(kind), picture(*shape)
    graph = compiled(network)
    result = dehaze(network, image)
    assert result.shape == image.shape and result.dtype == np.float32
    assert result.min() >= 0 and result.max() <= 1
    assert compiled(network) is graph


@BOTH
def test_dehaze_and_verdict_refuse_what_is_no_image(request, kind):
    """By check_image, which knows all that is none."""
    network, bytes_ = request.getfixturevalue(kind), np.full((8, 8, 3), 200, "uint8")
    for strength in (0, 1):
        with pytest.raises(ValueError, match="uint8 is no image"):
            dehaze(network, bytes_, strength)
    with pytest.raises(ValueError, match="uint8 is no image"):
        verdict(None, picture(8, 8), bytes_)


def test_verdict_is_of_the_middle():
    judge, image = patchgan(4), picture(300, 400)
    probabilities = verdict(judge, image, image)
    assert probabilities.shape == (30, 30) and 0 < probabilities.min() < probabilities.max() < 1
    assert np.array_equal(verdict(judge, image[22:278, 72:328], image), probabilities)


@BOTH
def test_strength(request, kind):
    """0 is the input to the bit; beyond, all goes along one line until it is clipped."""
    generator, image = request.getfixturevalue(kind), picture(48, 80) * 0.4 + 0.3
    none, half, full, beyond = (dehaze(generator, image, s) for s in (0, 0.5, 1, 1.2))
    assert np.array_equal(none, image) and none is not image
    assert np.array_equal(full, dehaze(generator, image.astype("float64")))
    assert np.abs(full - image).max() > 0.05, "or nothing is tested"
    free = (full > 0) & (full < 1)
    assert free.mean() > 0.1
    assert np.allclose(half[free], (image + 0.5 * (full - image))[free], atol=1e-6)
    expected = np.clip(image + 1.2 * (full - image), 0, 1)
    assert np.allclose(beyond[free], expected[free], atol=1e-6)


# Tiles. These stubs take the place of a network.


@pytest.mark.parametrize("shape", [(32, 32), (257, 300)], ids=str)
def test_tiles_are_padded_and_cropped_at_the_same_place(shape):
    """A generator that changes nothing gives back the image, pixel for pixel."""

    def unchanged(x, training):
        assert training is False
        return x

    image = picture(*shape)
    assert np.allclose(in_tiles(unchanged, image), image, atol=1e-6)


class Seen:
    """A "network" that notes what it sees, and paints tile n in grey number n % 2."""

    def __init__(self):
        self.tiles = []

    def _graph(self, tiles):
        first = len(self.tiles)
        self.tiles += list(tiles)
        return keras.ops.stack([0 * x + 0.1 * ((first + n) % 2) for n, x in enumerate(tiles)])


def test_tiles_continue_the_image_by_reflection():
    image, network = picture(300, 260), Seen()
    in_tiles(network, image)
    first = (network.tiles[0] + 1) / 2  # the upper left tile; the picture begins 32 pixels inside
    assert first.shape == (256, 256, 3)
    for rows, columns, expected in (
        (np.s_[32:], np.s_[32:], image[:224, :224]), (31, np.s_[32:], image[0, :224]),
        (30, np.s_[32:], image[1, :224]), (np.s_[32:], 30, image[:224, 1]),
    ):
        assert np.allclose(first[rows, columns], expected, atol=1e-6)


def test_tiles_blend_without_a_border():
    """Tiles that differ in brightness: no step between neighbours beyond the blending's own."""
    out = in_tiles(Seen(), picture(600, 700)).mean(axis=-1)
    assert 0.5 <= out.min() < 0.52 and 0.53 < out.max() <= 0.55
    assert np.abs(np.diff(out, axis=0)).max() < 0.003
    assert np.abs(np.diff(out, axis=1)).max() < 0.003


# Maps of a physics head.


def even_maps(*shape, k=(0.5, 0.4, 0.3), b=(0.3, 0.2, 0.1)):
    """Maps that are the same everywhere."""
    return np.broadcast_to(np.array([*k, *b], "float32"), (*shape, 6))


@pytest.mark.parametrize("airlight", [0.85, (0.9, 0.8, 0.7)], ids=["grey", "coloured"])
@pytest.mark.parametrize("t", [0.3, 1.0])
def test_apply_maps_inverts_the_scattering_model(airlight, t):
    """With K = 1/t - 1 and B = A·K the haze that add_haze laid over the picture is gone."""
    clear, k = picture(40, 50), 1 / t - 1
    hazy = add_haze(clear, np.full((40, 50), t), airlight)
    maps = even_maps(20, 25, k=(k, k, k), b=np.broadcast_to(airlight, 3) * k)
    assert np.allclose(apply_maps(hazy, maps), clear, atol=2e-5)


def test_apply_maps_follows_an_edge_of_the_picture():
    """Haze that ends at the roof's edge, from maps of an eighth of the size, without a halo."""
    clear = np.full((128, 128, 3), 0.8, "float32")
    clear[53:] = [0.2, 0.3, 0.1]
    t = np.where(np.arange(128)[:, None] < 53, 0.4, 0.9) * np.ones((1, 128))
    hazy = add_haze(clear, t, 0.8)
    k = 1 / t - 1
    small = [resize(m, (16, 16)) for m in (k, k, k, 0.8 * k, 0.8 * k, 0.8 * k)]
    plain = [resize(m, (128, 128))[..., None] for m in small]
    beside = np.r_[40:52, 54:66]
    error = np.abs(apply_maps(hazy, np.stack(small, -1)) - clear)[beside].mean()
    halo = np.abs(hazy + plain[0] * hazy - plain[3] - clear)[beside].mean()
    assert error < 0.015 and error < halo / 3


def test_strips_do_not_matter():
    image, maps = picture(131, 90), RNG.normal(0, 0.2, (33, 23, 6)).astype("float32")
    whole = apply_maps(image, maps, rows=10_000)
    for rows in (1, 7, 130):
        assert np.allclose(apply_maps(image, maps, rows=rows), whole, atol=1e-5)


def test_a_large_image_needs_little_memory():
    image, maps = picture(1500, 2000), even_maps(192, 256)
    tracemalloc.start()
    apply_maps(image, maps)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.1 * image.nbytes, "the result, and about as much again"


@pytest.mark.parametrize("shape", [(37, 100), (700, 511)], ids=str)
def test_maps_lie_where_they_belong(shape):
    """A "network" whose K is the grey of its input: maps of a ramp are the same ramp, all over."""
    image = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(6, 2, strides=2, use_bias=False, name="maps")
    deep = image
    for _ in range(4):  # with the layer above: five levels, multiples of 32 pixels
        deep = keras.layers.Conv2D(1, 2, strides=2)(deep)
    network = keras.Model(image, [layer(image), deep])
    network.architecture = {"network": "physics_unet"}
    layer.kernel.assign(np.full(layer.kernel.shape, 1 / 12))
    height, width = shape
    ramp = np.linspace(0.1, 0.5, height)[:, None] + np.linspace(0, 0.4, width)
    maps = haze_maps(network, np.repeat(ramp[..., None], 3, -1))
    assert np.allclose(maps.shape[:2], np.array(shape) * LOOKS[0] / 2 / max(shape), atol=1.01)
    y, x = ((np.arange(n) + 0.5) / n for n in maps.shape[:2])  # places, 0 to 1 over the picture
    y, x = (np.clip((p * n - 0.5) / (n - 1), 0, 1) for p, n in ((y, height), (x, width)))
    expected = 2 * (0.1 + 0.4 * y[:, None] + 0.4 * x) - 1
    assert np.allclose(maps[4:-4, 4:-4, 0], expected[4:-4, 4:-4], atol=4e-3)


def test_maps_are_the_mean_of_a_look_from_near_and_one_from_afar():
    network, image = physics_unet(**SMALL), picture(96, 128)
    network.architecture = {"network": "physics_unet"}
    kernel = network.get_layer("maps").kernel
    kernel.assign(RNG.normal(0, 0.1, kernel.shape))
    both, near, afar = (haze_maps(network, image, s) for s in ((512, 320), (512,), (320,)))
    assert near.shape == both.shape == (192, 256, 6) and afar.shape == (120, 160, 6)
    enlarged = resize(afar, (192, 256))
    assert np.abs(near - enlarged).max() > 0.05, "they differ"
    assert np.allclose(both, (near + enlarged) / 2, atol=1e-6)


def test_the_architecture_decides_not_a_layers_name():
    """The same network without it goes over the image in tiles."""
    network = physics_unet(**SMALL)
    network.get_layer("maps").bias.assign([0.5] * 6)
    image = picture(80, 90)
    assert np.allclose(dehaze(network, image), in_tiles(network, image), atol=1e-6)
