"""helpers.synthesis: haze that keeps to its model and its ranges, and pairs that come again."""

import numpy as np
import pytest
from scipy import ndimage

from helpers import haze
from helpers.env import SAMPLE_DATA
from helpers.images import load_image
from helpers.synthesis import (
    Blend,
    Ranges,
    ThickFog,
    find_sky,
    fog_views,
    haze_over,
    jpeg,
    make_haze,
    random_crop,
    random_depth,
    restrengthen,
    smooth_noise,
    synthesise,
    thick_fog,
    vary_exposure,
)


def rng(*seed):
    return np.random.default_rng(seed)


class Plain:
    """Random numbers that never ask for what happens with a certain probability only."""

    def __init__(self, seed):
        self.rng = rng(seed)

    def random(self):
        return 0.99

    def __getattr__(self, name):
        return getattr(self.rng, name)


def drawn(height=120, width=160, sky=0.7):
    """A bluish sky over a brown, rough hill, and a lake of the sky's colour: (image, sky)."""
    ridge = height * (0.4 + 0.1 * np.sin(np.linspace(0, 5, width)))
    above = np.arange(height)[:, None] < ridge
    image = np.where(above[..., None], sky * np.array([0.9, 1, 1.1]), [0.3, 0.22, 0.12])
    image = image + rng(0).normal(0, 0.05, image.shape) * ~above[..., None]
    image[-height // 5:, width // 4:-width // 4] = sky * np.array([0.9, 1, 1.1])
    return np.clip(image, 0, 1).astype("float32"), above


def is_image(image, shape):
    return (image.shape == (*shape, 3) and image.dtype == np.float32 and np.isfinite(image).all()
            and image.min() >= 0 and image.max() <= 1)


SHAPES = pytest.mark.parametrize("shape", [(64, 64), (33, 47), (50, 200)], ids=str)


# Noise, sky, depth.


@SHAPES
def test_smooth_noise(shape):
    noise = smooth_noise(shape, rng(1))
    assert noise.shape == shape and noise.dtype == np.float32
    assert abs(noise.mean()) < 1e-4 and noise.std() == pytest.approx(1, abs=1e-3)
    assert np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1] > 0.9
    assert np.array_equal(noise, smooth_noise(shape, rng(1)))
    rough = [np.abs(np.diff(smooth_noise(shape, rng(3), n))).mean() for n in (1, 2, 4)]
    assert rough == sorted(rough), "more octaves are rougher"


