"""The exercises of notebook 03."""

import keras
import numpy as np
import tensorflow as tf

from helpers.checks import NotYet, Wrong, exercise, letter, plain


@exercise("03.1")
def _smooth_step(step):
    """The discriminator's step with ``smooth``, run on tiny random networks.

    The gradient is not compared but what the step did: the loss, the discriminator's new weights
    after plain gradient descent, and that the generator's stayed.
    """
    if not callable(step):
        raise Wrong(f"A function is asked for, not {type(step).__name__}.")

    def networks(seed):
        keras.utils.set_random_seed(seed)
        one, two = keras.Input((1,)), keras.Input((1,))
        generator = keras.Model(one, keras.layers.Dense(1)(one))
        pair = keras.layers.Concatenate()([one, two])
        large = keras.initializers.RandomNormal(stddev=1.0)  # so that real and fake cost differ
        hidden = keras.layers.Dense(4, "tanh", kernel_initializer=large)(pair)
        logit = keras.layers.Dense(1, kernel_initializer=large)(hidden)
        return generator, keras.Model([one, two], logit)

    def problem():
        """A seed of networks and a batch on which two different losses have two values.

        Where real or fake logits have a mean near 0, smoothing them changes nothing.
        """
        while True:
            seed = int(random.integers(1, 10**6))
            x, y = (tf.constant(random.normal(size=(16, 1)), "float32") for _ in range(2))
            generator, discriminator = networks(seed)
            real, fake = (float(tf.reduce_mean(discriminator([x, images])))
                          for images in (y, generator(x)))
            if min(abs(real), abs(fake), abs(real - fake), abs(real + fake)) > 0.1:
                return seed, x, y

    def numbers_of(network):
        return np.concatenate([w.numpy().ravel() for w in network.trainable_variables])

    def expected(seed, x, y, smooth, weights=(0.5, 0.5), swap=False):
        generator, discriminator = networks(seed)
        fake = generator(x)
        with tf.GradientTape() as tape:
            real_logits, fake_logits = discriminator([x, y]), discriminator([x, fake])
            if swap:
                real_logits, fake_logits = fake_logits, real_logits
            real = tf.nn.softplus(-real_logits) + smooth * real_logits  # as (1 - s) real + s fake
            terms = tf.reduce_mean(real), tf.reduce_mean(tf.nn.softplus(fake_logits))
            loss = weights[0] * terms[0] + weights[1] * terms[1]
        gradients = tape.gradient(loss, discriminator.trainable_variables)
        for w, g in zip(discriminator.trainable_variables, gradients, strict=True):
            w.assign_sub(0.5 * g)
        return float(loss), numbers_of(discriminator)

    def slip(seed, x, y, smooth, loss):
        """A hint for a loss that is right without smoothing only."""
        generator, discriminator = networks(seed)
        pairs = discriminator([x, y]), discriminator([x, generator(x)])
        (real, not_real), (not_fake, fake) = (
            [float(tf.reduce_mean(tf.nn.softplus(sign * logits))) for sign in (-1, 1)]
            for logits in pairs)
        smoothed = (1 - smooth) * real + smooth * not_real
        for wrong, hint in (
            (real + fake, "It does not depend on smooth."),
            (smoothed + (1 - smooth) * fake + smooth * not_fake,
             'The fake pairs are smoothed, too. Why is it called "one-sided"?'),
            (real + (1 - smooth) * fake + smooth * not_fake,
             "The wrong pairs are smoothed. Which ones is the discriminator too sure of?"),
            (smooth * real + (1 - smooth) * not_real + fake,
             "The two weights are the wrong way round. How sure should it be for a small smooth?"),
            ((1 - smooth) * real + fake,
             "The real pairs now count for less. What should their weights add up to?"),
            (real + smooth * not_real + fake,
             "The real pairs now count for more. What should their weights add up to?"),
        ):
            if np.isclose(loss, wrong / 2, rtol=1e-5):
                return hint
        return "Which term should change, and which should not? Write down the new one first."

    random = np.random.default_rng()
    for case, smooth in enumerate((0.0, float(random.uniform(0.2, 0.4)))):
        seed, x, y = problem()
        generator, discriminator = networks(seed)
        optimizer = keras.optimizers.SGD(0.5)
        before = numbers_of(generator), numbers_of(discriminator)
        result = step(generator, discriminator, optimizer, x, y, smooth)
        after = numbers_of(generator), numbers_of(discriminator)
        moved = not np.array_equal(before[1], after[1])
        if result is None or result is ...:
            if not moved and np.array_equal(before[0], after[0]):
                raise NotYet("fill in the lines with ... and return the loss.")
            raise Wrong("The step should return its loss.")
        loss = plain(result)
        if isinstance(loss, bool) or not isinstance(loss, (int, float)):
            raise Wrong("The step should return its loss, one number: the mean over the batch.")
        if not np.array_equal(before[0], after[0]):
            raise Wrong("The generator moved. In this step only the discriminator's weights may.")
        right_loss, right_weights = expected(seed, x, y, smooth)
        if not np.isclose(loss, right_loss, rtol=1e-4):
            if case:
                raise Wrong(f"For smooth = 0 it is right, for {smooth:.2f} not. "
                            f"{slip(seed, x, y, smooth, loss)}")
            for weights, swap, hint in (
                ((1.0, 1.0), False, "The loss is the mean of the two terms, not their sum."),
                ((0.5, 0.5), True, 'Which pairs should be called "real"? The two are swapped.'),
                ((0.5, 0.0), False, "The fake pairs are missing from the loss."),
                ((0.0, 0.5), False, "The real pairs are missing from the loss."),
                ((1.0, 0.0), False, "The fake pairs are missing from the loss."),
                ((0.0, 1.0), False, "The real pairs are missing from the loss."),
            ):
                if np.isclose(loss, expected(seed, x, y, smooth, weights, swap)[0], rtol=1e-4):
                    raise Wrong(hint)
            raise Wrong("The loss is wrong already for smooth = 0, where it is the notebook's.")
        if not moved:
            raise Wrong("The loss is right, but the discriminator's weights did not move: are the "
                        "gradients applied?")
        if not np.allclose(after[1], right_weights, rtol=1e-3, atol=1e-5):
            raise Wrong("The loss is right, but the weights moved wrongly. Of what, and with "
                        "respect to which weights, is the gradient? One update a step.")


