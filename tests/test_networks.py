"""What the drawings of notebook 04 are made from, counted from the networks themselves."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from helpers.models import patchgan, unet
from helpers.panels import networks


@pytest.mark.parametrize("network, side", [
    (unet(4), 256), (unet(4, levels=5, classic=True), 64), (unet(4, skips=False), 256),
    (patchgan(4), 256), (patchgan(4, conditional=False), 64)], ids=lambda x: getattr(x, "name", x))
def test_rows_hold_every_parameter(network, side):
    rows = networks.count_layers(network, side)
    assert sum(row["parameters"] for row in rows) == network.count_params()
    blank = np.zeros((1, side, side, 3), "float32")
    output = network([blank] * len(network.inputs)) if len(network.inputs) > 1 else network(blank)
    assert (rows[-1]["side"], rows[-1]["outputs"]) == (output.shape[1], output.shape[-1])


def test_the_paper_s_networks():
    rows = networks.count_layers(unet(64, classic=True))
    assert [row["side"] for row in rows] == [128, 64, 32, 16, 8, 4, 2, 1, 2, 4, 8, 16, 32, 64, 128,
                                             256]
    assert sum(row["products"] for row in rows) == pytest.approx(6.05e9, rel=1e-3)
    judge = networks.count_layers(patchgan(64))
    assert [row["side"] for row in judge] == [128, 64, 32, 31, 30]
    assert sum(row["products"] for row in judge) == pytest.approx(3.2e9, rel=1e-3)


def texts(figure):
    return {text.get_text() for axis in figure.axes for text in axis.texts}


def test_the_drawing_has_all_connections_and_sides():
    rows = networks.count_layers(unet(4))
    figure = networks.unet_figure(rows)
    (axis,) = figure.axes
    assert len(axis.lines) == 8, "seven joined, and the outermost"
    outermost = max(axis.lines, key=lambda line: np.ptp(line.get_xdata()))
    assert (min(outermost.get_xdata()), max(outermost.get_xdata())) == (0, len(rows))
    assert {"hazy", "clear", "bottleneck", "1", "256"} <= texts(figure)
    plt.close(figure)


def test_figures_can_be_drawn():
    rows = networks.count_layers(unet(4))
    values = np.zeros((32, 32))
    values[8:16, 8:16] = 1
    for figure in (networks.strides_figure(), networks.budget_figure(rows),
                   networks.views_figure(np.ones((128, 128, 3))),
                   networks.influence_figure([values], ["some"], (8, 8, 8))):
        figure.canvas.draw()
        plt.close(figure)
