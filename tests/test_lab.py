"""helpers.lab: what the panels of notebook 01 show."""

import numpy as np
import pytest

from helpers import haze
from helpers.metrics import psnr
from helpers.panels import haze as lab

RNG = np.random.default_rng(0)
CLEAR = RNG.uniform(0, 0.8, (48, 64, 3)).astype("float32")
DEPTH = np.repeat(np.linspace(0.2, 3, 48, dtype="float32")[::-1, None], 64, axis=1)


def test_plain_haze_is_the_scattering_model():
    hazy, t = lab.make_haze(CLEAR, DEPTH, 0.8, 0.85, 0.1)
    expected = haze.transmission(DEPTH, 0.8)
    assert np.allclose(t, expected, atol=1e-6)
    assert np.allclose(hazy, haze.add_haze(CLEAR, expected, [0.95, 0.85, 0.75]), atol=1e-6)


def test_without_beta_the_photograph_stays():
    hazy, t = lab.make_haze(CLEAR, DEPTH, 0.0, uneven=1.0)
    assert np.allclose(hazy, CLEAR, atol=1e-6) and np.all(t == 1)


def test_uneven_haze_varies_where_the_depth_does_not():
    flat = np.ones_like(DEPTH)
    spreads = [np.log(lab.make_haze(CLEAR, flat, 1.0, uneven=u)[1]).std() for u in (0, 0.5, 1)]
    assert spreads[0] < 1e-6 < 0.2 < spreads[1] < spreads[2]
    optical = -np.log(lab.make_haze(CLEAR, flat, 1.0, uneven=0.5)[1])
    assert np.log(optical).std() == pytest.approx(0.5, rel=0.01)


def test_noise_has_the_strength_it_says():
    clear, _ = lab.make_haze(CLEAR, DEPTH, 0.0)
    middle = np.full_like(CLEAR, 0.5)
    noisy, _ = lab.make_haze(middle, DEPTH, 0.0, noise=10)
    assert (noisy - middle).std() * 255 == pytest.approx(10, rel=0.03)
    assert clear.min() >= 0 and clear.max() <= 1


def test_jpeg_is_the_worse_the_lower_its_quality():
    whole, _ = lab.make_haze(CLEAR, DEPTH, 0.5)
    found = [psnr(lab.make_haze(CLEAR, DEPTH, 0.5, quality=q)[0], whole) for q in (5, 30, 95, 100)]
    assert found == sorted(found) and found[-1] == float("inf") and found[-2] < 60


def test_the_same_seed_the_same_haze():
    settings = {"beta": 1.0, "uneven": 0.7, "noise": 5}
    one, again = (lab.make_haze(CLEAR, DEPTH, **settings)[0] for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, lab.make_haze(CLEAR, DEPTH, **settings, seed=1)[0])


def test_histogram_counts():
    """Half of red at 0.25, half at 0.75; green and blue at 1: cut at the top."""
    image = np.ones((80, 128, 3), "float32")
    image[:40, :, 0], image[40:, :, 0] = 0.25, 0.75
    drawing = lab.histogram(image, np.zeros_like(image), bins=8)
    assert drawing.shape == image.shape and drawing.min() >= 0 and drawing.max() <= 1
    red = (drawing[..., 0] > drawing[..., 1] + 0.2).sum(axis=0)  # height of the red area
    bars = red.reshape(8, 16).max(axis=1)
    assert np.flatnonzero(bars).tolist() == [2, 6]
    assert bars[2] == pytest.approx(40, abs=2), "half of the pixels: half of 8 times the mean"
    assert (drawing[1, -4:, 1:].max(axis=1) < 1).all(), "all of green and blue: to the top"
    assert np.ptp(drawing[0, 4]) < 0.01 and drawing[0, 4, 0] < 0.5, "the line: all of clear is 0"


@pytest.mark.parametrize("shape, size", [((48, 64), (148, 136)), ((64, 48), (90, 216))])
def test_the_lab_fits_the_screen(shape, size):
    """Two by two for a wide photograph, four in a row for a high one."""
    clear, depth = np.full((*shape, 3), 0.5, "float32"), np.ones(shape)
    picture, text = lab.haze_lab(clear, depth, beta=1.0)
    assert picture.shape == (*size, 3)
    assert "mean transmission 0.37" in text and "dark channel 0.75" in text


CHANGES = {"beta": 1.5, "airlight": 0.7, "warmth": 0.1, "uneven": 0.5, "noise": 5, "quality": 30}


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_the_picture(name):
    settings = {"beta": 1.0, "airlight": 0.9}
    first, _ = lab.haze_lab(CLEAR, DEPTH, **settings)
    second, _ = lab.haze_lab(CLEAR, DEPTH, **settings | {name: CHANGES[name]})
    assert np.abs(first - second).max() > 0.02


def test_the_right_guess_is_the_best():
    scores = {}
    for beta in (0.6, 0.8, 1.0):
        for airlight in (0.8, 0.9, 1.0):
            text = lab.wrong_guess(CLEAR, DEPTH, beta, airlight, beta=0.8, airlight=0.9)[1]
            scores[beta, airlight] = float(text.split("inverted ")[1].split()[0])
    assert max(scores, key=scores.get) == (0.8, 0.9)
    assert scores[0.8, 0.9] > sorted(scores.values())[-2] + 10


def test_a_guess_can_be_worse_than_nothing():
    assert "worse" in lab.wrong_guess(CLEAR, DEPTH, 2.5, 0.9, beta=0.3)[1]
    picture, text = lab.wrong_guess(CLEAR, DEPTH, 0.8, 0.9, beta=0.8, noise=0)
    assert "better" in text and picture.shape == (48 + 26, 3 * 64 + 16, 3)
