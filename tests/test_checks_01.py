"""The checks of notebook 01's exercises: right answers in several dresses, wrong ones, odd ones."""

import numpy as np
import pytest
import tensorflow as tf

from helpers import env, haze, images
from helpers.haze import add_haze, dark_channel_prior, transmission
from helpers.metrics import psnr
from helpers.synthesis import make_haze

# 01.1


def by_least_squares(hazy, clear, airlight):
    ours, true = hazy - airlight, clear - airlight
    square = (true**2).sum(axis=-1)
    return np.where(square > 0, (ours * true).sum(axis=-1) / np.where(square > 0, square, 1), 1)


def by_mean(hazy, clear, airlight):
    tells = np.abs(clear - airlight) > 1e-6
    ratio = np.where(tells, (hazy - airlight) / np.where(tells, clear - airlight, 1), np.nan)
    out = np.ones(hazy.shape[:2])
    some = tells.any(axis=-1)
    out[some] = np.nanmean(ratio[some], axis=-1)
    return out


def by_clearest_colour(hazy, clear, airlight):
    true = clear - airlight
    best = np.abs(true).argmax(axis=-1)[..., None]
    ours, true = (np.take_along_axis(x, best, axis=-1)[..., 0] for x in (hazy - airlight, true))
    return np.divide(ours, true, out=np.ones_like(ours), where=true != 0)


def by_loop(hazy, clear, airlight):
    out = []
    for row in range(hazy.shape[0]):
        for column in range(hazy.shape[1]):
            t = [(hazy[row, column, c] - airlight[c]) / (clear[row, column, c] - airlight[c])
                 for c in range(3) if clear[row, column, c] != airlight[c]]
            out.append(np.median(t) if t else 1)
    return np.reshape(out, hazy.shape[:2])


MEASURES = {
    "least squares": by_least_squares, "mean": by_mean, "clearest colour": by_clearest_colour,
    "loop": by_loop, "tensor": lambda *args: tf.constant(by_loop(*args), "float32"),
    "list": lambda *args: by_mean(*args).tolist(),
    "a last axis": lambda *args: by_mean(*args)[..., None],
    "clipped": lambda *args: np.clip(by_least_squares(*args), 0, 1),
}


@pytest.mark.parametrize("name", MEASURES)
def test_right_transmissions(verdict, name):
    for _ in range(3):  # the cases are random
        assert verdict("01.1", MEASURES[name]) == "right."


@np.errstate(divide="ignore", invalid="ignore")
def naive(hazy, clear, airlight):
    return ((hazy - airlight) / (clear - airlight)).mean(axis=-1)


@pytest.mark.parametrize("answer, hint", [
    (naive, "Where J equals A in one colour, it gives NaN"),
    (lambda h, c, a: np.nan_to_num(naive(h, c, a), nan=1), "in one colour, it is off"),
    (lambda h, c, a: 1 - by_mean(h, c, a), "This is 1 - t"),
    (lambda h, c, a: (h - a) / (c - a + 1e-9), "not to each colour"),
    (lambda h, c, a: by_mean(h, c, a).mean(), "has shape ()"),
    (lambda h, c, a: by_mean(h, c, a).T, "has shape (7, 6)"),
    (lambda h, c, a: by_mean(h, c, np.full(3, a.mean())), "an airlight of its own"),
    (lambda h, c, a: np.full(h.shape[:2], 0.5), "Even where all three"),
    (lambda h, c, a: np.where((c == a).all(axis=-1), 0, by_mean(h, c, a)), "1 is asked for"),
    (0.5, "A function"),
])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_wrong_transmissions(verdict, answer, hint):
    said = verdict("01.1", answer)
    assert said.startswith("not quite") and hint in said, said


def test_a_measure_that_raises_or_is_empty_is_told(verdict):
    assert "ZeroDivisionError" in verdict("01.1", lambda h, c, a: 1 / 0)
    assert verdict("01.1", lambda h, c, a: None).startswith("not yet")


# 01.2

SIDE = "smallest side that fools it"


