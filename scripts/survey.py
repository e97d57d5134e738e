"""The report on a folder of pairs, before training: what is there, and what would ruin a run.

``python scripts/survey.py FOLDER`` prints it. Taught in notebook 01.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from helpers.checkup import BELONGS, correlations, fine_structure, pair_problem
from helpers.data import in_parallel, load_pair
from helpers.images import ImageError, image_size, to_uint8
from helpers.pairs import PairError, report, scan, split_by_scene
from helpers.viz import contact_sheet, evenly

SIDE = 512  # pixels of the long side at which two images are laid over each other


@dataclass(frozen=True)
class Survey:
    """What :func:`survey` found: ``pairs``, orphans, ``text``, and ``warnings`` (sentences)."""

    pairs: list
    hazy_orphans: list
    clear_orphans: list
    text: str
    warnings: list

    def __str__(self):
        warnings = [f"WARNING: {warning}" for warning in self.warnings]
        return "\n".join([self.text, *(warnings or ["Nothing found that would ruin a run."])])


def survey(root, hazy_on="left", checked=200):
    """Look at a folder of pairs before training on it: a :class:`Survey`, to be printed.

    Counts pairs, scenes, sizes and orphans, and says how :func:`helpers.pairs.split_by_scene` would
    split them. Up to ``checked`` pairs, evenly chosen, are decoded and compared: misaligned by more
    than 1/500 of the long side, mirrored, strangers, identical, swapped, unusable; and whether
    training and validation show the same view (another view of the same place is not found).
    ``hazy_on`` as in :func:`helpers.pairs.find_pairs`. Raises :class:`helpers.pairs.PairError`
    when there are no pairs. Notebook 01.
    """
    found = scan(root, hazy_on)
    layouts = Counter(pair.layout for pair in found.pairs)
    lines = [f"{root}: {report(found.pairs)}",
             "names as in: " + ", ".join(f"{name} ({n} pairs)" for name, n in layouts.items())]
    for side in ("hazy", "clear"):
        orphans = getattr(found, f"{side}_orphans")
        names = ", ".join(p.name for p in orphans[:3]) + (", …" if len(orphans) > 3 else "")
        lines.append(f"{side} images without a partner: {len(orphans)}"
                     + (f" ({names})" if orphans else ""))
    sizes, cut, problems = _sizes(found.pairs)
    lines.append("sizes: " + ", ".join(f"{w}×{h} ({n})" for (w, h), n in sizes.most_common(5))
                 + (f", and {len(sizes) - 5} more" if len(sizes) > 5 else ""))
    if cut:
        lines.append(f"a clear image of {cut} pairs is larger, and is cut in the centre")
    chosen = evenly([p for p in found.pairs if p not in problems], checked)
    kinds, swapped = _compare(chosen, problems)
    lines.append(f"compared: {len(chosen)} of {len(found.pairs)} pairs")
    warnings = [f"{kind}, {len(texts)} of the pairs: " + "; ".join(texts[:3])
                + ("; …" if len(texts) > 3 else "") + "." for kind, texts in kinds.items()]
    if swapped:
        warnings.append("swapped: the hazy images have more contrast than the clear ones; exchange "
                        "the folders, or say hazy_on='right' for images side by side.")
    if found.hazy_orphans:
        warnings.append(f"orphans: {len(found.hazy_orphans)} hazy images have no clear one; "
                        "training refuses the folder until they are moved away.")
    if len({p.scene for p in found.pairs}) > 1:
        training, held = split_by_scene(found.pairs)
        lines += [f"to train on: {report(training)}", f"held back:   {report(held)}"]
        warnings += _leaks(training, held, problems, checked)
    else:
        warnings.append("one scene: nothing can be held back to validate on; add other places.")
    return Survey(*(getattr(found, name) for name in ("pairs", "hazy_orphans", "clear_orphans")),
                  "\n".join(lines), warnings)


def _bar(items, text):
    return tqdm(items, text, disable=None, leave=False, delay=1)  # none outside a terminal


def _sizes(pairs):
    """(how often each hazy size is there, larger clear images, {pair: problem} if unusable)."""
    def sizes(pair):
        try:
            return pair, image_size(pair.hazy), image_size(pair.clear)
        except ImageError as error:
            return pair, None, str(error)

    seen = list(in_parallel(sizes, _bar(pairs, "sizes")))
    cut = sum(pair.cut == "centre" and hazy is not None and hazy != clear
              for pair, hazy, clear in seen)
    return (Counter(hazy for _, hazy, _ in seen if hazy), cut,
            {pair: problem for pair, hazy, problem in seen if not hazy})


def _compare(pairs, problems):
    """({kind of problem: [text]}, whether hazy and clear seem swapped); adds to ``problems``."""
    def look(pair):
        try:
            hazy, clear = load_pair(pair, frame=(SIDE, SIDE))
        except ImageError as error:
            return pair, ("unusable", str(error).rstrip(".")), None
        contrast = [np.abs(np.diff(image, axis=1)).mean() for image in (hazy, clear)]
        return pair, pair_problem(hazy, clear), contrast[0] - contrast[1]

    kinds, excess = {}, []
    for text in problems.values():
        kinds.setdefault("unusable", []).append(text.rstrip("."))
    for pair, problem, more in in_parallel(look, _bar(pairs, "pairs")):
        if more is not None:
            excess.append(more)
        if problem:
            kind, text = problem
            kinds.setdefault(kind, []).append(
                text if kind == "unusable" else f"{pair.hazy} and {pair.clear.name}: {text}")
            if kind == "unusable":
                problems[pair] = text
    return kinds, bool(excess) and np.median(excess) > 1e-4


def _leaks(training, held, problems, checked):
    """A warning if clear images on the two sides of the split show the same view."""
    def structure(pair):
        try:
            return pair, fine_structure(load_pair(pair, frame=(256, 256))[1])
        except ImageError:
            return pair, np.zeros((64, 64), "float32")

    sides = []
    for pairs in (training, held):
        firsts = {pair.scene: pair for pair in pairs if pair not in problems}
        seen = in_parallel(structure, _bar(evenly(list(firsts.values()), checked), "scenes"))
        sides.append([(pair, s) for pair, s in seen if np.ptp(s) > 1e-3])
    same = [f"{one.clear} and {other.clear}" for other, s in sides[1] for one, r in sides[0]
            if one.clear != other.clear and correlations(r, s).max() > 1.2 * BELONGS]
    if not same:
        return []
    return [f"the same scene in training and validation, {len(same)} times: " + "; ".join(same[:3])
            + ("; …" if len(same) > 3 else "") + "; give them to one side."]


def main(arguments=None):
    """The command line; returns the exit status: 0, 1 with warnings, 2 without pairs."""
    parser = argparse.ArgumentParser("survey.py", description=main.__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--hazy-on", choices=("left", "right"), default="left",
                        help="half of an image that holds both side by side")
    parser.add_argument("--checked", type=int, default=200, help="pairs to compare; default: 200")
    parser.add_argument("--sheet", metavar="FILE", type=Path, help="write eight pairs as a picture")
    options = parser.parse_args(arguments)
    try:
        found = survey(options.folder, options.hazy_on, max(1, options.checked))
        print(found)
        if options.sheet:
            sheet = to_uint8(contact_sheet(found.pairs))
            Image.fromarray(sheet).save(options.sheet)
    except (ImageError, OSError, PairError) as error:
        print(error, file=sys.stderr)
        return 2
    return int(bool(found.warnings))


if __name__ == "__main__":
    sys.exit(main())
