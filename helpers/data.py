"""From files to training batches: image loading, paired jitter and the ``tf.data`` pipeline.

Images are float32 RGB in [0, 1] when loaded and in [-1, 1] in a batch. Taught in notebook 01.
"""

import warnings
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps


class ImageError(ValueError):
    """A file is not a usable image; the message names the file and the remedy."""


def open_image(path):
    """Open ``path`` with Pillow, fully decoded and upright (its EXIF orientation applied).

    Raises :class:`ImageError` when the file is missing, is no image, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: no such file; check the path.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path)
            image.load()
            return ImageOps.exif_transpose(image)
    except Image.UnidentifiedImageError:
        problem = "not an image, whatever its name says; remove it or save it again as PNG or JPEG."
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        problem = "more than 89 megapixels; make it smaller first."
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        problem = f"damaged ({error}); get a new copy or remove it."
    raise ImageError(f"{path}: {problem}")


def to_rgb(image):
    """Pillow image of any mode to float32 RGB in [0, 1], shape (height, width, 3).

    16-bit greyscale is scaled by 65535, grey is repeated to RGB, and what is transparent is laid
    over white.
    """
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, "float32")
        values = values / 65535 if image.mode.startswith("I") else values
        return np.repeat(np.clip(values, 0, 1)[..., None], 3, axis=-1)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba)
    return np.asarray(image.convert("RGB"), "float32") / 255


def load_image(path):
    """Read an image file: float32 RGB in [0, 1], shape (height, width, 3), upright.

    Raises :class:`ImageError` as :func:`open_image` does. Notebook 01.
    """
    return to_rgb(open_image(path))


def load_pair(pair):
    """Read both images of a :class:`helpers.pairs.Pair`: (hazy, clear), RGB in [0, 1], one shape.

    Raises :class:`ImageError` when a file is unusable or the two differ in size. Notebook 01.
    """
    hazy, clear = load_image(pair.hazy), load_image(pair.clear)
    if hazy.shape != clear.shape:
        raise ImageError(
            f"{pair.hazy} is {hazy.shape[1]}×{hazy.shape[0]} but {pair.clear} is "
            f"{clear.shape[1]}×{clear.shape[0]}; crop or resize them to one size."
        )
    return hazy, clear


def load_depth(path, farthest=5.0):
    """Read a depth map of ``sample_data``: float32 (height, width), 0 to ``farthest``.

    The file is a 16-bit greyscale PNG. The unit is the distance at which haze of beta 1 takes
    63 % of the light. Raises :class:`ImageError` as :func:`open_image` does, and for another
    kind of image. Notebook 01.
    """
    image = open_image(path)
    if not image.mode.startswith("I"):
        raise ImageError(f"{path}: not a depth map; save it as a 16-bit greyscale PNG.")
    return np.asarray(image, "float32") / 65535 * farthest


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


def training_batches(pairs, batch, size=256, seed=0, start=0, cache=True):
    """Endless ``tf.data.Dataset`` of (hazy, clear), each float32 (batch, size, size, 3) in [-1, 1].

    Batch n is a function of (``pairs``, ``seed``, n) alone: the order within an epoch is permuted
    from (seed, epoch) and the jitter from (seed, position). So a run that stopped after n batches
    goes on with ``start=n`` as if it had not. ``cache`` keeps decoded pairs in memory. Raises
    :class:`ImageError`, before the first batch, for a pair that cannot be used: every pair is
    read once here, with or without ``cache``. Notebook 01.
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
        epoch, place = position // len(pairs), position % len(pairs)
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(pairs)), seed=tf.stack([tf.cast(seed, tf.int64), epoch])
        )
        hazy, clear = tf.numpy_function(read, [order[place]], [tf.uint8, tf.uint8])
        hazy, clear = (tf.ensure_shape(x, (None, None, 3)) for x in (hazy, clear))
        hazy, clear = paired_jitter(
            tf.cast(hazy, tf.float32) / 255, tf.cast(clear, tf.float32) / 255,
            tf.stack([tf.cast(seed, tf.int64), position]), size,
        )
        return normalise(hazy), normalise(clear)

    positions = tf.data.Dataset.range(start * batch, tf.int64.max)
    return (
        positions.map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def _as_bytes(images):
    return [np.round(image * 255).astype("uint8") for image in images]
