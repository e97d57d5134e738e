"""Drawing for the panels: fitted, cut, tinted and labelled pictures, charts with a cursor, numbers.

Images are float32 RGB in [0, 1], shape (height, width, 3). Matplotlib draws a chart once; while a
slider moves, only arrays are changed. Used in notebook 04.
"""

import html
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from helpers.viz import INK, to_picture

ERROR_MAP, VERDICT_MAP = "inferno", "RdBu"
DPI = 100


@cache
def font(size=13):
    """The typeface of the charts, which has Greek letters, ``size`` pixels high."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / "DejaVuSans.ttf", size)


@cache
def colour_table(name):
    """A Matplotlib colour map as float32 (256, 3)."""
    return matplotlib.colormaps[name](np.arange(256))[:, :3].astype("float32")


def coloured(values, name):
    """Numbers in 0..1 (clipped), any shape, as colours of a map: float32 (..., 3)."""
    return colour_table(name)[np.round(np.clip(values, 0, 1) * 255).astype(int)]


def to_image(picture):
    """An image of a Pillow picture in RGB."""
    return np.asarray(picture, "float32") / 255


def fit(image, width, height):
    """Enlarge or shrink an image to the largest size within ``width`` × ``height`` pixels."""
    scale = min(width / image.shape[1], height / image.shape[0])
    size = tuple(max(1, round(n * scale)) for n in image.shape[1::-1])
    if size == image.shape[1::-1]:
        return np.asarray(image, "float32")
    return to_image(to_picture(image).resize(size, Image.Resampling.BICUBIC))


def error_map(image, truth):
    """Mean absolute error of the three channels at every pixel: (height, width) in 0..1."""
    return np.abs(np.asarray(image, "float32") - truth).mean(axis=-1)


def tint(image, colours, opacity):
    """An image under ``colours``, an image or a colour; ``opacity`` 0..1 is a number or a map."""
    opacity = np.asarray(opacity, "float32")
    opacity = opacity[..., None] if opacity.ndim else opacity
    return (image + opacity * (colours - image)).astype("float32")


def cut(left, right, edge):
    """``left`` up to ``edge``, a part of the width in 0..1, then a white line, then ``right``."""
    x = round(edge * left.shape[1])
    out = np.concatenate([left[:, :x], right[:, x:]], axis=1)
    if 0 < edge < 1:
        out[:, max(0, x - 1):x + 1] = 1
    return out


def tagged(image, left="", right="", size=13):
    """An image with labels in its lower corners, white on dark as those of the wipe."""
    picture = to_picture(image)
    draw = ImageDraw.Draw(picture, "RGBA")
    for text, anchor in ((left, "ls"), (right, "rs")):
        x = 14 if anchor == "ls" else picture.width - 14
        at = (x, picture.height - 14)
        if text:
            x0, y0, x1, y1 = draw.textbbox(at, text, font(size), anchor)
            draw.rounded_rectangle((x0 - 7, y0 - 5, x1 + 7, y1 + 5), 4, fill=(0, 0, 0, 153))
            draw.text(at, text, "white", font(size), anchor)
    return to_image(picture)


def paste(canvas, image, left, top, width=None, height=None):
    """Put an image on a canvas, in the middle of a box if one is given; changes the canvas."""
    top += ((height or image.shape[0]) - image.shape[0]) // 2
    left += ((width or image.shape[1]) - image.shape[1]) // 2
    canvas[top:top + image.shape[0], left:left + image.shape[1]] = image


class Chart:
    """Curves drawn once, over which :meth:`at` moves a cursor.

    ``curves`` lists (label, x values, y values, colour), ``size`` is (width, height) in pixels,
    ``y`` the limits of the axis; what is infinite or beyond is cut off there. ``shade`` is (from,
    to, label), ``line`` (y, label): a range of x and a level to compare with.
    """

    def __init__(self, curves, size, title, xlabel, y=None, shade=None, line=None):
        width, height = size
        figure = Figure((width / DPI, height / DPI), dpi=DPI, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        axis = figure.add_axes((44 / width, 44 / height, 1 - 66 / width, 1 - 68 / height))
        if shade:
            axis.axvspan(*shade[:2], color="#1f77b4", alpha=0.13, lw=0, label=shade[2])
        xs = np.concatenate([np.asarray(x, float) for _, x, _, _ in curves])
        ys = np.concatenate([np.asarray(v, float) for *_, v, _ in curves])
        ys = ys[np.isfinite(ys)]
        low, high = y or (min(ys), max(ys) + 0.6 * np.ptp(ys))  # room for the legend
        for label, x, values, colour in curves:
            axis.plot(x, np.clip(values, low, 2 * high), color=colour, lw=1.6, label=label)
        if line:
            axis.axhline(line[0], color=INK, ls=":", lw=1, label=line[1])
        axis.set(xlim=(xs.min(), xs.max()), ylim=(low, high))
        axis.set_title(title, fontsize=9.5, color=INK, loc="left")
        axis.set_xlabel(xlabel, fontsize=9.5, color=INK)
        axis.tick_params(labelsize=9.5, colors=INK)
        axis.spines[["top", "right"]].set_visible(False)
        if len(curves) > 1 or line:
            axis.legend(fontsize=9.5, loc="upper right", ncols=2, frameon=False,
                        columnspacing=1, handlelength=1.4, borderpad=0)
        canvas.draw()
        self.image = np.asarray(canvas.buffer_rgba())[..., :3].astype("float32") / 255
        self.limits, self._to_pixels = (low, high), axis.transData
        box = axis.get_window_extent()
        self._rows = slice(round(height - box.y1), round(height - box.y0))

    def pixel(self, x, y):
        """(column, row) of a point in the chart's image; outside values lie on the rim."""
        column, row = self._to_pixels.transform((x, np.clip(y, *self.limits)))
        return round(column), self.image.shape[0] - 1 - round(row)

    def at(self, x, dots=()):
        """The chart's image with a vertical cursor at ``x`` and ``dots``, a list of (y, colour)."""
        image = self.image.copy()
        column, _ = self.pixel(x, self.limits[0])
        image[self._rows, max(0, column - 1):column + 1] = to_rgb("#555555")
        rows, columns = np.ogrid[:image.shape[0], :image.shape[1]]
        for y, colour in dots:
            _, row = self.pixel(x, y)
            image[(rows - row) ** 2 + (columns - column) ** 2 <= 25] = to_rgb(colour)
        return image


def numbers(rows, head=(), notes=()):
    """HTML of numbers beside a picture: a table and, below it, sentences.

    ``rows`` and ``head`` are tuples of text, the first its row's label. Everything is escaped.
    Colours and typeface are JupyterLab's, in its dark theme too.
    """
    cell = "padding:1px 0 1px 10px;text-align:right;font-weight:normal;white-space:nowrap"
    first = "padding:1px 0;text-align:left;font-weight:normal"

    def line(texts, tag):
        cells = (f"<{tag} style='{first if i == 0 else cell}'>{html.escape(str(text))}</{tag}>"
                 for i, text in enumerate(texts))
        return f"<tr>{''.join(cells)}</tr>"

    body = (line(head, "th") if head else "") + "".join(line(row, "td") for row in rows)
    table = ("<table style='border-collapse:collapse;width:100%;margin:0;font:inherit;"
             f"font-variant-numeric:tabular-nums'>{body}</table>")
    return table + "".join(
        f"<p style='margin:8px 0 0'>{html.escape(str(note))}</p>" for note in notes if note
    )
