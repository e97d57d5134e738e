"""Drawings of notebook 09: the bits of a number, and a batch shared by two devices."""

import matplotlib.pyplot as plt

from helpers.viz import ACCENT, CLEAR, DISCRIMINATOR, GENERATOR, HAZY, INK

FORMATS = {"float32": (1, 8, 23), "bfloat16": (1, 8, 7), "float16": (1, 5, 10)}


def bits_figure():
    """Figure of three formats of numbers, bit by bit: sign, exponent, fraction."""
    figure, axis = plt.subplots(figsize=(12, 2.5), layout="constrained")
    for row, (name, parts) in enumerate(FORMATS.items()):
        left = 0
        for count, colour in zip(parts, (HAZY, ACCENT, CLEAR), strict=True):
            for bit in range(count):
                axis.add_patch(plt.Rectangle((left + bit, -row), 0.9, 0.7, fc=colour))
            if count > 1:
                axis.text(left + count / 2 - 0.05, 0.34 - row, count, ha="center", va="center",
                          fontsize=12, weight="bold")
            left += count
        axis.text(-0.4, 0.34 - row, name, ha="right", va="center", fontsize=12)
    for x, text in ((0.45, "sign"), (5, "exponent: how large"), (20, "fraction: how exact")):
        axis.text(x, 0.85, text, ha="center" if x > 1 else "right", va="bottom", fontsize=12)
    axis.set(xlim=(-4.5, 32.2), ylim=(-2.1, 1.4))
    axis.axis("off")
    return figure


def devices_figure(batch=8):
    """Figure of one step on two devices: the batch is shared, the gradients are added up."""
    figure, axis = plt.subplots(figsize=(12, 3.4), layout="constrained")

    def box(x, y, width, height, text, colour, fill="white", ink=INK):
        axis.add_patch(plt.Rectangle((x - width / 2, y - height / 2), width, height, ec=colour,
                                     fc=fill, lw=2))
        axis.text(x, y, text, ha="center", va="center", fontsize=12, color=ink, linespacing=1.4)

    def arrow(start, end, colour=INK, style="-"):
        axis.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.8,
                                                  "linestyle": style})

    box(1.1, 1.7, 1.9, 1.2, f"batch n:\n{batch} pairs", HAZY, "#eef1f4")
    box(10.7, 1.7, 2.2, 1.2, "sum of the\ngradients", INK)
    for y, name in ((2.75, "device 1"), (0.65, "device 2")):
        box(3.6, y, 1.6, 0.8, f"{batch // 2} pairs", HAZY, "#eef1f4")
        box(6.6, y, 3.2, 1.1, f"{name}\ngenerator, discriminator", GENERATOR, "#e3f1ee")
        arrow((2.1, 1.7 + (0.3 if y > 1.7 else -0.3)), (2.75, y))
        arrow((4.45, y), (4.95, y))
        arrow((8.25, y), (9.6, 1.7 + (0.3 if y > 1.7 else -0.3)), DISCRIMINATOR, "--")
    axis.text(10.7, 2.75, "the same update\non both devices", ha="center", va="center", fontsize=12,
              linespacing=1.4)
    axis.text(6.6, 1.7, "the same weights, before and after", ha="center", va="center", fontsize=12)
    axis.set(xlim=(0, 12), ylim=(0, 3.4))
    axis.axis("off")
    return figure
