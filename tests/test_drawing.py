"""helpers.panels.drawing: pictures wiped, tinted, tagged and in a row; charts; numbers."""

import numpy as np
import pytest

from helpers.panels import drawing


def flat(level, height=8, width=12):
    return np.full((height, width, 3), level, "float32")


def test_resize_to_fills_the_box_and_keeps_the_shape():
    for shape, box, expected in (((320, 480), (600, 400), (400, 600)),
                                 ((3, 1000), (60, 40), (1, 60))):
        found = drawing.resize_to(flat(0.5, *shape), *box)
        assert found.shape == (*expected, 3) and np.allclose(found, 0.5, atol=1 / 255)


def test_wiped_and_tinted():
    half = drawing.wiped(flat(0.2), flat(0.8), 0.5)
    assert np.allclose(half[:, :5], 0.2) and np.allclose(half[:, 7:], 0.8)
    assert np.allclose(half[:, 5:7], 1), "the line"
    assert np.allclose(drawing.tint(flat(0.5), np.array([1, 0, 0]), 0.5), (0.75, 0.25, 0.25))


@pytest.mark.parametrize("width, expected", [(None, (40, 60 + 30 + 80 + 8)), (301, (69, 301))])
def test_beside_makes_all_equally_high(width, expected):
    images = [flat(0, 40, 60), flat(0.2, 80, 60), flat(0.4, 5, 10)]
    found = drawing.beside(images, [""] * 3, width)
    assert found.shape == (*expected, 3)
    assert sorted(set(np.round(found[0, :, 0], 1))) == pytest.approx([0, 0.2, 0.4, 0.5])


@pytest.fixture(scope="module")
def chart():
    return drawing.Curves([("a", [0, 1, 2], [10, np.inf, 30], "#ff0000")], (300, 180), "title", "β",
                          up=(0, 40), shade=(0.5, 1.5, "range"), line=(20, "level"))


def test_a_cursor_moves_and_leaves_the_chart_alone(chart):
    images = [chart.at(x, [35]) for x in (0.4, 1, 1.6, 0.4)]
    assert images[0].shape == (180, 300, 4) and images[0].dtype == np.uint8
    assert np.array_equal(images[0], images[3]), "what was drawn before is gone"
    bare = chart.at(5, [99])  # cursor and dot to the right of the chart
    moved = [np.argwhere(np.abs(i.astype(int) - bare).max(axis=-1) > 60)[:, 1] for i in images]
    columns = [np.median(found) for found in moved]
    assert columns[2] - columns[1] == pytest.approx(columns[1] - columns[0], abs=1)


def test_numbers_are_escaped():
    found = drawing.numbers([("<b>", "1 & 2")], ("", "head"), ["a < b", ""])
    assert "&lt;b&gt;" in found and "1 &amp; 2" in found and "a &lt; b" in found
    assert "<b>" not in found and found.count("<p") == 1 and found.count("<tr>") == 2
