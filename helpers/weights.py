"""Files of trained generators: saved, found and loaded. Taught in notebook 07."""

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf
from safetensors import SafetensorError, safe_open

from helpers import env, models

NETWORKS = {"unet": models.unet} | {name: getattr(models, name) for name in models.PHYSICS}
UNREADABLE = (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError)


class RunError(env.Told, RuntimeError):
    """A run cannot go on; the message names the file and the remedy."""


class WeightsError(env.Told, ValueError):
    """A weights file cannot be used; the message names it and the remedy."""


def write_whole(path, content):
    """Write bytes or text so that an interruption leaves the old file or the new one.

    Raises :class:`RunError` if there is no room, or no right, to write it; the old one stays.
    """
    part = path.with_name(f".{os.getpid()}.part")  # nobody else's, and never too long a name
    try:
        try:
            part.write_bytes(content if isinstance(content, bytes) else content.encode())
            os.replace(part, path)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be written ({error.strerror or error}); what was saved before is "
            "intact: see that the disk is there and has room, and continue."
        ) from None


def digest(arrays):
    """SHA-256 of a list of arrays, their types and shapes included, as hexadecimal text."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return sha.hexdigest()


def write_arrays(path, arrays, **metadata):
    """Write a list of arrays and what is said of them, with their SHA-256, as safetensors.

    Raises :class:`RunError` as :func:`write_whole` does.
    """
    tensors = {f"{i:04}": array for i, array in enumerate(arrays)}
    metadata = metadata | {"sha256": digest(arrays)}
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    write_whole(Path(path), safetensors.numpy.save(tensors, texts))


def read_arrays(path):
    """(arrays, metadata) of a safetensors file; raises one of :data:`UNREADABLE` if it is none."""
    with safe_open(path, "numpy") as file:
        arrays = [file.get_tensor(key) for key in sorted(file.keys())]
        metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    return arrays, metadata


def save_generator(generator, path, name, dtype="float16", **architecture):
    """Write a generator's variables and what is needed to build it again, for inference.

    ``name`` is the run's, ``architecture`` the function of :mod:`helpers.models` ("network") and
    its arguments. Half precision halves the file. Variables are stored by their position; their
    SHA-256 and the versions go along. Notebook 05.
    """
    arrays = [np.asarray(v).astype(dtype) for v in generator.variables if "seed" not in v.name]
    write_arrays(path, arrays, format=2, name=name, architecture=architecture,
                 keras=keras.__version__, tensorflow=tf.__version__)


def is_finished(folder):
    """True if the run in ``folder`` has written its generator."""
    return (Path(folder) / "generator.safetensors").exists()


def find_runs(name, runs, finished=False):
    """Folders of the runs called ``name``, oldest first; ``finished``: only those that ended."""
    folders = [p for p in Path(runs).glob("*")
               if re.fullmatch(re.escape(name) + r"-\d+", p.name) and p.is_dir()]
    chosen = filter(is_finished, folders) if finished else folders
    return sorted(chosen, key=lambda p: int(p.name.rsplit("-", 1)[1]))


def find_weights(name, runs=None):
    """Folder of the newest finished run called ``name``, or of the weights that are shipped.

    A folder holds ``generator.safetensors`` and ``history.json``; of a run, and of the shipped
    pix2pix, also ``frames/``. Raises :class:`WeightsError` if there is neither. Notebook 07.
    """
    finished = find_runs(name, runs or env.runs_folder(), finished=True)
    shipped = env.SAMPLE_DATA / "weights" / name
    if not finished and not shipped.is_dir():
        remedy = "run make weights" if name == "improved" else "run notebook 05"
        raise WeightsError(f"{shipped}: no such weights; {remedy} to train {name}.")
    return finished[-1] if finished else shipped


def load_generator(path):
    """Build the generator that a ``generator.safetensors`` file describes, with its weights.

    Its attribute ``architecture`` is what the file says of it: the "network" of
    :mod:`helpers.models` and its arguments. Raises :class:`WeightsError` if the file is missing,
    damaged, of another network or of a newer format. Notebook 07.
    """
    env.check_keras()
    again = "get it again, or train it anew"
    try:
        arrays, meta = read_arrays(path)
        version = meta["format"]
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; run notebook 05 first.") from None
    except UNREADABLE as error:
        problem = f"not a generator of this project, or damaged ({error!r}); {again}"
        raise WeightsError(f"{path}: {problem}.") from None
    if version != 2:
        problem = f"format {version!r}, made with Keras {meta.get('keras')}; update this code"
        raise WeightsError(f"{path}: {problem}.")
    if digest(arrays) != meta.get("sha256"):
        raise WeightsError(f"{path}: damaged, its SHA-256 is not that of its saving; {again}.")
    try:
        architecture = dict(meta["architecture"])
        network = NETWORKS[architecture["network"]]
        # Its weights are about to be read: drawing random ones would take half of the time.
        with keras.saving.custom_object_scope({"he_normal": keras.initializers.Zeros}):
            generator = network(**{k: v for k, v in architecture.items() if k != "network"})
    except Exception:  # Keras answers nonsense arguments in many ways
        problem = f"it names a network that cannot be built: {meta.get('architecture')}; {again}"
        raise WeightsError(f"{path}: {problem}.") from None
    variables = [v for v in generator.variables if "seed" not in v.name]
    if [a.shape for a in arrays] != [tuple(v.shape) for v in variables]:
        raise WeightsError(f"{path}: its weights do not fit the network that it names; {again}.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array.astype("float32"))
    generator.architecture = architecture
    models.compiled(generator)  # traced here, so that the first picture need not wait
    return generator
