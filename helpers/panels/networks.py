"""Drawings of notebook 04: what a convolution reads, the U-Net, its budget, what a patch sees.

They are still pictures; what they show is counted from the networks themselves.
"""

import matplotlib.pyplot as plt
import numpy as np
from keras import layers

from helpers.viz import ACCENT, DISCRIMINATOR, GENERATOR, HAZY, INK, MAP, PALE

CONVOLUTIONS = (layers.Conv2D, layers.Conv2DTranspose)


def count_layers(network, side=256):
    """One row for each convolution of a network with square images of ``side`` pixels, in order.

    A row is a dictionary: ``up`` (a transposed convolution), ``inputs`` and ``outputs`` (channels),
    ``side`` (of its output, in pixels), ``parameters`` (its own and those of the normalisation
    behind it), ``products`` (multiplications for one image).
    """
    rows = []
    for layer in network.layers:
        if isinstance(layer, CONVOLUTIONS):
            up = isinstance(layer, layers.Conv2DTranspose)
            padded = side + 2 * (layer.padding == "valid")  # by the layer before it
            inputs, outputs = layer.input.shape[-1], layer.output.shape[-1]
            before = side
            side = layer.compute_output_shape((1, padded, padded, inputs))[1]
            kernel = layer.kernel_size[0] * layer.kernel_size[1] * inputs * outputs
            rows.append({"up": up, "inputs": inputs, "outputs": outputs, "side": side,
                         "parameters": layer.count_params(),
                         "products": kernel * (before if up else side) ** 2})
        elif isinstance(layer, layers.BatchNormalization):
            rows[-1]["parameters"] += layer.count_params()
    return rows


def strides_figure():
    """Figure: a 4×4 convolution of stride 2 halves a side, a transposed one doubles it."""
    figure, axes = plt.subplots(1, 5, figsize=(12, 3.1), width_ratios=[8, 1.6, 4, 1.6, 8])
    figure.subplots_adjust(left=0.01, right=0.99, top=0.86, bottom=0.02, wspace=0.05)
    colours = ACCENT, GENERATOR
    for axis, side, title in ((axes[0], 8, "8×8 values"), (axes[2], 4, "4×4 values"),
                              (axes[4], 8, "8×8 values")):
        for n in range(side + 1):
            axis.plot([0, side], [n, n], color=HAZY, lw=0.8)
            axis.plot([n, n], [0, side], color=HAZY, lw=0.8)
        axis.set(xlim=(-0.2, 8.2 if side == 8 else 4.2), ylim=(side + 0.2, -0.2), aspect="equal",
                 title=title)
    for n, colour in enumerate(colours):
        for axis, corner, side in ((axes[0], (1 + 2 * n, 1), 4), (axes[2], (1 + n, 1), 1),
                                   (axes[4], (1 + 2 * n, 1), 4)):
            axis.add_patch(plt.Rectangle(corner, side, side, fc=colour, alpha=0.25 + 0.5 *
                                         (side == 1)))
            axis.add_patch(plt.Rectangle(corner, side, side, fill=False, ec=colour, lw=2.5))
    for axis, text in ((axes[1], "convolution,\nstride 2"), (axes[3], "transposed,\nstride 2")):
        axis.annotate("", (1, 0.5), (0, 0.5), arrowprops={"arrowstyle": "-|>", "color": INK})
        axis.text(0.5, 0.56, text, ha="center", va="bottom", fontsize=11)
    for axis in axes:
        axis.axis("off")
    return figure


def unet_figure(rows, image=3):
    """Figure of a U-Net of :func:`count_layers`: channels, sides, and all its skip connections."""
    figure, axis = plt.subplots(figsize=(12, 5.2), layout="constrained")
    levels, last = len(rows) // 2, len(rows)
    sides = [2 * rows[0]["side"], *(row["side"] for row in rows)]
    channels = [image, *(row["outputs"] for row in rows)]
    height = [np.log2(side) + 1 for side in sides]
    for x, (side, count, tall) in enumerate(zip(sides, channels, height, strict=True)):
        colour = HAZY if x in (0, last) else "#4f8f88" if x <= levels else GENERATOR
        axis.add_patch(plt.Rectangle((x - 0.32, -tall / 2), 0.64, tall, fc=colour))
        axis.text(x, 0, count, ha="center", va="center", color="white", fontsize=12)
        axis.text(x, -tall / 2 - 0.45, side, ha="center", va="center", fontsize=12)
    for x in range(1, levels):
        partner, top = last - x, 5.2 + 0.42 * (levels - x)
        axis.plot([x, x, partner, partner], [height[x] / 2, top, top, height[partner] / 2],
                  color=ACCENT, lw=1.8)
    top = 5.2 + 0.42 * (levels + 1.6)
    axis.plot([0, 0, last, last], [height[0] / 2, top, top, height[last] / 2], color=INK, lw=2.2)
    axis.text(levels, top + 0.3, "+   the outermost: the hazy image is added to what was painted",
              ha="center", va="bottom", fontsize=12)
    axis.text(levels, top - 0.15, "skip connections: joined as further channels", ha="center",
              va="top", color="#9a6700", fontsize=12)
    for x, text in ((0, "hazy"), (last, "clear"), (levels, "bottleneck")):
        axis.text(x, -height[x] / 2 - 1.2, text, ha="center", va="center", fontsize=12)
    axis.set(xlim=(-0.7, last + 0.7), ylim=(-6.2, top + 1.1))
    axis.axis("off")
    return figure


