"""From image files to training batches: paired jitter and the ``tf.data`` pipeline.

Images are float32 RGB in [0, 1] when loaded and in [-1, 1] in a batch; between the two they stay
uint8, a quarter of the memory. Taught in notebook 01.
"""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from helpers.copies import copies_of, copy_frame, read_copies
from helpers.images import ImageError, image_size, open_image, shrink, to_pixels, to_rgb

MEMORY = 500_000_000  # bytes of decoded pairs that training_batches keeps


def load_pair(pair, frame=None):
    """Read both images of a :class:`helpers.pairs.Pair`: (hazy, clear), RGB in [0, 1], one shape.

    ``frame`` as in :func:`helpers.images.open_image`. Raises :class:`helpers.images.ImageError`
    when a file is unusable or the two differ in size. Notebook 01.
    """
    hazy, clear = open_pair(pair, frame)
    return to_rgb(hazy), to_rgb(clear)


def open_pair(pair, frame=None):
    """Like :func:`load_pair`, but two Pillow images of one size, of whatever mode their files are.

    Cuts first what ``pair.cut`` asks for: the clear image of SOTS indoor may be up to 5 % larger
    than the hazy one, all around; a file with both images side by side is halved.
    """
    if pair.cut in ("left", "right"):
        both = open_image(pair.hazy)
        half = both.width // 2
        if both.width % 2:
            raise ImageError(f"{pair.hazy} is {both.width} pixels wide: no two images of one size "
                             "side by side.")
        hazy, clear = (both.crop((x, 0, x + half, both.height)) for x in (0, half))
        return _shrunk(*((hazy, clear) if pair.cut == "left" else (clear, hazy)), frame)
    size, other = image_size(pair.hazy), image_size(pair.clear)
    margins = [theirs - ours for ours, theirs in zip(size, other, strict=True)]
    if pair.cut == "centre" and all(0 <= m <= n // 20 for m, n in zip(margins, size, strict=True)):
        left, top = (margin // 2 for margin in margins)
        clear = open_image(pair.clear).crop((left, top, left + size[0], top + size[1]))
        return _shrunk(open_image(pair.hazy), clear, frame)
    if size != other:
        raise ImageError(
            f"{pair.hazy} is {size[0]}×{size[1]} but {pair.clear} is {other[0]}×{other[1]}; crop "
            "or resize them to one size."
        )
    return open_image(pair.hazy, within=frame), open_image(pair.clear, within=frame)


def _shrunk(hazy, clear, frame):
    if not frame:
        return hazy, clear
    return tuple(shrink(image, frame) for image in (hazy, clear))


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


def usable_pairs(pairs, size=256):
    """Read every pair once: (those that can be trained on, a sentence on each of the others).

    Nothing is kept in memory. ``size`` is that of the training crops: what is larger is shrunk
    while it is read. Notebook 01.
    """

    def check(pair):
        try:
            load_pair(pair, frame=(np.inf, 1.25 * size))
        except ImageError as error:
            return pair, str(error)
        return pair, None

    checked = list(in_parallel(check, pairs))
    good = [pair for pair, problem in checked if problem is None]
    return good, [problem for _, problem in checked if problem is not None]


def copied_pairs(pairs, folder, size=256):
    """The pairs of the small copies that :func:`training_batches` would keep in ``folder``.

    Makes those that are missing, in parallel. They take the place of ``pairs`` where there is no
    argument for copies, as in :func:`helpers.trainer.fit`. Raises ImageError as it does.
    """
    frame = copy_frame(size)

    def copy(pair):
        read_copies(pair, folder, frame, open_pair)
        hazy, clear = copies_of(pair, folder, frame)
        return replace(pair, hazy=hazy, clear=clear, cut="")

    return list(in_parallel(copy, tqdm(pairs, "copying", disable=None, leave=False, delay=2)))


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
    before. Isola et al. 2017, section 6.2 (which resizes to 286 and crops 256); notebook 01.
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

    A function of its arguments alone. Notebook 01.
    """
    seeds = tf.stack([tf.cast(seed, tf.int64), tf.cast(epoch, tf.int64)])
    return tf.random.experimental.stateless_shuffle(tf.range(count), seed=seeds)


def pairs_in_batch(pairs, batch, n, seed=0):
    """The pairs that batch ``n`` (from 0) of :func:`training_batches` is made of. Notebook 03."""
    places = [divmod(position, len(pairs)) for position in range(n * batch, (n + 1) * batch)]
    return [pairs[int(epoch_order(len(pairs), seed, epoch)[place])] for epoch, place in places]


def training_batches(pairs, batch, size=256, seed=0, start=0, memory=MEMORY, shard=(1, 0),
                     copies=None):
    """Endless ``tf.data.Dataset`` of (hazy, clear), each float32 (batch, size, size, 3) in [-1, 1].

    Batch n is a function of (``pairs``, ``seed``, n) alone: the order within an epoch is permuted
    from (seed, epoch) and the jitter from (seed, position). So a run that stopped after n batches
    goes on with ``start=n`` as if it had not. ``shard`` is (count, i): of every ``count`` batches
    the i-th, for several machines that share the work.

    Images are shrunk when read, to a short side of at most 1.25 ``size``: no crop needs more. As
    many pairs as fit into ``memory`` bytes are read here, in parallel, and kept; the others are
    read anew each time. With ``copies``, the name of a folder, all are read from small copies that
    are kept there for this run and later ones, with a long side of at most
    :data:`helpers.copies.COPY` pixels; their batches differ a little from those without. Raises
    :class:`helpers.images.ImageError`, before the first batch, for a pair that cannot be used.
    Notebook 01.
    """
    if not pairs:
        raise ImageError("no pairs to train on; find_pairs lists those of a folder.")

    frame = copy_frame(size) if copies else (np.inf, 1.25 * size)

    def decode(pair):
        if copies:
            return read_copies(pair, copies, frame, open_pair)
        return [to_pixels(image) for image in open_pair(pair, frame)]

    kept = []
    for images in in_parallel(decode, tqdm(pairs, "reading", disable=None, leave=False, delay=2)):
        memory -= sum(image.nbytes for image in images)
        if memory >= 0:
            kept.append(images)

    def read(i):
        return kept[i] if i < len(kept) else decode(pairs[i])

    def load(position, i):
        hazy, clear = tf.numpy_function(read, [i], [tf.uint8, tf.uint8])
        hazy, clear = (tf.ensure_shape(x, (None, None, 3)) for x in (hazy, clear))
        return paired_jitter(hazy, clear, tf.stack([tf.cast(seed, tf.int64), position]), size)

    epoch, place = divmod(start * batch, len(pairs))
    order = tf.data.Dataset.range(epoch, tf.int64.max).flat_map(
        lambda epoch: tf.data.Dataset.from_tensor_slices(epoch_order(len(pairs), seed, epoch))
    )
    positions = tf.data.Dataset.range(start * batch, tf.int64.max)
    places = tf.data.Dataset.zip((positions, order.skip(place)))  # which pair stands where
    places = places.batch(batch, drop_remainder=True).shard(*shard).unbatch()
    return (
        places.map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch, drop_remainder=True)
        .map(lambda hazy, clear: (normalise(hazy / 255), normalise(clear / 255)))
        .prefetch(tf.data.AUTOTUNE)
    )
