"""Find hazy/clear pairs on disk, however their data set names them. Taught in notebook 02."""

import os
import re
import unicodedata
import warnings
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from helpers.env import Told
from helpers.images import SUFFIXES, why_not

# The words in the name of a folder that tell what is in it: "test_hazy", "ITS_clear", "Val-GT".
HAZY = {"hazy", "haze", "in", "input", "inputs", "a"}
CLEAR = {"clear", "clean", "gt", "target", "targets", "hazefree", "b"}
MAPS = {"trans", "transmission", "depth", "sky", "mask", "masks"}  # made beside photographs
TRAINED = {"train", "training"}
HELD = {"val", "valid", "validation", "test", "testing", "eval"}  # never trained on
MAP = "a map, not a photograph"
NO_SIDE = "not in a folder of hazy or clear images with one of the other kind beside it"


@dataclass(frozen=True)
class Layout:
    """How data sets name the two images of a pair: one row of the table.

    ``hazy`` and ``clear`` are regular expressions for a whole name without its ending, in capitals
    or not. What their groups hold names the scene, and is the same in both images of a pair.
    ``known`` has a hazy file and its clear one for each data set. ``crop`` as in :class:`Pair`.
    ``one_folder``: the names alone tell hazy from clear, so one folder may hold both.
    """

    name: str
    hazy: str
    clear: str
    known: dict
    crop: str = ""
    one_folder: bool = False


LAYOUTS = [
    Layout("scene_number_number", r"(.+)_[\d.]+_[\d.]+", "(.+)", {
        "RESIDE ITS": ("ITS_haze/1_1_0.90179.png", "ITS_clear/1.png"),
        "RESIDE OTS": ("hazy/0005_0.8_0.04.jpg", "clear/0005.jpg"),
        "SOTS outdoor": ("hazy/0001_0.8_0.2.jpg", "gt/0001.png"),
        "Haze4K": ("IN/1_0.68_0.66.png", "GT/1.png"),
        "our sample_data": ("hazy/tower_0.9_1.2.jpg", "clear/tower.jpg"),
    }),
    Layout("scene_number", r"(\d{4})_\d+", "(.+)", {
        "SOTS indoor": ("hazy/1400_1.png", "gt/1400.png"),
    }, crop="centre"),
    Layout("scene_hazy and scene_GT", "(.+)_hazy", "(.+)_gt", {
        "O-HAZE": ("hazy/01_outdoor_hazy.jpg", "GT/01_outdoor_GT.jpg"),
        "I-HAZE": ("hazy/01_indoor_hazy.jpg", "GT/01_indoor_GT.jpg"),
        "Dense-Haze": ("hazy/01_hazy.png", "GT/01_GT.png"),
        "NH-HAZE": ("01_hazy.png", "01_GT.png"),
    }, one_folder=True),
    Layout("the same name", "(.+)", "(.+)", {
        "RESIDE-6K": ("train/hazy/0001.jpg", "train/GT/0001.jpg"),
        "NH-HAZE2": ("Train_Hazy/01.png", "Train_HazeFree/01.png"),
        "A and B": ("A/0001.jpg", "B/0001.jpg"),
        "IN and GT": ("IN/0001.png", "GT/0001.png"),
        "any other": ("hazy_images/tower.jpg", "clear_images/tower.png"),
    }),
]

# Any folder of images looks like this one, so it is tried when nothing else fits.
SIDE_BY_SIDE = Layout("side by side", "(.+)", "(.+)", {
    "pix2pix": ("train/0001.jpg", "the same file"),
}, crop="half")


def layout_table():
    """The layouts that :func:`find_pairs` knows, as a Markdown table. Notebook 02."""
    notes = {"centre": "a larger clear image is cropped in the centre",
             "half": "one file, hazy half on the left"}
    rows = [(name, f"`{hazy}`", f"`{clear}`", notes.get(layout.crop, ""))
            for layout in [*LAYOUTS, SIDE_BY_SIDE]
            for name, (hazy, clear) in layout.known.items()]
    head = ("names as in", "hazy", "clear", "note"), ("---",) * 4
    return "\n".join("| " + " | ".join(row) + " |" for row in [*head, *rows])


