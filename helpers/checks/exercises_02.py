"""The exercises of notebook 02."""

from itertools import count

import numpy as np
import tensorflow as tf

from helpers.checks import Wrong, call, exercise, plain, words
from helpers.data import epoch_order, load_pair, normalise, paired_jitter


@exercise("02.1")
def _jitter_all(jitter):
    """The same crop and mirror for two images and a depth map; pixels are numbered to see which."""
    random = np.random.default_rng()
    size = int(random.integers(5, 9))

    def where(crop, shape):
        """(top, left, mirrored) of a crop of numbered pixels, or None if it is no such crop."""
        rows, columns = np.divmod(np.rint(crop).astype(int), shape[1])
        mirrored = bool(columns[0, -1] < columns[0, 0])
        top, left = rows[0, 0], columns[0].min()
        across = left + np.arange(size)
        same = (rows == top + np.arange(size)[:, None]).all()
        same &= (columns == (across[::-1] if mirrored else across)).all()
        return (int(top), int(left), mirrored) if same else None

    def places(shape, seed):
        numbered = np.arange(shape[0] * shape[1], dtype="float64").reshape(shape)
        colours = numbered[..., None] + np.array([0.0, 0.1, 0.2])
        result = call(jitter, [colours, colours.copy(), numbered.copy()], seed, size)
        try:
            parts = [np.asarray(part, "float64") for part in result]
        except Exception:
            raise Wrong("Return a list of three arrays, in the order of the images.") from None
        if len(parts) != 3:
            raise Wrong(f"Three images go in; {len(parts)} came back.")
        for part, channels in zip(parts, ((3,), (3,), ()), strict=True):
            if part.shape != (size, size, *channels):
                raise Wrong(f"For size = {size} an image has shape {part.shape}, not "
                            f"{(size, size, *channels)}.")
        found = [where(part[..., 0] if part.ndim == 3 else part, shape) for part in parts]
        if None in found:
            raise Wrong("An image is no plain crop: pixels out of order, upside down, or "
                        "from two places.")
        if len({place[:2] for place in found}) > 1:
            raise Wrong(f"The crops begin at different places (row, column): "
                        f"{', '.join(str(place[:2]) for place in found)}. Draw the place once.")
        if len(set(found)) > 1:
            raise Wrong("One image is mirrored and another is not. Throw the coin once.")
        return found[0]

    shape = size + int(random.integers(20, 30)), size + int(random.integers(31, 40))
    seeds = [(int(seed), n) for n, seed in enumerate(random.integers(0, 10**6, 80))]
    found = [places(shape, seed) for seed in seeds]
    if any(places(shape, seed) != place for seed, place in zip(seeds[:5], found, strict=False)):
        raise Wrong("The same seed gave another result. It should decide every random number.")
    if len(set(found)) < 20:
        raise Wrong(f"80 seeds gave {len(set(found))} different crops. Row, column and mirroring "
                    "should all be drawn.")
    if len({top for top, *_ in found}) < 5 or len({left for _, left, _ in found}) < 5:
        raise Wrong("The crop moves in one direction only. Draw a row and a column.")
    mirrored = np.mean([mirror for *_, mirror in found])
    if not 0.25 < mirrored < 0.75:  # five standard deviations of a fair coin
        raise Wrong(f"{mirrored:.0%} of the crops are mirrored; it should be about half.")
    tight = {places((size + 2, size + 1), seed)[:2] for seed in seeds}
    if tight != {(top, left) for top in range(3) for left in range(2)}:
        raise Wrong(f"An image of {size + 2}×{size + 1} has crops of {size} at 3 rows and 2 "
                    f"columns; yours begin at {sorted(tight)}. Mind the last row and column.")
    if places((size, size), seeds[0])[:2] != (0, 0):
        raise Wrong("An image of exactly this size should come back whole.")


