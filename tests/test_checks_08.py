"""The checks of notebook 08's exercises: right answers in several dresses, wrong ones, odd ones."""

import json

import numpy as np
import pytest
import tensorflow as tf

from helpers import env

# 08.1

def channels(hazy, clear):
    return [(hazy[..., c].ravel(), clear[..., c].ravel()) for c in range(3)]


def by_polyfit(hazy, clear):
    lines = [np.polyfit(x, y, 1) for x, y in channels(hazy, clear)]
    return [slope - 1 for slope, _ in lines], [-offset for _, offset in lines]


def by_covariance(hazy, clear):
    axes = (0, 1)
    x, y = hazy.mean(axes), clear.mean(axes)
    slope = ((hazy - x) * (clear - y)).mean(axes) / ((hazy - x) ** 2).mean(axes)
    return slope - 1, slope * x - y


def by_lstsq(hazy, clear):
    fits = [np.linalg.lstsq(np.stack([x, -np.ones_like(x)], 1), y - x, rcond=None)[0]
            for x, y in channels(hazy, clear)]
    return np.array(fits).T


def as_maps(hazy, clear):
    K, B = by_covariance(hazy, clear)
    return K[None, None], B[None, None]


def as_tensors(hazy, clear):
    return tuple(map(tf.constant, by_covariance(hazy, clear)))


def that_writes_into_its_arguments(hazy, clear):
    result = by_polyfit(hazy, clear)
    hazy *= 0
    return result


@pytest.mark.parametrize("answer", [by_polyfit, by_covariance, by_lstsq, as_maps, as_tensors,
                                    that_writes_into_its_arguments])
def test_right_maps(verdict, answer):
    for _ in range(3):  # the cases are random
        assert verdict("08.1", answer) == "right."


def by_spread(hazy, clear):
    slope = clear.std((0, 1)) / hazy.std((0, 1))
    return slope - 1, slope * hazy.mean((0, 1)) - clear.mean((0, 1))


def all_at_once(hazy, clear):
    slope, offset = np.polyfit(hazy.ravel(), clear.ravel(), 1)
    return [slope - 1] * 3, [-offset] * 3


@pytest.mark.parametrize("answer, hint", [
    (lambda h, c: (by_covariance(h, c)[0] + 1, by_covariance(h, c)[1]), "K + 1"),
    (lambda h, c: (by_covariance(h, c)[0], -by_covariance(h, c)[1]), "sign"),
    (lambda h, c: (by_covariance(h, c)[0] + 1, -by_covariance(h, c)[1]), "sign"),
    (lambda h, c: by_covariance(h, c)[::-1], "K comes first"), (all_at_once, "each channel"),
    (by_spread, "With noise"), (lambda h, c: ([1, 1, 1], [0.8] * 3), "as a line"),
    (lambda h, c: ([0, 0, 0], [0, 0, 0]), "as a line"), (lambda h, c: (1, 2), "three K"),
    (lambda h, c: by_covariance(h, c)[0], "three K"), (lambda h, c: 3, "Return two things"),
    (lambda h, c: "K and B", "Return two things"), (3, "A function"),
])
def test_wrong_maps(verdict, answer, hint):
    said = verdict("08.1", answer)
    assert said.startswith("not quite") and hint in said, said


def test_maps_that_raise_or_are_empty_are_told(verdict):
    assert "ZeroDivisionError" in verdict("08.1", lambda h, c: 1 / 0)
    assert verdict("08.1", lambda h, c: None).startswith("not yet")
    assert verdict("08.1", lambda h, c: (..., ...)).startswith("not yet")


# 08.2

def happens(grey, blue, red):
    return {"grey": grey, "blue": blue, "red": red}


RIGHT = happens("much better", "a little better", "worse")


@pytest.mark.parametrize("answer", [
    RIGHT, dict(reversed(RIGHT.items())), {**RIGHT, "green": "worse"},
    {key: f" {word.upper()} " for key, word in RIGHT.items()},
    {key: [word] for key, word in RIGHT.items()},
    {key: np.array(word) for key, word in RIGHT.items()},
], ids=str)
def test_right_colours(verdict, answer):
    assert verdict("08.2", answer) == "right."


@pytest.mark.parametrize("answer, hint", [
    (happens("much better", "much better", "worse"), "2 of 3 right; wrong: blue."),
    (happens("a little better", "a little better", "worse"), "wrong: grey."),
    (happens("much better", "worse", "a little better"), "wrong: blue, red."),
    (happens("worse", "worse", "much better"), "0 of 3"),
    (happens("much better", "a little better", "the same"), "red: one of much better"),
    (happens(8.9, 1.9, -0.6), "one of much better"), ({"grey": "worse"}, "Keep the dictionary"),
    ("worse", "Keep the dictionary"),
], ids=str)
def test_wrong_colours(verdict, answer, hint):
    said = verdict("08.2", answer)
    assert said.startswith("not quite") and hint in said, said


def test_colours_partly_untouched(verdict):
    assert verdict("08.2", happens("much better", ..., "worse")).startswith("not yet")


def test_the_margins_are_wide():
    from helpers.checks.exercises_08 import _gains

    gains = _gains()
    assert gains["grey"] > 7 and 1 < gains["blue"] < 4 and gains["red"] < -0.5


# 08.3

@pytest.mark.parametrize("answer", ["d", "D", "(d)", " d ", "d.", ["d"], np.array(["d"])], ids=str)
def test_right_claim(verdict, answer):
    assert verdict("08.3", answer) == "right."


@pytest.mark.parametrize("answer, reason", [
    ("a", "14.10 dB"), ("b", "three seeds"), ("c", "clear photograph"), ("(e)", "thick fog"),
    ("f", "Choose one of: a, b, c, d, e"), (3, "Choose one of"), (["a", "d"], "Choose one of"),
], ids=str)
def test_wrong_claim(verdict, answer, reason):
    said = verdict("08.3", answer)
    assert said.startswith("not quite") and reason in said


def test_the_scores_support_that_claim_alone():
    results = json.loads((env.SAMPLE_DATA / "results" / "ablation.json").read_text())
    rows = [[run for run in results["rows"] if run["row"] == n and run["real"]] for n in range(13)]
    real = [np.mean([run["real"][0] for run in row]) for row in rows]
    spread = np.ptp([run["real"][0] for run in rows[0]])
    rises = [n for n in range(1, 13) if real[n] - real[n - 1] > 1.2 * spread]
    assert rises == [10], "half of it real pairs"
    assert (round(real[2], 2), round(real[3], 2), round(real[4], 2)) == (14.53, 13.29, 14.1)
    assert (round(real[0], 2), round(real[1], 2)) == (13.95, 14.28)
