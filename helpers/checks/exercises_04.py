"""The exercises of notebook 04."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from helpers.checks import NotYet, Wrong, exercise, letter, plain, untouched

PATCH, SIDE = 34, 128  # pixels: what a logit should see, and the image that it is tried on


def stack(kernels_and_strides):
    """A discriminator of bare convolutions from a list of (kernel, stride)."""
    try:
        pairs = [(int(plain(k)), int(plain(s))) for k, s in kernels_and_strides]
    except Exception:
        raise Wrong("A function that builds the discriminator is asked for, or a list of (kernel, "
                    "stride).") from None
    hazy, image = keras.Input((None, None, 3)), keras.Input((None, None, 3))
    x = layers.Concatenate()([hazy, image])
    for n, (kernel, stride) in enumerate(pairs):
        if not 1 <= kernel <= 64 or not 1 <= stride <= 64:
            raise Wrong("Windows of 4×4, please, and strides of 1 or 2.")
        x = layers.Conv2D(1 if n + 1 == len(pairs) else 4, kernel, strides=stride)(x)
    return keras.Model([hazy, image], x)


def built(answer):
    """The discriminator that an answer builds, lists or is."""
    if isinstance(answer, keras.Model):
        return answer
    if not callable(answer):
        return stack(answer)
    network = answer(4)
    if untouched(network):
        raise NotYet("fill in the lines with ... and return the network.")
    if isinstance(network, (list, tuple)):
        return stack(network)
    if not callable(network) or not hasattr(network, "trainable_variables"):
        raise Wrong(f"Return a keras.Model, not a {type(network).__name__}.")
    return network


def influence(network, hazy, image):
    """(logits, influence of the hazy image's pixels and of the other's on a middle logit)."""
    with tf.GradientTape() as tape:
        tape.watch([hazy, image])
        logits = network([hazy, image], training=False)
        if len(logits.shape) != 4 or logits.shape[-1] != 1 or logits.shape[0] != 1:
            raise Wrong(f"For one pair the network returns the shape {tuple(logits.shape)}; a "
                        "grid of logits, (1, rows, columns, 1), is asked for.")
        middle = logits[0, logits.shape[1] // 2, logits.shape[2] // 2, 0]
    gradients = tape.gradient(middle, [hazy, image])
    none = np.zeros((SIDE, SIDE))
    return logits, [none if g is None else np.abs(g).max(axis=(0, 3)) for g in gradients]


@exercise("04.1")
def _small_patchgan(answer):
    """What the middle logit sees, by gradients with random weights, over a few random images."""
    network = built(answer)
    if len(getattr(network, "inputs", [1, 2])) != 2:
        raise Wrong("The discriminator has two inputs: the hazy image and the one to judge.")
    random = np.random.default_rng()
    for variable in network.trainable_variables:  # whatever they start with, zeros perhaps
        if len(variable.shape) > 1:
            variable.assign(random.normal(0, 0.3, variable.shape))
    seen, logits = [np.zeros((SIDE, SIDE), bool) for _ in range(2)], None
    for _ in range(4):
        images = [tf.constant(random.uniform(-1, 1, (1, SIDE, SIDE, 3)), tf.float32)
                  for _ in range(2)]
        logits, found = influence(network, *images)
        seen = [old | (new > 0) for old, new in zip(seen, found, strict=True)]
    if not seen[1].any():
        raise Wrong("The logit does not depend on the image that is to be judged.")
    if not seen[0].any():
        raise Wrong("The logit does not look at the hazy image: the discriminator should be "
                    "conditional.")
    (height, width), (hazy_height, _) = ([int(np.ptp(np.nonzero(s.any(axis=a))[0])) + 1
                                          for a in (1, 0)] for s in seen[::-1])
    if logits.shape[1:3] == (1, 1):
        raise Wrong("There is one logit for the whole image; a grid of logits is asked for.")
    if min(height, width) >= SIDE - 8:
        raise Wrong(f"The middle logit sees the whole image of {SIDE}×{SIDE}: there are too many "
                    "strides of 2, or something, a pooling perhaps, mixes all places.")
    if (height, width) != (PATCH, PATCH):
        than = "more" if height > PATCH else "less"
        raise Wrong(f"By gradients the middle logit sees {height}×{width} pixels, {than} than "
                    "asked for. Which layers widen the view most, those before or those after a "
                    "stride of 2?")
    if hazy_height != PATCH:
        raise Wrong("The hazy image should go through the same layers as the other.")
    windows = [layer.kernel_size for layer in getattr(network, "layers", [])
               if isinstance(layer, layers.Conv2D)]
    if any(max(window) > 4 for window in windows):
        raise Wrong("34×34 it is, but by a larger window: 4×4 convolutions, please.")
    if network.count_params() and float(tf.reduce_min(logits)) >= 0 and float(
            tf.reduce_max(logits)) <= 1:
        raise Wrong("The patch is right. But these are probabilities, between 0 and 1: leave the "
                    "sigmoid out, a logit has no bounds.")


@exercise("04.2")
def _level(answer):
    """A level around something random, on tensors of even and odd sizes."""
    if not callable(answer):
        raise Wrong(f"A function is asked for, not a {type(answer).__name__}.")
    random = np.random.default_rng()
    sizes = [(8, 8), (6, 10), (7, 5), (9, 12), (1, 1), tuple(random.integers(3, 24, 2).tolist())]
    for n, (height, width) in enumerate(sizes):
        channels, filters = (int(c) for c in random.integers(2, 7, 2))
        x = tf.constant(random.uniform(0.5, 1, (2, height, width, channels)), tf.float32)
        _one_level(answer, x, filters, n)
    x = tf.constant(random.uniform(0.5, 1, (1, 13, 9, 3)), tf.float32)
    nested = answer(x, 8, lambda y: answer(y, 5, lambda z: z))
    if tuple(nested.shape) != (1, 13, 9, 11):
        raise Wrong("By itself the level is right; inside another one it is not: use x, filters "
                    "and inside alone, no names from outside.")


def _one_level(answer, x, filters, n):
    """Case ``n`` of exercise 04.2: what inside is given, and what comes out."""
    (batch, height, width, channels), seen = x.shape, []
    place = f"On {height}×{width} pixels: "
    outputs = [_run_level(answer, x, filters, n, scale, seen) for scale in (0.0, 20.0)]
    half = (batch, -(-height // 2), -(-width // 2), filters)
    if not seen:
        raise Wrong("Nothing has happened inside: call inside(...) once, between halving and "
                    "doubling.")
    if len(seen) != 2:
        raise Wrong(f"inside was called {len(seen) // 2} times; once is asked for.")
    if seen[0] != half:
        raise Wrong(f"{place}what happens inside was given the shape {seen[0]}, not {half}: half "
                    "the size, rounded up, and filters channels.")
    got, wanted = outputs[0].shape, (batch, height, width, filters + channels)
    if got[1:3] != wanted[1:3]:
        raise Wrong(f"{place}the result has {got[1]}×{got[2]}. It should have the size of x: cut "
                    "off what is too much.")
    if got[3] == filters:
        raise Wrong("The skip connection is missing: x itself belongs in the result, as further "
                    "channels.")
    if got != wanted:
        raise Wrong(f"{place}the result has the shape {got}, not {wanted}.")
    joined = [part for part in (slice(None, channels), slice(filters, None))
              if all(np.allclose(out[..., part], x) for out in outputs)]
    if not joined:
        raise Wrong(f"{place}x should be in the result as it came in, before or after the "
                    "channels from inside.")
    rest = slice(channels, None) if joined[0].start is None else slice(None, filters)
    alike = np.allclose(*(out[..., rest] for out in outputs), atol=1e-6)
    if alike and height * width > 20:  # of few values ReLU may leave none
        raise Wrong("The result does not depend on what happens inside: double what inside "
                    "returns, not what went in.")
    if height % 2 or width % 2:
        even = tf.pad(x, [[0, 0], [0, height % 2], [0, width % 2], [0, 0]])
        whole = _run_level(answer, even, filters, n, 20.0, [])[..., rest]  # nothing to cut
        places = [(a, b) for a in range(height % 2 + 1) for b in range(width % 2 + 1)]
        if not any(np.allclose(outputs[1][..., rest], whole[:, a:a + height, b:b + width],
                               rtol=1e-3, atol=1e-4) for a, b in places):
            raise Wrong(f"{place}the size is right, but the values are not those of a cut. Were "
                        "they resized? That moves every edge a little. Cut off what is too much, "
                        "and leave the rest as it is.")


def _run_level(answer, x, filters, n, scale, seen):
    """The result as an array; what ``inside``, random of size ``scale``, is given goes to ``seen``.

    In the first case, ``n`` of 0, untouched lines are noticed.
    """
    def inside(y):
        seen.append(tuple(y.shape))
        return 0 * y + scale * tf.random.stateless_normal(y.shape, (3, n))

    keras.utils.set_random_seed(7)
    try:
        result = answer(tf.identity(x), filters, inside)
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        place = f"On {x.shape[1]}×{x.shape[2]} pixels: "
        if x.shape[1] % 2 or x.shape[2] % 2:
            raise Wrong(f"{place}it stops with {type(error).__name__}. Halved, an odd number is "
                        "rounded up; what comes back is one row or column too large.") from None
        if isinstance(error, ValueError) and "oncat" not in str(error):
            raise
        raise Wrong(f"{place}it stops, for the tensors do not fit together. Print their shapes: "
                    "half the size inside, doubled after it.") from None
    if untouched(result):
        if seen or n:
            raise Wrong("Return the joined tensor.")
        raise NotYet("fill in the lines with ... and return the joined tensor.")
    if not hasattr(result, "shape") or len(result.shape) != 4:
        raise Wrong("Return one tensor: (batch, height, width, filters + channels).")
    return np.asarray(result)


@exercise("04.3")
def _who_carries_the_edges(answer):
    """Which cut costs most of the sharpness of the dehazing network's pictures."""
    letter(answer, {
        "a": "It does cost some sharpness. The most of all four? Measure each, and print the four "
             "numbers side by side.",
        "b": "Measure it: with that half of the kernel at 0 the sharpness hardly moves.",
        "c": "At 2×2 there are four places. No edge is left there that could be carried across.",
        "e": "Then the sharpness would hardly change, whichever you cut. Measure all four cuts: is "
             "that so?",
    }, "d")
