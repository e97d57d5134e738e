"""Look at a folder of pairs before training on it: what is there, and what would ruin a run.

    python scripts/survey.py FOLDER

Exit status: 0 nothing wrong, 1 with warnings, 2 without pairs or with wrong arguments. Notebook 02.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from helpers import env
from helpers.images import SUFFIXES, ImageError, to_rgb
from helpers.pairs import MAP, PairError, report, scan, split_by_scene

# What needs TensorFlow is imported late: that takes seconds, and is not needed to say that an
# argument is wrong.

SIDE = 512  # pixels of the long side at which the two images of a pair are compared


def _options(arguments):
    """The command line's options; raises :class:`helpers.env.Told` for a wrong one."""
    parser = argparse.ArgumentParser("survey.py", description=__doc__.split("\n")[0])
    parser.add_argument("folder", metavar="FOLDER", type=Path)
    parser.add_argument("--hazy-on", choices=("left", "right"), default="left",
                        help="half of an image that holds both side by side")
    parser.add_argument("--checked", metavar="N", type=int, default=200,
                        help="compare the images of so many pairs (all are read); default: 200")
    parser.add_argument("--sheet", metavar="FILE", type=Path, help="write eight pairs as a picture")
    options = parser.parse_args(arguments)
    problem = None
    if not options.folder.is_dir():
        problem = f"{options.folder}: no such folder; check the path."
    elif options.checked < 1:
        problem = f"--checked {options.checked}: give 1 or more."
    elif options.sheet and options.sheet.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp"):
        problem = f"--sheet {options.sheet}: end the name with .jpg, .png or .webp."
    elif options.sheet and not options.sheet.absolute().parent.is_dir():
        problem = f"--sheet {options.sheet}: no such folder; make it first."
    elif (options.sheet and options.sheet.exists()
          and options.folder.resolve() in options.sheet.resolve().parents):
        problem = f"--sheet {options.sheet}: a file of the data set; name another one."
    if problem:
        raise env.Told(problem)
    return options


def some(texts, most=3):
    """The first few of several texts, in one line."""
    return "; ".join(map(str, texts[:most])) + ("; ..." if len(texts) > most else "")


def overview(root, found):
    """Lines that say what files there are, without opening them, and warnings about that."""
    layouts = Counter(pair.layout for pair in found.pairs)
    lines = [f"{root.resolve().name}: {report(found.pairs)}",
             "names as in: " + ", ".join(f"{name} ({n} pairs)" for name, n in layouts.items())]
    for side, orphans in (("hazy", found.hazy_orphans), ("clear", found.clear_orphans)):
        names = f" ({some([path.name for path in orphans])})" if orphans else ""
        lines.append(f"{side} images without a partner: {len(orphans)}{names}")
    warnings = []
    if found.hazy_orphans:
        warnings.append(f"orphans: {len(found.hazy_orphans)} hazy images have no clear one; "
                        "training refuses the folder until they are moved away.")
    reasons = {}
    for path, reason in found.unused:
        reasons.setdefault(reason, []).append(path.relative_to(root).as_posix())
    for reason, paths in reasons.items():
        text = f"not used, {len(paths)}: {some(paths)}: {reason}."
        (lines if reason == MAP else warnings).append(text)
    return lines, warnings


def look(pair, compared):
    """(sizes of hazy and clear, (kind, text) of a problem, excess of contrast); None if unknown."""
    from helpers.checkup import excess_contrast, pair_problem
    from helpers.data import open_pair

    try:
        images = open_pair(pair, within=(SIDE, SIDE))
    except ImageError as error:
        return None, ("unusable", str(error).rstrip(".")), None
    sizes = [image.info["size"] for image in images]
    if not compared:
        return sizes, None, None
    hazy, clear = map(to_rgb, images)
    kind, text = pair_problem(hazy, clear) or (None, None)
    problem = kind and (kind, f"{pair.hazy} and {pair.clear.name}: {text}")
    return sizes, problem, excess_contrast(hazy, clear)


