"""From image files to training batches: paired jitter and the ``tf.data`` pipeline.

Images are float32 RGB in [0, 1] when loaded and in [-1, 1] in a batch. Taught in notebook 01.
"""

import numpy as np
import tensorflow as tf

from helpers.images import ImageError, load_image


def load_pair(pair):
    """Read both images of a :class:`helpers.pairs.Pair`: (hazy, clear), RGB in [0, 1], one shape.

    Raises :class:`helpers.images.ImageError` when a file is unusable or the two differ in size.
    Notebook 01.
    """
    hazy, clear = load_image(pair.hazy), load_image(pair.clear)
    if hazy.shape != clear.shape:
        raise ImageError(
            f"{pair.hazy} is {hazy.shape[1]}×{hazy.shape[0]} but {pair.clear} is "
            f"{clear.shape[1]}×{clear.shape[0]}; crop or resize them to one size."
        )
    return hazy, clear


def normalise(image):
    """From [0, 1] to [-1, 1], the range of the networks (tanh ends the generator)."""
    return image * 2 - 1


def denormalise(image):
    """From [-1, 1] back to [0, 1]; what lies outside is clipped."""
    return np.clip((np.asarray(image, "float32") + 1) / 2, 0, 1)


def paired_jitter(hazy, clear, seed, size=256):
    """Resize, crop and mirror at random, the same for both images: a float32 (size, size, 3) pair.

    ``hazy`` and ``clear`` are RGB of one shape, ``seed`` two integers that decide everything. The
    short side becomes ``size`` to 1.25 ``size`` pixels. Isola et al. 2017, section 6.2 (which
    resizes to 286 and crops 256); notebook 01.
    """
    seeds = tf.random.split(seed, 3)
    both = tf.stack([hazy, clear])  # (2, height, width, 3): what is done to one is done to both
    shape = tf.cast(tf.shape(both)[1:3], tf.float32)
    zoom = tf.random.stateless_uniform([], seeds[0], 1.0, 1.25) * size / tf.reduce_min(shape)
    target = tf.maximum(tf.cast(tf.round(shape * zoom), tf.int32), size)
    both = tf.image.resize(both, target, antialias=True)
    both = tf.image.stateless_random_crop(both, [2, size, size, 3], seeds[1])
    if tf.random.stateless_uniform([], seeds[2]) < 0.5:
        both = both[:, :, ::-1]
    return both[0], both[1]


def epoch_order(count, seed, epoch):
    """The order in which epoch number ``epoch`` takes ``count`` pairs: a permutation of 0..count-1.

    A function of its arguments alone. Notebook 01.
    """
    seeds = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed=seeds)


def pairs_in_batch(pairs, batch, n, seed=0):
    """The pairs that batch ``n`` (from 0) of :func:`training_batches` is made of. Notebook 03."""
    places = [divmod(position, len(pairs)) for position in range(n * batch, (n + 1) * batch)]
    return [pairs[int(epoch_order(len(pairs), seed, epoch)[place])] for epoch, place in places]


def training_batches(pairs, batch, size=256, seed=0, start=0, cache=True, shard=(1, 0)):
    """Endless ``tf.data.Dataset`` of (hazy, clear), each float32 (batch, size, size, 3) in [-1, 1].

    Batch n is a function of (``pairs``, ``seed``, n) alone: the order within an epoch is permuted
    from (seed, epoch) and the jitter from (seed, position). So a run that stopped after n batches
    goes on with ``start=n`` as if it had not. ``cache`` keeps decoded pairs in memory. ``shard`` is
    (count, i): of every ``count`` batches the i-th, for several machines that share the work.
    Raises :class:`helpers.images.ImageError`, before the first batch, for a pair that cannot be
    used: every pair is read once here, with or without ``cache``. Notebook 01.
    """
    if not pairs:
        raise ImageError("no pairs to train on; find_pairs lists those of a folder.")
    memory = {}
    for i, pair in enumerate(pairs):
        images = _as_bytes(load_pair(pair))
        if cache:
            memory[i] = images

    def read(i):
        return memory[int(i)] if cache else _as_bytes(load_pair(pairs[int(i)]))

    def load(position):
        order = epoch_order(len(pairs), seed, position // len(pairs))
        i = order[position % len(pairs)]
        hazy, clear = tf.numpy_function(read, [i], [tf.uint8, tf.uint8])
        hazy, clear = (tf.ensure_shape(x, (None, None, 3)) for x in (hazy, clear))
        hazy, clear = paired_jitter(
            tf.cast(hazy, tf.float32) / 255, tf.cast(clear, tf.float32) / 255,
            tf.stack([tf.cast(seed, tf.int64), position]), size,
        )
        return normalise(hazy), normalise(clear)

    positions = tf.data.Dataset.range(start * batch, tf.int64.max)
    positions = positions.batch(batch, drop_remainder=True).shard(*shard).unbatch()
    return (
        positions.map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def _as_bytes(images):
    return [np.round(image * 255).astype("uint8") for image in images]
