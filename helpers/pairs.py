"""Find hazy/clear pairs on disk, however their data set names them. Taught in notebook 01."""

import re
from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import numpy as np

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}
HELD_PARTS = {"val", "valid", "validation", "test", "eval"}  # not trained on, whoever split it
SPLITS = {"train", "training", *HELD_PARTS}
DEEPEST = 3  # folders below the root that are searched for pairs


@dataclass(frozen=True)
class Layout:
    """How a data set names its files: one row of the table.

    ``hazy`` and ``clear`` are folder names in small letters, alternatives separated by «|» («.» is
    the folder itself; what «*» stands for must be the same in both). ``hazy_stem`` and
    ``clear_stem`` are regular expressions on the whole stem, whose first groups must be equal in a
    pair, and name the scene. ``example`` is a hazy file and its clear one; ``cut`` as in
    :class:`helpers.pairs.Pair`, or "half".
    """

    name: str
    example: tuple
    hazy: str
    clear: str
    hazy_stem: str = "(.+)"
    clear_stem: str = "(.+)"
    cut: str = ""


HAZY, CLEAR = "hazy|haze|in|input", "clear|clean|gt|target"


# Of rows that give the same pairs the first is named, so the special ones stand above the general.
LAYOUTS = [
    Layout("RESIDE ITS", ("hazy/1_1_0.90179.png", "clear/1.png"),
           HAZY, CLEAR, r"(\d+)_\d+_\d*\.\d+"),
    Layout("RESIDE OTS", ("hazy/0005_0.8_0.04.jpg", "clear/0005.jpg"),
           HAZY, "clear|clean", r"(\d{4})_[\d.]+_[\d.]+"),
    Layout("SOTS indoor", ("hazy/1400_1.png", "gt/1400.png"),
           HAZY, CLEAR, r"(\d{4})_\d+", cut="centre"),
    Layout("SOTS outdoor", ("hazy/0001_0.8_0.2.jpg", "gt/0001.png"),
           HAZY, "gt", r"(\d{4})_[\d.]+_[\d.]+"),
    Layout("Haze4K", ("hazy/1_0.68_0.66.png", "clear/1.png"),
           HAZY, CLEAR, r"(\d+)_[\d.]+_[\d.]+"),
    Layout("O-HAZE", ("hazy/01_outdoor_hazy.jpg", "GT/01_outdoor_GT.jpg"),
           HAZY, CLEAR, r"(\d+_outdoor)_hazy", r"(\d+_outdoor)_gt"),
    Layout("I-HAZE", ("hazy/01_indoor_hazy.jpg", "GT/01_indoor_GT.jpg"),
           HAZY, CLEAR, r"(\d+_indoor)_hazy", r"(\d+_indoor)_gt"),
    Layout("NH-HAZE", ("01_hazy.png", "01_GT.png"), ".", ".", "(.+)_hazy", "(.+)_gt"),
    Layout("Dense-Haze, or NH-HAZE in two folders", ("hazy/01_hazy.png", "GT/01_GT.png"),
           HAZY, CLEAR, "(.+)_hazy", "(.+)_gt"),
    Layout("NH-HAZE2", ("Train_Hazy/01.png", "Train_HazeFree/01.png"), "*_hazy", "*_hazefree"),
    Layout("A and B folders", ("A/0001.jpg", "B/0001.jpg"), "a", "b"),
    Layout("IN and GT folders", ("IN/0001.png", "GT/0001.png"), "in", "gt"),
    Layout("RESIDE-6K", ("train/hazy/0001.jpg", "train/GT/0001.jpg"), "hazy", "gt"),
    Layout("same names", ("hazy/tower.jpg", "clear/tower.png"), HAZY, CLEAR),
    Layout("scene, airlight, beta", ("hazy/tower_0.9_1.2.jpg", "clear/tower.jpg"),
           HAZY, CLEAR, r"(.+)_[\d.]+_[\d.]+"),
]


# Any folder of images looks like this one: it is tried when no row above fits.
SIDE_BY_SIDE = Layout("side by side", ("train/0001.jpg", "the same file"), ".", ".", cut="half")