def compare(pairs, checked):
    """Read all pairs and compare up to ``checked``: (usable pairs, lines, warnings)."""
    import numpy as np

    from helpers.data import in_parallel
    from helpers.viz import evenly

    chosen = set(evenly(pairs, checked))
    seen = list(in_parallel(lambda pair: look(pair, pair in chosen), _bar(pairs, "reading")))
    usable = [pair for pair, (sizes, _, _) in zip(pairs, seen, strict=True) if sizes]
    sizes = [both for both, _, _ in seen if both]
    common = Counter(f"{width}×{height}" for (width, height), _ in sizes)
    more = f", and {len(common) - 5} more" if len(common) > 5 else ""
    lines = ["sizes: " + ", ".join(f"{size} ({n})" for size, n in common.most_common(5)) + more]
    if larger := sum(hazy != clear for hazy, clear in sizes):
        lines.append(f"the clear image of {larger} pairs is larger, and is cropped in the centre")
    contrast = [excess for _, _, excess in seen if excess is not None]
    lines.append(f"read: {len(usable)} of {len(pairs)} pairs; compared: {len(contrast)}")
    problems = {}
    for kind, text in filter(None, (problem for _, problem, _ in seen)):
        problems.setdefault(kind, []).append(text)
    warnings = [f"{kind}, {len(texts)} of the pairs: {some(texts)}."
                for kind, texts in problems.items()]
    if contrast and np.median(contrast) > 5e-5:
        warnings.append("swapped: the hazy images have more contrast than the clear ones; exchange "
                        "the folders, or say --hazy-on right for images side by side.")
    return usable, lines, warnings


def split(pairs, usable, checked):
    """How training would split the pairs, and a warning if both parts show the same view."""
    import numpy as np

    from helpers.checkup import BELONGS, correlations, fine_structure
    from helpers.data import in_parallel, load_pair
    from helpers.viz import evenly

    try:
        parts = split_by_scene(pairs)
    except PairError as error:
        return [], [f"no split: {error}"]
    lines = [f"{name} {report(part)}"
             for name, part in zip(("to train on:", "held back:  "), parts, strict=True)]
    views = []
    for part in parts:
        firsts = {pair.scene: pair for pair in part if pair in usable}
        seen = evenly(list(firsts.values()), checked)
        details = in_parallel(
            lambda pair: fine_structure(load_pair(pair, within=(256, 256))[1]), _bar(seen, "views"))
        views.append([(pair.clear, detail) for pair, detail in zip(seen, details, strict=True)
                      if np.ptp(detail) > 1e-3])
    same = [f"{one} and {other}" for other, theirs in views[1] for one, ours in views[0]
            if one != other and correlations(ours, theirs).max() > 1.4 * BELONGS]
    return lines, [f"the same view in training and validation, {len(same)} times: {some(same)}; "
                   "give them to one side."] if same else []


def _bar(items, text):
    return tqdm(items, text, disable=None, leave=False, delay=1)  # none outside a terminal


@env.command
def main(arguments=None):
    """Print the report; returns the exit status."""
    options = _options(arguments)
    found = scan(options.folder, options.hazy_on)
    lines, warnings = overview(options.folder, found)
    env.import_tensorflow()
    usable, *compared = compare(found.pairs, options.checked)
    for more in (compared, split(found.pairs, set(usable), options.checked)):
        lines += more[0]
        warnings += more[1]
    lines += [f"WARNING: {text}" for text in warnings]
    lines += [] if warnings else ["Nothing found that would ruin a run."]
    print("\n".join(lines).replace(f"{options.folder}{os.sep}", ""))  # below that folder
    if options.sheet:
        from helpers.viz import contact_sheet, to_bytes
        from helpers.weights import write_whole

        kind = SUFFIXES[options.sheet.suffix.lower()]
        write_whole(options.sheet, to_bytes(contact_sheet(found.pairs), kind))
    return int(bool(warnings))


if __name__ == "__main__":
    sys.exit(main())
