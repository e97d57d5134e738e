"""The exercises of notebook 05."""

import keras
import numpy as np
import tensorflow as tf

from helpers.checks import NotYet, Wrong, exercise, letter, plain, untouched, words
from helpers.losses import adversarial_loss, discriminator_loss, l1_loss


def _networks(seed):
    """A tiny generator and discriminator of 8×8 pixels; the same seed gives the same weights.

    Both have a batch normalisation, so that outside training mode they compute something else.
    """
    keras.utils.set_random_seed(seed)
    one, two = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    painted = keras.layers.Conv2D(3, 3, padding="same")(one)
    generator = keras.Model(one, keras.layers.BatchNormalization()(painted))
    large = keras.initializers.RandomNormal(stddev=0.7)
    pair = keras.layers.Concatenate()([one, two])
    hidden = keras.layers.Conv2D(2, 3, padding="same", kernel_initializer=large)(pair)
    hidden = keras.layers.Concatenate()([pair, keras.layers.BatchNormalization()(hidden)])
    logits = keras.layers.Conv2D(1, 3, kernel_initializer=large)(hidden)
    return generator, keras.Model([one, two], logits)


MODE = "Both networks train: in which mode do they run?"


def _in_other_modes(seed, hazy, clear):
    """Both logits as they come out if one network, or both, run outside training mode."""
    for modes in ((False, False), (False, True), (True, False)):
        generator, discriminator = _networks(seed)
        fake = generator(hazy, training=modes[0])
        yield [discriminator([hazy, x], training=modes[1]).numpy() for x in (clear, fake)]


def _numbers(network):
    return np.concatenate([w.numpy().ravel() for w in network.trainable_variables])


@exercise("05.1")
def _discriminator_half(half):
    """The discriminator's half of the step, run on tiny random networks with images.

    What it did is compared: the loss, both logits, the discriminator's new weights after plain
    gradient descent, and that the generator's stayed.
    """
    if not callable(half):
        raise Wrong(f"A function is asked for, not {type(half).__name__}.")

    random = np.random.default_rng()
    for _ in range(2):
        seed = int(random.integers(1, 10**6))
        hazy, clear = (tf.constant(random.uniform(-1, high, (2, 8, 8, 3)), "float32")
                       for high in (1, 0.6))
        generator, discriminator = _networks(seed)
        before = _numbers(generator), _numbers(discriminator)
        result = half(generator, discriminator, keras.optimizers.SGD(0.5), hazy, clear)
        after = _numbers(generator), _numbers(discriminator)
        moved = not np.array_equal(before[1], after[1])
        if result is None or result is ...:
            if not moved and np.array_equal(before[0], after[0]):
                raise NotYet("fill in the lines with ... and return the loss and the logits.")
            raise Wrong("Return the loss and both logits.")
        if not np.array_equal(before[0], after[0]):
            raise Wrong("The generator moved. In this half only the discriminator's weights may.")
        try:
            loss, (real, fake) = result
            real, fake = (np.asarray(x, "float64") for x in (real, fake))
        except Exception:
            raise Wrong("Return two things: the loss, and the pair (real_logits, "
                        "fake_logits).") from None
        loss = plain(loss)
        if isinstance(loss, bool) or not isinstance(loss, (int, float)):
            raise Wrong("The loss should be one number, the mean over all patches.")

        generator, discriminator = _networks(seed)
        made = generator(hazy, training=True)
        with tf.GradientTape() as tape:
            logits = [discriminator([hazy, x], training=True) for x in (clear, made)]
            right = discriminator_loss(*logits)
        for w, g in zip(discriminator.trainable_variables,
                        tape.gradient(right, discriminator.trainable_variables), strict=True):
            w.assign_sub(0.5 * g)
        logits = [x.numpy() for x in logits]

        def same(one, other):
            return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-4)

        if same(real, logits[1]) and same(fake, logits[0]):
            raise Wrong("The logits of the real and of the generated images are swapped.")
        if not (same(real, logits[0]) and same(fake, logits[1])):
            if any(same(real, others[0]) and same(fake, others[1])
                   for others in _in_other_modes(seed, hazy, clear)):
                raise Wrong(f"These are not the logits of a training step. {MODE}")
            raise Wrong("The logits are others. The discriminator sees a list of two images, "
                        "first the hazy one; the logits are those before the update.")
        if np.isclose(loss, 2 * right, rtol=1e-4):
            raise Wrong("The loss is the mean of the two terms, not their sum.")
        if np.isclose(loss, discriminator_loss(*logits[::-1]), rtol=1e-4):
            raise Wrong('Which images should be called "real"? The two are swapped in the loss.')
        if not np.isclose(loss, right, rtol=1e-4):
            raise Wrong("The logits are right, the loss is not: it is discriminator_loss of both.")
        if not moved:
            raise Wrong("The loss is right, but the discriminator's weights did not move.")
        if not np.allclose(after[1], _numbers(discriminator), rtol=1e-3, atol=1e-5):
            raise Wrong("The loss is right, but the weights moved wrongly. One update, downhill, "
                        "with the gradient of this loss.")

