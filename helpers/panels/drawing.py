"""Pictures for the panels: resized, wiped, tinted, tagged and in a row; charts; numbers.

Images are float32 RGB in [0, 1], shape (height, width, 3). Used by all panels.
"""

import html
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from helpers.viz import DPI, INK, to_picture

ERROR_MAP, VERDICT_MAP = "inferno", "RdBu"
GAP, BETWEEN = 4, 0.5  # pixels between pictures, and their grey, which is quiet in both themes
WIDE = 840  # pixels: the width of a cell's output in a window of 1280


@cache
def font(size=13):
    """The typeface of the charts, which has Greek letters, ``size`` pixels high."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(folder / "DejaVuSans.ttf", size)


def coloured(values, name):
    """Numbers in 0..1 (clipped), any shape, as colours of a Matplotlib map: float32 (..., 3)."""
    return matplotlib.colormaps[name](np.clip(values, 0, 1))[..., :3].astype("float32")


def to_image(picture):
    """An image of a Pillow picture in RGB."""
    return np.asarray(picture, "float32") / 255


def resize_to(image, width, height):
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
    """An image under ``colours``, an image or a colour; ``opacity`` is a number in 0..1."""
    return (image + opacity * (colours - image)).astype("float32")


def wiped(left, right, edge):
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


def beside(images, tags, width=WIDE):
    """One image of several beside each other, all equally high, each with its tag.

    The whole is ``width`` pixels wide; if that is ``None``, it is as high as the first image.
    """
    height = images[0].shape[0]
    if width:
        aspects = sum(image.shape[1] / image.shape[0] for image in images)
        height = max(1, round((width - GAP * (len(images) - 1)) / aspects))
    parts = []
    for image, tag in zip(images, tags, strict=True):
        across = max(1, round(image.shape[1] * height / image.shape[0]))
        if width and len(parts) == 2 * len(images) - 2:  # the last one takes what rounding left
            across = width - sum(part.shape[1] for part in parts)
        picture = to_picture(image).resize((across, height), Image.Resampling.BICUBIC)
        parts += [tagged(to_image(picture), tag), np.full((height, GAP, 3), BETWEEN, "float32")]
    return np.concatenate(parts[:-1], axis=1)


class Chart:
    """Axes that Matplotlib draws once; over them, what moves is drawn anew at each change.

    ``size`` is (width, height) in pixels, ``across`` and ``up`` are the axes' limits. What a
    subclass or caller adds to :attr:`axis` with ``animated=True`` and lists in :attr:`moving` is
    drawn at each :meth:`image`, all else once (Matplotlib calls this blitting).
    """

    def __init__(self, size, title, xlabel, across, up):
        figure = Figure(np.divide(size, DPI), dpi=DPI, facecolor="none", layout="constrained")
        self.canvas = FigureCanvasAgg(figure)
        self.axis = figure.add_subplot(facecolor="none", xlim=across, ylim=up, xlabel=xlabel)
        self.axis.set_title(title, loc="left")
        self.moving, self._still = [], None

    def image(self):
        """The chart: uint8 (height, width, 4), its background transparent."""
        if self._still is None:
            self.canvas.draw()
            self._still = self.canvas.copy_from_bbox(self.canvas.figure.bbox)
        self.canvas.restore_region(self._still)
        for artist in self.moving:
            self.axis.draw_artist(artist)
        return np.array(self.canvas.buffer_rgba())


class Curves(Chart):
    """Curves, over which :meth:`at` moves a cursor and a dot on each curve.

    ``curves`` lists (label, x values, y values, colour), ``up`` gives the limits of the axis; what
    is infinite or beyond lies on its rim. ``shade`` is (from, to, label), ``line`` (y, label): a
    range of x and a level to compare with.
    """

    def __init__(self, curves, size, title, xlabel, up=None, shade=None, line=None):
        every_x = np.concatenate([np.asarray(x, float) for _, x, _, _ in curves])
        every_y = np.concatenate([np.asarray(y, float) for _, _, y, _ in curves])
        every_y = every_y[np.isfinite(every_y)]
        low, high = up or (min(every_y), max(every_y) + 0.6 * np.ptp(every_y))  # for the legend
        super().__init__(size, title, xlabel, (every_x.min(), every_x.max()), (low, high))
        self.limits = low, high
        if shade:
            self.axis.axvspan(*shade[:2], color=curves[-1][-1], alpha=0.15, lw=0, label=shade[2])
        for label, x, y, colour in curves:
            self.axis.plot(x, np.clip(y, low, 2 * high), color=colour, label=label)
        if line:
            self.axis.axhline(line[0], color=INK, ls=":", lw=1, label=line[1])
        if len(curves) > 1 or line:
            self.axis.legend(loc="upper right", ncols=2, columnspacing=1, handlelength=1.4,
                             borderpad=0, borderaxespad=0)
        self.cursor = self.axis.axvline(low, color=INK, lw=1.2, animated=True, clip_on=False)
        self.dots = [self.axis.plot([], [], "o", ms=7, color=colour, animated=True,
                                    clip_on=False)[0] for *_, colour in curves]
        self.moving = [self.cursor, *self.dots]

    def at(self, x, values):
        """The chart (see :meth:`Chart.image`) with the cursor at ``x``, a dot at each value."""
        self.cursor.set_xdata([x, x])
        for dot, y in zip(self.dots, np.clip(values, *self.limits), strict=True):
            dot.set_data([x], [y])
        return self.image()


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
