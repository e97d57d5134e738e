"""helpers.viz: figures of one style that describe themselves, contact sheets, and the wipe."""

import base64
import io
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from PIL import Image

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from helpers import viz
from helpers.images import ImageError
from helpers.pairs import Pair

RNG = np.random.default_rng(0)


def picture(height=20, width=30):
    return RNG.random((height, width, 3)).astype("float32")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


# The wipe.


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


def test_wipe_is_the_same_for_the_same_pixels(images):
    before, after = images
    assert viz.wipe(before, after).data == viz.wipe(before.copy(), after.copy()).data
    identifiers = {Tags(viz.wipe(*p).data).named("div")[0]["id"]
                   for p in ((before, after), (after, before), (before, before))}
    assert len(identifiers) == 3


def test_wipe_holds_both_pictures_and_needs_nothing_else(images):
    page = viz.wipe(*images, width=333).data
    tags = Tags(page)
    assert {tag for tag, _ in tags.tags} == {"div", "img", "span", "input"}
    assert not re.search(r"https?:|//|<script|@import|url\(", re.sub(r"base64,[^\"]*", "", page))
    assert {n for _, a in tags.tags for n in a if n.startswith("on")} == {"oninput"}
    assert "max-width:333px" in page
    for tag, image in zip(tags.named("img"), images, strict=True):
        kind, content = tag["src"].split(",", 1)
        assert kind == "data:image/jpeg;base64"
        decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))), "float32") / 255
        # Noise is the worst case for JPEG: it is alike, no more.
        assert np.corrcoef(decoded.ravel(), image.ravel())[0, 1] > 0.5


NASTY = '<b onclick="x()">&"\'</b>'


def test_wipe_can_be_read_aloud_and_escapes_what_it_is_told(images):
    tags = Tags(viz.wipe(*images, labels=(NASTY, "a & b")).data)
    (edge,), (first, second) = tags.named("input"), tags.named("img")
    assert not tags.named("b") and NASTY in tags.texts and "a & b" in tags.texts
    assert first["alt"] == f"{NASTY} on the left of the edge, a & b on the right"
    assert second["alt"] == ""
    assert edge["aria-label"].startswith(f"edge between {NASTY} and a & b")
    # It starts where the slider stands, also where no script runs.
    assert edge["value"] == "50" and "clip-path:inset(0 0 0 50%)" in second["style"]
    described = Tags(viz.wipe(*images, alt=NASTY).data)
    assert described.named("img")[0]["alt"] == NASTY and not described.named("b")


def test_wipe_wants_two_images_of_one_size(images):
    with pytest.raises(ValueError, match=r"one size, not \(20, 30, 3\) and \(20, 31, 3\)"):
        viz.wipe(images[0], picture(20, 31))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_to_bytes(kind):
    image = np.linspace(-0.5, 1.5, 20 * 30 * 3).reshape(20, 30, 3)
    decoded = Image.open(io.BytesIO(viz.to_bytes(image, kind)))
    assert decoded.format == kind
    tolerance = 0.51 / 255 if kind == "PNG" else 0.05
    assert np.allclose(np.asarray(decoded) / 255, np.clip(image, 0, 1), atol=tolerance)


# Figures.


class Outputs(list):
    """What was displayed, as (data, options); and the handle, with what it was updated to."""

    def __init__(self):
        self.updates = []

    def __call__(self, *data, **options):
        self.append((data, options))
        return self

    def update(self, data, **options):
        self.updates.append(options["metadata"])


@pytest.fixture
def shown(monkeypatch):
    outputs = Outputs()
    monkeypatch.setattr(viz, "display", outputs)
    return outputs


def test_show_gives_a_description_and_a_caption(shown):
    figure = viz.grid([[picture()]])
    viz.show(figure, "A castle in haze.", "*The castle*")
    ((bundle,), options), ((caption,), _) = shown
    assert bundle["text/plain"] == "A castle in haze."
    assert caption == {"text/markdown": "*The castle*", "text/plain": "*The castle*"}
    assert options == {"raw": True, "metadata": {"image/jpeg": {"alt": "A castle in haze."}}}
    assert base64.b64decode(bundle["image/jpeg"]).startswith(b"\xff\xd8")
    assert not plt.fignum_exists(figure.number), "or a notebook would show it twice"


def test_a_drawing_is_stored_as_png(shown):
    viz.show(viz.loss_figure(HISTORY), "curves")
    ((bundle,), _), = shown
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_grid():
    chart = np.zeros((5, 30, 4), "uint8")
    rows = [[picture(), picture(40, 30)[..., 0]], [picture(), chart]]
    figure = viz.grid(rows, titles=["one", "two"], labels=["first", "second"])
    figure.canvas.draw()
    axes = np.reshape(figure.axes, (2, 2))
    assert [a.get_title() for a in axes.ravel()] == ["one", "two", "", ""]
    assert [row[0].get_ylabel() for row in axes] == ["first", "second"]
    assert not any(len(a.get_xticks()) for a in axes.ravel())
    for axis, image in zip(axes.ravel(), [*rows[0], *rows[1]], strict=True):
        assert np.array_equal(axis.images[0].get_array(), image)