class PairError(Told, ValueError):
    """A folder does not hold usable pairs; the message names the path and the remedy."""


@dataclass(frozen=True)
class Pair:
    """One training pair: paths of the hazy and the clear image, and the scene they show.

    ``scene`` begins with the folders below the root, if there are any: "train/0001". ``part`` is
    these folders alone, ``layout`` the name of the row of :data:`LAYOUTS` that fits. ``crop`` is
    what :func:`helpers.data.load_pair` does so that the two images fit: "centre" crops a clear
    image that is larger, "left" and "right" say which half of the one file is hazy.
    """

    hazy: Path
    clear: Path
    scene: str
    part: str = ""
    layout: str = field(default="", compare=False)
    crop: str = ""


@dataclass(frozen=True)
class Found:
    """What :func:`scan` found: pairs, images of either side that belong to none, and the rest.

    ``unused`` is a list of (path, reason) of the pictures that are on neither side, cannot be read
    or are not there (links to nothing).
    """

    pairs: list = field(default_factory=list)
    hazy_orphans: list = field(default_factory=list)
    clear_orphans: list = field(default_factory=list)
    unused: list = field(default_factory=list)

    def add(self, other):
        """Take over what another one holds."""
        for name, more in vars(other).items():
            getattr(self, name).extend(more)


def images_in(folder):
    """Sorted paths of the images directly in ``folder``; raises :class:`PairError` if none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise PairError(f"{folder}: no such folder; check the path.")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES
                    and path.is_file() and not path.name.startswith("."))
    if not images:
        raise PairError(f"{folder}: no images in it; put .jpg or .png files there.")
    return images


@dataclass(eq=False)
class _Folder:
    """A folder as it was read: images directly in it, folders in it, and the words of its name."""

    path: Path
    words: tuple
    images: list = field(default_factory=list)
    folders: list = field(default_factory=list)

    def below(self, sub=""):
        """(folders in between, image) of every image in it and in the folders below."""
        yield from ((sub, image) for image in self.images)
        for inner in self.folders:
            if not MAPS.intersection(inner.words):
                yield from inner.below(f"{sub}/{_composed(inner.path.name).lower()}")


def _composed(text):
    """The same text with each accent and its letter as one character, as not all systems do it."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


@cache
def _words(name):
    """The words and numbers in a folder's name, in small letters: train and a in "trainA"."""
    name = re.sub(r"haze[\W_]*free", "hazefree", name.lower())
    name = re.sub(r"(train|valid|val|test)(?=(a|b|hazy|haze|clear|gt|set)(?![a-z]))", r"\1 ", name)
    return tuple(re.findall(r"[^\W\d_]+|\d+", name))


def _read(path, unused, above=()):
    """The :class:`_Folder` at ``path``, each folder listed once; adds to ``unused``."""
    folder, itself = _Folder(path, _words(path.name)), os.path.realpath(path)
    if itself in above:
        unused.append((path, "a link in circles"))
        return folder
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        unused.append((path, f"a folder that cannot be read ({error.strerror})"))
        return folder
    for entry in entries:
        inside = path / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            folder.folders.append(_read(inside, unused, (*above, itself)))
        elif inside.suffix.lower() in SUFFIXES and entry.is_file():
            folder.images.append(inside)
        elif reason := why_not(inside):
            unused.append((inside, reason.rstrip(".")))
    return folder


