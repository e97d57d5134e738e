"""The checks of notebook 07's exercises: right answers in several dresses, wrong ones, odd ones."""

import numpy as np
import pytest
import tensorflow as tf

# 07.1

def by_axes(images, truths, low, high):
    error = np.asarray(images, float) - np.asarray(truths, float)
    return 10 * np.log10((high - low) ** 2 / np.mean(error**2, axis=(-3, -2, -1)))


def by_scaling(images, truths, low, high):
    x, y = ((np.asarray(z, "float64") - low) / (high - low) for z in (images, truths))
    return -10 * np.log10(((x - y) ** 2).mean((-1, -2, -3)))


def by_recursion(images, truths, low, high):
    if images.ndim > 3:
        return [by_recursion(x, y, low, high) for x, y in zip(images, truths, strict=True)]
    return float(by_axes(images, truths, low, high))


def by_flattening(images, truths, low, high):
    front = images.shape[:-3]
    x, y = (z.reshape(*front, -1).astype("float64") for z in (images, truths))
    return 20 * np.log10((high - low) / np.sqrt(((x - y) ** 2).mean(axis=-1)))


def by_tensorflow(images, truths, low, high):
    x, y = (tf.cast(z, tf.float64) for z in (images, truths))
    error = tf.reduce_mean((x - y) ** 2, axis=[-3, -2, -1])
    return 10 * tf.math.log((high - low) ** 2 / error) / np.log(10)


def that_writes_into_its_arguments(images, truths, low, high):
    result = by_axes(images, truths, low, high)
    images[...] = 0
    return result


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("answer", [by_axes, by_scaling, by_recursion, by_flattening,
                                    by_tensorflow, that_writes_into_its_arguments])
def test_right_psnr(verdict, answer):
    for _ in range(3):  # the cases are random
        assert verdict("07.1", answer) == "right."


def at_once(images, truths, low, high):
    return 10 * np.log10((high - low) ** 2 / np.mean((images.astype(float) - truths) ** 2))


def over(axes):
    return lambda images, truths, low, high: 10 * np.log10(
        (high - low) ** 2 / np.square(images.astype(float) - truths).mean(axis=axes))


def by_tensorflow_over(axes):
    return lambda images, truths, low, high: 10 * tf.math.log((high - low) ** 2 / tf.reduce_mean(
        (tf.cast(images, tf.float64) - tf.cast(truths, tf.float64)) ** 2, axis=axes)) / np.log(10)


def over_four(images, truths, low, high):
    """Right for one image and for a batch."""
    return over((0, 1, 2) if images.ndim == 3 else (1, 2, 3))(images, truths, low, high)


def mean_of_each(images, truths, low, high):
    return np.mean(by_axes(images, truths, low, high))


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("answer, hint", [
    (at_once, "over which axes"),
    (lambda i, t, low, high: 10 * np.log10(high**2 / np.mean((i.astype(float) - t) ** 2,
                                                             (-3, -2, -1))), "How far apart"),
    (lambda i, t, low, high: 10 * np.log10((high - low) ** 2 / np.mean((i - t) ** 2,
                                                                       (-3, -2, -1))), "uint8"),
    (mean_of_each, "has shape"), (over((1, 2, 3)), "stops with AxisError"),
    (over((0, 1, 2)), "the axes (0, 1, 2)"), (over_four, "the axes (1, 2, 3)"),
    (by_tensorflow_over((1, 2, 3)), "the last three"),
    (lambda i, t, low, high: by_axes(i, t, 0, 1), "of the values are wrong"),
    (lambda i, t, low, high: -by_axes(i, t, low, high), "of the values are wrong"),
    (lambda i, t, low, high: np.minimum(by_axes(i, t, low, high), 100), "One of the pairs"),
    (lambda i, t, low, high: 20.0, "of the values are wrong"),
    (lambda i, t, low, high: "20 dB", "not a number"), (3, "A function"),
])
def test_wrong_psnr(verdict, answer, hint):
    said = verdict("07.1", answer)
    assert said.startswith("not quite") and hint in said, said


def test_a_psnr_that_raises_or_is_empty_is_told(verdict):
    assert "ZeroDivisionError" in verdict("07.1", lambda *_: 1 / 0)
    assert verdict("07.1", lambda *_: None).startswith("not yet")


# 07.2

KEYS = "prior, per pixel", "pix2pix, per pixel", "pix2pix, in all"


def where(*parts):
    return dict(zip(KEYS, parts, strict=True))


