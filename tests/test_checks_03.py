"""The checks of notebook 03's exercises: right answers in several dresses, wrong ones, odd ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from helpers.panels.toy import should_be_fake, should_be_real

# 03.1: a step, made of parts of which one at a time is replaced

def softplus_terms(real, fake, smooth):
    real_term = (1 - smooth) * should_be_real(real) + smooth * should_be_fake(real)
    return (real_term + should_be_fake(fake)) / 2


def keras_terms(real, fake, smooth):
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    return 0.5 * (entropy(ops.ones_like(real) * (1 - smooth), real)
                  + entropy(ops.zeros_like(fake), fake))


def sigmoid_terms(real, fake, smooth):
    p, q = tf.sigmoid(real), tf.sigmoid(fake)
    real_term = -(1 - smooth) * tf.math.log(p) - smooth * tf.math.log(1 - p)
    return tf.reduce_mean(real_term / 2 - tf.math.log(1 - q) / 2)


def joined_terms(real, fake, smooth):
    logits = tf.concat([real, fake], 0)
    labels = tf.concat([tf.ones_like(real) - smooth, tf.zeros_like(fake)], 0)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))


def step_with(terms, apply=True, twice=False, both=False, plain=lambda loss: loss, sign=1):
    def step(generator, discriminator, optimizer, x, y, smooth):
        with tf.GradientTape() as tape:
            fake = generator(x, training=True)
            loss = terms(discriminator([x, y]), discriminator([x, fake]), smooth)
        weights = discriminator.trainable_variables
        if both:
            weights = [*weights, *generator.trainable_variables]
        gradients = [sign * g for g in tape.gradient(loss, weights)]
        for _ in range(apply + twice):
            optimizer.apply(gradients, weights)
        return plain(loss)

    return step


def reshaped(loss):
    return tf.reshape(loss, (1, 1))


def by_pairs(generator, discriminator, optimizer, x, y, smooth):
    with tf.GradientTape() as tape:
        loss = softplus_terms(discriminator([x, y]), discriminator([x, generator(x)]), smooth)
    gradients = tape.gradient(loss, discriminator.trainable_variables)
    optimizer.apply_gradients(zip(gradients, discriminator.trainable_variables, strict=True))
    return loss


def by_minimize(generator, discriminator, optimizer, x, y, smooth):
    fake = tf.stop_gradient(generator(x))
    with tf.GradientTape() as tape:
        loss = joined_terms(discriminator((x, y)), discriminator((x, fake)), smooth)
    optimizer.apply(tape.gradient(loss, discriminator.trainable_weights),
                    discriminator.trainable_weights)
    return float(loss)


RIGHT = {
    "softplus": step_with(softplus_terms), "Keras": step_with(keras_terms),
    "sigmoid": step_with(sigmoid_terms), "joined": step_with(joined_terms),
    "float": step_with(softplus_terms, plain=float),
    "array of one": step_with(softplus_terms, plain=reshaped),
    "NumPy": step_with(softplus_terms, plain=lambda loss: loss.numpy()),
    "apply_gradients": by_pairs, "stop_gradient": by_minimize,
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_steps(verdict, name):
    assert verdict("03.1", RIGHT[name]) == "right."


WRONG = {
    "sum": (step_with(lambda r, f, s: 2 * softplus_terms(r, f, s)), "not their sum"),
    "swapped": (step_with(lambda r, f, s: softplus_terms(f, r, s)), "swapped"),
    "no smooth": (step_with(lambda r, f, s: softplus_terms(r, f, 0)), "does not depend on smooth"),
    "both smooth": (step_with(lambda r, f, s: softplus_terms(r, f, s) + s * ops.mean(
        should_be_real(f) - should_be_fake(f)) / 2), 'it called "one-sided"'),
    "fake smooth": (step_with(lambda r, f, s: softplus_terms(r, f, 0) + s * ops.mean(
        should_be_real(f) - should_be_fake(f)) / 2), "The wrong pairs"),
    "wrong way round": (step_with(lambda r, f, s: softplus_terms(r, f, 1 - s if s else 0)),
                        "wrong way round"),
    "less": (step_with(lambda r, f, s: softplus_terms(r, f, 0) - s * should_be_real(r) / 2),
             "count for less"),
    "more": (step_with(lambda r, f, s: softplus_terms(r, f, 0) + s * should_be_fake(r) / 2),
             "count for more"),
    "smooth of 0.1": (step_with(lambda r, f, s: softplus_terms(r, f, 0.1 * (s > 0))),
                      "Which term should change"),
    "real alone": (step_with(lambda r, f, s: softplus_terms(r, f, s) - should_be_fake(f) / 2),
                   "fake pairs are missing"),
    "fake alone": (step_with(lambda r, f, s: should_be_fake(f) / 2), "real pairs are missing"),
    "sign": (step_with(lambda r, f, s: -softplus_terms(r, f, s)), "loss is wrong"),
    "uphill": (step_with(softplus_terms, sign=-1), "weights moved wrongly"),
    "not applied": (step_with(softplus_terms, apply=False), "did not move"),
    "twice": (step_with(softplus_terms, twice=True), "weights moved wrongly"),
    "generator too": (step_with(softplus_terms, both=True), "generator moved"),
    "constant": (lambda *_: 0.6931, "loss is wrong"),
    "no number": (step_with(softplus_terms, plain=lambda loss: [loss, loss]), "one number"),
    "no return": (step_with(softplus_terms, plain=lambda loss: None), "return its loss"),
    "not a function": (3, "A function"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_steps(verdict, name):
    step, hint = WRONG[name]
    said = verdict("03.1", step)
    assert said.startswith("not quite") and hint in said, said


def test_hints_on_smooth_leave_the_formula_to_the_learner(verdict):
    for step, _ in WRONG.values():
        said = verdict("03.1", step)
        assert "1 - smooth" not in said and "1 − smooth" not in said


def test_the_empty_frame_is_not_yet(verdict):
    def smooth_step(generator, discriminator, optimizer, x, y, smooth):
        with tf.GradientTape():
            loss = ...
        return loss

    assert verdict("03.1", smooth_step).startswith("not yet")


def test_a_step_that_raises_is_told(verdict):
    def step(generator, discriminator, optimizer, x, y, smooth):
        raise ValueError("no such thing")

    assert "ValueError: no such thing" in verdict("03.1", step)


# 03.2 and 03.3

def weights(steadiest, seen_through):
    return {"steadiest": steadiest, "seen through": seen_through}


@pytest.mark.parametrize("answer", [
    weights(1, 1000), weights(1.0, 1000.0), weights("1", "1000"), weights([1], (1000,)),
    weights(np.float32(1), np.array([1000])), weights(tf.constant(1), tf.constant([1000.0])),
    {**weights(1, 1000), "more": 2},
], ids=str)
def test_right_weights(verdict, answer):
    assert verdict("03.2", answer) == "right."


@pytest.mark.parametrize("answer, hint", [
    (weights(0, 1000), "movements"), (weights(1000, 1000), "branch"),
    (weights(1, 0), "lower its loss"), (weights(1, 1), "lower its loss"),
    (weights(1000, 1), "branch"), (weights(10, 1000), "steadiest: one of"),
    (weights(True, 1000), "steadiest: one of"), (weights(1, "all"), "seen through: one of"),
    ({"steadiest": 1}, "Keep the dictionary"), (1, "Keep the dictionary"),
    (weights(float("nan"), 1000), "one of the weights"), (weights([1, 0], 1000), "one of"),
], ids=str)
def test_wrong_weights(verdict, answer, hint):
    said = verdict("03.2", answer)
    assert said.startswith("not quite") and hint in said


@pytest.mark.parametrize("answer", [weights(..., ...), weights(1, ...), weights(None, 1000)],
                         ids=str)
def test_untouched_weights(verdict, answer):
    assert verdict("03.2", answer).startswith("not yet")


@pytest.mark.parametrize("answer", ["b", "B", "(b)", " b ", "b.", ["b"], np.array("b"),
                                    np.array(["b"])], ids=str)
def test_right_choice(verdict, answer):
    assert verdict("03.3", answer) == "right."


@pytest.mark.parametrize("answer, reason", [
    ("a", "did not belong"), ("c", "answers were good"), ("(d)", "first step to the last"),
    ("e", "Choose one of: a, b, c, d"), (3, "Choose one of"), ("abcd", "Choose one of"),
    (["a", "c"], "Choose one of"),
], ids=str)
def test_wrong_choice(verdict, answer, reason):
    said = verdict("03.3", answer)
    assert said.startswith("not quite") and reason in said
