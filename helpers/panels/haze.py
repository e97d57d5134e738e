"""The haze laboratory: haze of one's own making, and what a wrong guess of it costs.

Pure functions that the panels of notebook 01 call: numbers in, (picture, line of text) out. Images
are float32 RGB in [0, 1], shape (height, width, 3); depth and transmission (height, width).
"""

import numpy as np

from helpers.haze import dark_channel, remove_haze, transmission
from helpers.metrics import psnr
from helpers.synthesis import make_haze
from helpers.viz import INK, strip

FULL_SCALE = 8  # the top of a histogram, as a multiple of the mean count


def histogram(image, clear, bins=64):
    """Draw how often each value occurs, left 0 and right 1: RGB in [0, 1], of the images' shape.

    Areas in red, green and blue are the channels of ``image``, the line is the mean of the three
    in ``clear``. The top is :data:`FULL_SCALE` times the count that each bin would have if all
    were equal; higher peaks are cut there. Notebook 01.
    """
    height, width = image.shape[:2]
    drawing = np.ones((height, width, 3), "float32")
    up = np.arange(height)[::-1, None]  # rows, counted from the bottom
    across = (np.arange(width) + 0.5) / width  # the value that each column stands for

    def tops(values):
        counts = np.bincount(np.minimum((values * bins).astype(int), bins - 1).ravel(),
                             minlength=bins)
        part = np.minimum(counts * bins / values.size / FULL_SCALE, 1)
        return part * (height - 1)

    for channel in range(3):
        tint = np.where(np.arange(3) == channel, 1, 0.55)
        bars = tops(image[..., channel])[(across * bins).astype(int)]
        drawing[up < bars] *= tint.astype("float32")
    curve = np.interp(across, (np.arange(bins) + 0.5) / bins, tops(clear.mean(axis=-1)))
    steep = np.abs(np.gradient(curve)) / 2
    drawing[np.abs(up - curve) <= 1 + steep] = [int(INK[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    return drawing


def haze_lab(clear, depth, **settings):
    """A photograph in haze beside its transmission, its dark channel and its histogram.

    ``settings`` are those of :func:`make_haze`. Returns (picture, line of text). Notebook 01.
    """
    hazy, t = make_haze(clear, depth, **settings)
    dark = dark_channel(hazy)
    parts = [(hazy, "hazy"), (t, "transmission"), (dark, "dark channel"),
             (histogram(hazy, clear), "histogram of R, G, B (line: clear)")]
    columns = 2 if clear.shape[1] >= clear.shape[0] else 4
    rows = [parts[i:i + columns] for i in range(0, 4, columns)]
    picture = np.concatenate([strip(*zip(*row, strict=True)) for row in rows])
    return picture, (f"mean transmission {t.mean():.2f}, mean dark channel {dark.mean():.2f}, "
                     f"PSNR against the clear picture {psnr(hazy, clear):.1f} dB")


def wrong_guess(clear, depth, guessed_beta, guessed_airlight, beta=1.0, airlight=0.9, noise=0.0):
    """Haze made with ``beta`` and ``airlight``, and taken off again with guesses of the two.

    The depth is known, which it never is for a photograph; the airlight is grey; ``noise`` as in
    :func:`make_haze`. Scored is where a tenth of the light or more arrives: the rest is lost, guess
    or no guess. Returns (picture: hazy, inverted, clear; line of text). Notebook 01.
    """
    hazy, t = make_haze(clear, depth, beta, airlight, noise=noise)
    back = remove_haze(hazy, transmission(depth, guessed_beta), guessed_airlight)
    seen = t >= min(0.1, t.max())
    before, after = (psnr(image[seen], clear[seen]) for image in (hazy, back))
    verdict = "better" if after > before else "worse"
    return strip([hazy, back, clear], ["hazy", "inverted with the guess", "clear"]), (
        f"PSNR of the hazy picture {before:.1f} dB, inverted {after:.1f} dB: "
        f"{abs(after - before):.1f} dB {verdict}")
