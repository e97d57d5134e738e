"""The checks of notebook 04's exercises: right answers in several dresses, wrong ones, odd ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from helpers.models import decoder_block, encoder_block, patchgan, receptive_field

# 04.1: discriminators made of a list of (kernel, stride)

SMALL = [(4, 2), (4, 2), (4, 1), (4, 1)]


def judge(kernels_and_strides, width=4, padding="valid", norm=True, activation="leaky_relu",
          last=None, hazy_too=True, zeros=False, pool=False):
    hazy, image = keras.Input((None, None, 3)), keras.Input((None, None, 3))
    x = layers.Concatenate()([hazy, image]) if hazy_too else image + 0 * hazy
    start = "zeros" if zeros else "glorot_uniform"
    for kernel, stride in kernels_and_strides[:-1]:
        x = layers.Conv2D(width, kernel, strides=stride, padding=padding,
                          kernel_initializer=start)(x)
        x = layers.BatchNormalization()(x) if norm else x
        x = layers.Activation(activation)(x)
    kernel, stride = kernels_and_strides[-1]
    x = layers.Conv2D(1, kernel, strides=stride, padding=padding, activation=last,
                      kernel_initializer=start)(x)
    if pool:
        x = x + layers.GlobalAveragePooling2D(keepdims=True)(x)
    return keras.Model([hazy, image], x)


def as_in_the_notebook(width=16):
    hazy, image = keras.Input((None, None, 3)), keras.Input((None, None, 3))
    x = layers.Concatenate()([hazy, image])
    x = encoder_block(x, width, norm=False)
    x = encoder_block(x, 2 * width)
    x = layers.ZeroPadding2D()(x)
    x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(layers.Conv2D(4 * width, 4)(x)))
    return keras.Model([hazy, image], layers.Conv2D(1, 4)(layers.ZeroPadding2D()(x)))


class Judge(keras.Model):
    """The same as a subclass, which knows its layers only when it is called."""

    def __init__(self, width):
        super().__init__()
        self.convolutions = [layers.Conv2D(width, 4, strides=s, activation="relu")
                             for s in (2, 2, 1)]
        self.last = layers.Conv2D(1, 4)

    def call(self, pair, training=False):
        x = ops.concatenate(pair, axis=-1)
        for convolution in self.convolutions:
            x = convolution(x)
        return self.last(x)


def built_judge(width):
    network = Judge(width)
    network([tf.zeros((1, 64, 64, 3))] * 2)
    return network


PATCHES = {
    "notebook": as_in_the_notebook, "list": SMALL, "tuple": tuple(map(tuple, SMALL)),
    "array": np.array(SMALL), "model": as_in_the_notebook(4),
    "relu": lambda width: judge(SMALL, width, activation="relu"),
    "same padding": lambda width: judge(SMALL, width, "same"),
    "no norm": lambda width: judge(SMALL, norm=False),
    "zeros to begin with": lambda width: judge(SMALL, zeros=True),
    "other windows": lambda width: judge([(4, 2), (4, 2), (3, 1), (3, 1), (3, 1)]),
    "returns a list": lambda width: SMALL, "subclass": built_judge,
}


@pytest.mark.parametrize("name", PATCHES)
def test_right_patches(verdict, name):
    assert verdict("04.1", PATCHES[name]) == "right."


def test_the_other_windows_are_worth_34():
    assert receptive_field([(4, 2), (4, 2), (3, 1), (3, 1), (3, 1)]) == 34


@pytest.mark.parametrize("answer, hint", [
    (lambda width: patchgan(width), "70×70 pixels, more"),
    (lambda width: judge([(4, 2), (4, 1), (4, 1)]), "16×16 pixels, less"),
    (lambda width: judge([(4, 2)] * 3 + [(4, 1)]), "46×46"),
    ([(4, 2), (4, 1), (4, 1)], "16×16"), ([(34, 1)], "larger window"),
    (lambda width: judge([(34, 1)]), "larger window"),
    (lambda width: judge(SMALL, hazy_too=False), "conditional"),
    (lambda width: judge(SMALL, last="sigmoid"), "sigmoid"),
    (lambda width: judge(SMALL, pool=True), "whole image"),
    (lambda width: keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(1, 4)]),
     "two inputs"),
    (lambda width: 34, "Return a keras.Model"), (34, "list of (kernel, stride)"),
    ([4, 2], "list of (kernel, stride)"), ([(0, 1)], "Windows of 4×4"),
])
def test_wrong_patches(verdict, answer, hint):
    said = verdict("04.1", answer)
    assert said.startswith("not quite") and hint in said, said


def test_the_empty_patchgan_is_not_yet(verdict):
    def small_patchgan(width=16):
        ...

    assert verdict("04.1", small_patchgan).startswith("not yet")


# 04.2

def level(x, filters, inside):
    y = encoder_block(x, filters)
    y = decoder_block(inside(y), filters)
    y = y[:, : x.shape[1], : x.shape[2]]
    return layers.Concatenate()([y, x])


def with_parts(cut, join=lambda y, x: ops.concatenate([y, x], axis=-1), down=encoder_block,
               up=decoder_block):
    def level(x, filters, inside):
        return join(cut(up(inside(down(x, filters)), filters), x), x)

    return level


def slices(y, x):
    return y[:, : x.shape[1], : x.shape[2]]


def cropping(y, x):
    extra = [(0, y.shape[a] - x.shape[a]) for a in (1, 2)]
    return layers.Cropping2D(extra)(y)


def from_the_front(y, x):
    return y[:, y.shape[1] - x.shape[1]:, y.shape[2] - x.shape[2]:]


def resized(y, x):
    return ops.image.resize(y, x.shape[1:3])


def tf_slice(y, x):
    return tf.slice(y, [0, 0, 0, 0], [-1, x.shape[1], x.shape[2], -1])


def plain_up(y, filters):
    return layers.Conv2DTranspose(filters, 4, strides=2, padding="same")(y)


def padded_first(x, filters, inside):
    """Made even on the way in, cut on the way out."""
    height, width = x.shape[1:3]
    even = tf.pad(x, [[0, 0], [0, height % 2], [0, width % 2], [0, 0]])
    y = decoder_block(inside(encoder_block(even, filters)), filters)
    return tf.concat([x, y[:, :height, :width]], -1)


LEVELS = {
    "notebook": level, "slices": with_parts(slices), "Cropping2D": with_parts(cropping),
    "from the front": with_parts(from_the_front),
    "tf.slice": with_parts(tf_slice), "x first": with_parts(slices, lambda y, x: tf.concat(
        [x, y], -1)), "other up": with_parts(slices, up=plain_up), "padded": padded_first,
    "NumPy": with_parts(slices, lambda y, x: np.concatenate([y, x], axis=-1)),
}


@pytest.mark.parametrize("name", LEVELS)
def test_right_levels(verdict, name):
    for _ in range(2):  # the cases are random
        assert verdict("04.2", LEVELS[name]) == "right."


def ignores_inside(x, filters, inside):
    y = encoder_block(x, filters)
    inside(y)
    return layers.Concatenate()([slices(decoder_block(y, filters), x), x])


def twice_inside(x, filters, inside):
    y = decoder_block(inside(inside(encoder_block(x, filters))), filters)
    return layers.Concatenate()([slices(y, x), x])


def never_inside(x, filters, inside):
    return layers.Concatenate()([slices(decoder_block(encoder_block(x, filters), filters), x), x])


@pytest.mark.parametrize("answer, hint", [
    (with_parts(lambda y, x: y), "rounded up"), (ignores_inside, "does not depend on"),
    (with_parts(slices, lambda y, x: y), "skip connection is missing"),
    (with_parts(slices, lambda y, x: tf.concat([y, 2 * x], -1)), "as it came in"),
    (with_parts(slices, lambda y, x: tf.concat([y, x, x], -1)), "has the shape"),
    (twice_inside, "2 times"), (never_inside, "Nothing has happened inside"),
    (with_parts(slices, up=lambda y, filters: y), "doubled after it"),
    (with_parts(lambda y, x: y, up=lambda y, filters: y, join=lambda y, x: layers.Concatenate()(
        [y, x])), "doubled after it"),
    (with_parts(slices, down=lambda x, filters: encoder_block(x, 2 * filters)), "half the size"),
    (with_parts(slices, down=lambda x, filters: layers.Conv2D(filters, 4, padding="same")(x)),
     "half the size"),
    (lambda x, filters, inside: 3, "Return one tensor"), (3, "A function"),
    (with_parts(resized), "not those of a cut"),
    (with_parts(lambda y, x: ops.image.resize(y, x.shape[1:3], "nearest")), "not those of a cut"),
    (with_parts(lambda y, x: y, lambda y, x: tf.concat(
        [y, tf.pad(x, [[0, 0], [0, x.shape[1] % 2], [0, x.shape[2] % 2], [0, 0]])], -1)),
     "the size of x"),
])
def test_wrong_levels(verdict, answer, hint):
    said = verdict("04.2", answer)
    assert said.startswith("not quite") and hint in said, said


def test_a_level_of_joined_sums_is_wrong(verdict):
    said = verdict("04.2", with_parts(slices, lambda y, x: y + ops.mean(x)))
    assert "skip connection is missing" in said


def test_untouched_and_raising_levels(verdict):
    def empty(x, filters, inside):
        ...

    assert verdict("04.2", empty).startswith("not yet")
    assert "ZeroDivisionError" in verdict("04.2", lambda x, filters, inside: 1 / 0)
    assert "no such thing" in verdict("04.2", lambda x, filters, inside: int("no such thing"))


# 04.3

@pytest.mark.parametrize("answer", ["d", "D", "(d)", " d ", "d.", ["d"], np.array("d")], ids=str)
def test_right_choice(verdict, answer):
    assert verdict("04.3", answer) == "right."


@pytest.mark.parametrize("answer, reason", [
    ("a", "all four"), ("b", "hardly moves"), ("c", "four places"),
    ("(e)", "is that so"), ("f", "Choose one of: a, b, c, d, e"), (3, "Choose one of"),
    (["a", "d"], "Choose one of"),
], ids=str)
def test_wrong_choice(verdict, answer, reason):
    said = verdict("04.3", answer)
    assert said.startswith("not quite") and reason in said
    assert not any(word in said for word in ("(d)", "outermost", "layers[-2]")), "never told"
