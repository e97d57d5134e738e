"""The checks of notebook 02's exercises: right answers in several dresses, wrong ones, odd ones."""

import numpy as np
import pytest
import tensorflow as tf

from helpers import env
from helpers.checks.exercises_02 import FAULTS, pipeline
from helpers.haze import resize
from helpers.pairs import find_pairs

# 02.1


def drawn(shape, seed, size, more=1):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, shape[0] - size + more), rng.integers(0, shape[1] - size + more),
            rng.random() < 0.5)


def cut(image, top, left, mirrored, size):
    crop = image[top:top + size, left:left + size]
    return crop[:, ::-1] if mirrored else crop


def plainly(images, seed, size):
    place = drawn(images[0].shape, seed, size)
    return [cut(image, *place, size) for image in images]


def by_stacking(images, seed, size):
    planes = [x if x.ndim == 3 else x[..., None] for x in images]
    top, left, mirrored = drawn(images[0].shape, seed, size)
    crop = np.concatenate(planes, axis=-1)[top:top + size, left:left + size]
    crop = np.fliplr(crop) if mirrored else crop
    parts = np.split(crop, np.cumsum([x.shape[-1] for x in planes])[:-1], axis=-1)
    return [p if x.ndim == 3 else p[..., 0] for p, x in zip(parts, images, strict=True)]


def reseeded(images, seed, size):
    return [cut(image, *drawn(image.shape, seed, size), size) for image in images]


def by_tensorflow(images, seed, size):
    down, right, coin = tf.random.stateless_uniform([3], seed).numpy()
    height, width = images[0].shape[:2]
    place = int(down * (height - size + 1)), int(right * (width - size + 1)), coin < 0.5
    return [tf.constant(cut(image, *place, size)) for image in images]


def mirrored_first(images, seed, size):
    top, left, mirrored = drawn(images[0].shape, seed, size)
    whole = [np.flip(x, axis=1) if mirrored else x for x in images]
    return [cut(x, top, left, False, size) for x in whole]


JITTERS = {"plainly": plainly, "by stacking": by_stacking, "one seed each time": reseeded,
           "by TensorFlow": by_tensorflow, "mirrored first": mirrored_first,
           "a tuple": lambda *args: tuple(plainly(*args)),
           "an iterator": lambda *args: iter(plainly(*args))}


@pytest.mark.parametrize("name", JITTERS)
def test_right_jitters(verdict, name):
    for _ in range(3):  # the cases are random
        assert verdict("02.1", JITTERS[name]) == "right."


def one_rng_for_all(images, seed, size):
    rng = np.random.default_rng(seed)
    return [image[(t := rng.integers(0, 9)):t + size, :size] for image in images]


def two_coins(images, seed, size):
    top, left, _ = drawn(images[0].shape, seed, size)
    rng = np.random.default_rng(seed)
    return [cut(x, top, left, rng.random() < 0.5, size) for x in images]


def without_seed(images, seed, size):
    return plainly(images, None, size)


def fixed(images, seed, size):
    return [image[:size, :size] for image in images]


def upside_down(images, seed, size):
    return [crop[::-1] for crop in plainly(images, seed, size)]


def never_mirrored(images, seed, size):
    top, left, _ = drawn(images[0].shape, seed, size)
    return [cut(x, top, left, False, size) for x in images]


def without_the_last(images, seed, size):
    height, width = images[0].shape[:2]
    place = drawn((max(height, size + 1), max(width, size + 1)), seed, size, more=0)
    return [cut(x, *place, size) for x in images]


def rows_only(images, seed, size):
    top, _, mirrored = drawn(images[0].shape, seed, size)
    return [cut(x, top, 3, mirrored, size) for x in images]


@pytest.mark.parametrize("answer, hint", [
    (one_rng_for_all, "Draw the place once"), (two_coins, "Throw the coin once"),
    (without_seed, "The same seed"), (fixed, "different crops"), (upside_down, "no plain crop"),
    (never_mirrored, "about half"), (without_the_last, "last row and column"),
    (rows_only, "one direction"), (lambda i, s, n: plainly(i, s, n)[:2], "Three images go in"),
    (lambda i, s, n: plainly(i, s, n - 1), "an image has shape"), (3, "A function"),
], ids=lambda x: getattr(x, "__name__", x))
def test_wrong_jitters(verdict, answer, hint):
    said = verdict("02.1", answer)
    assert said.startswith("not quite") and hint in said, said


def test_a_jitter_that_cannot_do_the_whole_is_told(verdict):
    said = verdict("02.1", lambda images, seed, size: [
        cut(x, *drawn(x.shape, seed, size, more=0), size) for x in images])
    assert "last row and column" in said or "ValueError" in said
    assert verdict("02.1", lambda images, seed, size: None).startswith("not yet")


# 02.2


def evened(image):
    grey = image.mean(axis=-1)
    return (grey - grey.mean()) / grey.std()


def by_correlation(training, held):
    return [i for i, x in enumerate(held)
            if max((evened(x) * evened(y)).mean() for y in training) > 0.9]


def by_distance(training, held):
    return {i for i, x in enumerate(held)
            if min(np.abs(evened(x) - evened(y)).mean() for y in training) < 0.4}


def as_mask(training, held):
    found = by_correlation(training, held)
    return [i in found for i in range(len(held))]


def by_fingerprint(threshold):
    """Of notebook 02, with any threshold on the mean absolute difference."""
    def prints(images):
        small = np.array([resize(image.mean(axis=-1), (24, 32)) for image in images])
        return (small - small.mean((1, 2), keepdims=True)) / small.std((1, 2), keepdims=True)

    def find(training, held):
        apart = np.abs(prints(held)[:, None] - prints(training)).mean(axis=(2, 3))
        return np.flatnonzero(apart.min(axis=1) < threshold).tolist()

    return find


