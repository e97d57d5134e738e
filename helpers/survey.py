"""The report on a folder of pairs, before training: what is there, and what would ruin a run.

``python -m helpers.survey FOLDER`` prints it. Taught in notebook 01.
"""

if __name__ == "__main__":  # up here, so that TensorFlow's start-up lines stay away
    from helpers import env

    env.import_tensorflow()

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from helpers.checkup import BELONGS, correlations, fine_structure
from helpers.data import in_parallel, load_pair, open_pair
from helpers.images import ImageError, image_size, to_uint8
from helpers.pairs import PairError, report, scan, split_by_scene

SIDE = 512  # pixels of the long side at which two images are laid over each other
# Height of the phase correlation's peak in standard deviations, measured on 90 real pairs and 160
# of sample_data, whose peaks are all at no shift: 55 at least; strangers 23 at most.
CERTAIN = 35


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


def phase_shift(hazy, clear):
    """Where ``clear`` lies on ``hazy``, RGB of one shape: (rows, columns, certainty).

    The shift, in pixels, of the hazy image against the clear one; it is worth something if the
    certainty is above :data:`CERTAIN`. Phase correlation, Kuglin and Hines 1975, of the grey images
    behind a Hann window, without the finest detail, which haze and JPEG take away.
    """
    height, width = hazy.shape[:2]
    window = np.hanning(height)[:, None] * np.hanning(width)
    one, other = (np.fft.fft2((x - x.mean()) * window) for x in (hazy.mean(-1), clear.mean(-1)))
    cross = one * np.conj(other)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
    peaks = np.fft.ifft2(cross / (np.abs(cross) + 1e-9) * np.exp(-50 * (y**2 + x**2))).real
    place = np.unravel_index(peaks.argmax(), peaks.shape)
    down, across = ((p + n // 2) % n - n // 2 for p, n in zip(place, peaks.shape, strict=True))
    return int(down), int(across), float(peaks[place] / (peaks.std() + 1e-12))


def pair_problem(hazy, clear):
    """(kind, what is wrong) with a pair, RGB in [0, 1] of one shape, or None."""
    if np.abs(hazy - clear).max() < 1 / 255:
        return "identical", "hazy and clear are the same picture"
    if min(hazy.std(), clear.std()) < 0.004 or min(hazy.shape[:2]) < 16:
        return None  # flat or tiny
    down, across, certainty = phase_shift(hazy, clear)
    if certainty > CERTAIN:
        if max(abs(down), abs(across)) <= 1:
            return None
        percent = [100 * n / side for n, side in zip((down, across), hazy.shape[:2], strict=True)]
        return "misaligned", "moved by {:.1f} % down, {:.1f} % to the right".format(*percent)
    if phase_shift(hazy, clear[:, ::-1])[2] > CERTAIN:
        return "misaligned", "one of the two is mirrored"
    if correlations(fine_structure(hazy), fine_structure(clear))[0, 0] < BELONGS:
        return "misaligned", "they do not show the same view"
    return None


def contact_sheet(pairs, count=8, width=240):
    """Up to ``count`` pairs, evenly chosen: RGB in [0, 1], hazy above clear, four in a row.

    Unusable ones are left out; without any other, :class:`helpers.images.ImageError` is raised.
    """
    cell = (width, width * 3 // 4)
    rows, problem = [], "no pairs to draw."
    for pair in _spread(pairs, count):
        try:
            images = [to_uint8(x) for x in open_pair(pair, frame=(2 * width, 2 * width))]
        except ImageError as error:
            problem = str(error)
            continue
        column = Image.new("RGB", (width, 2 * cell[1] + 2), "white")
        for n, image in enumerate(map(Image.fromarray, images)):
            image.thumbnail(cell)
            left, top = (cell[0] - image.width) // 2, (cell[1] - image.height) // 2
            column.paste(image, (left, top + n * (cell[1] + 2)))
        rows.append(np.pad(np.asarray(column, "float32") / 255, [(0, 8), (0, 8), (0, 0)],
                           constant_values=1))
    if not rows:
        raise ImageError(problem)
    step = min(4, len(rows))
    rows += [np.ones_like(rows[0])] * (-len(rows) % step)
    return np.concatenate([np.concatenate(rows[n:n + step], axis=1)
                           for n in range(0, len(rows), step)])


def _spread(items, count):
    """At most ``count`` of the items, evenly over the list."""
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[round(place)] for place in places]


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
    chosen = _spread([p for p in found.pairs if p not in problems], checked)
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
        seen = in_parallel(structure, _bar(_spread(list(firsts.values()), checked), "scenes"))
        sides.append([(pair, s) for pair, s in seen if np.ptp(s) > 1e-3])
    same = [f"{one.clear} and {other.clear}" for other, s in sides[1] for one, r in sides[0]
            if one.clear != other.clear and correlations(r, s).max() > 1.2 * BELONGS]
    if not same:
        return []
    return [f"the same scene in training and validation, {len(same)} times: " + "; ".join(same[:3])
            + ("; …" if len(same) > 3 else "") + "; give them to one side."]


def main(arguments=None):
    """The command line; returns the exit status: 0, 1 with warnings, 2 without pairs."""
    parser = argparse.ArgumentParser("python -m helpers.survey", description=main.__doc__)
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
            sheet = np.round(contact_sheet(found.pairs) * 255).astype("uint8")
            Image.fromarray(sheet).save(options.sheet)
    except (ImageError, OSError, PairError) as error:
        print(error, file=sys.stderr)
        return 2
    return int(bool(found.warnings))


if __name__ == "__main__":
    sys.exit(main())