@pytest.mark.parametrize("side, sky", [
    (27, "darker"), (27.0, " Darker "), (np.int64(27), "DARKER"), (np.array([27]), ["darker"]),
    ("27", np.array("darker")), (tf.constant(27), "darker"),
], ids=str)
def test_right_vans(verdict, side, sky):
    assert verdict("01.2", {"sky": sky, SIDE: side}) == "right."


@pytest.mark.parametrize("side, sky, hint", [
    (9, "darker", "no patch of 15×15"), (15, "darker", "How many pixels decide"),
    (21, "darker", "by more than 0.05"), (33, "darker", "Is it the smallest"),
    (24, "darker", "one of the five"), (27, "same", "The side is right"),
    (27, "brighter", "The side is right"), (27, "blue", "sky: one of"),
    ("many", "darker", "number"),
])
def test_wrong_vans(verdict, side, sky, hint):
    said = verdict("01.2", {SIDE: side, "sky": sky})
    assert said.startswith("not quite") and hint in said, said


@pytest.mark.parametrize("answer", [{SIDE: 27}, {"sky": "darker"}, "27", 27], ids=str)
def test_not_the_dictionary(verdict, answer):
    assert "Keep the dictionary" in verdict("01.2", answer)


def test_partly_untouched(verdict):
    assert verdict("01.2", {SIDE: 27, "sky": ...}).startswith("not yet")


def test_the_van_does_what_the_check_says():
    folder = env.SAMPLE_DATA / "validation"
    clear = images.load_image(folder / "clear" / "neuschwanstein.jpg")
    depth = images.load_depth(folder / "depth" / "neuschwanstein.png")
    hazy, sky = add_haze(clear, transmission(depth, 1.0), 0.9), depth > 4.9
    fooled, plain = [], dark_channel_prior(hazy)[0]
    for side in (9, 15, 21, 27, 33):
        van = hazy.copy()
        van[300 - side:300, 100:100 + side] = 1.0
        restored, _, airlight = dark_channel_prior(van)
        if np.abs(airlight - 0.9).max() > 0.05:
            fooled.append(side)
    assert fooled == [27, 33]
    assert restored[sky].mean() < plain[sky].mean() - 0.3


# 01.3

@pytest.mark.parametrize("answer", ["e", "E", "(e)", " e ", "e.", ["e"], np.array(["e"])], ids=str)
def test_right_choice(verdict, answer):
    assert verdict("01.3", answer) == "right."


@pytest.mark.parametrize("answer, reason", [
    ("a", "more likely"), ("b", "land of two"), ("(c)", "does not change it"), ("D", "0.1"),
    ("f", "Choose one of: a, b, c, d, e"), (3, "Choose one of"), (["a", "e"], "Choose one of"),
], ids=str)
def test_wrong_choice(verdict, answer, reason):
    said = verdict("01.3", answer)
    assert said.startswith("not quite") and reason in said


def test_the_settings_do_what_the_hints_say():
    """{setting: [(t is right within 0.1, gain of the land over the default in dB)]}."""
    place, found = env.SAMPLE_DATA / "train", {}
    settings = {"default": {}, "a": {"radius": 2}, "b": {"radius": 50}, "c": {"t_min": 0.3},
                "d": {"omega": 0.7}}
    for name in ("palais-des-papes", "bridge", "victoria-memorial"):
        truth = images.load_image(place / "clear" / f"{name}.jpg")
        far = images.load_depth(place / "depth" / f"{name}.png")
        seen, t_true = make_haze(truth, far, beta=1.0, noise=2.0, quality=80)
        land = far < 4.9
        pale = land & (truth.min(axis=-1) > 0.6)
        for key, options in settings.items():
            result, t, _ = haze.dark_channel_prior(seen, **options)
            found.setdefault(key, []).append(
                (t_true[pale].mean() - t[pale].mean(), psnr(result[land], truth[land])))
    off = {key: np.array([x for x, _ in values]) for key, values in found.items()}
    gain = {key: np.array([y for _, y in values]) - [y for _, y in found["default"]]
            for key, values in found.items()}
    assert (off["a"] > off["default"]).all()
    assert (np.abs(off["b"]) < 0.1).all() and (gain["b"] < -0.5).sum() == 2
    assert np.allclose(off["c"], off["default"])
    bad = np.abs(off["d"]) > 0.1
    assert bad.sum() == 1 and gain["d"][bad] < -1