def budget_figure(rows, colour=GENERATOR):
    """Figure of two bar charts over the layers: parameters, and multiplications for an image."""
    figure, axes = plt.subplots(2, 1, figsize=(12, 5), layout="constrained", sharex=True)
    places = np.arange(len(rows))
    for axis, key, unit, text in ((axes[0], "parameters", 1e6, "million parameters"),
                                  (axes[1], "products", 1e9, "billion multiplications an image")):
        values = np.array([row[key] for row in rows]) / unit
        axis.bar(places, values, color=colour)
        for x, value in zip(places, values, strict=True):
            text_of = f"{value:.2f}" if value >= 0.01 else f"{value:.3f}"
            axis.text(x, value, text_of, ha="center", va="bottom", fontsize=11)
        axis.set(title=f"{text}: {values.sum():.2f} in all", ylim=(0, 1.15 * values.max()))
    labels = [f"{row['inputs']}\n→ {row['outputs']}\n{row['side']}" for row in rows]
    axes[1].set_xticks(places, labels)
    axes[1].set_xlabel("layer, from input to output: channels in → out, and the side of what comes "
                       "out, in pixels")
    return figure


def views_figure(image, views=(16, 34, 70), near=100):
    """Figure: what one logit of PatchGANs of several sizes sees, as nested squares on an image.

    Left the whole image with the largest square, right the ``near`` pixels around it, enlarged.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10.4, 4.9), layout="constrained")
    middle = np.array([image.shape[1], image.shape[0]]) / 2 - 0.5
    for axis, sides in zip(axes, (views[-1:], views), strict=True):
        axis.imshow(np.clip(image, 0, 1))
        for side in sides:
            corner = middle - side / 2
            axis.add_patch(plt.Rectangle(corner, side, side, fill=False, ec="white", lw=4))
            axis.add_patch(plt.Rectangle(corner, side, side, fill=False, ec=DISCRIMINATOR, lw=2))
            axis.text(*(corner + (0, -1)), f"{side}×{side}", color="white", va="bottom",
                      fontsize=12, weight="bold")
    axes[0].set(xticks=range(0, image.shape[1] + 1, 64), yticks=range(0, image.shape[0] + 1, 64),
                xlabel="pixels", title="one logit's patch")
    axes[1].set(xlim=(middle[0] - near / 2, middle[0] + near / 2), xticks=[], yticks=[],
                ylim=(middle[1] + near / 2, middle[1] - near / 2),
                title="and what smaller PatchGANs would see")
    return figure


def influence_figure(maps, titles, square):
    """Figure of influence maps (height, width), each over its largest value.

    ``square`` is (left, top, side), outlined in each. The colours are logarithmic, so that little
    is told from nothing; exactly 0 is grey.
    """
    figure, axes = plt.subplots(1, len(maps), figsize=(5.9 * len(maps), 4.9), layout="constrained",
                                squeeze=False)
    colours = plt.get_cmap(MAP).copy()
    colours.set_bad(PALE)
    left, top, side = square
    for axis, values, title in zip(axes[0], maps, titles, strict=True):
        values = np.ma.masked_equal(values / values.max(), 0)
        shown = axis.imshow(np.ma.log10(values), cmap=colours, vmin=-6, vmax=0)
        axis.add_patch(plt.Rectangle((left - 0.5, top - 0.5), side, side, fill=False,
                                     ec=DISCRIMINATOR, lw=2.5))
        axis.set(title=title, xticks=range(0, values.shape[1] + 1, 64),
                 yticks=range(0, values.shape[0] + 1, 64), xlabel="pixels")
    bar = figure.colorbar(shown, ax=axes[0], label="influence over its largest value (grey: 0)")
    bar.set_ticks([-6, -4, -2, 0], labels=["10⁻⁶", "10⁻⁴", "0.01", "1"])
    return figure
