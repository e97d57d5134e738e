"""helpers.draw: pictures that are cut, tinted and labelled, charts with a cursor, numbers."""

import numpy as np
import pytest

from helpers.panels import drawing as draw

RED = np.array([1, 0, 0], "float32")


def flat(level, height=8, width=12):
    return np.full((height, width, 3), level, "float32")


@pytest.mark.parametrize("shape, box, expected", [
    ((320, 480), (600, 400), (400, 600)), ((427, 320), (600, 400), (400, 300)),
    ((320, 570), (600, 400), (337, 600)), ((1000, 2000), (600, 400), (300, 600)),
])
def test_fit_fills_the_box_and_keeps_the_shape(shape, box, expected):
    found = draw.fit(flat(0.5, *shape), *box)
    assert found.shape == (*expected, 3) and np.allclose(found, 0.5, atol=1 / 255)


def test_fit_leaves_what_fits_exactly():
    image = np.random.default_rng(0).random((4, 6, 3), dtype="float32")
    assert np.array_equal(draw.fit(image, 6, 4), image)


def test_error_map():
    image = flat(0.5)
    image[0, 0] = (0.8, 0.5, 0.5)
    found = draw.error_map(image, flat(0.5))
    assert found.shape == (8, 12) and found[0, 0] == pytest.approx(0.1) and found.sum() < 0.11


def test_tint_mixes():
    assert np.allclose(draw.tint(flat(0.5), RED, 0), 0.5)
    assert np.allclose(draw.tint(flat(0.5), RED, 1), RED)
    opacity = np.zeros((8, 12))
    opacity[2, 3] = 0.5
    found = draw.tint(flat(0.5), RED, opacity)
    assert np.allclose(found[2, 3], (0.75, 0.25, 0.25)) and np.allclose(found[3, 3], 0.5)


def test_cut():
    for edge, expected in ((0, 0.8), (1, 0.2)):
        assert np.allclose(draw.cut(flat(0.2), flat(0.8), edge), expected)
    half = draw.cut(flat(0.2), flat(0.8), 0.5)
    assert np.allclose(half[:, :5], 0.2) and np.allclose(half[:, 7:], 0.8)
    assert np.allclose(half[:, 5:7], 1), "the line"


def test_tags_stand_in_their_corners():
    bare = draw.tagged(flat(0.5, 100, 200))
    left, right = (np.abs(draw.tagged(bare, *t) - bare).sum(axis=(0, 2))
                   for t in (("β = 1", ""), ("", "β = 1")))
    assert left[:100].any() and not left[100:].any()
    assert right[100:].any() and not right[:100].any()
    assert np.allclose(bare, 0.5, atol=1 / 255), "no label, no change"


def test_the_font_has_greek_letters():
    assert draw.font(13).getmask("β").getbbox() != draw.font(13).getmask("\uffff").getbbox()


def test_colours_of_a_verdict():
    fake, unsure, real = draw.coloured([0, 0.5, 1], draw.VERDICT_MAP)
    assert fake[0] > fake[2] and real[2] > real[0] and unsure.min() > 0.9


def test_paste_centres_in_its_box():
    canvas = np.ones((10, 10, 3), "float32")
    draw.paste(canvas, flat(0, 2, 4), 0, 4, 10, 6)
    assert canvas.sum() == 300 - 24 and canvas[6:8, 3:7].sum() == 0


@pytest.fixture(scope="module")
def chart():
    return draw.Chart([("a", [0, 1, 2], [10, np.inf, 30], "#d95f02")], (300, 180), "title", "β",
                      y=(0, 40), shade=(0.5, 1.5, "range"))


def changed(chart, *at):
    return np.argwhere(np.abs(chart.at(*at) - chart.image).sum(axis=-1) > 0)


def test_a_cursor_moves_and_leaves_the_chart_alone(chart):
    before = chart.image.copy()
    columns = [changed(chart, x)[:, 1] for x in (0, 1, 2)]
    middles = [c.mean() for c in columns]
    assert all(np.ptp(c) <= 1 for c in columns), "one vertical line"
    assert middles[1] - middles[0] == pytest.approx(middles[2] - middles[1], abs=1)
    assert np.array_equal(chart.image, before)


def test_dots_stand_at_their_values(chart):
    line = {tuple(p) for p in changed(chart, 1)}
    dot = np.array([p for p in changed(chart, 1, [(20, "red")]) if tuple(p) not in line])
    column, row = chart.pixel(1, 20)
    assert np.allclose(dot.mean(axis=0), (row, column), atol=1)
    assert chart.at(1, [(20, "red")])[row, column].tolist() == [1, 0, 0]


def test_values_beyond_the_limits_lie_on_the_rim(chart):
    assert chart.pixel(1, np.inf) == chart.pixel(1, 40) != chart.pixel(1, 39)
    assert chart.pixel(1, -5) == chart.pixel(1, 0)


def test_a_chart_has_the_size_asked_for(chart):
    assert chart.image.shape == (180, 300, 3) and 0 <= chart.image.min() < chart.image.max() <= 1


def test_numbers_are_escaped():
    found = draw.numbers([("<b>", "1 & 2")], ("", "head"), ["a < b", ""])
    assert "&lt;b&gt;" in found and "1 &amp; 2" in found and "a &lt; b" in found
    assert "<b>" not in found and found.count("<p") == 1 and found.count("<tr>") == 2
