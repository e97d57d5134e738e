"""Load trained weights and dehaze an image of any size. Taught in notebooks 04 and 05.
"""

import math

import keras
import numpy as np

from helpers.data import denormalise, normalise
from helpers.haze import guided_lines, resize
from helpers.images import encode, open_image, to_rgb


def dehaze(generator, image, strength=1.0):
    """Run a generator on one RGB image in [0, 1] of any size; returns the same shape and range.

    ``strength`` goes from 0 (the image itself) over 1 (what the network proposes) to a little
    beyond. A network with a physics head sees the whole image, at most 512 pixels long, and its
    maps are applied to all pixels; another one goes over the image in tiles. Raises ValueError for
    an array that is no RGB image. Notebooks 04 and 05.
    """
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(f"an array {image.shape} is no RGB image: (height, width, 3).")
    image = np.asarray(image, "float32")
    if strength == 0:
        return image.copy()
    if any(layer.name == "maps" for layer in getattr(generator, "layers", [])):
        return apply_maps(image, haze_maps(generator, image), strength)
    return np.clip(image + strength * (in_tiles(generator, image) - image), 0, 1)


def dehaze_file(generator, source, suffix, strength=1.0, name=None):
    """The bytes of a dehazed photograph, of its own size, for a file with this ``suffix``.

    ``source`` and ``name`` are those of :func:`helpers.images.open_image`, whose ImageError it
    raises. What is kept of the photograph: see :func:`helpers.images.encode`. Notebook 00.
    """
    original = open_image(source, name)
    return encode(dehaze(generator, to_rgb(original), strength), original, suffix)


def haze_maps(generator, image, longest=512):
    """K and B that a physics network sees in an RGB image in [0, 1]: float32 (h, w, 6).

    The network looks at a copy of at most ``longest`` pixels with even sides, continued by
    reflection to the multiple that its levels need; h and w are half of the copy's. Notebook 05.
    """
    whole = np.array(image.shape[:2])
    shape = np.maximum(2 * np.round(whole * min(1, longest / max(whole)) / 2).astype(int), 2)
    if any(shape != whole):
        image = np.stack([resize(image[..., c], tuple(shape)) for c in range(3)], axis=-1)
    halvings = sum(getattr(layer, "strides", None) == (2, 2) for layer in generator.layers)
    missing = [-n % 2**halvings for n in shape]
    before = [n // 4 * 2 for n in missing]  # even, for the maps have half the size
    extra = [(a, n - a) for a, n in zip(before, missing, strict=True)]
    padded = np.pad(image, [*extra, (0, 0)], mode="symmetric")[None]
    network = keras.Model(generator.input, generator.get_layer("maps").output)
    maps = np.asarray(network(normalise(padded), training=False), "float32")[0]
    top, left = (a // 2 for a in before)
    height, width = shape // 2
    return maps[top:top + height, left:left + width]


def apply_maps(image, maps, strength=1.0, **options):
    """J = I + strength (K·I - B) for every pixel of an RGB image in [0, 1], clipped.

    ``maps`` is what :func:`haze_maps` returns, ``options`` are those of :func:`map_changes`.
    Notebook 05.
    """
    out = np.empty(image.shape, "float32")
    for rows, change in map_changes(image, maps, **options):
        np.clip(image[rows] + strength * change, 0, 1, out=out[rows])
    return out


def map_changes(image, maps, radius=4, eps=3e-5, rows=512):
    """Yield (slice of rows, K·I - B of these rows): what full strength adds to an RGB image.

    K and B are enlarged along the edges of the image (see :func:`helpers.haze.guided_upsample`),
    ``rows`` rows at a time, so that 24 megapixels need little more memory than the image and the
    result. Notebook 05.
    """
    height, width = image.shape[:2]
    across, down = maps.shape[1] / width, maps.shape[0] / height
    guide = resize(image.mean(axis=-1), maps.shape[:2])
    lines = [guided_lines(guide, maps[..., c], radius, eps) for c in range(6)]
    for top in range(0, height, rows):
        strip = image[top:top + rows]
        shape = strip.shape[:2]
        box = (0, top * down, width * across, (top + shape[0]) * down)
        grey = strip.mean(axis=-1)
        enlarged = [resize(a, shape, box) * grey + resize(b, shape, box) for a, b in lines]
        k, b = (np.stack(part, axis=-1) for part in (enlarged[:3], enlarged[3:]))
        yield slice(top, top + len(strip)), k * strip - b


def _starts(length, size, stride):
    """First pixels of tiles of ``size`` that cover ``length`` evenly, at most ``stride`` apart."""
    count = max(1, math.ceil((length - size) / stride) + 1)
    return np.linspace(0, length - size, count).round().astype(int)


def in_tiles(generator, image, size=256, stride=128):
    """Run a generator over an RGB image in [0, 1] of any size, tile by tile; same shape and range.

    The network sees what it was trained on, squares of ``size`` pixels (a multiple of 256 for the
    eight levels of the U-Net). They overlap, ``stride`` pixels apart, and are blended with weights
    that fall to the rim, so that no border shows. Beforehand the image is continued by reflection:
    a network is at its worst along the rim, where its convolutions see padding. Inference mode: no
    dropout, stored batch statistics. Notebook 04.
    """
    height, width = image.shape[:2]
    margin = size // 8
    extra = [(margin, max(margin, size - n - margin)) for n in (height, width)]
    padded = np.pad(image, [*extra, (0, 0)], mode="symmetric")
    rim = np.sin((np.arange(size) + 0.5) / size * np.pi) ** 2 + 1e-3
    weight = (rim[:, None] * rim)[..., None].astype("float32")
    total, weights = np.zeros_like(padded), np.zeros_like(padded[..., :1])
    columns = _starts(padded.shape[1], size, stride)
    for top in _starts(padded.shape[0], size, stride):
        rows = slice(top, top + size)
        tiles = np.stack([padded[rows, left:left + size] for left in columns])
        for left, tile in zip(columns, _in_batches(generator, tiles), strict=True):
            total[rows, left:left + size] += weight * tile
            weights[rows, left:left + size] += weight
    inside = (slice(margin, margin + height), slice(margin, margin + width))
    return denormalise((total / weights)[inside])


def _in_batches(generator, tiles, batch=8):
    """Outputs in [-1, 1] of the generator on tiles (count, size, size, 3) in [0, 1]."""
    for first in range(0, len(tiles), batch):
        out = generator(normalise(tiles[first:first + batch]), training=False)
        yield from np.asarray(out, "float32")


def central(image, size=256):
    """The central square of an image, at most ``size`` pixels a side."""
    top, left = (max(0, (n - size) // 2) for n in image.shape[:2])
    return image[top:top + size, left:left + size]


def verdict(discriminator, hazy, image):
    """What a PatchGAN says of the central 256×256 pixels of an RGB image in [0, 1].

    Returns float32 (30, 30): the probability, 0..1, of each patch of being real, given ``hazy``.
    Notebook 04.
    """
    inputs = [normalise(central(x))[None].astype("float32") for x in (hazy, image)]
    logits = discriminator(inputs, training=False)[0, ..., 0]
    return keras.ops.convert_to_numpy(keras.ops.sigmoid(logits))
