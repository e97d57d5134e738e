"""The checks of notebook 09's exercises: right answers in several dresses, wrong ones, odd ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from helpers.checks import exercises_09
from helpers.data import normalise

# 09.1: a model made of what goes in and what comes out

def inside(pixels):
    return normalise(ops.cast(pixels, "float32") / 255)


def outside(output):
    return ops.cast(ops.round(ops.clip((output + 1) / 2, 0, 1) * 255), "uint8")


def camera(before=inside, after=outside, wrap=lambda clear: {"clear": clear}, **options):
    def camera_model(generator, size):
        options.setdefault("dtype", "uint8")
        hazy = keras.Input((*size, 3), batch_size=1, name="hazy", **options)
        return keras.Model(hazy, wrap(after(generator(before(hazy)))))

    return camera_model


def by_layers(generator, size):
    hazy = keras.Input((*size, 3), dtype="uint8")
    x = layers.Rescaling(1 / 127.5, offset=-1)(hazy)
    x = layers.Rescaling(127.5, offset=127.5)(generator(x))
    return keras.Model(hazy, {"clear": ops.cast(ops.clip(ops.round(x), 0, 255), "uint8")})


def by_function(generator, size):
    @tf.function
    def dehaze(hazy):
        image = tf.image.convert_image_dtype(hazy, tf.float32)
        clear = tf.clip_by_value(generator(2 * image - 1) / 2 + 0.5, 0, 1)
        return {"clear": tf.cast(clear * 255 + 0.5, tf.uint8)}

    return dehaze


def by_numpy(generator, size):
    def dehaze(hazy):
        output = np.asarray(generator(hazy / np.float32(127.5) - 1))
        return {"clear": np.clip(np.rint(127.5 * (output + 1)), 0, 255).astype("uint8")}

    return dehaze


def saturating(output):
    return tf.saturate_cast(tf.round(127.5 * (output + 1)), tf.uint8)


CAMERAS = {
    "pattern": camera(), "Rescaling": by_layers, "function": by_function, "NumPy": by_numpy,
    "plus a half": camera(after=lambda y: ops.cast(
        ops.clip(127.5 * y + 127.5, 0, 255) + 0.5, "uint8")),
    "saturate": lambda generator, size: lambda hazy: {
        "clear": saturating(generator(inside(hazy)))},
    "clip on the way": camera(after=lambda y: pixels(127.5 * (ops.clip(y, -1, 1) + 1))),
    "a larger type first": camera(after=lambda y: ops.cast(ops.clip(ops.cast(ops.round(
        127.5 * (y + 1)), "int32"), 0, 255), "uint8")),
}


@pytest.mark.parametrize("name", CAMERAS)
def test_right_cameras(verdict, name):
    assert verdict("09.1", CAMERAS[name]) == "right."


def pixels(values):
    return ops.cast(ops.round(values), "uint8")


def wrapping(generator, size):
    def dehaze(hazy):
        values = np.rint(127.5 * (np.asarray(generator(inside(hazy))) + 1))
        return {"clear": (values.astype(int) % 256).astype("uint8")}

    return dehaze


def function_without_clip(generator, size):
    return lambda hazy: {"clear": tf.cast(tf.round(127.5 * (generator(inside(hazy)) + 1)), "uint8")}


@pytest.mark.parametrize("answer, hint", [
    (camera(after=lambda y: ops.cast(ops.clip((y + 1) / 2, 0, 1) * 255, "uint8")), "127.9"),
    (wrapping, "Clip before you cast"), (function_without_clip, "Clip before you cast"),
    (camera(after=lambda y: pixels(127.5 * (y + 1))), "Clip before you cast"),
    (camera(dtype="float32"), "hands over uint8"),
    (camera(wrap=lambda clear: clear), "under its name"),
    (camera(wrap=lambda clear: [clear]), "under its name"),
    (camera(wrap=lambda clear: {"image": clear}), "under its name"),
    (camera(after=lambda y: ops.clip((y + 1) / 2, 0, 1) * 255), "not whole numbers"),
    (camera(before=lambda x: ops.cast(x, "float32") / 255), "expects [-1, 1]"),
    (camera(before=lambda x: normalise(ops.cast(x, "float32"))), "divide before you normalise"),
    (camera(after=lambda y: pixels(ops.clip(y, 0, 1) * 255)), "Bring it back to [0, 1]"),
    (camera(after=lambda y: pixels(ops.clip((y + 1) / 2, 0, 1))), "0 or 1"),
    (camera(after=lambda y: ops.round(ops.clip((y + 1) / 2, 0, 1) * 255)), "wants uint8"),
    (camera(before=lambda x: inside(x)[..., ::-1]), "The pixels are others"),
    (camera(after=lambda y: outside(y)[0]), "the shape"),
    (camera(wrap=lambda clear: {"clear": clear, "twice": clear}), "one image"),
    (lambda generator, size: 3, "Return a model"), (3, "A function"),
])
def test_wrong_cameras(verdict, answer, hint):
    said = verdict("09.1", answer)
    assert said.startswith("not quite") and hint in said, said


def test_untouched_and_raising_cameras(verdict):
    assert verdict("09.1", lambda generator, size: ...).startswith("not yet")
    assert verdict("09.1", lambda generator, size: None).startswith("not yet")
    assert "ZeroDivisionError" in verdict("09.1", lambda generator, size: 1 / 0)


# 09.2

TWICE, IN, OUT, BGR = ("normalised twice", "input in [0, 1]", "output in [-1, 1]",
                       "blue before red")


def programs(*mistakes):
    return dict(zip("ABCD", mistakes, strict=True))


RIGHT = programs(TWICE, IN, BGR, OUT)


@pytest.mark.parametrize("answer", [
    RIGHT, dict(reversed(RIGHT.items())), {**RIGHT, "E": "none"},
    {key: word.upper() for key, word in RIGHT.items()},
    {key: f" {word}  " for key, word in RIGHT.items()}, {key: [w] for key, w in RIGHT.items()},
    {key: np.array(word) for key, word in RIGHT.items()},
], ids=str)
def test_right_mistakes(verdict, answer):
    assert verdict("09.2", answer) == "right."


@pytest.mark.parametrize("answer, hint", [
    (programs(OUT, IN, BGR, TWICE), "2 of 4 right. The two dark ones"),
    (programs(TWICE, BGR, IN, OUT), "2 of 4 right. Of the two that look plausible"),
    (programs(OUT, BGR, IN, TWICE), "0 of 4"), (programs(IN, TWICE, OUT, BGR), "0 of 4"),
    (programs(BGR, IN, TWICE, OUT), "Think of a mid grey"),
    (programs(TWICE, TWICE, BGR, OUT), "occurs once"), (programs(TWICE, IN, "red", OUT), "C: one"),
    ({"A": TWICE}, "Keep the dictionary"), (TWICE, "Keep the dictionary"),
], ids=str)
def test_wrong_mistakes(verdict, answer, hint):
    said = verdict("09.2", answer)
    assert said.startswith("not quite") and hint in said, said


@pytest.mark.parametrize("answer", [programs(..., ..., ..., ...), programs(TWICE, IN, None, OUT)],
                         ids=str)
def test_untouched_mistakes(verdict, answer):
    assert verdict("09.2", answer).startswith("not yet")


def test_the_pictures_are_those_of_the_mistakes():
    """With a generator that halves what it gets, each picture can be worked out."""
    image = keras.Input((None, None, 3))
    half = keras.Model(image, layers.Rescaling(0.5)(image))
    hazy = np.random.default_rng(0).uniform(0, 1, (8, 8, 3)).astype("float32")
    pictures = exercises_09.faulty_programs(half, hazy)
    assert list(pictures) == list("ABCD")
    expected = {"A": hazy - 0.25, "B": hazy / 4 + 0.5, "C": hazy / 2 + 0.25, "D": hazy - 0.5}
    for name, picture in expected.items():
        assert np.allclose(pictures[name], np.clip(picture, 0, 1), atol=1e-6)
