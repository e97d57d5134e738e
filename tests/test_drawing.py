"""helpers.panels.drawing: pictures wiped, tinted, tagged and in a row; charts; numbers."""

import numpy as np
import pytest

from helpers.panels import drawing
from helpers.viz import DPI

RED = np.array([1, 0, 0], "float32")


def flat(level, height=8, width=12):
    return np.full((height, width, 3), level, "float32")


@pytest.mark.parametrize("shape, box, expected", [
    ((320, 480), (600, 400), (400, 600)), ((427, 320), (600, 400), (400, 300)),
    ((1000, 2000), (600, 400), (300, 600)), ((3, 1000), (60, 40), (1, 60)),
])
def test_resize_to_fills_the_box_and_keeps_the_shape(shape, box, expected):
    found = drawing.resize_to(flat(0.5, *shape), *box)
    assert found.shape == (*expected, 3) and np.allclose(found, 0.5, atol=1 / 255)


def test_resize_to_leaves_what_fits_exactly():
    image = np.random.default_rng(0).random((4, 6, 3), dtype="float32")
    assert np.array_equal(drawing.resize_to(image, 6, 4), image)


def test_error_map():
    image = flat(0.5)
    image[0, 0] = (0.8, 0.5, 0.5)
    found = drawing.error_map(image, flat(0.5))
    assert found.shape == (8, 12) and found[0, 0] == pytest.approx(0.1) and found.sum() < 0.11


def test_tint_mixes():
    for opacity, expected in ((0, (0.5, 0.5, 0.5)), (0.5, (0.75, 0.25, 0.25)), (1, RED)):
        assert np.allclose(drawing.tint(flat(0.5), RED, opacity), expected)


def test_wiped():
    for edge, expected in ((0, 0.8), (1, 0.2)):
        assert np.allclose(drawing.wiped(flat(0.2), flat(0.8), edge), expected)
    half = drawing.wiped(flat(0.2), flat(0.8), 0.5)
    assert np.allclose(half[:, :5], 0.2) and np.allclose(half[:, 7:], 0.8)
    assert np.allclose(half[:, 5:7], 1), "the line"


def test_tags_stand_in_their_corners():
    bare = drawing.tagged(flat(0.5, 100, 200))
    left, right = (np.abs(drawing.tagged(bare, *t) - bare).sum(axis=(0, 2))
                   for t in (("β = 1", ""), ("", "β = 1")))
    assert left[:100].any() and not left[100:].any()
    assert right[100:].any() and not right[:100].any()
    assert np.allclose(bare, 0.5, atol=1 / 255), "no tag, no change"
    greek, missing = (drawing.font().getmask(text).getbbox() for text in "β\uffff")
    assert greek != missing


@pytest.mark.parametrize("width, expected", [(None, (40, 60 + 30 + 80 + 8)), (301, (69, 301))])
def test_beside_makes_all_equally_high(width, expected):
    images = [flat(0, 40, 60), flat(0.2, 80, 60), flat(0.4, 5, 10)]
    found = drawing.beside(images, [""] * 3, width)
    assert found.shape == (*expected, 3)
    assert sorted(set(np.round(found[0, :, 0], 1))) == pytest.approx([0, 0.2, 0.4, 0.5])
    with pytest.raises(ValueError):
        drawing.beside(images, ["one tag"])


def test_colours_of_a_verdict():
    fake, unsure, real = drawing.coloured([0, 0.5, 1], drawing.VERDICT_MAP)
    assert fake[0] > fake[2] and real[2] > real[0] and unsure.min() > 0.9


@pytest.fixture(scope="module")
def chart():
    return drawing.Curves([("a", [0, 1, 2], [10, np.inf, 30], "#ff0000")], (300, 180), "title", "β",
                          up=(0, 40), shade=(0.5, 1.5, "range"), line=(20, "level"))


def place_of_dot(chart, x, y):
    """(row, column) of the dot's centre: what is red there and not without it."""
    image, bare = ((i[..., 0] > 200) & (i[..., 1] < 60) & (i[..., 3] > 250)
                   for i in (chart.at(x, [y]), chart.at(5, [99])))
    return np.argwhere(image & ~bare).mean(axis=0)


def test_a_cursor_moves_and_leaves_the_chart_alone(chart):
    images = [chart.at(x, [35]) for x in (0.4, 1, 1.6, 0.4)]
    assert images[0].shape == (180, 300, 4) and images[0].dtype == np.uint8
    assert np.array_equal(images[0], images[3]), "what was drawn before is gone"
    bare = chart.at(5, [99])  # cursor and dot to the right of the chart
    moved = [np.argwhere(np.abs(i.astype(int) - bare).max(axis=-1) > 60)[:, 1] for i in images]
    columns = [np.median(found) for found in moved]
    assert columns[2] - columns[1] == pytest.approx(columns[1] - columns[0], abs=1)


def test_dots_stand_at_their_values_and_at_most_on_the_rim(chart):
    places = [place_of_dot(chart, 1.8, y) for y in (-5, 0, 16, 32, 40, np.inf)]
    rows, columns = np.transpose(places)
    assert np.ptp(columns) < 1 and rows[0] == rows[1] and rows[4] == rows[5] < rows[3]
    assert rows[2] == pytest.approx((rows[1] + rows[3]) / 2, abs=1)


def test_a_chart_has_no_background_and_no_small_text(chart):
    image = chart.at(1, [20])
    assert (image[..., 3] == 0).mean() > 0.4
    axis = chart.axis
    texts = [axis.xaxis.label, *axis.get_xticklabels(), *axis.get_legend().get_texts()]
    assert min(text.get_fontsize() for text in texts) * DPI / 72 >= 12, "9 points on a screen"


def test_numbers_are_escaped():
    found = drawing.numbers([("<b>", "1 & 2")], ("", "head"), ["a < b", ""])
    assert "&lt;b&gt;" in found and "1 &amp; 2" in found and "a &lt; b" in found
    assert "<b>" not in found and found.count("<p") == 1 and found.count("<tr>") == 2
