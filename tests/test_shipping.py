"""The drawings of notebook 09."""

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from helpers.panels import shipping


def test_the_bits_are_those_of_the_formats():
    for name, (sign, exponent, fraction) in shipping.FORMATS.items():
        kind = getattr(tf, name).as_numpy_dtype
        assert sign + exponent + fraction == 8 * np.dtype(kind).itemsize
        one = kind(1)
        assert kind(1 + 2.0**-fraction) != one == kind(1 + 2.0**-(fraction + 2))


def test_figures_can_be_drawn():
    for figure in (shipping.bits_figure(), shipping.devices_figure()):
        figure.canvas.draw()
        plt.close(figure)
