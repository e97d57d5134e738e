"""Drawings of notebook 09: the bits of a number, and a batch shared by two devices."""

import matplotlib.pyplot as plt

from helpers.viz import ACCENT, CLEAR, DISCRIMINATOR, GENERATOR, HAZY, INK, arrow, board, box

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
    figure = plt.figure(figsize=(12, 3.4))
    axis = board(figure, 12, 3.4)
    box(axis, 1.1, 1.7, 1.9, 1.2, f"batch n:\n{batch} pairs", HAZY, "#eef1f4")
    box(axis, 10.7, 1.7, 2.2, 1.2, "sum of the\ngradients", INK)
    for y, name in ((2.75, "device 1"), (0.65, "device 2")):
        box(axis, 3.6, y, 1.6, 0.8, f"{batch // 2} pairs", HAZY, "#eef1f4")
        box(axis, 6.6, y, 3.2, 1.1, f"{name}\ngenerator, discriminator", GENERATOR, "#e3f1ee")
        side = 0.3 if y > 1.7 else -0.3
        arrow(axis, (2.1, 1.7 + side), (2.75, y))
        arrow(axis, (4.45, y), (4.95, y))
        arrow(axis, (8.25, y), (9.55, 1.7 + side), DISCRIMINATOR, dashed=True)
    axis.text(10.7, 2.75, "the same update\non both devices", ha="center", va="center", fontsize=12,
              linespacing=1.4)
    axis.text(6.6, 1.7, "the same weights, before and after", ha="center", va="center", fontsize=12)
    return figure
