"""The haze laboratory: haze of one's own making, and what a wrong guess of it costs.

Pure functions that the panels of notebook 01 call: numbers in; picture, line of text and perhaps a
chart out. Images are float32 RGB in [0, 1], shape (height, width, 3); depth and transmission
(height, width).
"""

from functools import cache

import numpy as np
from PIL import ImageDraw

from helpers.haze import dark_channel, remove_haze, transmission
from helpers.images import to_uint8
from helpers.metrics import psnr
from helpers.panels.drawing import (
    BETWEEN,
    GAP,
    Chart,
    beside,
    coloured,
    font,
    resize_to,
    tagged,
    to_image,
)
from helpers.synthesis import make_haze
from helpers.viz import CLEAR, MAP, grid, to_picture

HEIGHT = 372  # of the large picture, in pixels: with two small ones it is as wide as three in a row


def maps_figure(rows, titles, label, top=1.0, width=12.0):
    """Figure of photographs and maps in rows; all maps share one scale, 0 to ``top``, and its bar.

    An image is RGB in [0, 1], or a map (height, width). ``titles`` has one for each picture, row by
    row; ``label`` says what the maps show. Notebook 01.
    """
    figure = grid(rows, width=width)
    maps = [image for axis in figure.axes for image in axis.images if image.get_array().ndim == 2]
    for image in maps:
        image.set_clim(0, top)
    for axis, title in zip(figure.axes, titles, strict=True):
        axis.set_title(title)
    figure.colorbar(maps[0], ax=figure.axes, label=label, fraction=0.03, pad=0.01)
    return figure


class Histogram(Chart):
    """How often each value occurs in an image (areas) and in a clear one (line: the mean of RGB).

    1 on the axis is what each of the ``bins`` (a power of 2) would have if all were equal; what is
    above :data:`TOP` is not shown. Notebook 01.
    """

    TOP = 8

    def __init__(self, width, bins=64):
        super().__init__((width, 170), "how often a value occurs (1: average; line: clear)",
                         "value of R, G or B", (0, 1), (0, self.TOP))
        for colour in ("red", "green", "blue", CLEAR):
            look = {"lw": 1.6} if colour == CLEAR else {"fill": True, "alpha": 0.4}
            self.moving.append(self.axis.stairs(
                np.zeros(bins), np.linspace(0, 1, bins + 1), color=colour, animated=True, **look))

    def of(self, image, clear):
        """The chart of an image and its clear original; see :meth:`Chart.image`."""
        bins = len(self.moving[0].get_data().values)
        channels = [*np.moveaxis(image, -1, 0), clear.mean(axis=-1)]
        for area, values in zip(self.moving, channels, strict=True):
            counts = np.bincount(to_uint8(values).ravel(), minlength=256).reshape(bins, -1)
            area.set_data(np.minimum(counts.sum(axis=1) * bins / values.size, self.TOP))
        return self.image()


histogram = cache(Histogram)  # one for each width


def scaled(values, tag, height):
    """A map in 0..1 in the colours of transmission, ``height`` pixels high, with its scale."""
    picture = to_picture(tagged(resize_to(coloured(values, MAP), 10**4, height), tag))
    draw, x = ImageDraw.Draw(picture, "RGBA"), picture.width - 16
    draw.rectangle((x - 16, 4, picture.width - 3, height - 5), fill=(0, 0, 0, 153))
    scale = np.linspace(1, 0, height - 16)[:, None].repeat(10, axis=1)
    picture.paste(to_picture(coloured(scale, MAP)), (x, 8))
    draw.text((x - 3, 7), "1", "white", font(), "ra")
    draw.text((x - 3, height - 8), "0", "white", font(), "rs")
    return to_image(picture)


def haze_lab(clear, depth, **settings):
    """A photograph in haze; right of it its transmission above its dark channel; its histogram.

    ``settings`` are those of :func:`helpers.synthesis.make_haze`. Returns (picture, line of text,
    chart). Notebook 01.
    """
    hazy, t = make_haze(clear, depth, **settings)
    dark = dark_channel(hazy)
    large = tagged(resize_to(hazy, 10**4, HEIGHT), "hazy")
    above = scaled(t, "transmission", (HEIGHT - GAP) // 2)
    below = scaled(dark, "dark channel", (HEIGHT - GAP) // 2)
    line = np.full((GAP, above.shape[1], 3), BETWEEN, "float32")
    right = np.concatenate([above, line, below])
    picture = np.concatenate([large, np.full((HEIGHT, GAP, 3), BETWEEN, "float32"), right], axis=1)
    text = (f"mean transmission {t.mean():.2f}, mean dark channel {dark.mean():.2f}, "
            f"PSNR against the clear picture {psnr(hazy, clear):.1f} dB")
    return picture, text, histogram(picture.shape[1]).of(hazy, clear)


def wrong_guess(clear, depth, guessed_beta, guessed_airlight, beta=1.0, airlight=0.9, noise=0.0):
    """Haze made with ``beta`` and ``airlight``, and taken off again with guesses of the two.

    The depth is known, which it never is for a photograph; the airlight is grey; ``noise`` as in
    :func:`helpers.synthesis.make_haze`. Scored is the whole picture, and the part of it from which
    a tenth of the light or more arrives. Returns (picture: hazy, inverted, clear; line of text).
    Notebook 01.
    """
    hazy, t = make_haze(clear, depth, beta, airlight, noise=noise)
    back = remove_haze(hazy, transmission(depth, guessed_beta), guessed_airlight)
    seen = t >= min(0.1, t.max())
    before, after = (psnr(image, clear) for image in (hazy, back))
    before_seen, after_seen = (psnr(image[seen], clear[seen]) for image in (hazy, back))
    verdict = "better" if after > before else "worse"
    picture = beside([hazy, back, clear], ["hazy", "inverted with the guess", "clear"])
    return picture, (f"PSNR: hazy {before:.1f} dB, inverted {after:.1f} dB, "
                     f"{abs(after - before):.1f} dB {verdict}; where t ≥ 0.1: hazy "
                     f"{before_seen:.1f} dB, inverted {after_seen:.1f} dB")
