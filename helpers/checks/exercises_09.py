"""The exercises of notebook 09."""

import keras
import numpy as np
from keras import ops

from helpers.checks import NotYet, Wrong, exercise, untouched, words

# 09.1

SIZE = 7, 11  # odd: on some processors a cast saturates in blocks of 8 values, not in the rest


def tiny_generator(kernel, bias):
    """A generator of one 1×1 convolution, from [-1, 1] to wherever ``kernel`` and ``bias`` lead."""
    image = keras.Input((None, None, 3))
    layer = keras.layers.Conv2D(3, 1)
    network = keras.Model(image, layer(image))
    layer.set_weights([kernel.reshape(1, 1, 3, 3).astype("float32"), bias.astype("float32")])
    return network


def rounded(values):
    """Values in [0, 1] as whole numbers 0 to 255."""
    return np.clip(np.round(255 * values), 0, 255)


def pixels_of(model, pixels):
    """What a learner's model makes of pixels: the array of the type that it returns."""
    result = model(pixels)
    if untouched(result):
        raise NotYet("fill in the lines with ... and return the model.")
    if not isinstance(result, dict) or list(result) != ["clear"]:
        raise Wrong('The model should return one image under its name: {"clear": …}, as '
                    "serving_model does.")
    result = result["clear"]
    if not hasattr(result, "shape"):
        raise Wrong(f"The model returns a {type(result).__name__}, not an image.")
    return np.asarray(ops.convert_to_numpy(result))


def careless_cast(model, pixels):
    """True if a Keras model casts to uint8 what is beyond 0 to 255, however that ends here.

    TensorFlow leaves open what such a cast gives: on one processor 260 becomes 4, on another 255.
    """
    for layer in getattr(model, "operations", []):
        if type(layer).__name__ == "Cast" and layer.output.dtype == "uint8":
            values = ops.convert_to_numpy(keras.Model(model.input, layer.input)(pixels))
            if values.dtype.kind == "f" and (values.min() <= -1 or values.max() >= 256):
                return True
    return False


BEYOND = ("Right, but where the network goes beyond black or white: what a cast makes of 260 "
          "depends on the machine. Clip before you cast.")


def symptom(got, pixels, network):
    """A sentence on why the pixels ``got`` are wrong, if it is one of the common reasons."""
    image = pixels / 255.0
    if np.any(got != np.round(got)) and np.abs(got - np.clip(
            127.5 * (np.asarray(network(pixels / 127.5 - 1), "float64") + 1), 0, 255)).max() < 0.01:
        return "Nearly: these are not whole numbers yet. What is still to do with 127.9?"
    inside, raw = (np.asarray(network(x.astype("float32")), "float64")
                   for x in (2 * image - 1, image))
    right = (inside + 1) / 2
    for expected, hint in (
        (rounded((raw + 1) / 2), "What goes into the network is in [0, 1], and it expects "
                                 "[-1, 1]."),
        (rounded(inside), "What comes out of the network is in [-1, 1]. Bring it back to [0, 1] "
                          "before it becomes pixels."),
        (rounded((np.asarray(network(2 * pixels.astype("float32") - 1)) + 1) / 2),
         "The pixels go in as 0 to 255: divide before you normalise."),
        (np.floor(np.clip(right, 0, 1) * 255), "Nearly: each value is cut off, not rounded. What "
                                               "becomes of 127.9?"),
    ):
        if np.abs(got - expected).mean() < 0.2:
            return hint
    beyond = (right < 0) | (right > 1)
    if np.abs(got - rounded(right))[~beyond].mean() < 0.2:
        return BEYOND
    if np.ptp(got) == 0 or got.max() <= 1:
        return "The pixels are 0 or 1: bring them to 0 to 255 before you cast."
    return ("The pixels are others. To [0, 1], to [-1, 1], through the network, and all the way "
            "back.")


