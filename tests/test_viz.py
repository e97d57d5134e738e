"""helpers.viz: figures that describe themselves, strips, and a wipe without outside help."""

import base64
import io
import re
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
from PIL import Image

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402

from helpers import viz

RNG = np.random.default_rng(0)


def picture(height=20, width=30):
    return RNG.random((height, width, 3)).astype("float32")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)

    def named(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


@pytest.fixture(scope="module")
def images():
    return picture(), picture()


# The wipe.


def test_wipe_is_the_same_for_the_same_pixels(images):
    before, after = images
    assert viz.wipe(before, after).data == viz.wipe(before.copy(), after.copy()).data
    assert viz.wipe(before, after).data != viz.wipe(after, before).data
    identifiers = {Tags(viz.wipe(*p).data).named("div")[0]["id"]
                   for p in ((before, after), (after, before), (before, before))}
    assert len(identifiers) == 3


def test_wipe_holds_both_pictures(images):
    found = Tags(viz.wipe(*images).data).named("img")
    assert len(found) == 2
    for tag, image in zip(found, images, strict=True):
        kind, content = tag["src"].split(",", 1)
        assert kind == "data:image/jpeg;base64"
        decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))), "float32") / 255
        assert decoded.shape == image.shape
        # Noise is the worst case for JPEG: it is alike, no more.
        assert np.corrcoef(decoded.ravel(), image.ravel())[0, 1] > 0.5


def test_wipe_needs_nothing_from_outside(images):
    page = viz.wipe(*images).data
    tags = Tags(page)
    assert {tag for tag, _ in tags.tags} == {"div", "img", "span", "input"}
    without_pictures = re.sub(r"base64,[^\"]*", "", page)
    assert not re.search(r"https?:|//|<script|@import|url\(", without_pictures)
    handlers = {name for _, attrs in tags.tags for name in attrs if name.startswith("on")}
    assert handlers == {"oninput"}


def test_wipe_can_be_moved_by_keyboard_and_read_aloud(images):
    tags = Tags(viz.wipe(*images, labels=("before", "after")).data)
    (edge,) = tags.named("input")
    assert edge["type"] == "range" and (edge["min"], edge["max"]) == ("0", "100")
    assert "before" in edge["aria-label"] and "after" in edge["aria-label"]
    first, second = tags.named("img")
    assert "before" in first["alt"] and second["alt"] == ""
    # It starts where the slider stands.
    assert edge["value"] == "50" and "clip-path:inset(0 0 0 50%)" in second["style"]


NASTY = '<b onclick="x()">&"\'</b>'


def test_wipe_escapes_what_it_is_told(images):
    tags = Tags(viz.wipe(*images, labels=(NASTY, "a & b")).data)
    assert not tags.named("b")
    assert NASTY in tags.texts and "a & b" in tags.texts
    assert tags.named("img")[0]["alt"] == f"{NASTY} on the left of the edge, a & b on the right"
    assert tags.named("input")[0]["aria-label"].startswith(f"edge between {NASTY} and a & b")
    described = Tags(viz.wipe(*images, alt=NASTY).data)
    assert described.named("img")[0]["alt"] == NASTY and not described.named("b")


def test_wipe_width(images):
    assert "max-width:333px" in viz.wipe(*images, width=333).data


def test_wipe_wants_two_images_of_one_size(images):
    with pytest.raises(ValueError, match=r"one size.*\(20, 30, 3\) and \(20, 31, 3\)"):
        viz.wipe(images[0], picture(20, 31))


# Strips and bytes.


def test_strip_puts_images_side_by_side():
    red = np.tile(np.array([1, 0, 0], "float32"), (40, 60, 1))
    blue = np.tile(np.array([0, 0, 1], "float32"), (40, 50, 1))
    result = viz.strip([red, blue], ["red", "blue"], gap=10)
    assert result.dtype == np.float32
    assert result.shape == (66, 120, 3)
    assert np.array_equal(result[26:, :60], red)
    assert (result[26:, 60:70] == 1).all()
    assert np.array_equal(result[26:, 70:], blue)
    title = result[:26]
    assert (title[:, :60].min() < 0.5) and (title[:, 70:].min() < 0.5), "titles are written"
    assert (title[:, 60:70] == 1).all()


def test_strip_gives_all_the_first_ones_height():
    result = viz.strip([picture(40, 60), picture(80, 60), picture(20, 10)], ["a", "b", "c"], gap=0)
    assert result.shape == (66, 60 + 30 + 20, 3)


def test_strip_draws_maps_in_grey():
    map_ = np.linspace(0, 1, 200).reshape(10, 20)
    result = viz.strip([map_], ["t"])[26:]
    assert np.allclose(result, map_[..., None], atol=0.6 / 255)


def test_strip_clips():
    result = viz.strip([np.full((5, 30, 3), 1.7), np.full((5, 30, 3), -0.7)], ["", ""])
    assert (result[26:, :30] == 1).all() and (result[26:, 38:] == 0).all()


def test_strip_wants_a_title_each():
    with pytest.raises(ValueError):
        viz.strip([picture(), picture()], ["only one"])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_to_bytes(kind):
    image = np.linspace(-0.5, 1.5, 20 * 30 * 3).reshape(20, 30, 3)
    content = viz.to_bytes(image, kind)
    decoded = Image.open(io.BytesIO(content))
    assert decoded.format == kind
    tolerance = 0.51 / 255 if kind == "PNG" else 0.05
    assert np.allclose(np.asarray(decoded) / 255, np.clip(image, 0, 1), atol=tolerance)
    assert viz.to_bytes(image, kind) == content