RIGHT = where("farthest", "far", "farthest")


@pytest.mark.parametrize("answer", [
    RIGHT, dict(reversed(RIGHT.items())), {key: f" {part.upper()} " for key, part in RIGHT.items()},
    {key: [part] for key, part in RIGHT.items()},
    {key: np.array(part) for key, part in RIGHT.items()}, {**RIGHT, "L1": "near"},
], ids=str)
def test_right_parts(verdict, answer):
    assert verdict("07.2", answer) == "right."


@pytest.mark.parametrize("answer, hint", [
    (where("farthest", "far", "far"), "2 of 3 right. Per pixel and in all"),
    (where("farthest", "farthest", "farthest"), "pix2pix, per pixel: have you measured"),
    (where("near", "far", "farthest"), "prior, per pixel: have you measured"),
    (where("near", "near", "near"), "0 of 3"), (where("far", "farthest", "middle"), "0 of 3"),
    (where("sky", "far", "farthest"), "one of near"), (where(1, 2, 3), "one of near"),
    ({"prior": "far"}, "Keep the dictionary"), ("far", "Keep the dictionary"),
], ids=str)
def test_wrong_parts(verdict, answer, hint):
    said = verdict("07.2", answer)
    assert said.startswith("not quite") and hint in said, said


def test_parts_partly_untouched(verdict):
    assert verdict("07.2", where("farthest", ..., "farthest")).startswith("not yet")


# 07.3

def prefers(psnr, ssim, sharpness, follows):
    return {"PSNR": psnr, "SSIM": ssim, "sharpness": sharpness, "what follows": follows}


GOOD = prefers("blurred", "darkened", "shifted", "c")


@pytest.mark.parametrize("answer", [
    GOOD, dict(reversed(GOOD.items())), {**GOOD, "what follows": "(C)"},
    {key: word.upper() for key, word in GOOD.items()}, {key: [word] for key, word in GOOD.items()},
    {key: np.array(word) for key, word in GOOD.items()},
], ids=str)
def test_right_preferences(verdict, answer):
    assert verdict("07.3", answer) == "right."


@pytest.mark.parametrize("answer, hint", [
    ({**GOOD, "what follows": "a"}, "shifted version"),
    ({**GOOD, "what follows": "b"}, "what PSNR prefers"),
    ({**GOOD, "what follows": "d"}, "no meaning"), ({**GOOD, "what follows": "e"}, "Choose one"),
    ({**GOOD, "what follows": 3}, "Choose one"),
    (prefers("darkened", "darkened", "shifted", "c"), "2 of 3 measures right. Measure"),
    (prefers("blurred", "darkened", "darkened", "c"), "Nearest to 1"),
    (prefers("shifted", "shifted", "blurred", "c"), "0 of 3"),
    (prefers("noise", "darkened", "shifted", "c"), "one of blurred"),
    ({key: word for key, word in GOOD.items() if key != "what follows"}, 'key "what follows"'),
    ("blurred", "Keep the dictionary"),
], ids=str)
def test_wrong_preferences(verdict, answer, hint):
    said = verdict("07.3", answer)
    assert said.startswith("not quite") and hint in said, said


@pytest.mark.parametrize("answer", [prefers(..., "darkened", "shifted", "c"),
                                    prefers("blurred", "darkened", "shifted", ...)], ids=str)
def test_preferences_partly_untouched(verdict, answer):
    assert verdict("07.3", answer).startswith("not yet")


def test_the_answers_are_what_one_measures():
    """On the photograph of the exercise, with the margins that the choice needs."""
    from helpers import env, metrics
    from helpers.haze import box_mean
    from helpers.images import load_image

    clear = load_image(env.SAMPLE_DATA / "test" / "clear" / "pont-du-gard.jpg")
    images = {"blurred": np.stack([box_mean(clear[..., c], 1) for c in range(3)], axis=-1),
              "shifted": np.roll(clear, 2, axis=1), "darkened": clear * 0.85}
    psnr = {name: metrics.psnr(x, clear) for name, x in images.items()}
    ssim = {name: metrics.ssim(x, clear) for name, x in images.items()}
    off = {name: abs(metrics.sharpness(x, clear) - 1) for name, x in images.items()}
    assert max(psnr, key=psnr.get) == "blurred" and psnr["blurred"] > psnr["darkened"] + 1
    assert max(ssim, key=ssim.get) == "darkened" and ssim["shifted"] < 0.5
    assert min(off, key=off.get) == "shifted" and off["darkened"] > 0.1