@exercise("09.1")
def _camera_model(build):
    """Pixels to pixels, around tiny random networks: one exact, and some that leave the range."""
    if not callable(build):
        raise Wrong(f"A function is asked for, not a {type(build).__name__}.")
    random = np.random.default_rng()
    cases = [(0.6 * np.eye(3), np.zeros(3)), (np.eye(3)[[1, 2, 0]] * 0.8, np.full(3, 0.1)),
             (np.eye(3) * random.uniform(1.3, 1.6), random.uniform(-0.1, 0.1, 3)),
             (random.uniform(-0.6, 0.6, (3, 3)) + np.eye(3), random.uniform(-0.3, 0.3, 3))]
    for kernel, bias in cases:
        network = tiny_generator(kernel, bias)
        model = build(network, SIZE)
        if untouched(model):
            raise NotYet("fill in the lines with ... and return the model.")
        if not callable(model):
            raise Wrong(f"Return a model, not a {type(model).__name__}.")
        taken = {str(x.dtype) for x in getattr(model, "inputs", None) or []} - {"uint8"}
        if taken:
            raise Wrong(f"What comes in is declared as {taken.pop()}; the camera hands over uint8.")
        pixels = random.integers(0, 256, (1, *SIZE, 3)).astype("uint8")
        pixels[0, [0, 0, -1, -1], [0, 1, -2, -1]] = [[0] * 3, [255] * 3] * 2  # both ends
        got = pixels_of(model, pixels)
        if got.shape != pixels.shape:
            raise Wrong(f"The image that comes out has the shape {got.shape}, not {pixels.shape}.")
        right = rounded((np.asarray(network(pixels / 127.5 - 1), "float64") + 1) / 2)
        off = np.abs(got.astype("float64") - right)
        if off.max() > 1 or (off > 0).mean() > 0.05:  # a tie may be rounded either way
            raise Wrong(symptom(got.astype("float64"), pixels, network))
        if careless_cast(model, pixels):
            raise Wrong(BEYOND)
        if got.dtype != np.uint8:
            raise Wrong(f"The values are right, but of the type {got.dtype}; the camera wants "
                        "uint8.")


# 09.2

MISTAKES = {"A": "normalised twice", "B": "input in [0, 1]", "C": "blue before red",
            "D": "output in [-1, 1]"}


def faulty_programs(generator, hazy):
    """{"A": picture, …} of four programs that use a generator in a wrong way each.

    ``hazy`` is RGB in [0, 1], (height, width, 3), and so are the pictures. Notebook 09, exercise 2.
    """
    def network(image):
        return np.asarray(generator(image[None].astype("float32"), training=False)[0])

    def back(output):
        return np.clip((output + 1) / 2, 0, 1)

    inside = 2 * hazy - 1
    made = {"normalised twice": back(network(2 * inside - 1)), "input in [0, 1]":
            back(network(hazy)), "blue before red": back(network(inside[..., ::-1]))[..., ::-1],
            "output in [-1, 1]": np.clip(network(inside), 0, 1)}
    return {name: made[mistake] for name, mistake in MISTAKES.items()}


@exercise("09.2")
def _mistakes(answer):
    """Which of the faulty programs makes which mistake."""
    given = words(answer, tuple(MISTAKES), tuple(MISTAKES.values()))
    if len(set(given.values())) < len(MISTAKES):
        raise Wrong("Each mistake occurs once.")
    wrong = [key for key in MISTAKES if given[key] != MISTAKES[key]]
    if not wrong:
        return
    count = f"{len(MISTAKES) - len(wrong)} of {len(MISTAKES)} right."
    if {"A", "D"} & set(wrong) and {given["A"], given["D"]} == {MISTAKES["A"], MISTAKES["D"]}:
        raise Wrong(f"{count} The two dark ones are close. Make one of the mistakes yourself, and "
                    "take the mean difference to A and to D.")
    if {given["B"], given["C"]} == {MISTAKES["B"], MISTAKES["C"]}:
        raise Wrong(f"{count} Of the two that look plausible, one is too bright, the other has "
                    "other colours. Which mistake touches the colours?")
    raise Wrong(f"{count} Think of a mid grey: which mistakes make it darker before it is shown, "
                "which brighter, and which leave it as it is?")
