"""helpers.panels.haze: what notebook 01 and its panels show, and the haze that it is made of."""

import numpy as np
import pytest

from helpers import haze
from helpers.panels import haze as lab
from helpers.synthesis import make_haze

RNG = np.random.default_rng(0)
CLEAR = RNG.uniform(0, 0.8, (48, 64, 3)).astype("float32")
DEPTH = np.repeat(np.linspace(0.2, 3, 48, dtype="float32")[::-1, None], 64, axis=1)


def test_plain_haze_is_the_scattering_model():
    hazy, t = make_haze(CLEAR, DEPTH, 0.8, 0.85, 0.1)
    expected = haze.transmission(DEPTH, 0.8)
    assert np.allclose(t, expected, atol=1e-6)
    assert np.allclose(hazy, haze.add_haze(CLEAR, expected, [0.95, 0.85, 0.75]), atol=1e-6)


def test_uneven_haze_varies_where_the_depth_does_not():
    flat = np.ones_like(DEPTH)
    thick = [np.log(-np.log(make_haze(CLEAR, flat, 1.0, uneven=u)[1])) for u in (0, 0.5, 1)]
    assert [x.std() for x in thick] == pytest.approx([0, 0.5, 1], rel=0.01, abs=1e-6)
    assert np.all(make_haze(CLEAR, DEPTH, 0.0, uneven=1.0)[1] == 1), "no haze, nothing uneven"


def test_maps_share_one_scale():
    figure = lab.maps_figure([[CLEAR, DEPTH, DEPTH / 2]], ["clear", "d", "half"], "distance", top=5)
    *pictures, bar = figure.axes
    assert [axis.get_title() for axis in pictures] == ["clear", "d", "half"]
    assert [axis.images[0].get_clim() for axis in pictures[1:]] == [(0, 5), (0, 5)]
    assert bar.get_ylabel() == "distance"


def test_a_scaled_map_has_its_colours_at_the_right():
    picture = lab.scaled(np.full((48, 64), 0.5), "half", 120)
    strip = picture[8:-8, -16:-6].mean(axis=1)
    assert picture.shape == (120, 160, 3)
    assert strip[0].sum() > 2.5 and strip[-1].sum() < 0.1
    assert np.allclose(strip[52], picture[60, 60], atol=0.05)


def test_histogram_counts():
    """Half of red at 0.3, half at 0.8, green and blue at 1; clear is black."""
    image = np.ones((40, 64, 3), "float32")
    image[:20, :, 0], image[20:, :, 0] = 0.3, 0.8
    chart = lab.Histogram(400, bins=16)
    drawing = chart.of(image, np.zeros_like(image))
    assert drawing.shape == (170, 400, 4) and drawing.dtype == np.uint8
    red, green, _, clear = (area.get_data().values for area in chart.moving)
    assert np.flatnonzero(red).tolist() == [4, 12] and red[4] == red[12] == 8
    assert np.flatnonzero(green).tolist() == [15] and green[15] == chart.TOP, "16, not shown"
    assert clear[0] == chart.TOP and not clear[1:].any()
    assert not np.array_equal(drawing, chart.of(image[:20], image))


CHANGES = {"beta": 1.5, "airlight": 0.7, "warmth": 0.1, "uneven": 0.5, "noise": 5, "quality": 30}


@pytest.mark.parametrize("name", CHANGES)
def test_every_setting_changes_picture_and_chart(name):
    settings = {"beta": 1.0, "airlight": 0.9}
    first, _, chart = lab.haze_lab(CLEAR, DEPTH, **settings)
    second, _, other = lab.haze_lab(CLEAR, DEPTH, **settings | {name: CHANGES[name]})
    assert np.abs(first - second).max() > 0.02 and not np.array_equal(chart, other)


def test_the_right_guess_is_the_best():
    scores = {}
    for beta in (0.6, 0.8, 1.0):
        for airlight in (0.8, 0.9, 1.0):
            text = lab.wrong_guess(CLEAR, DEPTH, beta, airlight, beta=0.8, airlight=0.9)[1]
            scores[beta, airlight] = float(text.split("inverted ")[1].split()[0])
    assert max(scores, key=scores.get) == (0.8, 0.9)
    assert scores[0.8, 0.9] > sorted(scores.values())[-2] + 10
