"""Export a trained generator for programs without this project: SavedModel and LiteRT.

What is exported is a function of one RGB image in [0, 1], float32 (1, height, width, 3) of a fixed
size; it returns an image of the same kind. The change of range is inside. Taught in notebook 09.
"""

import contextlib
import io
import logging
import os
import shutil
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from helpers import env
from helpers.data import normalise
from helpers.models import size_multiple
from helpers.weights import load_generator, write_whole

SAVED_MODEL = {"assets", "fingerprint.pb", "saved_model.pb", "variables"}


def load_float32(path):
    """:func:`helpers.weights.load_generator` with a network that computes in float32 throughout.

    Under a mixed precision policy the same weights would become a network with casts inside.
    Raises :class:`helpers.weights.WeightsError`. Notebook 09.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        return load_generator(path)
    finally:
        keras.config.set_dtype_policy(policy)


def serving_model(generator, size):
    """The function to export, a Keras model: {"clear": image} of an image in [0, 1].

    ``size`` is (height, width). Raises ValueError unless both are multiples of
    :func:`helpers.models.size_multiple`, and for a network in mixed precision. Notebook 09.
    """
    multiple = size_multiple(generator)
    if any(n % multiple or n <= 0 for n in size):
        raise ValueError(f"size {tuple(size)}: height and width must be multiples of {multiple}.")
    if any(layer.compute_dtype != "float32" for layer in generator.layers):
        raise ValueError("This network computes in 16 bits: load it by load_float32 to export it.")
    hazy = keras.Input((*size, 3), batch_size=1, name="hazy")
    clear = keras.ops.clip((generator(normalise(hazy)) + 1) / 2, 0, 1)
    return keras.Model(hazy, {"clear": clear}, name="dehaze")


@contextlib.contextmanager
def _quietly():
    """Without the converters' lines on what they do; an error still shows them."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with env.quiet_stderr(), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def save_saved_model(model, folder):
    """Write a SavedModel, TensorFlow's own format, of a :func:`serving_model`; returns its path.

    It takes the place of an earlier one. Raises ValueError if ``folder`` holds anything else, and
    leaves it alone, or if it cannot be made. Notebook 09.
    """
    folder = Path(folder).resolve()  # what a link leads to
    kept = folder.iterdir() if folder.is_dir() else [folder] if folder.exists() else []
    names = {p.name for p in kept}
    if names and not {"saved_model.pb"} <= names <= SAVED_MODEL:
        raise ValueError(f"{folder}: holds other things than a SavedModel; name an empty folder.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{folder}: cannot be made ({error.strerror}); name another.") from None
    # Keras' archive in place of model.export, which writes every variable twice.
    archive = keras.export.ExportArchive()
    image = tf.TensorSpec(model.input.shape, tf.float32, name="hazy")
    archive.add_endpoint("serve", lambda hazy: model(hazy, training=False), [image])
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        with _quietly():
            archive.write_out(f"{work}/new", verbose=False)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(f"{work}/new", folder)
    return folder


def save_litert(model, path, weights="float32"):
    """Write a LiteRT file (``.tflite``) for phones, browsers, small computers; returns its path.

    ``model`` is a :func:`serving_model`, ``weights`` the type in which they are stored. "float16"
    takes half the bytes, and the same time. "int8" takes a quarter; convolutions then multiply
    integers, which is quicker and a little off. Raises ValueError for another type, and
    :class:`helpers.weights.RunError` if the file cannot be written. Notebook 09.
    """
    if weights not in ("float32", "float16", "int8"):
        raise ValueError(f"weights {weights!r}: it must be float32, float16 or int8.")
    options = {} if weights == "float32" else {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if weights == "float16":
        options["target_spec"] = {"supported_types": [tf.float16]}
    with tempfile.TemporaryDirectory() as work:
        with _quietly():
            model.export(f"{work}/new.tflite", format="litert", verbose=False, **options)
        write_whole(Path(path), Path(f"{work}/new.tflite").read_bytes())
    return Path(path)


def call_saved_model(folder):
    """The function in a SavedModel: RGB in [0, 1], (height, width, 3), to the same. Notebook 09."""
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return lambda image: serve(hazy=tf.constant(image[None], tf.float32))["clear"][0].numpy()


def call_litert(path, threads=2):
    """The function in a LiteRT file: RGB in [0, 1], (height, width, 3), to the same.

    Needs NumPy and ai-edge-litert, and neither TensorFlow nor this project. Notebook 09.
    """
    from ai_edge_litert.interpreter import Interpreter

    serve = Interpreter(str(path), num_threads=threads).get_signature_runner()
    return lambda image: serve(hazy=image[None].astype("float32"))["clear"][0]
