"""From image files to training batches: paired jitter and the ``tf.data`` pipeline.

Images are float32 RGB in [0, 1] when loaded and in [-1, 1] in a batch; between the two they stay
uint8, a quarter of the memory. Taught in notebook 02.
"""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from helpers.images import ImageError, open_image, shrink, to_pixels, to_rgb


def load_pair(pair, within=None):
    """Read both images of a :class:`helpers.pairs.Pair`: (hazy, clear), RGB in [0, 1], one shape.

    ``within`` as in :func:`helpers.images.open_image`. Raises :class:`helpers.images.ImageError`
    when a file is unusable or the two differ in size. Notebook 02.
    """
    hazy, clear = open_pair(pair, within)
    return to_rgb(hazy), to_rgb(clear)


def open_pair(pair, within=None):
    """Like :func:`load_pair`, but two Pillow images of one size, of whatever mode their files are.

    Crops first as ``pair.crop`` asks: the clear image of SOTS indoor may be up to 5 % larger than
    the hazy one, all around; a file with both images side by side is halved.
    """
    if pair.crop in ("left", "right"):
        images = _halves(open_image(pair.hazy), pair)
    else:
        images = [open_image(path, within=within) for path in (pair.hazy, pair.clear)]
        hazy, clear = (np.array(image.info["size"]) for image in images)
        border = clear - hazy
        if pair.crop == "centre" and border.min() >= 0 and (border <= hazy // 20).all():
            if border.any():
                left, top = (int(n) for n in border // 2)
                box = left, top, left + int(hazy[0]), top + int(hazy[1])
                images = open_image(pair.hazy), open_image(pair.clear).crop(box)
        elif border.any():
            raise ImageError(f"{pair.hazy} is {hazy[0]}×{hazy[1]} but {pair.clear} is "
                             f"{clear[0]}×{clear[1]}; crop or resize them to one size.")
    return tuple(shrink(image, within) if within else image for image in images)


def _halves(image, pair):
    if image.width % 2:
        raise ImageError(f"{pair.hazy} is {image.width} pixels wide: no two images of one size "
                         "side by side.")
    half = image.width // 2
    left, right = (image.crop((x, 0, x + half, image.height)) for x in (0, half))
    return (left, right) if pair.crop == "left" else (right, left)


def in_parallel(work, items):
    """Yield ``work(item)`` of each item, in order, computed in as many threads as there are cores.

    Only a few results wait at any time. An exception ends it.
    """
    cores, waiting = os.cpu_count() or 1, deque()
    with ThreadPoolExecutor(cores) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def normalise(image):
    """From [0, 1] to [-1, 1], the range of the networks (tanh ends the generator)."""
    return image * 2 - 1


def denormalise(image):
    """From [-1, 1] back to [0, 1]; what lies outside is clipped."""
    return np.clip((np.asarray(image, "float32") + 1) / 2, 0, 1)


def paired_jitter(hazy, clear, seed, size=256):
    """Crop, mirror and resize at random, the same for both images: a float32 (size, size, 3) pair.

    ``hazy`` and ``clear`` are RGB of one shape, uint8 or float, and keep their range of values;
    ``seed``, two integers, decides everything. The crop is a square of 80 to 100 % of the short
    side. Resizing is bilinear: an image with a short side above 1.5 ``size`` should be shrunk
    before. Isola et al. 2017, section 6.2 (which resizes to 286 and crops 256); notebook 02.
    """
    both = tf.stack([hazy, clear])  # (2, height, width, 3): what is done to one is done to both
    zoom, down, right, coin = tf.unstack(tf.random.stateless_uniform([4], seed))
    height, width = tf.unstack(tf.cast(tf.shape(both)[1:3], tf.float32))
    side = tf.round((0.8 + 0.2 * zoom) * tf.minimum(height, width))
    top = tf.cast(down * (height - side + 1), tf.int32)
    left = tf.cast(right * (width - side + 1), tf.int32)
    side = tf.cast(side, tf.int32)
    both = both[:, top:top + side, left:left + side]  # crop first: the rest need not be resized
    if coin < 0.5:
        both = tf.reverse(both, [2])
    both = tf.image.resize(tf.cast(both, tf.float32), [size, size])
    return both[0], both[1]


def epoch_order(count, seed, epoch):
    """The order in which epoch number ``epoch`` takes ``count`` pairs: a permutation of 0..count-1.

    A function of its arguments alone. Notebook 02.
    """
    seeds = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed=seeds)


def pairs_in_batch(pairs, batch, n, seed=0):
    """The pairs that batch ``n`` (from 0) of :func:`training_batches` is made of. Notebook 05."""
    places = [divmod(position, len(pairs)) for position in range(n * batch, (n + 1) * batch)]
    return [pairs[int(epoch_order(len(pairs), seed, epoch)[place])] for epoch, place in places]


def keep(read, memory):
    """``read``, a function of i that returns arrays, but its results are kept in ``memory`` bytes.

    What no longer fits is read anew each time. Notebook 02.
    """
    kept = {}

    def read_once(i):
        nonlocal memory
        if i in kept:
            return kept[i]
        images = read(i)
        size = sum(image.nbytes for image in images)
        if size <= memory:
            memory -= size
            kept[i] = images
        return images

    return read_once


def places(count, batch, seed, start=0, shard=(1, 0)):
    """Endless data set of (position, i): pair number i of ``count`` stands at this position.

    It begins with the first position of batch number ``start``; ``shard`` as in
    :func:`training_batches`. Notebook 02.
    """
    epoch, skipped = divmod(start * batch, count)
    order = tf.data.Dataset.range(epoch, tf.int64.max).flat_map(
        lambda epoch: tf.data.Dataset.from_tensor_slices(epoch_order(count, seed, epoch))
    ).skip(skipped)
    positions = tf.data.Dataset.range(start * batch, tf.int64.max)
    return tf.data.Dataset.zip((positions, order)).batch(batch).shard(*shard).unbatch()


def training_batches(pairs, batch, size=256, seed=0, start=0, shard=(1, 0), memory=500_000_000):
    """Endless ``tf.data.Dataset`` of (hazy, clear), each float32 (batch, size, size, 3) in [-1, 1].

    Batch n is a function of (``pairs``, ``seed``, n) alone: the order within an epoch is permuted
    from (seed, epoch) and the jitter from (seed, position). So a run that stopped after n batches
    goes on with ``start=n`` as if it had not. ``shard`` is (count, i): of every ``count`` batches
    the i-th, for several machines that share the work.

    A pair is read when its first batch needs it, shrunk to a short side of at most 1.25 ``size``,
    for no crop needs more, and kept as uint8 while ``memory`` bytes suffice. Raises
    :class:`helpers.images.ImageError` for an empty list, and while it is iterated for a pair that
    cannot be used. Notebook 02.
    """
    if not pairs:
        raise ImageError("no pairs to train on; find_pairs lists those of a folder.")
    seed = tf.constant(seed, tf.int64)
    read = keep(lambda i: read_pixels(pairs[i], within=(np.inf, 1.25 * size)), memory)

    def load(position, i):
        hazy, clear = tf.numpy_function(read, [i], [tf.uint8, tf.uint8])
        hazy, clear = (tf.ensure_shape(x, (None, None, 3)) for x in (hazy, clear))
        return paired_jitter(hazy, clear, tf.stack([seed, position]), size)

    batches = (
        places(len(pairs), batch, seed, start, shard)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch, drop_remainder=True)
        .map(lambda hazy, clear: (normalise(hazy / 255), normalise(clear / 255)))
        .prefetch(tf.data.AUTOTUNE)
    )
    return Batches(batches)


