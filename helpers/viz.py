"""Figures, strips of images, and the before/after wipe. Used in every notebook.

Images are float RGB in [0, 1], shape (height, width, 3), unless said otherwise.
"""

import base64
import hashlib
import html
import io

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import HTML, display
from PIL import Image, ImageDraw, ImageFont

from helpers.data import open_pair
from helpers.images import ImageError, to_uint8

LOG2 = float(np.log(2))
INK, HAZE, NETWORK, ACCENT = "#333333", "#8a97a6", "#1f77b4", "#d95f02"


def _bundle(figure, alt):
    """A figure with its description, as `display(..., raw=True)` takes it.

    Photographs are stored as JPEG, which keeps a notebook small; drawings as PNG.
    """
    kind = "jpeg" if any(axis.images for axis in figure.axes) else "png"
    quality = {"pil_kwargs": {"quality": 88}} if kind == "jpeg" else {}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=80, bbox_inches="tight", facecolor="white", **quality)
    plt.close(figure)
    kind = f"image/{kind}"
    data = {kind: base64.b64encode(buffer.getvalue()).decode(), "text/plain": alt}
    return data, {kind: {"alt": alt}}


def show(figure, alt, handle=None):
    """Show a Matplotlib figure in a notebook, with ``alt`` for readers who cannot see it.

    ``handle`` is what ``display(display_id=True)`` returned: the figure then replaces the last one
    there. Without a front end the description is printed instead.
    """
    data, metadata = _bundle(figure, alt)
    if handle:
        handle.update(data, metadata=metadata, raw=True)
    else:
        display(data, metadata=metadata, raw=True)


def grid(rows, titles=None, labels=None, cmap="magma", width=12.0):
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
                axis.imshow(np.clip(row[c], 0, 1) if row[c].ndim == 3 else row[c], cmap=cmap)
            if titles and r == 0 and c < len(titles):
                axis.set_title(titles[c], fontsize=11, color=INK)
        if labels:
            axes[r, 0].set_ylabel(labels[r], fontsize=11, color=INK)
    return figure


def loss_figure(history, status="", done=None, pictures=None):
    """Figure of a run so far: losses against the log 2 line, validation PSNR, pictures below.

    ``status`` stands above a progress bar, filled to ``done`` in 0..1; ``history`` is a list of
    dictionaries with ``step`` and any of ``discriminator``, ``adversarial``, ``l1``, ``psnr``;
    ``pictures`` is a list of images. Notebook 03.
    """
    figure = plt.figure(figsize=(12, 3.2 + (2.3 if pictures else 0)), layout="constrained")
    top, *bottom = figure.subfigures(2, 1, height_ratios=[3.2, 2.3]) if pictures else [figure]
    axes = top.subplots(1, 3)
    for axis, names, title in zip(
        axes, (("discriminator", "adversarial"), ("l1",), ("psnr",)),
        ("adversarial losses", "L1 loss", "validation PSNR in dB"), strict=True,
    ):
        for name in names:
            points = [(h["step"], h[name]) for h in history if h.get(name) is not None]
            if points:
                axis.plot(*zip(*points, strict=True), label=name, lw=1.5)
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("step")
        axis.spines[["top", "right"]].set_visible(False)
    if not axes[0].lines:
        axes[0].set_title("no adversary", fontsize=11)
        axes[0].set_axis_off()
    else:
        axes[0].axhline(LOG2, color=INK, ls=":", lw=1, label="log 2")
        axes[0].legend(fontsize=9)
    top.suptitle(status + ("\n" if done is not None else ""), fontsize=11, color=INK)
    if done is not None:
        for part, colour in ((1, "#dddddd"), (done, NETWORK)):
            figure.add_artist(plt.Rectangle((0.3, 0.93), 0.4 * part, 0.015, color=colour))
    if pictures:
        below = bottom[0].subplots(1, len(pictures), squeeze=False)[0]
        for axis, picture in zip(below, pictures, strict=True):
            axis.imshow(picture)
            axis.axis("off")
    return figure


def training_panel():
    """A ``panel`` for :func:`helpers.trainer.watch`: :func:`loss_figure`, replaced in place.

    Without a notebook's front end it prints a line each time. Notebook 03.
    """
    if get_ipython() is None:
        return lambda _history, status, _done, _pictures: print(status, flush=True)
    handle = display(display_id=True)

    def panel(history, status, done, pictures):
        show(loss_figure(history, status, done, pictures), status, handle)

    return panel


def to_picture(image):
    """A Pillow picture of an image in [0, 1], (height, width, 3), clipped."""
    return Image.fromarray(np.round(np.clip(image, 0, 1) * 255).astype("uint8"))


def to_bytes(image, kind="JPEG"):
    """Encode an image as JPEG or PNG bytes."""
    buffer = io.BytesIO()
    to_picture(image).save(buffer, kind, quality=92)
    return buffer.getvalue()


def strip(images, titles, gap=8):
    """One image of several beside each other under their titles, on white.

    Maps of shape (height, width) in 0..1 are drawn in grey. All get the first one's height.
    """
    height = images[0].shape[0]
    parts = []
    for image in images:
        image = np.repeat(image[..., None], 3, -1) if image.ndim == 2 else image
        part = to_picture(image)
        parts.append(part.resize((round(part.width * height / part.height), height)))
    head = 26
    width = sum(p.width for p in parts) + gap * (len(parts) - 1)
    canvas = Image.new("RGB", (width, height + head), "white")
    draw, x = ImageDraw.Draw(canvas), 0
    for part, title in zip(parts, titles, strict=True):
        canvas.paste(part, (x, head))
        draw.text((x + 2, 4), title, fill=INK, font=ImageFont.load_default(15))
        x += part.width + gap
    return np.asarray(canvas, "float32") / 255


def wipe(before, after, labels=("hazy", "dehazed"), alt="", width=720):
    """Two images of one size, one over the other, with an edge to drag: an HTML object.

    Needs no kernel, no network access and no library: mouse, touch and arrow keys move an
    ``<input type="range">``. Where scripts do not run, it stays a picture cut in the middle. The
    same pixels give the same HTML. ``width`` is the largest width in CSS pixels.
    """
    if before.shape != after.shape:
        raise ValueError(f"two images of one size, please, not {before.shape} and {after.shape}.")
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

    Unusable ones are left out; without any other, :class:`helpers.images.ImageError` is raised.
    """
    cell = (width, width * 3 // 4)
    rows, problem = [], "no pairs to draw."
    for pair in evenly(pairs, count):
        try:
            images = [to_uint8(x) for x in open_pair(pair, frame=(2 * width, 2 * width))]
        except ImageError as error:
            problem = str(error)
            continue
        column = Image.new("RGB", (width, 2 * cell[1] + 2), "white")
        for n, image in enumerate(map(Image.fromarray, images)):
            image.thumbnail(cell)
            left, top = (cell[0] - image.width) // 2, (cell[1] - image.height) // 2
            column.paste(image, (left, top + n * (cell[1] + 2)))
        rows.append(np.pad(np.asarray(column, "float32") / 255, [(0, 8), (0, 8), (0, 0)],
                           constant_values=1))
    if not rows:
        raise ImageError(problem)
    step = min(4, len(rows))
    rows += [np.ones_like(rows[0])] * (-len(rows) % step)
    return np.concatenate([np.concatenate(rows[n:n + step], axis=1)
                           for n in range(0, len(rows), step)])
