"""The check of exercise 05.1: right answers in several dresses, wrong ones, odd ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from helpers.losses import discriminator_loss


def half_with(loss_of=discriminator_loss, apply=1, sign=1, both=False, order=lambda h, x: [h, x],
              result=lambda loss, real, fake: (loss, (real, fake))):
    def half(generator, discriminator, optimizer, hazy, clear):
        with tf.GradientTape() as tape:
            fake = generator(hazy, training=True)
            real_logits = discriminator(order(hazy, clear))
            fake_logits = discriminator(order(hazy, fake))
            loss = loss_of(real_logits, fake_logits)
        weights = discriminator.trainable_variables
        if both:
            weights = [*weights, *generator.trainable_variables]
        gradients = [sign * g for g in tape.gradient(loss, weights)]
        for _ in range(apply):
            optimizer.apply(gradients, weights)
        return result(loss, real_logits, fake_logits)

    return half


def softplus(real, fake):
    return ops.mean(ops.softplus(-real)) / 2 + ops.mean(ops.softplus(fake)) / 2


def by_keras(real, fake):
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    return (entropy(ops.ones_like(real), real) + entropy(ops.zeros_like(fake), fake)) / 2


RIGHT = {
    "as taught": half_with(), "softplus": half_with(softplus), "Keras": half_with(by_keras),
    "a list": half_with(result=lambda loss, real, fake: [loss, [real, fake]]),
    "NumPy": half_with(result=lambda loss, real, fake: (float(loss), (real.numpy(), fake.numpy()))),
    "array of one": half_with(result=lambda loss, *both: (tf.reshape(loss, (1,)), both)),
    "a tuple of images": half_with(order=lambda h, x: (h, x)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_halves(verdict, name):
    assert verdict("05.1", RIGHT[name]) == "right."


WRONG = {
    "sum": (half_with(lambda r, f: 2 * softplus(r, f)), "not their sum"),
    "swapped": (half_with(lambda r, f: softplus(f, r)), "swapped in the loss"),
    "real alone": (half_with(lambda r, f: ops.mean(ops.softplus(-r)) / 2), "the loss is not"),
    "logits swapped": (half_with(result=lambda loss, r, f: (loss, (f, r))), "are swapped"),
    "images swapped": (half_with(order=lambda h, x: [x, h]), "first the hazy one"),
    "not applied": (half_with(apply=0), "did not move"),
    "twice": (half_with(apply=2), "moved wrongly"),
    "uphill": (half_with(sign=-1), "moved wrongly"),
    "generator too": (half_with(both=True), "generator moved"),
    "loss alone": (half_with(result=lambda loss, r, f: loss), "Return two things"),
    "no mean": (half_with(result=lambda loss, r, f: (r, (r, f))), "one number"),
    "no return": (half_with(result=lambda *_: None), "Return the loss"),
    "constant": (lambda *_: (0.69, (np.zeros(3), np.zeros(3))), "logits are others"),
    "not a function": (3, "A function"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_halves(verdict, name):
    half, hint = WRONG[name]
    said = verdict("05.1", half)
    assert said.startswith("not quite") and hint in said, said


@pytest.mark.parametrize("answer", [None, ..., lambda *_: None, lambda *_: ...],
                         ids=["none", "dots", "function of none", "function of dots"])
def test_untouched(verdict, answer):
    assert verdict("05.1", answer).startswith("not yet")