def read_pixels(pair, within):
    """Both images of a pair as uint8 RGB arrays, (height, width, 3); as :func:`open_pair`."""
    try:
        return [to_pixels(image) for image in open_pair(pair, within)]
    except ImageError as error:
        _unusable[id(error)] = error
        raise ImageError(f"number {id(error)}") from None  # TensorFlow passes on this text only


_unusable = {}  # the errors that pipelines have met


@contextmanager
def plain_errors():
    """In this block an unusable pair raises its :class:`ImageError`, not an error of TensorFlow.

    For loops over what ``tf.distribute`` makes of :func:`training_batches`, which alone does so
    itself.
    """
    try:
        yield
    except tf.errors.OpError as error:
        met = [told for number, told in _unusable.items() if f"number {number}" in str(error)]
        if not met:
            raise
        raise met[0] from None


class Batches(tf.data.Dataset):
    """The same data set, but :func:`plain_errors` holds while it is iterated."""

    def __init__(self, dataset):
        self._dataset = dataset
        super().__init__(dataset._variant_tensor)

    def _inputs(self):
        return [self._dataset]

    @property
    def element_spec(self):
        return self._dataset.element_spec

    def __iter__(self):
        batches = iter(self._dataset)
        while True:
            with plain_errors():
                try:
                    batch = next(batches)
                except StopIteration:
                    return
            yield batch


def made_batches(pair, batch, size=256, start=0):
    """Endless batches of pairs that are made on the fly, as those of :func:`training_batches`.

    ``pair(n)`` returns (hazy, clear), float32 RGB in [0, 1], shape (size, size, 3), for instance a
    :class:`helpers.synthesis.ThickFog`; ``start`` batches are left out. Notebook 05.
    """
    def load(n):
        images = tf.numpy_function(pair, [n], [tf.float32, tf.float32])
        return tuple(normalise(tf.ensure_shape(x, (size, size, 3))) for x in images)

    numbers = tf.data.Dataset.range(start * batch, tf.int64.max)
    return numbers.map(load, num_parallel_calls=2).batch(batch).prefetch(4)