@pytest.mark.parametrize("shape", [(120, 160), (121, 163), (402, 300)], ids=str)
def test_find_sky_of_a_drawn_picture(shape):
    image, sky = drawn(*shape)
    found = find_sky(image)
    assert found.shape == sky.shape and found.dtype == bool
    assert (found & sky).sum() / (found | sky).sum() > 0.9
    assert not found[-shape[0] // 5:].any(), "the lake has land above it"
    for colour in [(0.1, 0.1, 0.2), (0.7, 0.4, 0.2), (0.3, 0.6, 0.2)]:  # night, brick, grass
        assert not find_sky(np.broadcast_to(np.float32(colour), (40, 50, 3))).any()


def test_find_sky_of_the_sample_scenes():
    """Against the masks that were sketched by hand: a guess, mostly right."""
    scores = []
    for path in sorted((SAMPLE_DATA / "train" / "sky").glob("*.png"))[:8]:
        image = load_image(next((SAMPLE_DATA / "train" / "clear").glob(f"{path.stem}.*")))
        scores.append(np.mean(find_sky(image) == (load_image(path)[..., 0] > 0.5)))
    assert np.mean(scores) > 0.8


@SHAPES
@pytest.mark.parametrize("known", [False, True], ids=["made-up", "known"])
def test_random_depth(shape, known):
    image, sky = drawn(*shape)
    depth = np.linspace(5, 0, shape[0])[:, None] * np.ones(shape) if known else None
    for seed in range(5):
        found = random_depth(image, sky, rng(seed), depth)
        assert found.shape == shape and np.isfinite(found).all() and found.min() > 0
        assert found[~sky].mean() == pytest.approx(1, abs=1e-3)
        assert np.ptp(found[sky]) == 0 and (found[~sky] <= found[sky][0]).mean() >= 0.97
    for all_sky in (True, False):
        found = random_depth(image, np.full(shape, all_sky), rng(0))
        assert found.min() > 0 and bool(np.ptp(found) == 0) is all_sky


def test_random_depth_follows_a_known_one():
    image, sky = np.full((96, 96, 3), 0.5, "float32"), np.zeros((96, 96), bool)
    depth = np.repeat(np.linspace(1, 5, 96)[None], 96, axis=0)  # farther to the right

    def likeness(known):
        return np.mean([np.corrcoef(random_depth(image, sky, rng(n), known).ravel(),
                                    depth.ravel())[0, 1] for n in range(20)])

    assert likeness(depth) > 0.4 and abs(likeness(None)) < 0.25
    assert likeness(np.zeros((96, 96))) == likeness(None), "a map of zeros says nothing"


# Haze.


@SHAPES
def test_synthesise_keeps_shape_and_range_and_comes_again(shape):
    clear, sky = drawn(*shape)
    kept = clear.copy()
    for seed in range(6):
        for extra in ((), (np.ones(shape),), (None, sky), (np.ones(shape), sky.astype("float32"))):
            hazy = synthesise(clear, rng(seed), *extra)
            assert is_image(hazy, shape) and np.array_equal(clear, kept)
    assert np.array_equal(hazy, synthesise(clear, rng(seed), *extra))
    assert not np.array_equal(hazy, synthesise(clear, rng(6), *extra))


@pytest.mark.parametrize("seed", range(3))
def test_the_haze_keeps_to_the_scattering_model(seed):
    """One transmission for the three channels, and light that goes towards one airlight."""
    ranges = Ranges(thickness=(0.5, 0.5), airlight=(0.8, 0.8), tint=0.0)
    clear = rng(seed).uniform(0, 0.6, (64, 80, 3)).astype("float32")
    hazy = synthesise(clear, Plain(seed), sky=np.zeros((64, 80)), ranges=ranges)
    t = (hazy - 0.8) / (clear - 0.8)
    assert np.ptp(t, axis=-1).max() < 1e-5 and t.min() > 0 and t.max() < 1
    assert -np.log(t).mean() == pytest.approx(0.5, rel=1e-3), "thickness is the mean optical depth"
    assert np.allclose(haze.remove_haze(hazy, t.mean(-1), 0.8, t_min=0.01), clear, atol=1e-3)


def test_airlight_and_tint_fill_their_ranges_and_stay_in_them():
    """In haze so thick that nothing else is left; an uneven light may add its own."""
    ranges = Ranges(thickness=(40, 40), near_clear=0, uneven=0, noise=(0, 0))
    black = np.zeros((16, 16, 3), "float32")
    colours = np.array([np.median(synthesise(black, rng(seed), ranges=ranges), axis=(0, 1))
                        for seed in range(150)])
    assert (np.abs(colours - colours.mean(axis=1, keepdims=True)) < 0.1).all()
    assert colours.min() > 0.45 - 0.06 - 0.1 and np.ptp(colours.mean(axis=1)) > 0.4


def test_the_sky_gives_the_airlight_and_is_hazier_than_the_ground():
    """A dim sky (0.5) stays one under haze; without the mask the haze may be of any brightness."""
    clear, sky = drawn(sky=0.5)
    ranges = Ranges(thickness=(1.5, 2.5), near_clear=0)

    def near(mask):
        hazy = (synthesise(clear, rng(n), None, mask, ranges)[sky].mean() for n in range(60))
        return np.mean([0.42 < h < 0.7 for h in hazy])

    assert near(sky.astype("float32")) > 0.8 and near(sky * 0.0) < 0.7
    for seed in range(10):
        hazy = synthesise(np.zeros_like(clear), Plain(seed), sky=sky.astype("float32"))
        assert hazy[sky].mean() >= np.quantile(hazy[~sky], 0.9)


def test_noise_has_the_strength_that_it_is_drawn_from():
    grey = np.full((64, 64, 3), 0.5, "float32")

    def rough(level):
        ranges = Ranges(thickness=(0.15, 0.15), airlight=(0.5, 0.5), tint=0, uneven=0,
                        noise=(level, level), quality=(95, 96))
        flat = (synthesise(grey, rng(n), None, np.zeros((64, 64)), ranges) for n in range(20))
        return np.array([(x - ndimage.median_filter(x, (9, 9, 1))).std() for x in flat])

    assert rough(0).max() < 0.01
    noisy = rough(10)
    assert 0.2 < (noisy > 0.02).mean() < 0.8, "half of the time"
    assert noisy.max() < 11 / 255


def test_jpeg_keeps_the_picture():
    image = drawn()[0]
    for quality, loss in ((95, 0.02), (np.int64(20), 0.05)):
        found = jpeg(image, quality)
        assert is_image(found, image.shape[:2]) and np.abs(found - image).mean() < loss


def test_what_is_no_image_is_refused():
    wrong = np.full((8, 8, 3), 128, "uint8")
    for make in (lambda: synthesise(wrong, rng(0)), lambda: make_haze(wrong, np.ones((8, 8)), 1.0)):
        with pytest.raises(ValueError, match="clear: .*\\[0, 1\\]"):
            make()


# Real pairs.


def test_restrengthen_is_exact_in_the_scattering_model():
    """Another opacity s (1 - t) of the same haze: what add_haze makes of the same scene."""
    airlight, strengths = 0.9, set()
    clear = rng(0).uniform(0.1, 0.8, (20, 30, 3)).astype("float32")
    t = rng(1).uniform(0.2, 0.9, (20, 30)).astype("float32")
    hazy = haze.add_haze(clear, t, airlight)
    for seed in range(30):
        other = restrengthen(hazy, clear, rng(seed))
        s = float(np.median((other - clear) / (hazy - clear)))
        strengths.add(round(s, 3))
        assert np.allclose(other, haze.add_haze(clear, 1 - s * (1 - t), airlight), atol=1e-5)
        assert other.dtype == np.float32
    assert 1 in strengths and 0 <= min(strengths) < 0.3, "most stay, others are cleared nearly"
    white, black = np.ones((2, 2, 3), "float32"), np.zeros((2, 2, 3), "float32")
    assert all(is_image(restrengthen(*pair, rng(n)), (2, 2))
               for n in range(30) for pair in ((white, black), (black, white)))


def test_vary_exposure_is_one_gamma_and_a_gain_a_channel_for_both():
    """Half of the time nothing happens; each channel is a straight line in the logarithms."""
    ramp = np.repeat(np.linspace(0.05, 0.6, 50, dtype="float32")[None, :, None], 3, axis=-1)
    same = 0
    for seed in range(60):
        varied, other = vary_exposure(ramp, ramp[:, ::-1], rng(seed))
        assert np.array_equal(varied, other[:, ::-1]) and is_image(varied, (1, 50))
        same += np.array_equal(varied, ramp)
        lines = [np.polyfit(np.log(ramp[0, :, c]), np.log(varied[0, :, c]), 1) for c in range(3)]
        gammas, gains = np.transpose(lines)
        assert np.allclose(varied[0], np.exp(gains) * ramp[0] ** gammas, rtol=1e-3)
        assert np.ptp(gammas) < 1e-3 and 0.79 < gammas[0] < 1.26 and np.abs(gains).max() < 0.22
    assert 18 < same < 42


# Crops.


def ramps(height, width):
    """Where a pixel lies, as its colour: uint8 (x, y, 0)."""
    image = np.zeros((height, width, 3), "uint8")
    image[..., 0] = np.linspace(0, 255, width)
    image[..., 1] = np.linspace(0, 255, height)[:, None]
    return image


@pytest.mark.parametrize("shape", [(400, 600), (600, 400), (150, 1000), (64, 64)], ids=str)
def test_random_crop_takes_the_same_square_of_all(shape):
    image, mirrored = ramps(*shape), 0
    for seed in range(20):
        one, x, y = random_crop([image, image[..., 0], image[..., 1]], rng(seed), 48)
        assert is_image(one, (48, 48)) and x.shape == (48, 48)
        assert np.array_equal(one[..., 0], x) and np.array_equal(one[..., 1], y)
        mirrored += x[0, 0] > x[0, -1]
        assert y[0, 0] < y[-1, 0], "never upside down"
    assert 3 < mirrored < 17


def test_random_crop_scales_to_what_the_network_will_see():
    """Of a photograph 320 to 700 pixels long, 48 pixels are so much of its width."""
    parts, places = [], []
    for seed in range(100):
        x, y, _ = np.moveaxis(random_crop([ramps(800, 1200)], rng(seed), 48)[0], -1, 0)
        steps = np.ptp(x) * 48 / 47, np.ptp(y) * 48 / 47 * 800 / 1200
        assert steps[0] == pytest.approx(steps[1], abs=0.02), "not distorted"
        parts.append(steps[0])
        places.append(x.mean())
    assert min(parts) == pytest.approx(48 / 700, abs=0.02)
    assert max(parts) == pytest.approx(48 / 320, abs=0.02)
    assert min(places) < 0.2 and max(places) > 0.8, "from everywhere"
    whole, = random_crop([ramps(200, 300)], rng(0), 64, longest=(64, 65))
    assert np.ptp(whole[..., 1]) > 0.9, "no larger than the short side"


# Ranges.


@pytest.mark.parametrize("known", [(), ("depth",), ("sky",), ("depth", "sky")])
def test_haze_in_the_ranges_given(known):
    image, sky = drawn(60, 80)
    depth = np.linspace(1, 0.1, 60)[:, None] * np.ones((1, 80))
    given = {name: {"depth": depth, "sky": sky}[name] for name in known}

    def change(near_clear):
        ranges = Ranges(near_clear=near_clear)
        return np.mean([np.abs(synthesise(image, np.random.default_rng(n), **given, ranges=ranges)
                               - image).mean() for n in range(25)])

    assert change(1.0) < 0.06 < change(0.0)


# Haze over a known depth, and sources in shares.


@SHAPES
def test_haze_over_a_depth_keeps_shape_and_range_and_comes_again(shape):
    clear, sky = drawn(*shape)
    depth, kept = np.linspace(0, 1.2, clear[..., 0].size).reshape(shape), clear.copy()
    for seed in range(6):
        for extra in ({}, {"sky": sky}, {"airlights": np.array([[0.7, 0.8, 0.9]])}):
            hazy = haze_over(clear, depth, rng(seed), **extra)
            assert is_image(hazy, shape) and np.array_equal(clear, kept)
            assert np.array_equal(hazy, haze_over(clear, depth, rng(seed), **extra))


def test_haze_over_a_depth_by_hand():
    """exp(-2 d), at least 0.05 of it left, towards an airlight of 0.8."""
    ranges = Ranges(airlight=(0.8, 0.8), near_clear=0)
    clear, depth = np.zeros((8, 3, 3), "float32"), np.tile([0.0, 1.0, 9.0], (8, 1))
    hazy = haze_over(clear, depth, Plain(0), ranges=ranges, thickness=(2, 2))
    expected = 0.8 * (1 - np.array([1, np.exp(-2), 0.05]))
    assert np.allclose(hazy, expected[None, :, None], atol=1e-5)


def test_the_hue_of_the_haze_is_one_that_was_seen():
    clear, depth = np.zeros((48, 48, 3), "float32"), np.ones((48, 48))
    seen = np.array([[0.6, 0.7, 0.9], [0.9, 0.8, 0.7]])
    blue_over_red = []
    for n in range(60):
        hazy = haze_over(clear, depth, rng(n), None, seen, Ranges(airlight=(0.4, 0.6)), (1, 2))
        red, _, blue = hazy.mean(axis=(0, 1))
        blue_over_red.append(blue / red)
    found = np.abs(np.subtract.outer(blue_over_red, [1.5, 7 / 9, 1])) < 0.08
    assert found.any(axis=1).all() and found[:, :2].any(axis=1).mean() > 0.6
    assert found.any(axis=0).all(), "each of them, and a neutral one"


def test_sources_are_drawn_by_their_weights_and_come_again():
    def plain(crops, rng):
        return crops[0], crops[0] * rng.random()

    images = [np.full((40, 60, 3), level, "uint8") for level in (0, 100, 200)]
    sources = [(0.6, [[images[0]]], plain), (0.2, [[images[1]], [images[2]]], plain),
               (0.2, [], plain), (0.0, [[images[1]]], plain)]
    blend, same = Blend(sources, 16, 3), Blend(sources, 16, 3)
    levels = [round(255 * float(blend(n)[0].mean())) for n in range(200)]
    shares = [levels.count(level) / 200 for level in (0, 100, 200)]
    assert shares == pytest.approx([0.75, 0.125, 0.125], abs=0.08)
    for n in (0, 7):
        assert all(map(np.array_equal, blend(n), same(n)))
        assert blend(n)[1].shape == (16, 16, 3) and blend(n)[1].dtype == np.float32
    assert not np.array_equal(blend(0)[1], Blend(sources, 16, 4)(0)[1])


# Thick fog.


def fog_scene(side=40):
    rng = np.random.default_rng(1)
    return "scene", rng.random((side, side + 20, 3)).astype("float32"), np.linspace(
        0.2, 3, side * (side + 20)).reshape(side, side + 20).astype("float32")


def test_thick_fog_by_hand():
    """exp(-2 · 0.5) near, exp(-2 · 3) far, in 8 bits; the noise has 6 grey levels."""
    clear, depth = np.zeros((2, 20000, 3), "float32"), np.repeat([[0.1], [3.0]], 20000, axis=1)
    hazy = thick_fog(clear, depth, np.random.default_rng(0), 2.0, 0.8)
    assert hazy.dtype == "float32" and np.allclose(hazy * 255, np.round(hazy * 255), atol=1e-4)
    expected = 0.8 * (1 - np.exp([-1.0, -6.0]))
    assert hazy.mean(axis=(1, 2)) == pytest.approx(expected, abs=0.001)
    assert hazy.std(axis=(1, 2)) * 255 == pytest.approx([6, 6], abs=0.1)


def test_fog_pairs_repeat_and_belong_together():
    one, same, other = (ThickFog([fog_scene()], 32, seed) for seed in (3, 3, 4))
    for n in range(5):
        assert all(map(np.array_equal, one(n), same(n)))
        assert not np.array_equal(one(n)[1], other(n)[1])
    assert len({one(n)[1].tobytes() for n in range(8)}) == 8
    thin = ThickFog([("scene", fog_scene()[1], np.zeros((40, 60)))], 32)
    hazy, clear = thin(0)
    assert hazy.shape == clear.shape == (32, 32, 3) and np.corrcoef(
        hazy.ravel(), clear.ravel())[0, 1] > 0.8


def test_fog_without_jitter_and_unpaired():
    still = ThickFog([fog_scene()], 32, jitter=False)
    middle = fog_scene()[1][4:36, 14:46]
    assert all(np.array_equal(still(n)[1], middle) for n in range(3))
    apart = ThickFog([("scene", fog_scene()[1], np.zeros((40, 60)))], 32, paired=False)
    assert max(abs(np.corrcoef(*(x.ravel() for x in apart(n)))[0, 1]) for n in range(4)) < 0.5


def test_fog_views_take_the_middle_in_one_fog():
    (name, hazy, clear), = fog_views([fog_scene()], 32)
    (_, again, _), = fog_views([fog_scene()], 32, seed=1)
    assert name == "scene" and np.array_equal(clear, fog_scene()[1][4:36, 14:46])
    assert 0 < np.abs(hazy - again).mean() * 255 < 10, "the noise alone differs"
