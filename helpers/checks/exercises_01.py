"""The exercises of notebook 01."""

import numpy as np

from helpers.checks import NotYet, Wrong, call, exercise, letter, number, plain, untouched


@exercise("01.1")
def _measure_transmission(measure):
    """t of a hazy and a clear image, where a colour, or all three, may equal the airlight."""
    random = np.random.default_rng()
    shape = (6, 7)
    for case in ("all tell", "one is silent", "all are silent"):
        airlight = random.uniform(0.6, 0.95, 3)
        clear = random.uniform(0, 0.5, (*shape, 3))  # well below the airlight
        t = random.uniform(0.05, 1, shape)
        t[0, :2] = 0, 1
        if case != "all tell":
            rows, columns = np.indices(shape)
            silent = (rows + columns) % 3  # another colour in each pixel
            clear[rows, columns, silent] = airlight[silent]
        if case == "all are silent":
            clear[2:4], t[2:4] = airlight, 1
        hazy = clear * t[..., None] + airlight * (1 - t[..., None])
        hazy = np.where(clear == airlight, airlight, hazy)  # exactly: no rounding to be divided
        result = np.asarray(call(measure, hazy, clear, airlight), "float64")
        if result.shape == (*shape, 1):
            result = result[..., 0]
        if result.shape == (*shape, 3):
            raise Wrong("Its shape is that of an image. One t belongs to each pixel, not to each "
                        "colour.")
        if result.shape != shape:
            raise Wrong(f"The result has shape {result.shape}; an image of {shape} pixels has as "
                        "many values of t.")
        right = np.isclose(result, t, atol=1e-3)
        if right.all():
            continue
        if case == "all tell":
            if np.isclose(result, 1 - t, atol=1e-3).all():
                raise Wrong("This is 1 - t, the part that the airlight has.")
            raise Wrong("Even where all three colours tell about t it is wrong. Solve "
                        "I = J t + A (1 - t) for t. Each colour has an airlight of its own.")
        if case == "one is silent":
            told = "it gives NaN or infinity" if not np.isfinite(result).all() else "it is off"
            raise Wrong(f"Where J equals A in one colour, {told}. That colour says nothing about "
                        "t, and should have no say.")
        raise Wrong("Where J equals A in all three colours, 1 is asked for; elsewhere it is right."
                    if right[[0, 1, 4, 5]].all() else "Where J equals A in all three colours, your "
                    "function spoils other pixels, too.")


@exercise("01.2")
def _white_van(answer):
    """Which van is the smallest that fools the airlight, and what becomes of the sky."""
    side, sky = "smallest side that fools it", "sky"
    try:
        given = plain(answer[side]), plain(answer[sky])
    except Exception:
        raise Wrong(f'Keep the dictionary, with an answer for "{side}" and for "{sky}".') from None
    if any(map(untouched, given)):
        raise NotYet('replace each ...: a side in pixels, and "darker", "brighter" or "same".')
    smallest = number(given[0])
    change = given[1].strip().lower() if isinstance(given[1], str) else given[1]
    if not isinstance(change, str) or change not in ("darker", "brighter", "same"):
        raise Wrong(f'{sky}: one of "darker", "brighter" and "same", please.')
    if smallest not in (9, 15, 21, 27, 33):
        raise Wrong(f"{side}: one of the five sides 9, 15, 21, 27 and 33, please.")
    hints = {
        9: "In a van of 9 pixels no patch of 15×15 is all white: its dark channel is that of what "
           "stands around it. Print the airlight.",
        15: "In a van of 15 pixels one single patch is all white. How many pixels decide on the "
            "airlight?",
        21: "It moves the airlight. But by more than 0.05? Print it with three digits.",
        33: "It fools the rule. Is it the smallest of the five that does?",
    }
    if smallest in hints:
        raise Wrong(hints[smallest])
    if change != "darker":
        raise Wrong("The side is right. For the sky, print its mean with and without the van, or "
                    "put a sky of 0.9 and an airlight of 1 into the equation of section 4.")


@exercise("01.3")
def _cure_for_white_walls(answer):
    """Which setting of the prior cures its weakness for pale surfaces without any harm."""
    letter(answer, {
        "a": "A smaller patch is more likely to hold nothing but wall, not less. Run it: the t of "
             "the pale surfaces moves away from the truth.",
        "b": "The t of the pale surfaces gets better, and the land of two of the three gets worse: "
             "compare the decibels with those of try_prior().",
        "c": "Compare the t that is found with that of try_prior(): the floor does not change it. "
             "It only bounds the division.",
        "d": "In one of the three the t of the pale surfaces is still off by more than 0.1, and "
             "the land of that photograph gets worse: compare with try_prior().",
    }, "e")