@exercise("05.2")
def _simultaneous(step):
    """Both updates from one forward pass, on tiny random networks.

    Told apart from the alternating step by the generator's new weights.
    """
    if not callable(step):
        raise Wrong(f"A function is asked for, not {type(step).__name__}.")
    random = np.random.default_rng()
    for l1 in (0.5, 100.0):  # with little L1, the discriminator decides where the generator goes
        seed = int(random.integers(1, 10**6))
        hazy, clear = (tf.constant(random.uniform(-1, high, (2, 8, 8, 3)), "float32")
                       for high in (1, 0.6))
        both, before = _networks(seed), [_numbers(n) for n in _networks(seed)]
        result = step(both, (keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.5)), hazy, clear,
                      l1)
        after = [_numbers(n) for n in both]
        if untouched(result):
            if all(map(np.array_equal, before, after)):
                raise NotYet("fill in the lines with ... and return both losses.")
            raise Wrong("Return the two losses.")
        try:
            losses = [float(plain(loss)) for loss in result]
            d_loss, g_loss = losses
        except Exception:
            raise Wrong("Return two numbers: the discriminator's loss and the generator's."
                        ) from None
        expected = {mode: _both_halves(seed, hazy, clear, l1, mode)
                    for mode in ("simultaneous", "alternating", "no l1", "l1 of 1", "l1 of 100")}
        right_d, right_g, *weights = expected["simultaneous"]
        if np.isclose(d_loss, 2 * right_d, rtol=1e-3):
            raise Wrong("The discriminator's loss is the mean of its two terms, not their sum.")
        if np.allclose([g_loss, d_loss], [right_d, right_g], rtol=1e-3):
            raise Wrong("The two losses are swapped: the discriminator's comes first.")
        if not np.isclose(d_loss, right_d, rtol=1e-3):
            if any(np.isclose(d_loss, discriminator_loss(*others), rtol=1e-3)
                   for others in _in_other_modes(seed, hazy, clear)):
                raise Wrong(f"The discriminator's loss is not that of a training step. {MODE}")
            raise Wrong("The discriminator's loss is another. It sees [hazy, image], and real "
                        "comes first in discriminator_loss.")
        alternating = expected["alternating"]
        if np.isclose(g_loss, alternating[1], rtol=1e-3) and not np.isclose(
                g_loss, right_g, rtol=1e-3):
            raise Wrong("This alternates: the generator's loss comes from the discriminator that "
                        "has just moved. Compute both losses first, then update.")
        if np.isclose(g_loss, expected["no l1"][1], rtol=1e-3):
            raise Wrong("The generator's loss lacks its second part, l1 times the L1 loss.")
        if l1 == 0.5 and any(np.isclose(g_loss, expected[f"l1 of {n}"][1], rtol=1e-3)
                             for n in (1, 100)):
            raise Wrong("The L1 loss has another weight than the one that is handed over: use l1.")
        if not np.isclose(g_loss, right_g, rtol=1e-3):
            raise Wrong("The generator's loss is the adversarial loss plus l1 times the L1 loss.")
        for name, old, new, right in zip(("generator", "discriminator"), before, after, weights,
                                         strict=True):
            if np.array_equal(old, new):
                raise Wrong(f"The losses are right, but the {name} did not move.")
            if not np.allclose(new, right, rtol=1e-3, atol=1e-5):
                raise Wrong(f"The losses are right, but the {name} moved wrongly: one update with "
                            "the gradient of its own loss, from before either has moved.")


def _both_halves(seed, hazy, clear, l1, mode):
    """(discriminator's loss, generator's loss, generator's weights, discriminator's weights)."""
    generator, discriminator = _networks(seed)
    weight = {"no l1": 0.0, "l1 of 1": 1.0, "l1 of 100": 100.0}.get(mode, l1)
    with tf.GradientTape(persistent=True) as tape:
        fake = generator(hazy, training=True)
        logits = [discriminator([hazy, x], training=True) for x in (clear, fake)]
        d_loss = discriminator_loss(*logits)
        g_loss = adversarial_loss(logits[1]) + weight * l1_loss(clear, fake)
    d_gradient = tape.gradient(d_loss, discriminator.trainable_variables)
    if mode != "alternating":
        g_gradient = tape.gradient(g_loss, generator.trainable_variables)
    for w, g in zip(discriminator.trainable_variables, d_gradient, strict=True):
        w.assign_sub(0.5 * g)
    if mode == "alternating":
        with tf.GradientTape() as tape:
            fake = generator(hazy, training=True)
            fooled = adversarial_loss(discriminator([hazy, fake], training=True))
            g_loss = fooled + l1 * l1_loss(clear, fake)
        g_gradient = tape.gradient(g_loss, generator.trainable_variables)
    for w, g in zip(generator.trainable_variables, g_gradient, strict=True):
        w.assign_sub(0.01 * g)
    return float(d_loss), float(g_loss), _numbers(generator), _numbers(discriminator)


@exercise("05.3")
def _invented(answer):
    """Which network's pictures change more with the noise, and what follows from it."""
    if isinstance(answer, dict) and any(
            untouched(plain(answer.get(key))) for key in ("changes more", "follows")):
        raise NotYet('replace both: changes_more by "L1 alone" or "pix2pix", and follows by a '
                     "letter.")
    given = words(answer, ["changes more"], ["l1 alone", "pix2pix"])
    if given["changes more"] != "pix2pix":
        raise Wrong("Measure it: dehaze views and again with both shipped networks, scene by scene "
                    "(the order differs: use by_name), and take the mean absolute difference.")
    letter(answer.get("follows"), {
        "a": "A blurred picture hardly changes, and is not near the truth in its details: it has "
             "none. Being steady and being right are two things.",
        "c": "Without noise both photographs would be the same, and so would both pictures. "
             "Does that make what they show true?",
        "d": "The two were trained for the same number of steps. And the shipped ones were trained "
             "for longer: is the order different there?",
    }, "b")
