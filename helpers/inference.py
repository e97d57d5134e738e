"""Dehaze an image of any size with a trained generator. Taught in notebooks 07 and 08."""

import math
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from helpers.data import denormalise, normalise
from helpers.haze import check_image, guided_lines, resize
from helpers.images import central, encode, mean_colour, open_image, to_rgb
from helpers.models import compiled, sees_whole_images, size_multiple

LOOKS = 576, 288  # pixels of the longer side, as a physics network sees a photograph


def dehaze(generator, image, strength=1.0):
    """Run a generator on one RGB image in [0, 1] of any size; returns the same shape and range.

    ``strength`` goes from 0 (the image itself) over 1 (what the network proposes) to a little
    beyond. A generator whose ``architecture`` names a physics network sees the whole image, at
    two sizes, and its maps are applied to all pixels; any other goes over the image in tiles.
    Raises ValueError as :func:`helpers.haze.check_image`. Notebooks 07 and 08.
    """
    image = check_image(image)
    if strength == 0:
        return image.copy()
    if sees_whole_images(generator):
        return apply_maps(image, haze_maps(generator, image), strength)
    change = in_tiles(generator, image)
    change -= image  # in place, here and below: 24 megapixels take 288 MB each time
    change *= strength
    change += image
    return np.clip(change, 0, 1, out=change)


def dehaze_file(generator, source, suffix, strength=1.0, name=None):
    """The bytes of a dehazed photograph, of its own size, for a file with this ``suffix``.

    ``source`` and ``name`` are those of :func:`helpers.images.open_image`, whose ImageError it
    raises. What is kept of the photograph: see :func:`helpers.images.encode`. Notebook 00.
    """
    original = open_image(source, name)
    return encode(dehaze(generator, to_rgb(original), strength), original, suffix)


def haze_maps(generator, image, sizes=LOOKS):
    """K and B that a physics network sees in an RGB image in [0, 1]: float32 (h, w, 6).

    The network looks at copies of these ``sizes``, the length in pixels of their longer side: the
    larger has finer detail, the smaller shows more of the whole at once; a smaller image is
    enlarged. The mean of both is mostly nearer to the truth than either (docs/results.md).
    h and w are half of the first copy's. Raises ValueError as :func:`helpers.haze.check_image`.
    Notebook 08.
    """
    image = check_image(image)
    first, *others = (_look(generator, image, longest) for longest in sizes)
    return sum((resize(maps, first.shape[:2]) for maps in others), first) / len(sizes)


def _look(generator, image, longest):
    """The maps of one copy: even sides, continued by reflection to what the levels need."""
    whole = np.array(image.shape[:2])
    shape = np.maximum(2 * np.round(whole * longest / max(whole) / 2).astype(int), 2)
    if any(shape != whole):
        image = resize(image, tuple(shape))
    missing = -shape % size_multiple(generator)
    before = missing // 4 * 2  # even, since the maps have half the size
    extra = np.stack([before, missing - before], axis=-1)
    padded = np.pad(image, [*extra, (0, 0)], mode="symmetric")
    maps = compiled(generator)(normalise(padded)[None])[0].numpy()
    (top, left), (height, width) = before // 2, shape // 2
    return maps[top:top + height, left:left + width]


def apply_maps(image, maps, strength=1.0, **options):
    """J = I + strength (K·I - B) for every pixel of an RGB image in [0, 1], clipped.

    ``maps`` is what :func:`haze_maps` returns, ``options`` are those of :func:`map_changes`.
    Notebook 08.
    """
    out = np.empty(image.shape, "float32")
    for rows, change in map_changes(image, maps, **options):
        change *= strength
        change += image[rows]
        np.clip(change, 0, 1, out=out[rows])
    return out


