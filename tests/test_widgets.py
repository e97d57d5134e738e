"""helpers.panels.widgets without a browser: what is rendered, when, and how often."""

import io

import numpy as np
import pytest
from PIL import Image

from helpers.panels import widgets


class Render:
    def __init__(self):
        self.calls = []

    def __call__(self, **values):
        self.calls.append(values)
        level = values.get("level", 0.5)
        return np.full((8, 8, 3), level), f"level {level:.2f}"


def parts(panel):
    above, below = panel.children
    *controls, reset = above.children
    room, numbers = below.children
    return controls, reset, room.children[0], numbers


def level_of(picture):
    return np.asarray(Image.open(io.BytesIO(picture.value))).mean() / 255


@pytest.fixture
def render():
    return Render()


@pytest.fixture
def panel(render):
    return widgets.panel(
        render,
        scene=widgets.choice("scene", ["mill", "tower"], "tower"),
        level=widgets.slider("level", 0.5, 0, 1, 0.1),
    )


def test_a_change_renders(panel, render):
    (scene, level), _, picture, numbers = parts(panel)
    assert render.calls == [{"scene": "tower", "level": 0.5}] and "level 0.50" in numbers.value
    level.value = 0.9
    assert level_of(picture) == pytest.approx(0.9, abs=0.01) and "level 0.90" in numbers.value
    scene.value = "mill"
    assert render.calls[1:] == [{"scene": "tower", "level": 0.9}, {"scene": "mill", "level": 0.9}]


def test_reset_goes_back_and_renders_nothing_between(panel, render):
    (scene, level), reset, picture, _ = parts(panel)
    scene.value, level.value = "mill", 0.1
    before = len(render.calls)
    reset.click()
    assert (scene.value, level.value) == ("tower", 0.5) and len(render.calls) == before
    assert level_of(picture) == pytest.approx(0.5, abs=0.01)


def test_the_cache_does_not_grow_forever(render):
    panel = widgets.panel(render, level=widgets.slider("level", 0, 0, 1, 0.001))
    (level,), *_ = parts(panel)
    for n in range(250):
        level.value = n / 1000
    assert len(render.calls) == 250
    level.value = 0
    assert len(render.calls) == 251, "it was emptied in between"
    level.value = 0.249
    assert len(render.calls) == 251


def test_the_room_of_the_picture_never_shrinks():
    heights = widgets.choice("height", [50, 80, 20])
    panel = widgets.panel(lambda height: (np.zeros((height, 40, 3)), ""), height=heights)
    (control,), *_ = parts(panel)
    room = panel.children[1].children[0]
    heights = [room.layout.min_height]
    for control.value in (80, 20):
        heights.append(room.layout.min_height)
    assert heights == ["50px", "80px", "80px"]


def test_a_chart_stands_below_the_picture():
    """Transparent, with a style of its own for dark themes, and in the room that is kept."""
    level = widgets.slider("level", 0, 0, 255, 5)
    panel = widgets.panel(lambda level: (np.zeros((50, 40, 3)), "",
                                         np.full((30, 40, 4), int(level), "uint8")), level=level)
    room = panel.children[1].children[0]
    _, chart, style = room.children
    level.value = 100
    shown = np.asarray(Image.open(io.BytesIO(chart.value)))
    assert shown.shape == (30, 40, 4) and (shown == 100).all() and len(room.children) == 3
    assert "invert" in style.value and "panel-chart" in chart._dom_classes
    assert room.layout.min_height == "80px"
