"""helpers.widgets without a browser: what is rendered, when, and how often."""

import io

import ipywidgets
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


def test_a_panel_starts_with_its_default_picture(panel, render):
    controls, reset, picture, numbers = parts(panel)
    assert render.calls == [{"scene": "tower", "level": 0.5}]
    assert isinstance(picture, ipywidgets.Image) and isinstance(reset, ipywidgets.Button)
    assert level_of(picture) == pytest.approx(0.5, abs=0.01)
    assert "level 0.50" in numbers.value
    assert [c.description for c in controls] == ["scene", "level"]


def test_a_change_renders(panel, render):
    (scene, level), _, picture, numbers = parts(panel)
    level.value = 0.9
    assert level_of(picture) == pytest.approx(0.9, abs=0.01) and "level 0.90" in numbers.value
    scene.value = "mill"
    assert render.calls[1:] == [{"scene": "tower", "level": 0.9}, {"scene": "mill", "level": 0.9}]


def test_going_back_is_taken_from_the_cache(panel, render):
    (_, level), _, picture, numbers = parts(panel)
    level.value = 0.9
    level.value = 0.5
    assert len(render.calls) == 2
    assert level_of(picture) == pytest.approx(0.5, abs=0.01) and "level 0.50" in numbers.value


def test_reset(panel, render):
    (scene, level), reset, picture, _ = parts(panel)
    scene.value, level.value = "mill", 0.1
    reset.click()
    assert (scene.value, level.value) == ("tower", 0.5)
    assert level_of(picture) == pytest.approx(0.5, abs=0.01)


def test_reset_renders_once_at_most(panel, render):
    (scene, level), reset, _, _ = parts(panel)
    scene.value, level.value = "mill", 0.1
    before = len(render.calls)
    reset.click()
    assert len(render.calls) == before, "the default picture is known; nothing between is shown"


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


def test_numbers_follow_the_theme(panel):
    assert "var(--jp-content-font-color1,inherit)" in parts(panel)[3].value


def test_slider():
    found = widgets.slider("β", 1.0, 0, 4, 0.05)
    assert (found.value, found.min, found.max, found.step) == (1.0, 0, 4, 0.05)
    assert found.continuous_update and found.description == "β"


@pytest.mark.parametrize("options", [["a", "b"], [("first", "a"), ("second", "b")]],
                         ids=["names", "pairs"])
def test_choice(options):
    assert widgets.choice("x", options).value == "a", "something is always chosen"
    assert widgets.choice("x", options, "b").value == "b"


def test_frames_start_at_the_last():
    found = widgets.frames("picture", [("1", 0), ("2", 10), ("3", 20)])
    assert found.value == 20 and found.continuous_update


def test_panels_of_notebook_04_start_as_their_figures_do(render):
    """Each wires all its render function's arguments, at the defaults that the figures show."""
    render.scenes, render.methods, render.steps = ["a", "b"], {"m": None, "n": None}, [1, 60]
    for panel, *start in ((widgets.compare_panel, "b", "n"), (widgets.time_panel,),
                          (widgets.density_panel, "b")):
        panel(render, *start)
    assert render.calls == [
        {"scene": "b", "method": "n", "strength": 1, "wipe": 0.5, "error": 0},
        {"scene": "a", "step": 60},
        {"scene": "b", "beta": 1, "airlight": 0.9},
    ]
