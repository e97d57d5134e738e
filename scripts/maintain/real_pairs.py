"""Real hazy pairs, beside the project: which are trained on, and which are kept for validation.

A folder of real pairs holds hazy/ and clear/ with the same names, and scene_groups.json, whose list
"validation" names the pairs that nothing is trained on.
"""

import json

import numpy as np
from PIL import Image

from helpers.data import load_pair
from helpers.images import to_uint8
from helpers.pairs import PairError, find_pairs


def split_pairs(folder):
    """(pairs to train on, pairs for validation) of a folder of real pairs.

    Raises PairError when the folder, its list or a pair of the list is missing.
    """
    path = folder / "scene_groups.json"
    pairs = find_pairs(folder)
    try:
        held = set(json.loads(path.read_text())["validation"])
    except (OSError, ValueError, KeyError, TypeError):
        held = set()
    if not held:
        raise PairError(f'{path}: missing, or without "validation", the list of names to score.')
    if lost := held - {pair.hazy.stem for pair in pairs}:
        raise PairError(f"{folder}: no pair is called {min(lost)}, as {path.name} says.")
    return ([p for p in pairs if p.hazy.stem not in held],
            [p for p in pairs if p.hazy.stem in held])


def half(image):
    """An image in [0, 1] at half its width and height."""
    picture = Image.fromarray(to_uint8(image))
    size = picture.width // 2, picture.height // 2
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS), "float32") / 255


def load_half(pair):
    """Both images of a pair at half size: (hazy, clear), RGB in [0, 1]."""
    return tuple(half(image) for image in load_pair(pair))
