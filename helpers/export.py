"""Export a trained generator for programs without this project: SavedModel and LiteRT.

What is exported is a function of one RGB image in [0, 1], float32 (1, height, width, 3) of a fixed
size; it returns an image of the same kind. The change of range is inside. Taught in notebook 06.
"""

import contextlib
import logging
import os
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from helpers import env
from helpers.data import normalise
from helpers.weights import load_generator


def load_float32(path):
    """:func:`helpers.inference.load_generator` with a network that computes in float32 throughout.

    Under a mixed precision policy the same weights would become a network with casts inside.
    Raises :class:`helpers.inference.WeightsError`. Notebook 06.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return load_generator(path)
    finally:
        keras.config.set_dtype_policy(policy)


def size_multiple(generator):
    """What height and width must be multiples of: 2 to the number of halvings. Notebook 06."""
    halvings = [layer for layer in generator.layers
                if isinstance(layer, keras.layers.Conv2D) and layer.strides == (2, 2)]
    return 2 ** len(halvings)


def serving_function(generator, size):
    """The function to export, a ``tf.function``: {"clear": image} of an image in [0, 1].

    ``size`` is (height, width). Raises ValueError unless both are multiples of
    :func:`size_multiple`. Notebook 06.
    """
    multiple = size_multiple(generator)
    if any(n % multiple or n <= 0 for n in size):
        raise ValueError(f"size {tuple(size)}: height and width must be multiples of {multiple}.")

    @tf.function(input_signature=[tf.TensorSpec((1, *size, 3), tf.float32, name="hazy")])
    def dehaze(hazy):
        output = generator(normalise(hazy), training=False)
        return {"clear": tf.clip_by_value((output + 1) / 2, 0.0, 1.0)}

    return dehaze


@contextlib.contextmanager
def _quietly():
    """Without the converters' lines on what they do; an error still shows them."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with env.quiet_stderr():
            yield
    finally:
        logger.setLevel(level)


def save_saved_model(generator, size, folder):
    """Write a SavedModel, TensorFlow's own format, to ``folder`` in place of what is there.

    Returns its path. Raises ValueError as :func:`serving_function`. Notebook 06.
    """
    folder = Path(folder)
    part = folder.with_name(folder.name + ".part")
    module = tf.Module()
    module.dehaze = serving_function(generator, size)
    # Its variables, not the Keras model: that one would add a function of any size, which a
    # network with bilinear upsampling cannot be.
    module.kept = [variable.value for variable in generator.variables]
    shutil.rmtree(part, ignore_errors=True)
    with _quietly():
        tf.saved_model.save(module, str(part), signatures=module.dehaze)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)
    return folder


def save_litert(saved_model, path, half=False):
    """Convert a SavedModel to a LiteRT file (``.tflite``) for phones, browsers, small computers.

    ``half`` stores the weights in float16, in half the bytes. Returns its path. Raises ValueError
    if ``saved_model`` is no folder of :func:`save_saved_model`. Notebook 06.
    """
    path = Path(path)
    if not (Path(saved_model) / "saved_model.pb").exists():
        raise ValueError(f"{saved_model}: no SavedModel; write one with save_saved_model.")
    with _quietly():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
        converter.experimental_enable_resource_variables = False  # weights are constants
        if half:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        content = converter.convert()
    part = path.with_suffix(".part")
    part.write_bytes(content)
    os.replace(part, path)
    return path


def call_saved_model(folder):
    """The function in a SavedModel: RGB in [0, 1], (height, width, 3), to the same. Notebook 06."""
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return lambda image: serve(hazy=tf.constant(image[None], tf.float32))["clear"][0].numpy()


def call_litert(path, threads=2):
    """The function in a LiteRT file: RGB in [0, 1], (height, width, 3), to the same.

    Needs NumPy and ai-edge-litert, and neither TensorFlow nor this project. Notebook 06.
    """
    from ai_edge_litert.interpreter import Interpreter

    serve = Interpreter(str(path), num_threads=threads).get_signature_runner()
    return lambda image: serve(hazy=image[None].astype("float32"))["clear"][0]
