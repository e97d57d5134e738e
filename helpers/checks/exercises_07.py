"""The exercises of notebook 07."""

from functools import lru_cache

import numpy as np

from helpers.checks import Wrong, call, compare, exercise, letter, plain, words


@exercise("07.1")
def _psnr_each(psnr_each):
    """One PSNR an image, for any axes in front, any range and 8-bit integers."""
    random = np.random.default_rng()
    cases = [((), 0, 1), ((), -1, 1), ((3,), 0, 1), ((2, 2), -1, 1), ((4,), 0, 255),
             ((1,), 16, 235), ((2,), 0, 1)]
    for number, (front, low, high) in enumerate(cases):
        shape = (*front, *random.integers(5, 9, 2), 3)
        truths = random.uniform(low, high, shape)
        spread = random.uniform(0.02, 0.3, (*front, 1, 1, 1)) * (high - low)
        images = np.clip(truths + spread * random.choice([-1, 1], shape), low, high)
        if high > 1:
            images, truths = (np.round(x).astype("uint8") for x in (images, truths))
        if number == len(cases) - 1:
            images[0] = truths[0]
        error = np.square(images.astype("float64") - truths).mean(axis=(-3, -2, -1))
        peak = high - low
        with np.errstate(divide="ignore"):
            expected = 10 * np.log10(peak**2 / error)
            try:
                result = call(psnr_each, images, truths, low, high)
            except Exception as error:
                if type(error).__name__ not in ("AxisError", "IndexError", "InvalidArgumentError"):
                    raise
                raise Wrong(f"For images of shape {images.shape} it stops with "
                            f"{type(error).__name__}. There may be any number of axes in front, "
                            "or none: how do you name the last three in every case?") from None
        compare(result, expected, _psnr_hint(result, images, truths, low, high, error))


def _psnr_hint(result, images, truths, low, high, error):
    """What a wrong result looks like."""
    shape = f"For images of shape {images.shape} with values from {low} to {high}."
    try:
        found = np.asarray(result, "float64")
    except Exception:
        return shape
    at_once = 10 * np.log10((high - low) ** 2 / error.mean())
    peak = 10 * np.log10(high**2 / np.where(error > 0, error, 1))
    wrapped = images - truths
    if found.size == 1 and error.size > 1 and np.isclose(found, at_once).all():
        return f"{shape} One number for the whole batch: over which axes is the mean to be taken?"
    if images.ndim > 3:
        squares = np.square(images.astype("float64") - truths)
        for axes in ((0, 1, 2), (1, 2, 3)):
            with np.errstate(divide="ignore"):
                fixed = 10 * np.log10((high - low) ** 2 / squares.mean(axis=axes))
            if found.shape == fixed.shape and np.isclose(found, fixed).all():
                return (f"{shape} You take the mean over the axes {axes}, whatever the shape. "
                        "How do you name the last three, however many stand in front?")
    if low and found.shape == error.shape and np.isclose(found, peak).all():
        return f"{shape} How far apart can two values be, at most?"
    if images.dtype == np.uint8 and not np.array_equal(wrapped, images.astype(int) - truths):
        return f"{shape} What is 3 - 5 in uint8?"
    if not error.all():
        return f"{shape} One of the pairs is equal."
    return shape


PARTS = "near", "middle", "far", "farthest"


@lru_cache(1)
def _errors():
    """Squared errors of the four parts: {method: (mean of each part, sum of each part)}."""
    from helpers import env
    from helpers.haze import dark_channel_prior, transmission
    from helpers.images import load_depth, load_image
    from helpers.inference import dehaze
    from helpers.weights import load_generator

    test, name = env.SAMPLE_DATA / "test", "eiffel-tower_0.95_0.98"
    hazy = load_image(test / "hazy" / f"{name}.jpg")
    clear = load_image(test / "clear" / "eiffel-tower.jpg")
    t = transmission(load_depth(test / "depth" / "eiffel-tower.png"), 0.98)
    part = np.digitize(t, [0.6, 0.3, 0.1])  # 0 for near to 3 for farthest
    pix2pix = load_generator(env.SAMPLE_DATA / "weights" / "pix2pix" / "generator.safetensors")
    found = {}
    for method, image in (("prior", dark_channel_prior(hazy)[0]),
                          ("pix2pix", dehaze(pix2pix, hazy))):
        error = np.square(image - clear).mean(axis=-1)
        found[method] = ([error[part == n].mean() for n in range(4)],
                         [error[part == n].sum() for n in range(4)])
    return found


@exercise("07.2")
def _where(answer):
    """In which part of a scene the error is the largest, measured with the shipped weights."""
    keys = "prior, per pixel", "pix2pix, per pixel", "pix2pix, in all"
    given = words(answer, keys, PARTS)
    errors = _errors()
    right = dict(zip(keys, (PARTS[np.argmax(values)] for values in (
        errors["prior"][0], errors["pix2pix"][0], errors["pix2pix"][1])), strict=True))
    wrong = [key for key in keys if given[key] != right[key]]
    if not wrong:
        return
    count = f"{3 - len(wrong)} of 3 right."
    if wrong[0] == keys[2]:
        raise Wrong(f"{count} Per pixel and in all are two questions: the parts are not equally "
                    "large. Take the sum of the squared error over each part.")
    raise Wrong(f"{count} {wrong[0]}: have you measured it? Square the error, take the mean over "
                "the channels, then the mean over the pixels of each part.")


@exercise("07.3")
def _prefers(answer):
    """Which of three damages each measure prefers, and what follows."""
    measures = "PSNR", "SSIM", "sharpness"
    given = words(answer, measures, ("blurred", "shifted", "darkened"))
    right = dict(zip(measures, ("blurred", "darkened", "shifted"), strict=True))
    wrong = [key for key in measures if given[key] != right[key]]
    if wrong:
        hint = ("Nearest to 1 is best: neither less sharp than the truth nor sharper."
                if wrong == ["sharpness"] else "Measure all three versions by all three measures.")
        raise Wrong(f"{3 - len(wrong)} of 3 measures right. {hint}")
    try:
        follows = answer["what follows"]
    except Exception:
        raise Wrong('Keep the key "what follows".') from None
    letter(plain(follows), {
        "a": "Look at the shifted version and at its SSIM. Who would notice a shift of two pixels?",
        "b": "Look at what PSNR prefers. Is it the version you could live with?",
        "d": "Decibels, a number up to 1 and a ratio: their mean has no meaning, and PSNR would "
             "decide it alone.",
    }, "c")
