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
from IPython.display import HTML, display
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image, ImageOps

from helpers.data import open_pair
from helpers.images import ImageError, to_pixels, to_uint8

# One colour for one thing, in all figures and panels; colour-blind readers can tell them apart
# (the palette of Okabe and Ito 2008).
HAZY, CLEAR, PRIOR = "#8a97a6", "#56b4e9", "#cc79a7"
GENERATOR, DISCRIMINATOR = "#00796b", "#d55e00"
ACCENT = "#e69f00"  # what the eye should find
INK, PALE = "#333333", "#dddddd"  # text and axes; what is still empty
MAP = "magma"  # the colour map of transmission, depth and the like
LOG2 = float(np.log(2))
SQUARED, L1 = "#7570b3", "#b0820f"  # what these two losses paint
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
    quality = {"pil_kwargs": {"quality": 80}} if kind == "jpeg" else {}
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
        display({"text/markdown": caption, "text/plain": caption}, raw=True)


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


def zoom(images, titles, box, width=12.0):
    """Figure of images of one shape in a row, and below each the part in ``box``, enlarged.

    ``box`` is (left, top, width, height) in pixels; a frame shows where it lies.
    """
    left, top, wide, high = box
    aspects = images[0].shape[0] / images[0].shape[1], high / wide
    figure, axes = plt.subplots(
        2, len(images), squeeze=False, layout="constrained",
        figsize=(width, width / len(images) * sum(aspects) + 0.35), height_ratios=aspects,
    )
    for whole, crop, image, title in zip(*axes, images, titles, strict=True):
        image = np.clip(image, 0, 1)
        whole.imshow(image)
        whole.add_patch(plt.Rectangle((left - 0.5, top - 0.5), wide, high, fill=False,
                                      edgecolor=ACCENT, lw=2))
        whole.set_title(title)
        crop.imshow(image[top:top + high, left:left + wide], interpolation="bicubic")
        for axis in (whole, crop):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(axis is crop)
            axis.spines[:].set(edgecolor=ACCENT, linewidth=2)
    return figure


def loss_figure(history, status="", done=None, pictures=None):
    """Figure of a run so far: losses against the log 2 line, validation PSNR, pictures below.

    ``status`` stands above a progress bar, filled to ``done`` in 0..1; ``history`` is a list of
    dictionaries with ``step`` and any of ``discriminator``, ``adversarial``, ``l1``, ``psnr``;
    ``pictures`` are images (input, output, truth), shown with these titles. Notebook 05.
    """
    figure = plt.figure(figsize=(12, 3.2 + (3.2 if pictures else 0)), layout="constrained")
    top, *bottom = figure.subfigures(2, 1) if pictures else [figure]
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
        for axis, picture, title in zip(bottom[0].subplots(1, 3), pictures,
                                        ("input", "output", "truth"), strict=True):
            axis.imshow(picture)
            axis.set_title(title)
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
        figure = loss_figure(report.history, report.status, report.done, *report.pictures[:1])
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
        scale = min(cell[0] / images[0].width, cell[1] / images[0].height)
        size = [max(1, round(side * scale)) for side in images[0].size]
        cells = [ImageOps.pad(x.resize(size), cell, color="white") for x in images]
        column = np.pad(np.concatenate(cells), [(0, 8), (0, 8), (0, 0)], constant_values=255)
        columns.append(column.astype("float32") / 255)
    if not columns:
        raise problem
    across = min(4, len(columns))
    columns += [np.ones_like(columns[0])] * (-len(columns) % across)
    return np.concatenate([np.concatenate(columns[n:n + across], axis=1)
                           for n in range(0, len(columns), across)])


COURSE = (  # number, name, question: DESIGN of the series
    ("00", "Quickstart", "What can it do with\nmy photograph?"),
    ("01", "Haze", "What is haze, and how far\ndoes a rule get?"),
    ("02", "Data loading", "How do pairs on disk\nbecome batches?"),
    ("03", "Why an adversary", "What does a GAN do\nthat a loss cannot?"),
    ("04", "U-Net and PatchGAN", "What are the two\nnetworks made of?"),
    ("05", "Training loop", "How do they learn\nfrom each other?"),
    ("06", "What breaks if", "What is each part for?\nTake it away and look."),
    ("07", "Interactive evaluation", "How good is it?"),
    ("08", "Beyond pix2pix", "What clears real haze?"),
    ("09", "Your data and shipping", "My data, larger machines,\nout of the notebook?"),
)


def course_map(here):
    """Figure of the ten notebooks and their questions, the one numbered ``here`` ("03") marked."""
    figure = plt.figure(figsize=(12, 2.5))
    axis = board(figure, 12, 2.5)
    for i, (number, name, question) in enumerate(COURSE):
        left, bottom = 0.05 + 2.4 * (i % 5), 1.3 - 1.25 * (i // 5)
        marked = number == here
        box(axis, left + 1.1, bottom + 0.54, 2.22, 1.08, "",
             INK if marked else "#c4ccd4", fill=GENERATOR if marked else "#f4f6f8")
        ink = "white" if marked else INK
        axis.text(left + 0.1, bottom + 0.91, number, weight="bold", fontsize=11,
                  color="white" if marked else HAZY, va="center")
        axis.text(left + 0.1, bottom + 0.69, name, fontsize=11, weight="bold", color=ink,
                  va="center")
        axis.text(left + 0.1, bottom + 0.3, question, fontsize=11, color=ink, va="center",
                  linespacing=1.2)
        if i % 5 < 4:
            arrow(axis, (left + 2.22, bottom + 0.54), (left + 2.4, bottom + 0.54), HAZY)
    return figure


def board(figure, width, height):
    """An axis without frame over the whole figure, one unit an inch."""
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(0, width), ylim=(0, height))
    axis.axis("off")
    return axis


