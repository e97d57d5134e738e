"""Figures of one style, contact sheets, and the before/after wipe. Used in every notebook.

Images are float RGB in [0, 1], shape (height, width, 3), unless said otherwise. Importing this
module gives all figures of Matplotlib the style of the course.
"""

import base64
import hashlib
import html
import io

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import HTML, Markdown, display
from PIL import Image, ImageOps

from helpers.data import open_pair
from helpers.images import ImageError, to_pixels, to_uint8

# One colour for one thing, in all figures and panels; colour-blind readers can tell them apart
# (the palette of Okabe and Ito 2008).
HAZY, CLEAR, PRIOR = "#8a97a6", "#009e73", "#cc79a7"
GENERATOR, DISCRIMINATOR = "#0072b2", "#d55e00"
ACCENT = "#e69f00"  # what the eye should find
INK, PALE = "#333333", "#dddddd"  # text and axes; what is still empty
MAP = "magma"  # the colour map of transmission, depth and the like
LOG2 = float(np.log(2))
DPI = 80  # 12 inches are then 960 pixels, the width of a cell's output

# A point is a 72nd of an inch, and a screen shows 96 pixels an inch: at 80 dots, 12 points are
# seen as 10, and nothing may be seen as less than 9.
STYLE = {
    "figure.dpi": DPI, "savefig.dpi": DPI, "figure.facecolor": "white",
    "font.size": 12, "axes.titlesize": 12, "axes.labelsize": 12, "figure.titlesize": 12,
    "xtick.labelsize": 11, "ytick.labelsize": 11, "legend.fontsize": 11,
    **dict.fromkeys(["text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor",
                     "xtick.color", "ytick.color"], INK),
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "lines.linewidth": 1.6, "image.cmap": MAP,
    "axes.prop_cycle": plt.cycler(color=[GENERATOR, DISCRIMINATOR, CLEAR, PRIOR, ACCENT, HAZY]),
}
plt.rcParams.update(STYLE)


def _bundle(figure, alt):
    """A figure with its description, as `display(..., raw=True)` takes it.

    Photographs are stored as JPEG, which keeps a notebook small; drawings as PNG.
    """
    kind = "jpeg" if any(axis.images for axis in figure.axes) else "png"
    quality = {"pil_kwargs": {"quality": 88}} if kind == "jpeg" else {}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DPI, bbox_inches="tight", **quality)
    plt.close(figure)
    kind = f"image/{kind}"
    data = {kind: base64.b64encode(buffer.getvalue()).decode(), "text/plain": alt}
    return data, {kind: {"alt": alt}}


def show(figure, alt, caption="", handle=None):
    """Show a Matplotlib figure in a notebook, with ``alt`` for readers who cannot see it.

    ``caption`` is Markdown and stands below the figure. ``handle`` is what
    ``display(display_id=True)`` returned: the figure then replaces the last one there. Without a
    front end the description is printed instead.
    """
    data, metadata = _bundle(figure, alt)
    if handle:
        handle.update(data, metadata=metadata, raw=True)
    else:
        display(data, metadata=metadata, raw=True)
    if caption:
        display(Markdown(caption))


def grid(rows, titles=None, labels=None, cmap=MAP, width=12.0):
    """Figure of images in rows. An image is RGB, or (height, width) and drawn with ``cmap``.

    ``titles`` stand above the columns, ``labels`` left of the rows; ``width`` is in inches.
    """
    columns = max(len(row) for row in rows)
    aspects = [max(i.shape[0] / i.shape[1] for i in row) for row in rows]
    figure, axes = plt.subplots(
        len(rows), columns, squeeze=False, layout="constrained",
        figsize=(width, width / columns * sum(aspects) + 0.35), height_ratios=aspects,
    )
    for r, row in enumerate(rows):
        for c in range(columns):
            axis = axes[r, c]
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            if c < len(row):
                # A resized white may be a rounding error above 1, which imshow complains about.
                is_rgb = row[c].ndim == 3 and row[c].dtype != np.uint8
                axis.imshow(np.clip(row[c], 0, 1) if is_rgb else row[c], cmap=cmap)
            if titles and r == 0 and c < len(titles):
                axis.set_title(titles[c])
        if labels:
            axes[r, 0].set_ylabel(labels[r])
    return figure


def loss_figure(history, status="", done=None, pictures=None):
    """Figure of a run so far: losses against the log 2 line, validation PSNR, pictures below.

    ``status`` stands above a progress bar, filled to ``done`` in 0..1; ``history`` is a list of
    dictionaries with ``step`` and any of ``discriminator``, ``adversarial``, ``l1``, ``psnr``;
    ``pictures`` is a list of images. Notebook 05.
    """
    figure = plt.figure(figsize=(12, 3.2 + (2.3 if pictures else 0)), layout="constrained")
    top, *bottom = figure.subfigures(2, 1, height_ratios=[3.2, 2.3]) if pictures else [figure]
    axes = top.subplots(1, 3)
    for axis, title in zip(axes, ("adversarial losses", "L1 loss", "validation PSNR in dB"),
                           strict=True):
        axis.set(title=title, xlabel="step")
    for axis, name, label, colour in (
        (axes[0], "discriminator", "discriminator", DISCRIMINATOR),
        (axes[0], "adversarial", "generator", GENERATOR),
        (axes[1], "l1", "L1", GENERATOR), (axes[2], "psnr", "PSNR", GENERATOR),
    ):
        points = [(h["step"], h[name]) for h in history if h.get(name) is not None]
        if points:
            axis.plot(*zip(*points, strict=True), label=label, color=colour)
    if axes[0].lines:
        axes[0].axhline(LOG2, color=INK, ls=":", lw=1, label="log 2")
        axes[0].legend()
    else:
        axes[0].set_title("no adversary")
        axes[0].set_axis_off()
    top.suptitle(status + ("\n" if done is not None else ""))
    if done is not None:
        for part, colour in ((1, PALE), (done, GENERATOR)):
            figure.add_artist(plt.Rectangle((0.3, 0.93), 0.4 * part, 0.015, color=colour))
    if pictures:
        for axis, picture in zip(bottom[0].subplots(1, len(pictures), squeeze=False)[0], pictures,
                                 strict=True):
            axis.imshow(picture)
            axis.axis("off")
    return figure