@exercise("03.2")
def _l1_weights(answer):
    """Which of the weights 0, 1 and 1000 holds steadiest, and which is seen through."""
    keys = ("steadiest", "seen through")
    try:
        given = {key: plain(answer[key]) for key in keys}
    except Exception:
        raise Wrong(f'Keep the dictionary, with a weight for each of {", ".join(keys)}.') from None
    if any(value is ... or value is None for value in given.values()):
        raise NotYet("replace each ... by one of the weights 0, 1 and 1000.")
    for key, value in given.items():
        try:
            given[key] = float(value)
        except Exception:
            raise Wrong(f"{key}: one of the weights 0, 1 and 1000, please.") from None
        if isinstance(value, bool) or given[key] not in (0, 1, 1000):
            raise Wrong(f"{key}: one of the weights 0, 1 and 1000, please.")
    if given["steadiest"] == 0:
        raise Wrong("The steadiest moves the least from frame to frame: compare the "
                    "movements.")
    if given["steadiest"] == 1000:
        raise Wrong("Is it on a branch at all? Compare the distance to the nearer branch first.")
    if given["seen through"] != 1000:
        raise Wrong("The better a discriminator tells real from fake, the lower its loss: compare "
                    "the last discriminator losses.")


@exercise("03.3")
def _log2_says(answer):
    """What a discriminator's loss near log 2 says about the answers."""
    letter(answer, {
        "a": "The unconditional discriminator of section 5 was at log 2, and half of the answers "
             "under its eyes did not belong to their x.",
        "c": "With noise and no L1, section 7, the loss came close to log 2 too, and the answers "
             "were good: both branches, each where it belongs.",
        "d": "It can stay there from the first step to the last, as under the high rate of "
             "section 6, where the generator ran through the plane all the time.",
    }, "b")