# Figures.


def test_show_gives_a_description(monkeypatch):
    shown = []
    monkeypatch.setattr(viz, "display", lambda *args, **options: shown.append((args, options)))
    figure = viz.grid([[picture()]])
    viz.show(figure, "A castle in haze.")
    ((bundle,), options) = shown[0]
    assert bundle["text/plain"] == "A castle in haze."
    assert options == {"raw": True, "metadata": {"image/jpeg": {"alt": "A castle in haze."}}}
    assert base64.b64decode(bundle["image/jpeg"]).startswith(b"\xff\xd8")
    assert not plt.fignum_exists(figure.number), "or a notebook would show it twice"


def test_show_replaces_in_a_handle(monkeypatch):
    class Handle:
        def update(self, *args, **options):
            self.seen = args, options

    monkeypatch.setattr(viz, "display", lambda *args, **options: pytest.fail("a second output"))
    handle = Handle()
    viz.show(viz.grid([[picture()]]), "alt", handle)
    assert handle.seen[1] == {"raw": True, "metadata": {"image/jpeg": {"alt": "alt"}}}


def test_a_drawing_is_stored_as_png(monkeypatch):
    shown = []
    monkeypatch.setattr(viz, "display", lambda bundle, **options: shown.append(bundle))
    viz.show(viz.loss_figure(HISTORY), "curves")
    assert base64.b64decode(shown[0]["image/png"]).startswith(b"\x89PNG")


def test_a_run_without_adversary_says_so():
    figure = viz.loss_figure([{"step": 1, "l1": 0.5}, {"step": 2, "l1": 0.4}])
    assert figure.axes[0].get_title() == "no adversary" and not figure.axes[0].lines


def test_grid():
    rows = [[picture(), picture(40, 30)[..., 0]], [picture()]]
    figure = viz.grid(rows, titles=["one", "two"], labels=["first", "second"])
    axes = np.reshape(figure.axes, (2, 2))
    assert [[len(a.images) for a in row] for row in axes] == [[1, 1], [1, 0]]
    assert [a.get_title() for a in axes.ravel()] == ["one", "two", "", ""]
    assert [row[0].get_ylabel() for row in axes] == ["first", "second"]
    assert not any(len(a.get_xticks()) for a in axes.ravel())
    assert np.array_equal(axes[0, 0].images[0].get_array(), rows[0][0])
    figure.canvas.draw()


HISTORY = [{"step": 1, "l1": 0.5, "discriminator": 0.7, "adversarial": 0.8, "psnr": 12.0},
           {"step": 5, "l1": 0.3, "discriminator": 0.6, "adversarial": 0.9, "psnr": 14.0}]


@pytest.mark.parametrize("count", [0, 1, 3], ids="{} pictures".format)
@pytest.mark.parametrize("done", [None, 0.0, 0.5, 1.0], ids="done={}".format)
def test_loss_figure_draws(count, done):
    figure = viz.loss_figure(HISTORY, "step 5 of 10", done, [picture()] * count)
    figure.canvas.draw()
    axes = {a.get_title(): a for a in figure.axes}
    lines = {line.get_label(): line.get_xydata().tolist()
             for a in figure.axes for line in a.lines}
    assert lines["l1"] == [[1, 0.5], [5, 0.3]] and lines["psnr"] == [[1, 12], [5, 14]]
    assert lines["log 2"][0][1] == pytest.approx(0.6931, abs=1e-4)
    assert len(figure.axes) == 3 + count and "L1 loss" in axes
    bars = [a.get_width() for a in figure.artists]
    assert bars == ([] if done is None else [0.4, pytest.approx(0.4 * done)])


def test_loss_figure_of_l1_alone_and_of_nothing():
    for history in ([{"step": 1, "l1": 0.5, "psnr": None}], []):
        figure = viz.loss_figure(history)
        figure.canvas.draw()
        assert not any(line.get_label() == "adversarial" for a in figure.axes for line in a.lines)


def test_training_panel_prints_lines_where_there_is_no_front_end(monkeypatch, capsys):
    monkeypatch.setattr(viz, "get_ipython", lambda: None)
    panel = viz.training_panel()
    panel([], "step 1 of 2", 0.5, [])
    panel([], "step 2 of 2", 1.0, [])
    assert capsys.readouterr().out == "step 1 of 2\nstep 2 of 2\n"
    assert not plt.get_fignums()


def test_training_panel_replaces_one_picture(monkeypatch):
    """However long the training, the notebook has one output of it."""
    made, updates = [], []

    class Handle:
        def update(self, data, **options):
            updates.append(options["metadata"]["image/jpeg"]["alt"])

    def display(*data, display_id=None, **options):
        made.append(data)
        return Handle()

    monkeypatch.setattr(viz, "get_ipython", lambda: object())
    monkeypatch.setattr(viz, "display", display)
    panel = viz.training_panel()
    history = [{"step": 1, "l1": 0.3, "psnr": 14.0}]
    for n in range(3):
        panel(history, f"step {n}", n / 2, [picture()])
    assert made == [()] and updates == ["step 0", "step 1", "step 2"]
    assert not plt.get_fignums()
