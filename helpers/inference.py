"""Load trained weights and dehaze an image of any size. Taught in notebook 04."""

import json
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

    A folder holds ``generator.safetensors``, ``history.json`` and ``frames/``. Raises
    :class:`WeightsError` if there is neither. Notebook 04.
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


def dehaze(generator, image, multiple=256):
    """Run a generator on one RGB image in [0, 1] of any size; returns the same shape and range.

    The image is continued by reflection to multiples of ``multiple`` pixels, which the U-Net's
    levels need, and cut back afterwards. Inference mode: no dropout, stored batch statistics.
    Notebook 04.
    """
    height, width = image.shape[:2]
    extra = [(-height) % multiple, (-width) % multiple, 0]
    padded = np.pad(image, [(e // 2, e - e // 2) for e in extra], mode="symmetric")
    out = generator(normalise(padded[None]), training=False)[0]
    top, left = extra[0] // 2, extra[1] // 2
    return denormalise(out)[top:top + height, left:left + width]
