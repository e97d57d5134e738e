"""Find hazy/clear pairs on disk. Taught in notebook 01."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}


class PairError(ValueError):
    """A folder does not hold usable pairs; the message names the path and the remedy."""


@dataclass(frozen=True)
class Pair:
    """One training pair: paths of the hazy and the clear image, and the scene they show."""

    hazy: Path
    clear: Path
    scene: str


@dataclass(frozen=True)
class Layout:
    """How a data set names its files: two folders, and where a hazy name holds the clear one's.

    ``scene`` is a regular expression on the hazy file's stem whose first group is the clear
    file's stem.
    """

    name: str
    hazy: str
    clear: str
    scene: str


LAYOUTS = [
    # RESIDE OTS and this project's sample data: hazy/0005_0.8_0.04.jpg, clear/0005.jpg
    Layout("RESIDE", "hazy", "clear", r"^(.+)_[\d.]+_[\d.]+$"),
    # The same name on both sides
    Layout("same names", "hazy", "clear", r"^(.+)$"),
]


def images_in(folder):
    """Sorted paths of the images directly in ``folder``; raises :class:`PairError` if none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise PairError(f"{folder}: no such folder; check the path.")
    found = sorted(
        p for p in folder.iterdir()
        if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file()
    )
    if not found:
        raise PairError(f"{folder}: no images in it; put .jpg or .png files there.")
    return found


def find_pairs(root):
    """All pairs below ``root``, sorted by file name: a list of :class:`Pair`.

    The first of :data:`LAYOUTS` that explains some of the names is used. Raises
    :class:`PairError` when a folder is missing or empty, or a hazy image has no clear partner.
    Notebook 01.
    """
    root = Path(root)
    if not root.is_dir():
        raise PairError(f"{root}: no such folder; check the path.")
    for layout in LAYOUTS:
        hazy = images_in(root / layout.hazy)
        clear = {p.stem: p for p in images_in(root / layout.clear)}
        matches = {p: re.match(layout.scene, p.stem) for p in hazy}
        if not any(m and m[1] in clear for m in matches.values()):
            continue
        for path, match in matches.items():
            if not match or match[1] not in clear:
                raise PairError(
                    f"{path}: no clear image for it in {root / layout.clear}; "
                    "add it, or remove the hazy one."
                )
        return [Pair(p, clear[m[1]], m[1]) for p, m in matches.items()]
    raise PairError(
        f"{root}: no hazy name matches a clear one; name them like hazy/tower_0.9_1.2.jpg and "
        "clear/tower.jpg, or alike in both folders."
    )


def split_by_scene(pairs, validation=0.2, seed=0):
    """Split pairs into (training, validation) so that no scene is on both sides.

    ``validation`` is the share of *scenes* held back, at least one. The same ``pairs`` and
    ``seed`` give the same split. Raises :class:`PairError` for fewer than two scenes. Notebook 01.
    """
    scenes = sorted({p.scene for p in pairs})
    if len(scenes) < 2:
        raise PairError(f"{len(scenes)} scene(s) cannot be split; add pairs of other places.")
    count = min(max(1, round(validation * len(scenes))), len(scenes) - 1)
    held = set(np.random.default_rng(seed).permutation(scenes)[:count])
    return [p for p in pairs if p.scene not in held], [p for p in pairs if p.scene in held]


def one_per_scene(pairs):
    """One pair of each scene, in order of the scenes: the first version of the first scene, the
    second of the second, and so on, so that the hazes differ. Notebook 03.
    """
    scenes = {}
    for pair in pairs:
        scenes.setdefault(pair.scene, []).append(pair)
    return [scenes[name][i % len(scenes[name])] for i, name in enumerate(sorted(scenes))]


def report(pairs):
    """One line on what was found: pairs, scenes, and how many hazy versions a scene has."""
    versions = Counter(p.scene for p in pairs)
    few, many = min(versions.values()), max(versions.values())
    spread = f"{few}" if few == many else f"{few} to {many}"
    return f"{len(pairs)} pairs of {len(versions)} scenes, {spread} hazy versions each"