def _sides(folder):
    """{the other words of their names: {"hazy": [folder], "clear": [folder]}} of the folders in it.

    Folders that are on neither side, or on both, are left out.
    """
    sides = {}
    for inner in folder.folders:
        hazy, clear = HAZY.intersection(inner.words), CLEAR.intersection(inner.words)
        if bool(hazy) != bool(clear):
            others = tuple(word for word in inner.words if word not in hazy | clear)
            both = sides.setdefault(others, {"hazy": [], "clear": []})
            both["hazy" if hazy else "clear"].append(inner)
    return sides


def _search(folder, place, found):
    """Add to ``found`` what ``folder``, whose path below the root is ``place``, holds."""
    sides = {others: both for others, both in _sides(folder).items() if all(both.values())}
    taken = set()
    for others, both in sides.items():
        taken.update(both["hazy"], both["clear"])
        named = len(sides) > 1 or (TRAINED | HELD).intersection(others)
        hazy, clear = ([image for inner in both[side] for image in inner.below()] for side in both)
        found.add(_match(hazy, clear, _join(place, "_".join(others) if named else ""), LAYOUTS))
    for layout in LAYOUTS:
        if layout.one_folder:
            hazy, clear = ([("", path) for path in folder.images if _scene(pattern, path)]
                           for pattern in (layout.hazy, layout.clear))
            marked = _match(hazy, clear, place, [layout])
            found.add(marked if marked.pairs else Found())
    for inner in folder.folders:
        if inner not in taken:
            _search(inner, _join(place, inner.path.name), found)


def _match(hazy, clear, place, layouts):
    """The pairs among hazy and clear images, lists of (folders in between, path): a :class:`Found`.

    Each name is looked at once. Of clear images in several folders those count that lie in the
    same folders as the hazy one: hazy/test/1.png belongs to clear/test/1.png, if that exists.
    """
    inside, partners, found = {sub for sub, _ in clear}, {}, Found()
    for pattern in {layout.clear for layout in layouts}:
        for sub, path in clear:
            if scene := _scene(pattern, path):
                for where in {sub, None}:
                    partners.setdefault((pattern, where, scene), []).append(path)
    for sub, path in hazy:
        where, fitting = sub if sub in inside else None, []
        for layout in layouts:
            if scene := _scene(layout.hazy, path):
                fitting += [Pair(path, other, _join(place, where or "", scene), _join(place, sub),
                                 layout.name, layout.crop)
                            for other in partners.get((layout.clear, where, scene), ())]
        if len(fitting) > 1:
            raise PairError(f"{path}: belongs to {fitting[0].clear} and to {fitting[1].clear}; "
                            "move one of these two elsewhere.")
        found.pairs.extend(fitting)
        found.hazy_orphans.extend([] if fitting else [path])
    used = {pair.clear for pair in found.pairs}
    found.clear_orphans.extend(path for _, path in clear if path not in used)
    return found


def _scene(pattern, path):
    """The scene that an image's name has by a layout's pattern, or None."""
    match = re.fullmatch(f"(?is){pattern}", path.stem)
    return match and _composed(match[1])


def _join(*names):
    return "/".join(name.strip("/") for name in names if name)


def _halves(root, hazy_on):
    """Pairs of a folder, and of its parts (train, test, ...), whose files hold both images."""
    one_side = HAZY | CLEAR
    if one_side.issuperset(root.words) or any(one_side.intersection(f.words) for f in root.folders):
        return []
    parts = [f for f in root.folders if (TRAINED | HELD).intersection(f.words)]
    found = []
    for folder, part in [(root, ""), *((folder, folder.path.name) for folder in parts)]:
        found += [Pair(path, path, _join(part, path.stem), part, SIDE_BY_SIDE.name, hazy_on)
                  for path in folder.images]
    return found


def _left_out(folder, used):
    """(path, reason) of the images in and below ``folder`` that are not ``used``."""
    reason = MAP if MAPS.intersection(folder.words) else NO_SIDE
    unused = [(path, reason) for path in folder.images if path not in used]
    for inner in folder.folders:
        unused += _left_out(inner, used)
    return unused


