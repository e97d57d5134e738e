"""helpers.haze against references: the forward model by hand, filters by brute force."""

import numpy as np
import pytest

from helpers import haze


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# What an image is.

NO_IMAGE = {
    "8 bits": (np.zeros((4, 5, 3), "uint8"), "uint8 is no image of floats"),
    "0 to 255": (np.full((4, 5, 3), 255.0), "values from 255 to 255"),
    "NaN": (np.where(np.arange(60).reshape(4, 5, 3) == 7, np.nan, 0.5), "values with NaN"),
    "grey": (np.zeros((4, 5)), r"\(4, 5\) is no RGB image"),
    "a batch": (np.zeros((1, 4, 5, 3)), r"\(1, 4, 5, 3\) is no RGB image"),
    "empty": (np.zeros((0, 5, 3)), r"\(0, 5, 3\) is no RGB image"),
}
TAKES_AN_IMAGE = [haze.check_image, haze.dark_channel_prior, haze.autocontrast,
                  lambda image: haze.remove_haze(image, np.ones(image.shape[:2]), 0.9)]


@pytest.mark.parametrize("image, problem", NO_IMAGE.values(), ids=NO_IMAGE)
def test_what_is_no_image_is_refused_in_one_sentence(image, problem):
    for function in TAKES_AN_IMAGE:
        with pytest.raises(ValueError, match=problem) as error:
            function(image)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=f"^truth: .*{problem}"):
        haze.check_image(image, "truth")


def test_an_image_passes_as_float32():
    image = np.linspace(-0.009, 1.009, 60, dtype="float32").reshape(4, 5, 3)
    assert haze.check_image(image) is image, "not copied"
    double = haze.check_image(image.astype("float64"))
    assert double.dtype == np.float32 and np.array_equal(double, image)


# The scattering model.


def test_transmission_and_add_haze_by_hand():
    t = float(haze.transmission(np.array([[2.0]]), np.log(2))[0, 0])
    assert t == 0.25
    hazy = haze.add_haze(np.full((1, 1, 3), 0.2), np.full((1, 1), t), [1.0, 0.8, 0.6])
    assert hazy.dtype == np.float32
    assert np.allclose(hazy[0, 0], [0.2 * t + a * (1 - t) for a in (1.0, 0.8, 0.6)], atol=1e-7)


@pytest.mark.parametrize("airlight", [0.85, (0.9, 0.8, 0.7)], ids=["grey", "coloured"])
def test_remove_haze_inverts_add_haze(rng, airlight):
    clear, t = rng.random((8, 9, 3)), rng.uniform(0.1, 1, (8, 9))
    hazy = haze.add_haze(clear, t, airlight)
    assert np.allclose(haze.remove_haze(hazy, t, airlight), clear, atol=2e-6)


def test_remove_haze_has_a_floor_and_stays_in_range(rng):
    hazy = rng.random((4, 4, 3))
    at_floor = haze.remove_haze(hazy, np.full((4, 4), 0.3), 0.9, t_min=0.3)
    below = haze.remove_haze(hazy, np.full((4, 4), 1e-6), 0.9, t_min=0.3)
    assert np.array_equal(at_floor, below)
    strong = haze.remove_haze(hazy, np.full((4, 4), 0.01), 0.5, t_min=0.01)
    assert strong.min() == 0 and strong.max() == 1 and strong.dtype == np.float32


# Filters.

SHAPES = pytest.mark.parametrize(
    "shape, radius", [((12, 17), 0), ((12, 17), 3), ((5, 4), 7), ((1, 9), 2)],
    ids=["radius-0", "usual", "larger-than-image", "one-row"],
)


def windows(array, y, x, radius):
    return array[max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]


def in_windows(reduce, array, radius):
    return [[reduce(windows(array, y, x, radius)) for x in range(array.shape[1])]
            for y in range(array.shape[0])]


@SHAPES
def test_box_mean_and_dark_channel_by_brute_force(rng, shape, radius):
    image = rng.random((*shape, 3))
    grey = image[..., 0]
    assert np.allclose(haze.box_mean(grey, radius), in_windows(np.mean, grey, radius), atol=1e-12)
    assert np.array_equal(haze.dark_channel(image, radius), in_windows(np.min, image, radius))


def test_guided_filter_by_its_definition(rng):
    """He 2010, equations 5, 6 and 8: a line fitted in every window, the lines averaged."""
    guide, image, radius, eps = rng.random((9, 11)), rng.random((9, 11)), 2, 0.01
    a, b = np.zeros((2, 9, 11))
    for y in range(9):
        for x in range(11):
            g, i = windows(guide, y, x, radius), windows(image, y, x, radius)
            a[y, x] = ((g * i).mean() - g.mean() * i.mean()) / (g.var() + eps)
            b[y, x] = i.mean() - a[y, x] * g.mean()
    a, b = (np.array(in_windows(np.mean, line, radius)) for line in (a, b))
    assert np.allclose(haze.guided_filter(guide, image, radius, eps), a * guide + b, atol=1e-10)
    assert np.allclose(haze.guided_lines(guide, image, radius, eps), (a, b), atol=1e-10)