def by_gradients(training, held):
    def edges(images):
        steps = np.diff(np.mean(images, axis=-1), axis=1).reshape(len(images), -1)
        return steps / np.linalg.norm(steps, axis=1, keepdims=True)

    return np.flatnonzero((edges(held) @ edges(training).T).max(axis=1) > 0.7)


FINDERS = {"correlation": by_correlation, "distance": by_distance,
           "fingerprint": by_fingerprint(0.2), "fingerprint of 0.3": by_fingerprint(0.3),
           "gradients": by_gradients, "array": lambda t, h: np.array(by_correlation(t, h)),
           "tensor": lambda t, h: tf.constant(by_correlation(t, h), tf.int64),
           "backwards": lambda t, h: by_correlation(t, h)[::-1]}


@pytest.mark.parametrize("name", FINDERS)
def test_right_finders(verdict, name):
    for _ in range(3):  # the cases are random
        assert verdict("02.2", FINDERS[name]) == "right."


def by_brightness(training, held):
    return [i for i, x in enumerate(held)
            if min(abs(x.mean() - y.mean()) for y in training) < 0.05]


@pytest.mark.parametrize("answer, hint", [
    (lambda t, h: [i for i, x in enumerate(h) if any(np.array_equal(x, y) for y in t)],
     "its pixels are not equal"),
    (lambda t, h: [], "You find 0 of 2"), (lambda t, h: range(len(h)), "not in the training set"),
    (by_brightness, ""), (lambda t, h: sorted(set(range(len(h))) - set(by_correlation(t, h))),
                          "the others"),
    (by_fingerprint(0.9), "A false alarm"), (by_fingerprint(0.8), "A false alarm"),
    (as_mask, "not a yes or no"), (lambda t, h: np.array(as_mask(t, h)), "not a yes or no"),
    (lambda t, h: [i + 1 for i in range(len(h))], "numbers go from 0 to 5"),
    (lambda t, h: by_correlation(t, h)[:1], "You find 1 of 2"),
    (lambda t, h: ["a"], "a list of numbers"), ([0, 1], "A function"),
])
def test_wrong_finders(verdict, answer, hint):
    said = verdict("02.2", answer)
    assert said.startswith("not quite") and hint in said, said


def test_a_finder_that_raises_or_is_empty_is_told(verdict):
    assert "ZeroDivisionError" in verdict("02.2", lambda t, h: 1 / 0)
    assert verdict("02.2", lambda t, h: None).startswith("not yet")


# 02.3


def faults(*given):
    return dict(zip("ABCD", given, strict=True))


RIGHT = faults("channels", "order", "range", "jitter")


@pytest.mark.parametrize("answer", [
    RIGHT, dict(reversed(RIGHT.items())), {**RIGHT, "E": "healthy"},
    {key: word.upper() for key, word in RIGHT.items()},
    {key: f" {word} " for key, word in RIGHT.items()},
    {key: [word] for key, word in RIGHT.items()},
    {key: np.array(word) for key, word in RIGHT.items()},
], ids=str)
def test_right_faults(verdict, answer):
    assert verdict("02.3", answer) == "right."


@pytest.mark.parametrize("answer, hint", [
    (faults("channels", "order", "jitter", "range"), "2 of 4 right. Begin with numbers"),
    (faults("order", "channels", "range", "jitter"), "2 of 4 right. Look at the clear images"),
    (faults("channels", "order", "range", "swapped"), "3 of 4 right. Look at hazy and clear"),
    (faults("leak", "order", "range", "jitter"), "3 of 4 right. Look at the clear images"),
    (faults("range", "channels", "jitter", "order"), "0 of 4 right"),
    (faults("range", "range", "range", "range"), "same fault"),
    (faults("channels", "order", "range", "blur"), "D: one of"),
    (faults("channels", 3, "range", "jitter"), "B: one of"),
    ({"A": "range"}, "Keep the dictionary"), ("range", "Keep the dictionary"),
], ids=str)
def test_wrong_faults(verdict, answer, hint):
    said = verdict("02.3", answer)
    assert said.startswith("not quite") and hint in said, said


def test_hints_never_name_the_fault(verdict):
    for answer in (faults("channels", "order", "jitter", "range"),
                   faults("order", "channels", "range", "jitter"),
                   faults("channels", "order", "range", "swapped")):
        assert not any(word in verdict("02.3", answer) for word in FAULTS)


def test_partly_untouched(verdict):
    assert verdict("02.3", {**RIGHT, "B": ...}).startswith("not yet")


def test_the_pipelines_are_ill_of_what_the_check_says():
    pairs = find_pairs(env.SAMPLE_DATA / "train")
    batches = {which: [x.numpy() for x in next(pipeline(which, pairs))] for which in "ABCD"}
    for which, (hazy, clear) in batches.items():
        assert hazy.shape == clear.shape == (4, 256, 256, 3)
        assert (max(np.abs(hazy).max(), np.abs(clear).max()) > 1.1) == (which == "C"), which
    sound = (batches["C"][1] + 1) / 2  # the same order and crops
    assert np.allclose(batches["A"][1], sound[..., ::-1], atol=1e-5)
    assert np.allclose(batches["D"][0], (batches["C"][0] + 1) / 2, atol=1e-5)
    assert all(np.abs(one - other).mean() > 0.1
               for one, other in zip(batches["D"][1], sound, strict=True))
    assert len({pair.scene for pair in pairs[:4]}) == 1, "four hazes of one scene in B's batch"
