"""The toy of notebook 03: what it must show, and the pure functions of its panel."""

import ast

import matplotlib
import nbformat
import numpy as np
import pytest
from keras import ops
from test_mirror import ROOT, function

from helpers import viz
from helpers.panels import toy

MIRRORED = ("branch", "draw_pairs", "make_generator", "make_discriminator", "should_be_real",
            "should_be_fake", "discriminator_step", "generator_step", "falling_adam",
            "train_by_loss", "train_gan")
UP = toy.branch(toy.GRID[:, 0])


@pytest.mark.parametrize("name", MIRRORED)
def test_notebook_and_helpers_agree(name):
    taught, _ = function(ROOT / "notebooks" / "03_why_an_adversary.ipynb", name)
    used, _ = function(ROOT / "helpers" / "panels" / "toy.py", name)
    assert ast.dump(taught) == ast.dump(used)


def test_squared_error_gives_the_mean():
    network = toy.train_by_loss(lambda y, output: ops.mean(ops.square(y - output)), steps=400)
    assert np.abs(toy.curve(network)).max() < 0.15


def test_absolute_error_stays_between():
    network = toy.train_by_loss(lambda y, output: ops.mean(ops.abs(y - output)), steps=400)
    assert (np.abs(toy.curve(network)) < UP).all()
    assert not toy.commits(toy.curve(network))


def test_the_adversary_commits_in_nine_of_ten_seeds():
    ends = [toy.train_gan(seed)[-1] for seed in range(10)]
    assert sum(toy.commits(frame["outputs"]) for frame in ends) >= 9


def test_frames():
    frames = toy.train_gan(steps=20, noise=2)
    assert [frame["step"] for frame in frames] == list(range(21))
    assert frames[0]["outputs"].shape == (8, 81) and frames[0]["belief"].shape == (81, 81)
    assert 0 <= frames[-1]["belief"].min() <= frames[-1]["belief"].max() <= 1
    assert toy.spread(frames[0]) > 0


def test_the_same_seed_gives_the_same_training():
    one, two = (toy.train_gan(3, steps=20)[-1]["outputs"] for _ in range(2))
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_only_the_one_that_learns_moves():
    generator, discriminator = toy.make_generator(), toy.make_discriminator()
    x, y = map(ops.convert_to_tensor, toy.draw_pairs(np.random.default_rng(0), 16))
    for step, learns, fixed in ((toy.discriminator_step, discriminator, generator),
                                (toy.generator_step, generator, discriminator)):
        before = [[w.numpy() for w in n.trainable_variables] for n in (learns, fixed)]
        step(generator, discriminator, toy.falling_adam(1e-2, 10, learns), x, y)
        moved, same = ([np.abs(a - w.numpy()).max() for a, w in zip(old, n.trainable_variables,
                                                                    strict=True)]
                       for old, n in zip(before, (learns, fixed), strict=True))
        assert max(moved) > 0 and max(same) == 0


def test_the_unconditional_discriminator_ignores_x():
    network = toy.make_discriminator(conditional=False)
    y = np.ones((5, 1), "float32")
    logits = ops.convert_to_numpy(network([np.linspace(-1, 1, 5)[:, None].astype("float32"), y]))
    assert np.ptp(logits) == 0


@pytest.mark.parametrize("outputs, expected, commits", [
    (UP, (1, 0), True), (-UP, (0, 1), True), (0 * UP, (0, 0), False), (UP * 1.4, (1, 0), True),
    (UP * 0.4, (0, 0), False), (UP * np.sign(toy.GRID[:, 0] - 0.01), (0.5, 0.5), False),
])
def test_shares_and_commits(outputs, expected, commits):
    assert toy.shares(outputs) == pytest.approx(expected, abs=0.02)
    assert toy.commits(outputs) is commits


def test_measures():
    assert toy.miss(UP) == 0 and toy.miss(0 * UP) == pytest.approx(UP.mean())
    assert toy.squared_error_of(0 * UP) == pytest.approx(1.04, abs=0.1)
    frames = [{"outputs": np.tile(value * UP, (8, 1))} for value in (0, 1, 1, 2)]
    assert toy.movement(frames) == pytest.approx(UP.mean())
    assert toy.spread(frames[0]) == 0


def fake_frames(scale=1.0):
    return [{"step": 5 * n, "outputs": np.tile(scale * UP, (8, 1)),
             "belief": np.full((81, 81), 0.5), "d_loss": 0.5, "g_loss": 1.0} for n in range(21)]


def test_film():
    film = toy.Film({"a": fake_frames(), "b": fake_frames(-1)})
    image, text = film("a", 3)
    assert image.dtype == np.float32 and image.shape[2] == 3 and image.shape[1] <= 640
    assert 0 <= image.min() <= image.max() <= 1
    assert "commits to the upper branch" in text and ">15<" in text
    assert "commits to the lower branch" in film("b", 3)[1]
    assert film.draw("a", 3) is image


def test_panels_show_their_last_frame():
    one = toy.panel(toy.Film({"a": fake_frames()}))
    assert len(one.children[0].children) == 2  # a slider and the reset button
    two = toy.panel(toy.Film({"a": fake_frames(), "b": fake_frames(-1)}))
    assert len(two.children[0].children) == 3
    name, number, _ = two.children[0].children
    numbers = two.children[1].children[1]
    assert number.value == 20 and "upper" in numbers.value
    name.value = "b"
    assert "lower" in numbers.value


def text_of(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_nothing_drawn_is_under_nine_points():
    """As seen on a screen of 96 pixels an inch: 12 pixels."""
    frames = fake_frames()
    for figure in (viz.course_map("03"), viz.step_diagram("discriminator"),
                   viz.step_diagram("generator", l1=True),
                   toy.planes_figure([frames[0]], ["one"], [frames])):
        sizes = [t.get_fontsize() for t in figure.findobj(matplotlib.text.Text) if t.get_text()]
        assert min(sizes) * viz.DPI / 72 >= 12


def test_course_map_marks_one():
    figure = viz.course_map("03")
    assert "Why an adversary" in text_of(figure)
    fills = [patch.get_facecolor() for patch in figure.axes[0].patches]
    assert fills.count(matplotlib.colors.to_rgba(viz.GENERATOR)) == 1


@pytest.mark.parametrize("network, l1", [("discriminator", False), ("generator", False),
                                         ("generator", True)])
def test_step_diagrams(network, l1):
    texts = text_of(viz.step_diagram(network, ("hazy", "clear", "fake"), l1=l1))
    assert f"{network}\nlearns" in texts and "hazy" in texts and "fake" in texts
    assert ("clear" in texts) == (network == "discriminator" or l1)
    assert sum("held fixed" in text for text in texts) == 1


def test_step_diagram_of_nothing():
    with pytest.raises(ValueError, match="not 'critic'"):
        viz.step_diagram("critic")



def test_the_notebook_trains_within_the_toys_limits():
    cells = nbformat.read(ROOT / "notebooks" / "03_why_an_adversary.ipynb", 4).cells
    calls = [c.source.count("train_gan(") for c in cells if c.cell_type == "code"]
    assert sum(calls) <= 9, "each training costs three seconds"