def layout_table():
    """The layouts that :func:`helpers.pairs.find_pairs` knows, as a Markdown table. Notebook 01."""
    notes = {"centre": "a larger clear image is cut in the centre",
             "half": "one file, hazy half on the left"}
    rows = [(row.name, *(f"`{name}`" for name in row.example), notes.get(row.cut, ""))
            for row in [*LAYOUTS, SIDE_BY_SIDE]]
    head = ("names as in", "hazy", "clear", "note"), ("---",) * 4
    return "\n".join("| " + " | ".join(row) + " |" for row in [*head, *rows])


class PairError(ValueError):
    """A folder does not hold usable pairs; the message names the path and the remedy."""


@dataclass(frozen=True)
class Pair:
    """One training pair: paths of the hazy and the clear image, and the scene they show.

    ``part`` is the folder below the root that it comes from («train»), ``layout`` the row of
    :data:`helpers.layouts.LAYOUTS` that explained it. ``cut`` is what
    :func:`helpers.data.load_pair` does so that the two fit: "centre" cuts the border off a clear
    image that is larger, "left" and "right" say which half of the one file is the hazy image, and
    "" is nothing.
    """

    hazy: Path
    clear: Path
    scene: str
    part: str = ""
    layout: str = field(default="", compare=False)
    cut: str = ""


@dataclass(frozen=True)
class Found:
    """What :func:`scan` found: pairs, and the images of either side that belong to none."""

    pairs: list
    hazy_orphans: list
    clear_orphans: list


