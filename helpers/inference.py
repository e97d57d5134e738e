"""Load trained weights and dehaze an image of any size. Taught in notebook 04."""

import json
import math
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from helpers import env
from helpers.data import denormalise, normalise
from helpers.models import unet
from helpers.runs import find_runs


class WeightsError(ValueError):
    """A weights file cannot be used; the message names it and the remedy."""


def find_weights(name, runs=None):
    """Folder of the newest finished run called ``name``, or of the weights that are shipped.

    A folder holds ``generator.safetensors`` and ``history.json``; of a run, and of the shipped
    pix2pix, also ``frames/``. Raises :class:`WeightsError` if there is neither. Notebook 04.
    """
    finished = find_runs(name, runs or env.runs_folder(), finished=True)
    shipped = env.SAMPLE_DATA / "weights" / name
    if not finished and not shipped.is_dir():
        raise WeightsError(f"{shipped}: no such weights; run notebook 03 to train {name}.")
    return finished[-1] if finished else shipped


def load_generator(path):
    """Build the generator that a ``generator.safetensors`` file describes, with its weights.

    Raises :class:`WeightsError` when the file is missing, damaged or of another network.
    Notebook 04.
    """
    path = Path(path)
    try:
        with safe_open(path, "numpy") as file:
            architecture = json.loads(file.metadata()["architecture"])
            arrays = [file.get_tensor(key) for key in sorted(file.keys())]
        generator = unet(**architecture)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; run notebook 03 first.") from None
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: not a generator of this project ({error}).") from None
    variables = [v for v in generator.variables if "seed" not in v.name]
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise WeightsError(f"{path}: its weights do not fit the network that it names.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array.astype("float32"))
    return generator


def _starts(length, size, stride):
    """First pixels of tiles of ``size`` that cover ``length`` evenly, at most ``stride`` apart."""
    count = max(1, math.ceil((length - size) / stride) + 1)
    return np.linspace(0, length - size, count).round().astype(int)


def dehaze(generator, image, size=256, stride=128):
    """Run a generator on one RGB image in [0, 1] of any size; returns the same shape and range.

    The network sees what it was trained on, squares of ``size`` pixels (a multiple of 256 for the
    eight levels of the U-Net). They overlap, ``stride`` pixels apart, and are blended with weights
    that fall to the rim, so that no border shows. Beforehand the image is continued by reflection:
    a network is at its worst along the rim, where its convolutions see padding. Inference mode: no
    dropout, stored batch statistics. Notebook 04.
    """
    height, width = image.shape[:2]
    margin = size // 8
    extra = [(margin, max(margin, size - n - margin)) for n in (height, width)]
    padded = np.pad(image, [*extra, (0, 0)], mode="symmetric")
    rim = np.sin((np.arange(size) + 0.5) / size * np.pi) ** 2 + 1e-3
    weight = (rim[:, None] * rim)[..., None].astype("float32")
    total, weights = np.zeros_like(padded), np.zeros_like(padded[..., :1])
    columns = _starts(padded.shape[1], size, stride)
    for top in _starts(padded.shape[0], size, stride):
        rows = slice(top, top + size)
        tiles = np.stack([padded[rows, left:left + size] for left in columns])
        for left, tile in zip(columns, _in_batches(generator, tiles), strict=True):
            total[rows, left:left + size] += weight * tile
            weights[rows, left:left + size] += weight
    inside = (slice(margin, margin + height), slice(margin, margin + width))
    return denormalise((total / weights)[inside])


def _in_batches(generator, tiles, batch=8):
    """Outputs in [-1, 1] of the generator on tiles (count, size, size, 3) in [0, 1]."""
    for first in range(0, len(tiles), batch):
        out = generator(normalise(tiles[first:first + batch]), training=False)
        yield from np.asarray(out, "float32")