HISTORY = [{"step": 1, "l1": 0.5, "discriminator": 0.7, "adversarial": 0.8, "psnr": 12.0},
           {"step": 5, "l1": 0.3, "discriminator": 0.6, "adversarial": 0.9, "psnr": 14.0}]


def test_no_text_of_a_figure_is_too_small():
    """9 points on a screen of 96 pixels an inch are 12 pixels."""
    figure = viz.loss_figure(HISTORY, "step 5 of 10", 0.5, [picture()] * 3)
    figure.canvas.draw()
    texts = [t for t in figure.findobj(matplotlib.text.Text) if t.get_text() and t.get_visible()]
    assert len(texts) > 20
    assert min(text.get_fontsize() for text in texts) * viz.DPI / 72 >= 12


@pytest.mark.parametrize("count", [0, 3], ids="{} pictures".format)
@pytest.mark.parametrize("done", [None, 0.0, 0.5, 1.0], ids="done={}".format)
def test_loss_figure_draws(count, done):
    figure = viz.loss_figure(HISTORY, "step 5 of 10", done, [picture()] * count)
    figure.canvas.draw()
    lines = {line.get_label(): line for a in figure.axes for line in a.lines}
    assert lines["L1"].get_xydata().tolist() == [[1, 0.5], [5, 0.3]]
    assert lines["PSNR"].get_xydata().tolist() == [[1, 12], [5, 14]]
    assert lines["log 2"].get_ydata()[0] == pytest.approx(0.6931, abs=1e-4)
    assert lines["discriminator"].get_color() == viz.DISCRIMINATOR
    assert lines["generator"].get_color() == viz.GENERATOR
    assert len(figure.axes) == 3 + count
    bars = [a.get_width() for a in figure.artists]
    assert bars == ([] if done is None else [0.4, pytest.approx(0.4 * done)])


@pytest.mark.parametrize("history", [[{"step": 1, "l1": 0.5, "psnr": None}], []], ids=len)
def test_a_run_without_adversary_says_so(history):
    figure = viz.loss_figure(history)
    figure.canvas.draw()
    assert figure.axes[0].get_title() == "no adversary" and not figure.axes[0].lines


def report(n):
    return SimpleNamespace(history=HISTORY, status=f"step {n}", done=n / 2,
                           pictures=[[picture()] * 3])


def test_training_prints_lines_where_there_is_no_front_end(monkeypatch, capsys):
    monkeypatch.setattr(viz, "get_ipython", lambda: None)
    callback = viz.training_figure()
    callback(report(1))
    callback(report(2))
    assert capsys.readouterr().out == "step 1\nstep 2\n" and not plt.get_fignums()


def test_training_replaces_one_figure(monkeypatch, shown):
    """However long the training, the notebook has one output of it."""
    monkeypatch.setattr(viz, "get_ipython", lambda: object())
    callback = viz.training_figure()
    for n in range(3):
        callback(report(n))
    assert shown == [((), {"display_id": True})]
    assert [m["image/jpeg"]["alt"] for m in shown.updates] == ["step 0", "step 1", "step 2"]
    assert not plt.get_fignums()


# Contact sheets.


def saved_pair(folder, name, hazy, clear, size=(64, 40)):
    paths = [folder / f"{name}_{side}.png" for side in ("hazy", "clear")]
    for path, colour in zip(paths, (hazy, clear), strict=True):
        Image.new("RGB", size, colour).save(path)
    return Pair(*paths, name)


def test_contact_sheet(tmp_path):
    """Hazy above clear, each padded with white, four in a row; a damaged pair is left out."""
    pairs = [saved_pair(tmp_path, str(n), "red", "blue") for n in range(6)]
    pairs[2].hazy.write_text("no image")
    sheet = viz.contact_sheet(pairs, width=64)
    assert sheet.dtype == np.float32 and sheet.shape == (2 * (2 * 48 + 8), 4 * (64 + 8), 3)
    middle = sheet[:, 32]  # of the first column of pairs
    assert middle[[24, 72]].tolist() == [[1, 0, 0], [0, 0, 1]] and middle[[1, 46]].min() == 1
    assert sheet[150, 250].tolist() == [1, 1, 1], "five pairs: the second row has one"


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1)])
def test_a_contact_sheet_of_odd_shapes(tmp_path, size):
    pair = saved_pair(tmp_path, "a", "red", "blue")
    for path in (pair.hazy, pair.clear):
        Image.new("RGB", size).save(path)
    assert viz.contact_sheet([pair], width=64).shape == (104, 72, 3)


def test_a_contact_sheet_of_nothing_says_why(tmp_path):
    with pytest.raises(ImageError, match="no pairs"):
        viz.contact_sheet([])
    pair = saved_pair(tmp_path, "a", "red", "blue")
    pair.clear.write_text("no image")
    with pytest.raises(ImageError, match="a_clear.png"):
        viz.contact_sheet([pair])