def map_changes(image, maps, radius=2, eps=1e-5, rows=128):
    """Yield (slice of rows, K·I - B of these rows): what full strength adds to an RGB image.

    K and B are enlarged along the edges of the image (see :func:`helpers.haze.guided_upsample`),
    ``rows`` rows at a time, so that 24 megapixels need little more memory than the image and the
    result. Raises ValueError as :func:`helpers.haze.check_image`. Notebook 08.
    """
    image = check_image(image)
    height, width = image.shape[:2]
    across, down = maps.shape[1] / width, maps.shape[0] / height
    guide = resize(mean_colour(image), maps.shape[:2])

    def changed(top):
        strip = image[top:top + rows]
        grey = mean_colour(strip)
        box = (0, top * down, width * across, (top + len(strip)) * down)
        change = np.empty(strip.shape, "float32")
        for c in range(3):
            k, b = (resize(slope, grey.shape, box) * grey + resize(offset, grey.shape, box)
                    for slope, offset in (lines[c], lines[c + 3]))
            change[..., c] = k * strip[..., c] - b
        return slice(top, top + len(strip)), change

    with ThreadPoolExecutor() as threads:  # NumPy and Pillow let the other cores work
        lines = list(threads.map(lambda c: guided_lines(guide, maps[..., c], radius, eps),
                                 range(6)))  # (slope, offset) of each channel of K, then of B
        tops = range(0, height, rows)
        for first in range(0, len(tops), 3):  # no more at a time, for they wait in memory
            yield from threads.map(changed, tops[first:first + 3])


def _starts(length, size, stride):
    """First pixels of tiles of ``size`` that cover ``length`` evenly, at most ``stride`` apart."""
    count = max(1, math.ceil((length - size) / stride) + 1)
    return np.linspace(0, length - size, count).round().astype(int)


def in_tiles(generator, image, stride=128, batch=4):
    """Run a generator over an RGB image in [0, 1] of any size, tile by tile; same shape and range.

    The network sees what it was trained on, squares of 256 pixels, ``batch`` at a time. They
    overlap, ``stride`` pixels apart, and are blended with weights that fall to the rim, so that no
    border shows. Beforehand the image is continued by reflection: a network is at its worst along
    the rim, where its convolutions see padding. Inference mode: no dropout, stored batch
    statistics. Raises ValueError as :func:`helpers.haze.check_image`. Notebook 07.
    """
    image, run = check_image(image), compiled(generator)
    height, width = image.shape[:2]
    size, margin = 256, 32
    extra = [(margin, max(margin, size - n - margin)) for n in (height, width)]
    padded = np.pad(normalise(image), [*extra, (0, 0)], mode="symmetric")
    rim = (np.sin((np.arange(size) + 0.5) / size * np.pi) ** 2 + 1e-3).astype("float32")
    weight = np.multiply.outer(rim, rim)[..., None]
    tops, lefts = (_starts(n, size, stride) for n in padded.shape[:2])
    places = [np.s_[top:top + size, left:left + size] for top in tops for left in lefts]
    total = np.zeros_like(padded)
    for first in range(0, len(places), batch):
        some = places[first:first + batch]
        tiles = run(np.stack([padded[p] for p in some])).numpy() * weight
        for place, tile in zip(some, tiles, strict=True):
            total[place] += tile
    for axis, starts in enumerate((tops, lefts)):  # the weights' sum is a column times a row
        weights = np.zeros(total.shape[axis], "float32")
        for start in starts:
            weights[start:start + size] += rim
        total /= np.expand_dims(weights, (1 - axis, 2))
    return denormalise(total[margin:margin + height, margin:margin + width])


def verdict(discriminator, hazy, image):
    """What a PatchGAN says of the central 256×256 pixels of an RGB image in [0, 1].

    Returns float32 (30, 30): the probability, 0..1, of each patch of being real, given ``hazy``.
    Notebook 07.
    """
    inputs = [normalise(central(check_image(x)))[None] for x in (hazy, image)]
    logits = discriminator(inputs, training=False)[0, ..., 0]
    return keras.ops.convert_to_numpy(keras.ops.sigmoid(logits))