def box(axis, x, y, width, height, text, colour, fill="white", held=False, ink=INK):
    """A box with text in it, (x, y) its centre; dashed and pale if what it holds is held fixed."""
    axis.add_patch(FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.08",
        ec=colour, fc=fill, lw=1.8, ls=(0, (4, 3)) if held else "-", zorder=2,
    ))
    axis.text(x, y, text, ha="center", va="center", fontsize=11, color=ink, zorder=3,
              linespacing=1.3)


def arrow(axis, start, end, colour=INK, dashed=False):
    axis.add_patch(FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=13, color=colour, lw=2.2 if dashed else 1.4,
        ls=(0, (2, 1.5)) if dashed else "-", shrinkA=0, shrinkB=0, zorder=4 if dashed else 1,
    ))


def _path(axis, points, colour=INK, dashed=False):
    """A line through ``points`` that ends in an arrow head."""
    xs, ys = zip(*points, strict=True)
    axis.plot(xs[:-1], ys[:-1], color=colour, lw=2.2 if dashed else 1.4,
              ls=(0, (2, 1.5)) if dashed else "-", zorder=4 if dashed else 1,
              solid_capstyle="butt")
    arrow(axis, points[-2], points[-1], colour, dashed)


def step_diagram(network, names=("x", "y", "fake"), l1=False):
    """Figure of one step's data flow: who sees what, where the gradient goes, what is held fixed.

    ``network`` is the one that learns, "discriminator" or "generator"; ``names`` are those of the
    input, the true answer and the generated one, such as ("hazy", "clear", "fake"). ``l1`` adds
    the L1 loss to the generator's step. Notebooks 03 and 05.
    """
    given, real, fake = names
    learns_d = network == "discriminator"
    if not learns_d and network != "generator":
        raise ValueError(f"network is 'discriminator' or 'generator', not {network!r}.")
    height = 3.5 if learns_d else 3.7 if l1 else 2.45
    high, middle, low = height - 0.95, height - 1.95, height - 2.95  # the three rows
    figure = plt.figure(figsize=(12, height))
    axis = board(figure, 12, height)
    pale_g, pale_d = "#e3f1ee", "#fcebdd"

    def learner(x, y, w, h, name, colour, pale, learns):
        text = f"{name}\nlearns" if learns else f"{name}\nheld fixed"
        box(axis, x, y, w, h, text, colour, colour if learns else pale, held=not learns,
             ink="white" if learns else INK)

    box(axis, 0.85, middle, 1.2, 0.62, given, HAZY, "#eef1f4")
    learner(3.0, high, 1.6, 0.8, "generator", GENERATOR, pale_g, not learns_d)
    box(axis, 5.1, high, 1.2, 0.62, fake, GENERATOR)
    _path(axis, [(0.85, middle + 0.31), (0.85, high), (2.2, high)])
    arrow(axis, (3.8, high), (4.5, high))
    tall = 2.75 if learns_d else 1.7
    learner(7.4, high - tall / 2 + 0.38, 1.7, tall, "discriminator", DISCRIMINATOR, pale_d,
            learns_d)
    arrow(axis, (5.7, high), (6.55, high))
    arrow(axis, (1.45, middle), (6.55, middle))
    axis.text(3.12, middle + 0.06, f"both networks see {given}", fontsize=11, color=INK,
              ha="left", va="bottom")
    rows = [(high, "fake" if learns_d else "real", fake)]
    if learns_d:
        box(axis, 5.1, low, 1.2, 0.62, real, INK)
        arrow(axis, (5.7, low), (6.55, low))
        rows.append((low, "real", real))
    for y, word, _ in rows:
        arrow(axis, (8.25, y), (8.85, y))
        axis.text(9.2, y, "logit", fontsize=11, color=INK, ha="center", va="center")
        arrow(axis, (9.55, y), (10.1, y))
        box(axis, 10.98, y, 1.75, 0.66, f'cost: it should\nsay "{word}"', INK)
    if learns_d:
        colour = DISCRIMINATOR
        for y in (high, low):
            _path(axis, [(10.98, y + 0.33), (10.98, y + 0.56), (9.2, y + 0.56), (9.2, y + 0.27),
                         (8.25, y + 0.27)], colour, True)
        axis.text(9.3, middle, "gradient: changes the\ndiscriminator's weights only",
                  fontsize=11, color=colour, va="center", ha="left", linespacing=1.3)
        axis.text(4.15, high + 0.62, f"no gradient here: {fake} is taken as it is", fontsize=11,
                  color=INK, ha="center", va="center")
    else:
        colour = GENERATOR
        _path(axis, [(10.98, high + 0.33), (10.98, high + 0.68), (3.0, high + 0.68),
                     (3.0, high + 0.4)], colour, True)
        axis.text(5.6, high + 0.72, "gradient: through the discriminator, to the generator's "
                  "weights only", fontsize=11, color=colour, va="bottom", ha="center")
        if l1:
            box(axis, 5.1, low, 1.2, 0.62, real, INK)
            box(axis, 10.98, low, 1.75, 0.66, f"λ · |{real} − {fake}|", INK)
            arrow(axis, (5.7, low), (10.1, low))
            _path(axis, [(5.1, high - 0.31), (5.1, low + 0.5), (10.4, low + 0.5),
                         (10.4, low + 0.33)])
            _path(axis, [(10.98, low - 0.33), (10.98, low - 0.55), (3.0, low - 0.55),
                         (3.0, high - 0.4)], colour, True)
    return figure