def test_resize_by_hand(rng):
    """Larger: a quarter and three quarters of the neighbours. Smaller: a mean that skips none."""
    assert np.allclose(haze.resize([[0.0, 1.0]], (1, 4)), [[0, 0.25, 0.75, 1]])
    row = rng.random(6)
    middle = np.dot(row, np.array([0, 1, 3, 3, 1, 0]) / 8)  # a triangle, two target pixels wide
    assert haze.resize(row[None], (1, 3))[0, 1] == pytest.approx(middle, abs=1e-6)
    image = rng.random((6, 8, 3))
    for c, channel in enumerate(np.moveaxis(haze.resize(image, (4, 10)), -1, 0)):
        assert np.array_equal(channel, haze.resize(image[..., c], (4, 10)))


def test_resize_of_a_box_is_a_part_of_the_whole(rng):
    """What lies around the box takes part at its rim, so that parts fit together."""
    image = rng.random((10, 12))
    whole = haze.resize(image, (40, 48))
    assert whole.dtype == np.float32
    assert np.allclose(haze.resize(image, (15, 48), (0, 2.5, 12, 6.25)), whole[10:25], atol=1e-6)
    assert np.allclose(haze.resize(image, (40, 9), (1.25, 0, 3.5, 10)), whole[:, 5:14], atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 80), (9, 300)], ids=str)
def test_guided_upsample_of_what_is_even_or_like_the_guide(rng, shape):
    guide = rng.random(shape)
    small = tuple(max(n // 4, 1) for n in shape)
    even = haze.guided_upsample(guide, np.full(small, 0.4), 2, 1e-3)
    assert even.shape == shape and np.allclose(even, 0.4, atol=1e-6)
    like = haze.guided_upsample(guide, 2 * haze.resize(guide, small) - 0.3, 2, 1e-9)
    assert np.allclose(like, 2 * guide - 0.3, atol=1e-3)


# Methods without training.


def test_estimate_airlight_takes_the_haziest_pixels():
    image = np.full((40, 50, 3), 0.3, "float32")
    image[:20, :25] = [0.9, 0.85, 0.8]
    image[30, 40] = 1.0  # a white window: bright, but its surroundings are dark
    assert np.allclose(haze.estimate_airlight(image), [0.9, 0.85, 0.8], atol=1e-6)


def test_dark_channel_prior_recovers_known_haze(rng):
    """A colourful scene of 4-pixel tiles with a channel near 0, hazier upwards, sky on top."""
    tiles = rng.random((30, 40, 3))
    tiles[np.arange(30)[:, None], np.arange(40), rng.integers(0, 3, (30, 40))] = 0
    clear = np.kron(tiles, np.ones((4, 4, 1))).astype("float32")
    depth = np.linspace(1.2, 0.2, 120)[:, None] * np.ones(160)
    depth[:24] = 5
    t, airlight = haze.transmission(depth, 1.0), np.array([0.9, 0.86, 0.8])
    hazy = haze.add_haze(clear, t, airlight)
    dehazed, found_t, found_airlight = haze.dark_channel_prior(hazy, radius=4, omega=1.0)
    assert np.allclose(found_airlight, airlight, atol=0.01)
    ground = np.s_[40:]  # below the sky's edge, which the windows smear
    assert np.abs(found_t - t)[ground].mean() < 0.05
    before = np.abs(hazy - clear)[ground].mean()
    assert np.abs(dehazed - clear)[ground].mean() < before / 4
    assert found_t[:16].max() < 0.1, "the sky is all airlight"
    assert haze.dark_channel_prior(hazy, omega=0.7)[1].mean() > found_t.mean() + 0.05


def test_dark_channel_prior_on_a_flat_image_is_finite():
    for value in (0.0, 0.5, 1.0):
        dehazed, t, _ = haze.dark_channel_prior(np.full((20, 30, 3), value, "float32"))
        assert np.isfinite(dehazed).all() and np.isfinite(t).all()


def test_autocontrast_undoes_even_haze_and_clips_as_told(rng):
    clear = rng.random((60, 70, 3))
    clear[0, 0], clear[0, 1] = 0, 1
    hazy = haze.add_haze(clear, np.full((60, 70), 0.4), 0.8)
    assert np.allclose(haze.autocontrast(hazy, clipped=0.0), clear, atol=1e-5)
    stretched = haze.autocontrast(hazy, clipped=0.1)
    assert np.allclose((stretched == 0).mean(axis=(0, 1)), 0.1, atol=0.002)
    assert np.allclose((stretched == 1).mean(axis=(0, 1)), 0.1, atol=0.002)
