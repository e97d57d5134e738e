"""The checks of notebook 05's exercises: right answers in several dresses, wrong and odd ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from helpers.losses import adversarial_loss, discriminator_loss, l1_loss


def half_with(loss_of=discriminator_loss, apply=1, sign=1, both=False, order=lambda h, x: [h, x],
              result=lambda loss, real, fake: (loss, (real, fake)), modes=(True, True)):
    def half(generator, discriminator, optimizer, hazy, clear):
        with tf.GradientTape() as tape:
            fake = generator(hazy, training=modes[0])
            real_logits = discriminator(order(hazy, clear), training=modes[1])
            fake_logits = discriminator(order(hazy, fake), training=modes[1])
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
    "inference": (half_with(modes=(False, False)), "in which mode"),
    "no mode": (half_with(modes=(None, None)), "in which mode"),
    "generator at rest": (half_with(modes=(False, True)), "in which mode"),
    "discriminator at rest": (half_with(modes=(True, False)), "in which mode"),
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


# 05.2


def simultaneous_with(d_loss_of=discriminator_loss, g_part=1.0, l1_part=1.0, late=False, moves="gd",
                      result=lambda d, g: (d, g), one_tape=False, times=1, modes=(True, True),
                      weight=lambda l1: l1):
    def step(networks, optimizers, hazy, clear, l1=100.0):
        (generator, discriminator), (g_adam, d_adam) = networks, optimizers
        with tf.GradientTape(persistent=True) as g_tape, tf.GradientTape() as d_tape:
            fake = generator(hazy, training=modes[0])
            real_logits = discriminator([hazy, clear], training=modes[1])
            fake_logits = discriminator([hazy, fake], training=modes[1])
            d_loss = d_loss_of(real_logits, fake_logits)
            far = l1_part * weight(l1) * l1_loss(clear, fake)
            g_loss = g_part * adversarial_loss(fake_logits) + far
        g_weights, d_weights = generator.trainable_variables, discriminator.trainable_variables
        d_gradient = (g_tape if one_tape else d_tape).gradient(d_loss, d_weights)
        if late:
            d_adam.apply(d_gradient, d_weights)
            with tf.GradientTape() as g_tape:
                fake = generator(hazy, training=True)
                fooled = adversarial_loss(discriminator([hazy, fake], training=True))
                g_loss = fooled + l1 * l1_loss(clear, fake)
        g_gradient = g_tape.gradient(g_loss, g_weights)
        for _ in range(times):
            if "d" in moves and not late:
                d_adam.apply(d_gradient, d_weights)
            if "g" in moves:
                g_adam.apply(g_gradient, g_weights)
        return result(d_loss, g_loss)

    return step


SIMULTANEOUS = {
    "as asked": simultaneous_with(), "one tape": simultaneous_with(one_tape=True),
    "softplus": simultaneous_with(softplus), "Keras": simultaneous_with(by_keras),
    "a list": simultaneous_with(result=lambda d, g: [d, g]),
    "NumPy": simultaneous_with(result=lambda d, g: (float(d), g.numpy())),
    "arrays of one": simultaneous_with(result=lambda d, g: (tf.reshape(d, (1,)), np.array([g]))),
}


@pytest.mark.parametrize("name", SIMULTANEOUS)
def test_right_simultaneous_steps(verdict, name):
    assert verdict("05.2", SIMULTANEOUS[name]) == "right."


NOT_SIMULTANEOUS = {
    "alternating": (simultaneous_with(late=True), "has just moved"),
    "sum": (simultaneous_with(lambda r, f: 2 * softplus(r, f)), "not their sum"),
    "swapped": (simultaneous_with(result=lambda d, g: (g, d)), "swapped"),
    "no L1": (simultaneous_with(l1_part=0), "lacks its second part"),
    "100": (simultaneous_with(weight=lambda l1: 100), "use l1"),
    "1": (simultaneous_with(weight=lambda l1: 1), "use l1"),
    "inference": (simultaneous_with(modes=(False, False)), "in which mode"),
    "generator at rest": (simultaneous_with(modes=(False, True)), "in which mode"),
    "discriminator at rest": (simultaneous_with(modes=(True, None)), "in which mode"),
    "no adversary": (simultaneous_with(g_part=0), "adversarial loss plus"),
    "generator still": (simultaneous_with(moves="d"), "generator did not move"),
    "discriminator still": (simultaneous_with(moves="g"), "discriminator did not move"),
    "twice": (simultaneous_with(times=2), "moved wrongly"),
    "one loss": (simultaneous_with(result=lambda d, g: d), "two numbers"),
    "real is fake": (simultaneous_with(lambda r, f: softplus(f, r)), "discriminator's loss is"),
    "no return": (simultaneous_with(result=lambda *_: None), "Return the two losses"),
    "not a function": ([1, 2], "A function"),
}


@pytest.mark.parametrize("name", NOT_SIMULTANEOUS)
def test_wrong_simultaneous_steps(verdict, name):
    step, hint = NOT_SIMULTANEOUS[name]
    said = verdict("05.2", step)
    assert said.startswith("not quite") and hint in said, said


def test_untouched_simultaneous_step(verdict):
    for answer in (None, ..., lambda *_: None):
        assert verdict("05.2", answer).startswith("not yet")


# 05.3


def invented(network="pix2pix", letter="b"):
    return {"changes more": network, "follows": letter}


@pytest.mark.parametrize("answer", [
    invented(), invented("PIX2PIX", "B"), invented(" pix2pix ", "(b)"),
    invented(["pix2pix"], np.array("b")), invented() | {"more": 1},
], ids=str)
def test_right_choice(verdict, answer):
    assert verdict("05.3", answer) == "right."


@pytest.mark.parametrize("answer, hint", [
    (invented("L1 alone"), "Measure it"), (invented("both"), "one of l1 alone, pix2pix"),
    (invented(letter="a"), "Being steady"), (invented(letter="c"), "Does that make"),
    (invented(letter="d"), "same number"), (invented(letter="e"), "Choose one of"),
    ("pix2pix", "Keep the dictionary"),
], ids=str)
def test_wrong_choice(verdict, answer, hint):
    said = verdict("05.3", answer)
    assert said.startswith("not quite") and hint in said, said


@pytest.mark.parametrize("answer", [None, ..., invented(...), invented(letter=...),
                                    {"changes more": "pix2pix"}], ids=str)
def test_untouched_choice(verdict, answer):
    said = verdict("05.3", answer)
    assert said.startswith("not yet") and (answer in (None, ...) or "letter" in said)