def images_in(folder):
    """Sorted paths of the images directly in ``folder``; raises :class:`PairError` if none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise PairError(f"{folder}: no such folder; check the path.")
    found = [p for p in _listed(folder) if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()]
    if not found:
        raise PairError(f"{folder}: no images in it; put .jpg or .png files there.")
    return found


def _listed(folder):
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise PairError(f"{folder}: cannot be read ({error.strerror}); check its rights.") from None


def _sides(row, root):
    """{what «*» stands for: [(hazy folder, clear folder)]} of the folders in ``root``."""
    if row.hazy == ".":
        return {"": [(root, root)]}
    folders = [p for p in _listed(root) if p.is_dir()]

    def named(patterns):
        for pattern in patterns.split("|"):
            for p in folders:
                if fnmatchcase(p.name.lower(), pattern):
                    yield (p.name[:1 - len(pattern)] if "*" in pattern else ""), p

    sides = {}
    for star, hazy in named(row.hazy):
        sides.setdefault(star, []).extend((hazy, c) for s, c in named(row.clear) if s == star)
    return {star: pairs for star, pairs in sides.items() if pairs}


def _match(row, files, part, side):
    """What one row makes of the images of two folders: a :class:`Found`, perhaps without pairs."""
    hazy, clear = (
        [(p, m[1]) for p in paths if (m := re.fullmatch(stem, p.stem, re.IGNORECASE))]
        for paths, stem in zip(files, (row.hazy_stem, row.clear_stem), strict=True)
    )
    if row.hazy == ".":  # in one folder, only the ending says which side an image is on
        files = [p for p, _ in hazy], [p for p, _ in clear]
    partners = {}
    for path, key in clear:
        partners.setdefault(key, []).append(path)
    cut, scene = side if row.cut == "half" else row.cut, f"{part}/" if part else ""
    pairs = []
    for path, key in hazy:
        if len(partners.get(key, [])) > 1:
            one, other = partners[key][:2]
            raise PairError(f"{one}: {other.name} has the same name; remove one of the two.")
        pairs += [Pair(path, c, scene + key, part, row.name, cut) for c in partners.get(key, [])]
    used = {p.hazy for p in pairs} | {p.clear for p in pairs}
    return Found(pairs, *([p for p in paths if p not in used] for paths in files))


def _here(rows, root, folder, side):
    """Founds of ``folder`` itself: the row that explains most; an error if rows disagree."""
    @cache  # several rows look into the same folders
    def images(path):
        try:
            return images_in(path)
        except PairError:
            return []

    candidates = {}
    for row in rows:
        for star, sides in _sides(row, folder).items():
            part = (folder / star).relative_to(root).as_posix() if star else None
            part = part or folder.relative_to(root).as_posix().removeprefix(".")
            found = (_match(row, list(map(images, both)), part, side) for both in sides)
            candidates.setdefault(star, []).extend(f for f in found if f.pairs)
    chosen = []
    for founds in filter(None, candidates.values()):
        best = max(founds, key=lambda found: len(found.pairs))
        for other in founds:
            if extra := [p for p in other.pairs if p not in set(best.pairs)]:
                one = next((p for p in best.pairs if p.hazy == extra[0].hazy), best.pairs[0])
                ways = (f"«{p.hazy.relative_to(root)}» with «{p.clear.relative_to(root)}» as in "
                        f"{p.layout}" for p in (one, extra[0]))
                raise PairError(f"{folder}: the names allow different pairs: {', or '.join(ways)}; "
                                "move the files of one elsewhere.")
        chosen.append(best)
    return chosen


def _search(rows, root, folder, side, deep=DEEPEST, only=None):
    """Founds of ``folder``, or else of the folders in it."""
    found = _here(rows, root, folder, side)
    if found or not deep:
        return found
    below = [p for p in _listed(folder) if p.is_dir() and (only is None or p.name.lower() in only)]
    return [f for p in below for f in _search(rows, root, p, side, deep - 1, only)]


def scan(root, hazy_on="left"):
    """Like :func:`find_pairs`, but images without a partner are no error: a :class:`Found`.

    Raises :class:`PairError` where there are no pairs at all, or several ways to make them.
    """
    root = Path(root)
    if hazy_on not in ("left", "right"):
        raise ValueError(f"hazy_on={hazy_on!r}: say 'left' or 'right'.")
    if not root.is_dir():
        raise PairError(f"{root}: no such folder; check the path.")
    sides = {p.name.lower(): p for p in _listed(root) if p.is_dir()}
    hazy, clear = ([sides[n] for n in names.split("|") if n in sides] for names in (HAZY, CLEAR))
    founds = _search(LAYOUTS, root, root, hazy_on)
    if not (founds or hazy or clear or root.name.lower() in f"{HAZY}|{CLEAR}".split("|")):
        founds = _search([SIDE_BY_SIDE], root, root, hazy_on, 1, SPLITS)
    if founds:
        lists = zip(*((f.pairs, f.hazy_orphans, f.clear_orphans) for f in founds), strict=True)
        return Found(*(sum(part, []) for part in lists))
    if hazy or clear:
        for folder in (hazy or [root / "hazy"])[0], (clear or [root / "clear"])[0]:
            images_in(folder)  # raises: missing, or empty
        raise PairError(f"{root}: no hazy name matches a clear one; name them like "
                        "hazy/tower_0.9_1.2.jpg and clear/tower.jpg, or alike in both folders.")
    raise PairError(f"{root}: no pairs in it; name the folder that holds hazy and clear ones, and "
                    "see helpers.layouts.layout_table() for the names that are known.")


def find_pairs(root, hazy_on="left"):
    """All pairs below ``root``, sorted by folder and file name: a list of :class:`Pair`.

    The names alone decide which row of :data:`helpers.layouts.LAYOUTS` fits; ``pair.layout`` says
    it. Case matters in stems only, not in folders and endings. When no row fits ``root`` itself,
    the folders in it are searched, such as train/ and test/, and the scenes' names begin with
    theirs. ``hazy_on``, "left" or "right", is for files with both images side by side. Raises
    :class:`PairError` when there are no pairs, when rows give different ones, and when a hazy image
    has no clear partner. Notebook 01.
    """
    found = scan(root, hazy_on)
    named = {pair.hazy.parent: pair.clear.parent for pair in found.pairs}
    for path in found.hazy_orphans:
        raise PairError(f"{path}: no clear image for it in {named[path.parent]}; "
                        "add it, or remove the hazy one.")
    return found.pairs


def split_by_scene(pairs, validation=0.2, seed=0):
    """Split pairs into (training, validation) so that no scene is on both sides.

    Where the data set is split already, its parts test, val and validation are held back. Otherwise
    ``validation`` is the share of *scenes* held back, at least one; the same ``pairs`` and ``seed``
    give the same split. Raises :class:`PairError` for fewer than two scenes. Notebook 01.
    """
    scenes = sorted({p.scene for p in pairs})
    if len(scenes) < 2:
        raise PairError(f"{len(scenes)} scene(s) cannot be split; add pairs of other places.")
    held = {p.scene for p in pairs if HELD_PARTS & set(re.split(r"\W|_", p.part.lower()))}
    if not held or len(held) == len(scenes):
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