def training_figure():
    """A callback for :func:`helpers.training.fit`: :func:`loss_figure`, replaced in place.

    It takes a :class:`helpers.runs.Report`. Without a notebook's front end it prints a line each
    time. Notebook 05.
    """
    if get_ipython() is None:
        return lambda report: print(report.status, flush=True)
    handle = display(display_id=True)

    def callback(report):
        figure = loss_figure(report.history, report.status, report.done, report.pictures)
        show(figure, report.status, handle=handle)

    return callback


def to_picture(image):
    """A Pillow picture of an image in [0, 1], (height, width, 3), clipped."""
    return Image.fromarray(to_uint8(image))


def to_bytes(image, kind="JPEG"):
    """Encode an image as JPEG or PNG bytes."""
    buffer = io.BytesIO()
    to_picture(image).save(buffer, kind, quality=92)
    return buffer.getvalue()


def wipe(before, after, labels=("hazy", "dehazed"), alt="", width=720):
    """Two images of one size, one over the other, with an edge to drag: an HTML object.

    Needs no kernel, no network access and no library: mouse, touch and arrow keys move an
    ``<input type="range">``. Where scripts do not run, it stays a picture divided in the middle.
    The same pixels give the same HTML. ``width`` is the largest width in CSS pixels. Raises
    ValueError for two images of different sizes.
    """
    if before.shape != after.shape:
        raise ValueError(f"a wipe needs two images of one size, not {before.shape} and "
                         f"{after.shape}.")
    left, right = (html.escape(str(label), quote=True) for label in labels)
    first, second = to_bytes(before), to_bytes(after)
    name = "wipe-" + hashlib.sha256(first + second).hexdigest()[:12]
    sources = [f"data:image/jpeg;base64,{base64.b64encode(x).decode()}" for x in (first, second)]
    alt = html.escape(alt, quote=True) or f"{left} on the left of the edge, {right} on the right"
    cover = "position:absolute;left:0;top:0;width:100%;height:100%;margin:0"
    tag = "position:absolute;bottom:8px;padding:2px 8px;border-radius:4px;font:13px sans-serif;"
    tag += "color:#fff;background:rgba(0,0,0,.6);pointer-events:none"
    move = (
        "var p=this.parentNode,v=this.value;p.children[1].style.clipPath='inset(0 0 0 '+v+'%)';"
        "p.children[2].style.left=v+'%'"
    )
    return HTML(
        f'<div id="{name}" style="position:relative;max-width:{width}px;line-height:0;'
        f'user-select:none"><img src="{sources[0]}" alt="{alt}" style="width:100%;display:block">'
        f'<img src="{sources[1]}" alt="" style="{cover};clip-path:inset(0 0 0 50%)">'
        '<div style="position:absolute;top:0;bottom:0;left:50%;width:2px;margin-left:-1px;'
        'background:#fff;box-shadow:0 0 3px #000;pointer-events:none"></div>'
        f'<span style="{tag};line-height:1.4;left:8px">{left}</span>'
        f'<span style="{tag};line-height:1.4;right:8px">{right}</span>'
        # JupyterLab would take the arrow keys for itself but for the attribute data-lm-….
        '<input type="range" data-lm-suppress-shortcuts="true" min="0" max="100" value="50" '
        f'step="0.5" aria-label="edge between {left} and {right}, in percent from the left" '
        f'oninput="{move}" style="{cover};opacity:0;cursor:ew-resize;touch-action:pan-y">'
        "</div>"
    )


def evenly(items, count):
    """At most ``count`` of the items, evenly over the list."""
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[round(place)] for place in places]


def contact_sheet(pairs, count=8, width=240):
    """Up to ``count`` pairs, evenly chosen: RGB in [0, 1], hazy above clear, four in a row.

    Pairs that cannot be read are left out; if none is left, the last one's
    :class:`helpers.images.ImageError` is raised. Notebook 02.
    """
    cell = (width, width * 3 // 4)
    within = (2 * width, 2 * width)
    columns, problem = [], ImageError("no pairs to draw.")
    for pair in evenly(pairs, count):
        try:
            images = [Image.fromarray(to_pixels(x)) for x in open_pair(pair, within)]
        except ImageError as error:
            problem = error
            continue
        cells = [ImageOps.pad(image, cell, color="white") for image in images]
        column = np.pad(np.concatenate(cells), [(0, 8), (0, 8), (0, 0)], constant_values=255)
        columns.append(column.astype("float32") / 255)
    if not columns:
        raise problem
    across = min(4, len(columns))
    columns += [np.ones_like(columns[0])] * (-len(columns) % across)
    return np.concatenate([np.concatenate(columns[n:n + across], axis=1)
                           for n in range(0, len(columns), across)])