@exercise("02.2")
def _find_leaks(find):
    """Which held-back photographs are in the training set, saved anew, on made-up scenes.

    As in sample_data, all have a bright sky over darker land: by the fingerprint of notebook 02,
    the nearest different scenes lie about 0.5 apart, and one, saved twice, 0.03.
    """
    random = np.random.default_rng()
    sky = np.linspace(0.66, 0.34, 48)[:, None, None]

    def scenes(count):
        layers = [random.uniform(-0.15, 0.15, (count, n, n, 3)) for n in (4, 12, 48)]
        image = sum(x.repeat(48 // x.shape[1], 1).repeat(48 // x.shape[1], 2) for x in layers)
        return np.clip(image + sky, 0, 1)

    def saved_anew(image):
        image = image * random.uniform(0.8, 0.95) + random.uniform(-0.03, 0.05)
        return np.clip(image + random.normal(0, 3 / 255, image.shape), 0, 1)

    for leaking, fresh in ((2, 4), (1, 3), (0, 4), (3, 0)):
        training = list(scenes(7))
        held = [saved_anew(training[i]) for i in random.permutation(7)[:leaking]]
        held += list(scenes(fresh))
        order = random.permutation(len(held))
        held, right = [held[i] for i in order], {int(i) for i in np.flatnonzero(order < leaking)}
        result = call(find, training, held)
        try:
            given = np.asarray(sorted(result) if isinstance(result, (set, frozenset)) else result)
            given = given.reshape(-1)
            if given.dtype == bool:
                raise Wrong("The numbers of the images are asked for, not a yes or no for each.")
            given = {int(plain(i)) for i in given}
        except Wrong:
            raise
        except Exception:
            raise Wrong("Return a list of numbers, those of the held-back images that "
                        "leak.") from None
        if given == right:
            continue
        if not given <= set(range(len(held))):
            raise Wrong(f"{len(held)} images are held back, so the numbers go from 0 to "
                        f"{len(held) - 1}.")
        if len(held) in (6, 4) and given == set(range(len(held))) - right:
            raise Wrong("These are the others, those that do not leak.")
        if given < right:
            raise Wrong(f"You find {len(given)} of {len(right)}. Saved anew, a photograph has a "
                        "little noise and another brightness, so its pixels are not equal: what "
                        "stays the same?")
        raise Wrong("A false alarm: an image is named that is not in the training set. Many "
                    "scenes have a bright sky over darker land. Print your measure for two "
                    "different scenes of sample_data that are as alike as any: on which side of "
                    "your threshold are they?")


def pipeline(which, pairs, batch=4):
    """Endless batches (hazy, clear) of a pipeline "A", "B", "C" or "D", each with one fault.

    Find out which before you read the code. Notebook 02.
    """
    position = 0
    for epoch in count():
        order = epoch_order(len(pairs), 0, epoch).numpy()
        order = np.arange(len(pairs)) if which == "B" else order
        for start in range(0, len(pairs) - batch + 1, batch):
            images = []
            for i in order[start:start + batch]:
                hazy, clear = load_pair(pairs[i])
                crops = paired_jitter(hazy, clear, (0, position))
                if which == "D":
                    crops = crops[0], paired_jitter(hazy, clear, (1, position))[1]
                images.append(crops)
                position += 1
            sides = [normalise(tf.stack(side)) for side in zip(*images, strict=True)]
            if which == "A":
                sides = [side[..., ::-1] for side in sides]
            yield tuple(normalise(side) if which == "C" else side for side in sides)


FAULTS = ("channels", "jitter", "leak", "order", "range", "swapped")


@exercise("02.3")
def _faults(answer):
    """The fault of each of the four pipelines; the hints name instruments."""
    right = {"A": "channels", "B": "order", "C": "range", "D": "jitter"}
    given = words(answer, tuple(right), FAULTS)
    if len(set(given.values())) < 4:
        raise Wrong("No two of them have the same fault.")
    wrong = [key for key in right if given[key] != right[key]]
    if not wrong:
        return
    told = f"{4 - len(wrong)} of 4 right."
    if "C" in wrong:
        raise Wrong(f"{told} Begin with numbers: print the smallest and the largest value of a "
                    "batch of each.")
    if "D" in wrong:
        raise Wrong(f"{told} Look at hazy and clear of one pair, one below the other. Do they show "
                    "the same part of the scene, and which has the more contrast?")
    raise Wrong(f"{told} Look at the clear images of a batch: at their colours, and at how many "
                "scenes they show. One batch is enough for both.")