def scan(root, hazy_on="left"):
    """Like :func:`find_pairs`, but images without a partner are no error: a :class:`Found`.

    Lists each folder once, and opens no file. Raises :class:`PairError` where there are no pairs at
    all, or several ways to make them.
    """
    if hazy_on not in ("left", "right"):
        raise ValueError(f"hazy_on={hazy_on!r}: say 'left' or 'right'.")
    root, found = Path(root), Found()
    if not root.is_dir():
        raise PairError(f"{root}: no such folder; check the path.")
    folder = _read(root, found.unused)
    _search(folder, "", found)
    if not found.pairs:
        found.pairs.extend(_halves(folder, hazy_on))
    used = {path for pair in found.pairs for path in (pair.hazy, pair.clear)}
    used.update(found.hazy_orphans, found.clear_orphans)
    found.unused.extend(_left_out(folder, used))
    if not found.pairs:
        why = [(path, "no image of the other kind is called like it")
               for path in found.hazy_orphans + found.clear_orphans] + found.unused
        example = f" ({why[0][0].relative_to(root)}: {why[0][1]})" if why else ""
        raise PairError(f"{root}: no pairs in it{example}; name the folder that holds hazy and "
                        "clear images, and see helpers.pairs.layout_table() for names that fit.")
    return found


def find_pairs(root, hazy_on="left"):
    """All pairs below ``root``, sorted by folder and file name: a list of :class:`Pair`.

    The names alone decide, by the rows of :data:`LAYOUTS`; ``pair.layout`` says which. Case matters
    in the names of scenes only. Folders in ``root``, such as train/ and test/, are searched too,
    and the scenes' names begin with theirs. ``hazy_on``, "left" or "right", is for files with both
    images side by side. Raises :class:`PairError` when there are no pairs, when an image has two
    possible partners, and when a hazy image has none. Pictures that are not used are told in one
    warning. Notebook 02.
    """
    found = scan(root, hazy_on)
    for path in found.hazy_orphans:
        raise PairError(f"{path}: no clear image for it; add it, or remove the hazy one.")
    left_out = [(path, reason) for path, reason in found.unused if reason != MAP]
    if left_out:
        path, reason = left_out[0]
        warnings.warn(f"{len(left_out)} not used below {root}, first {path.relative_to(root)}: "
                      f"{reason}.", stacklevel=2)
    return found.pairs


def is_held(pair):
    """True for a pair of a part that is never trained on: test, val or validation."""
    return bool(HELD.intersection(_words(pair.part)))


def split_by_scene(pairs, validation=0.2, seed=0):
    """Split pairs into (training, validation) so that no scene is on both sides.

    Where the data set is split already, its parts test, val and validation are held back. Otherwise
    ``validation`` is the share of *scenes* held back, at least one; the same ``pairs`` and ``seed``
    give the same split. Raises :class:`PairError` for fewer than two scenes, and if all of them are
    to be held back. Notebook 02.
    """
    scenes = sorted({pair.scene for pair in pairs})
    if len(scenes) < 2:
        raise PairError(f"{len(scenes)} scene(s) cannot be split; add pairs of other places.")
    held = {pair.scene for pair in pairs if is_held(pair)}
    if len(held) == len(scenes):
        raise PairError(f"all {len(pairs)} pairs are for testing, as {pairs[0].part!r} says; add a "
                        "part to train on, or name that folder itself.")
    if not held:
        count = min(max(1, round(validation * len(scenes))), len(scenes) - 1)
        held = set(np.random.default_rng(seed).permutation(scenes)[:count])
    return [p for p in pairs if p.scene not in held], [p for p in pairs if p.scene in held]


def one_per_scene(pairs):
    """One pair of each scene, in order of the scenes: the first version of the first scene, the
    second of the second, and so on, so that the hazes differ. Notebook 05.
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
    word = "version" if many == 1 else "versions"
    return f"{len(pairs)} pairs of {len(versions)} scenes, {spread} hazy {word} each"
