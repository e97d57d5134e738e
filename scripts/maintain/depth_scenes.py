"""Clear photographs with depth, beside the project: indoor, measured, and outdoor, from haze.

A folder of depth scenes holds nyu/ and sots_outdoor/, each with clear/ and depth/ of the same
names; the depth is greyscale with 8 bits, brighter is farther, and may be smaller than its
photograph.
"""

import numpy as np

from helpers.data import in_parallel
from helpers.haze import guided_upsample, resize
from helpers.images import load_image, open_image, to_uint8
from helpers.pairs import PairError, images_in
from helpers.synthesis import find_sky

HELD = 20  # the last ones of each folder, which nothing is trained on: neighbours look alike
FAR = 200 / 255  # what the far end of a scene has in its map; a little lies beyond


def paths(folder):
    """(to train on, held back): lists of (photograph, depth) of one kind of scenes."""
    clear = images_in(folder / "clear") if (folder / "clear").is_dir() else []
    both = [(path, folder / "depth" / f"{path.stem}.png") for path in clear]
    if not both:
        raise PairError(f"{folder}: no photographs in clear/; check the path.")
    if lost := [depth for _, depth in both if not depth.exists()]:
        raise PairError(f"{lost[0]}: missing; each photograph needs its depth.")
    return both[:-HELD], both[-HELD:]


def read_indoor(files):
    """[clear, depth] of an indoor scene, uint8; the depth is measured, and only enlarged."""
    clear, depth = load_image(files[0]), np.asarray(open_image(files[1]).convert("L"), "float32")
    return [to_uint8(clear), scaled(resize(depth, clear.shape[:2]))]


def read_outdoor(files):
    """[clear, depth, sky] of an outdoor scene, uint8; the sky is guessed.

    The depth comes from its haze and is noisy: it is smoothed along the photograph's edges, and the
    sky is put at the far end.
    """
    clear, depth = load_image(files[0]), np.asarray(open_image(files[1]).convert("L"), "float32")
    depth = np.maximum(guided_upsample(clear.mean(axis=-1), depth, 8, 1e-3), 0)
    sky = find_sky(clear)
    depth = np.where(sky, max(np.quantile(depth, 0.98), 1), depth)
    return [to_uint8(clear), scaled(depth), to_uint8(sky)]


def scaled(depth):
    """A depth map as uint8 whose 95th percentile is at :data:`FAR`."""
    return to_uint8(depth / max(np.quantile(depth, 0.95), 1e-3) * FAR)


def load_scenes(folder, held=False):
    """(indoor, outdoor) scenes of a folder, as read above; ``held``: those held back.

    Raises PairError when a folder, or a scene's depth, is missing.
    """
    return tuple(list(in_parallel(read, paths(folder / name)[held])) for name, read in
                 (("nyu", read_indoor), ("sots_outdoor", read_outdoor)))
