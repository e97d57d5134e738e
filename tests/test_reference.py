"""The shipped weights give the same picture in every environment: that of tests/reference/.

The pictures were written by ``python tests/test_reference.py``, which is to be run again only when
weights are trained anew.
"""

import numpy as np
import pytest
from PIL import Image

from helpers import env
from helpers.images import load_image
from helpers.inference import dehaze
from helpers.weights import load_generator

FOLDER = env.ROOT / "tests" / "reference"
NETWORKS = ("pix2pix", "l1-only", "improved")


def dehazed(network):
    """A part of a real hazy photograph, dehazed: RGB in [0, 1], (256, 256, 3)."""
    generator = load_generator(env.SAMPLE_DATA / "weights" / network / "generator.safetensors")
    photograph = load_image(env.SAMPLE_DATA / "real" / "hazy" / "golden-temple.jpg")
    return dehaze(generator, photograph[100:356, 150:406])


@pytest.mark.parametrize("network", NETWORKS)
def test_weights_give_the_picture_of_the_reference(network):
    with Image.open(FOLDER / f"{network}.png") as picture:
        expected = np.asarray(picture, "float32") / 255
    differences = np.abs(dehazed(network) - expected)
    assert differences.max() <= 1.5 / 255, "1/255, and the rounding of the reference to 8 bits"
    assert differences.mean() <= 0.5 / 255


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for network in NETWORKS:
        pixels = np.round(dehazed(network) * 255).astype("uint8")
        Image.fromarray(pixels).save(FOLDER / f"{network}.png", optimize=True)
