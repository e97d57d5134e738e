"""The exercises of notebook 05."""

import keras
import numpy as np
import tensorflow as tf

from helpers.checks import NotYet, Wrong, exercise, plain
from helpers.losses import discriminator_loss


@exercise("05.1")
def _discriminator_half(half):
    """The discriminator's half of the step, run on tiny random networks with images.

    What it did is compared: the loss, both logits, the discriminator's new weights after plain
    gradient descent, and that the generator's stayed.
    """
    if not callable(half):
        raise Wrong(f"A function is asked for, not {type(half).__name__}.")

    def networks(seed):
        keras.utils.set_random_seed(seed)
        one, two = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
        generator = keras.Model(one, keras.layers.Conv2D(3, 3, padding="same")(one))
        large = keras.initializers.RandomNormal(stddev=0.7)
        pair = keras.layers.Concatenate()([one, two])
        logits = keras.layers.Conv2D(1, 3, kernel_initializer=large)(pair)
        return generator, keras.Model([one, two], logits)

    def numbers_of(network):
        return np.concatenate([w.numpy().ravel() for w in network.trainable_variables])

    random = np.random.default_rng()
    for _ in range(2):
        seed = int(random.integers(1, 10**6))
        hazy, clear = (tf.constant(random.uniform(-1, 1, (2, 8, 8, 3)), "float32")
                       for _ in range(2))
        generator, discriminator = networks(seed)
        before = numbers_of(generator), numbers_of(discriminator)
        result = half(generator, discriminator, keras.optimizers.SGD(0.5), hazy, clear)
        after = numbers_of(generator), numbers_of(discriminator)
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

        generator, discriminator = networks(seed)
        made = generator(hazy)
        with tf.GradientTape() as tape:
            logits = discriminator([hazy, clear]), discriminator([hazy, made])
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
        if not np.allclose(after[1], numbers_of(discriminator), rtol=1e-3, atol=1e-5):
            raise Wrong("The loss is right, but the weights moved wrongly. One update, downhill, "
                        "with the gradient of this loss.")
