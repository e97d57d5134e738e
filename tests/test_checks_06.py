"""The checks of notebook 06's exercises: right answers in several dresses, wrong ones, odd ones."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.checkup import fine_structure

# 06.1

DEAD, STRONG = "dead discriminator", "strong discriminator"


def patients(*words):
    return dict(zip("ABCD", words, strict=True))


RIGHT = patients("strangers", DEAD, STRONG, "range")


@pytest.mark.parametrize("answer", [
    RIGHT, dict(reversed(RIGHT.items())), {**RIGHT, "E": "healthy"},
    {key: word.upper() for key, word in RIGHT.items()},
    {key: f"  {word} " for key, word in RIGHT.items()},
    {key: [word] for key, word in RIGHT.items()},
    {key: np.array(word) for key, word in RIGHT.items()},
], ids=str)
def test_right_diagnoses(verdict, answer):
    assert verdict("06.1", answer) == "right."


@pytest.mark.parametrize("answer, hint", [
    (patients("strangers", STRONG, DEAD, "range"), "2 of 4 right. The data are sound"),
    (patients("range", DEAD, STRONG, "strangers"), "2 of 4 right. Start with check_batch"),
    (patients(STRONG, DEAD, "strangers", "range"), "check_batch"),
    (patients(DEAD, "strangers", "range", STRONG), "0 of 4"),
    (patients("range", "range", "range", "range"), "occurs once"),
    (patients("strangers", DEAD, DEAD, "range"), "occurs once"),
    (patients("strangers", "sleepy", STRONG, "range"), "B: one of"),
    (patients("strangers", 3, STRONG, "range"), "B: one of"),
    ({"A": "range"}, "Keep the dictionary"), ("range", "Keep the dictionary"),
], ids=str)
def test_wrong_diagnoses(verdict, answer, hint):
    said = verdict("06.1", answer)
    assert said.startswith("not quite") and hint in said, said


def test_hints_never_name_the_illness(verdict):
    for answer in (patients("strangers", STRONG, DEAD, "range"),
                   patients("range", DEAD, STRONG, "strangers")):
        said = verdict("06.1", answer)
        assert not any(word in said for word in ("range", "strangers", "strong", "dead"))


def test_partly_untouched(verdict):
    assert verdict("06.1", {**RIGHT, "B": ...}).startswith("not yet")


# 06.2

def table(hazy, clear):
    ours, theirs = (np.array([fine_structure(x).ravel() for x in images])
                    for images in (hazy, clear))
    return np.corrcoef(ours, theirs)[:len(ours), len(ours):]


def by_loop(hazy, clear):
    numbers = []
    for image in hazy:
        likeness = [(fine_structure(image) * fine_structure(other)).sum() for other in clear]
        numbers.append(likeness.index(max(likeness)))
    return numbers


def by_gradients(hazy, clear):
    def edges(images):
        steps = np.diff(images.mean(axis=-1), axis=1).reshape(len(images), -1)
        return steps / np.linalg.norm(steps, axis=1, keepdims=True)

    return (edges(hazy) @ edges(clear).T).argmax(axis=1)


PAIRINGS = {
    "array": lambda h, c: table(h, c).argmax(axis=1), "loop": by_loop, "gradients": by_gradients,
    "tensor": lambda h, c: tf.argmax(table(h, c), axis=1),
    "tuple": lambda h, c: tuple(by_loop(h, c)),
    "floats": lambda h, c: table(h, c).argmax(axis=1).astype(float),
    "column": lambda h, c: table(h, c).argmax(axis=1)[:, None],
    "dictionary": lambda h, c: dict(enumerate(by_loop(h, c))),
}


@pytest.mark.parametrize("name", PAIRINGS)
def test_right_pairings(verdict, name):
    for _ in range(3):  # the cases are random
        assert verdict("06.2", PAIRINGS[name]) == "right."


def by_colour(hazy, clear):
    means = [x.mean(axis=(1, 2)) for x in (hazy, clear)]
    return np.abs(means[0][:, None] - means[1]).sum(axis=-1).argmin(axis=1)


def by_pixels(power):
    def nearest(hazy, clear):
        apart = np.abs(hazy[:, None] - clear) ** power
        return apart.mean(axis=(2, 3, 4)).argmin(axis=1)

    return nearest


@pytest.mark.parametrize("answer, hint", [
    (by_pixels(1), "the pixels themselves"), (by_pixels(2), "the pixels themselves"),
    (lambda h, c: range(len(h)), "are right"), (by_colour, "are right"),
    (lambda h, c: np.argsort(by_loop(h, c)), "other way round"),
    (lambda h, c: [0] * len(h), "are right"), (lambda h, c: [1, 2], "so 5 numbers"),
    (lambda h, c: np.array(by_loop(h, c)) + 1, "go from 0"),
    (lambda h, c: table(h, c).argmin(axis=1), "by correlation"),
    (lambda h, c: ["a"] * len(h), "a list of numbers"), (3, "A function"),
])
def test_wrong_pairings(verdict, answer, hint):
    said = verdict("06.2", answer)
    assert said.startswith("not quite") and hint in said, said


def test_a_pairing_that_raises_is_told(verdict):
    assert "ZeroDivisionError" in verdict("06.2", lambda h, c: 1 / 0)
    assert verdict("06.2", lambda h, c: None).startswith("not yet")


# 06.3

@pytest.mark.parametrize("answer", ["a", "A", "(a)", " a ", "a.", ["a"], np.array(["a"])], ids=str)
def test_right_choice(verdict, answer):
    assert verdict("06.3", answer) == "right."


@pytest.mark.parametrize("answer, reason", [
    ("b", "L1 loss leads"), ("c", "does not show"), ("(d)", "two things change"),
    ("e", "Choose one of: a, b, c, d"), (3, "Choose one of"), (["a", "c"], "Choose one of"),
], ids=str)
def test_wrong_choice(verdict, answer, reason):
    said = verdict("06.3", answer)
    assert said.startswith("not quite") and reason in said
