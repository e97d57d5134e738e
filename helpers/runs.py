"""Training runs on disk: folders, checkpoints, weights. Taught in notebook 03."""

import hashlib
import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf
from safetensors import SafetensorError, safe_open

from helpers import env
from helpers.images import load_image


class RunError(RuntimeError):
    """A run cannot go on; the message names the file and the remedy."""


def _replace(path, content):
    """Write bytes or text so that an interruption leaves the old file or the new one."""
    part = path.with_suffix(".part")
    part.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(part, path)


def _tensors(tensors, metadata):
    return safetensors.numpy.save(tensors, {k: json.dumps(v) for k, v in metadata.items()})


def _settings_in(folder):
    """The settings of a run as a dictionary; None if its file is missing or damaged."""
    try:
        return json.loads((folder / "settings.json").read_text())
    except (OSError, ValueError):
        return None


def digest(arrays):
    """SHA-256 of a list of arrays, their types and shapes included, as hexadecimal text."""
    sha = hashlib.sha256()
    for array in arrays:
        sha.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return sha.hexdigest()


def save_generator(generator, path, name, dtype="float16", **architecture):
    """Write a generator's variables and what is needed to build it again, for inference.

    ``name`` is the run's, ``architecture`` the function of :mod:`helpers.models` ("network") and
    its arguments. Half precision halves the file. Variables are stored by their position; their
    SHA-256 and the versions go along. Notebook 03.
    """
    tensors = {f"{i:03}": np.asarray(v).astype(dtype) for i, v in enumerate(generator.variables)
               if "seed" not in v.name}
    metadata = {"format": 2, "name": name, "architecture": architecture,
                "sha256": digest(tensors.values()), "keras": keras.__version__,
                "tensorflow": tf.__version__}
    _replace(Path(path), _tensors(tensors, metadata))


class Run:
    """A training run and its folder: settings, history, checkpoints, frames and, at the end, the
    generator's weights.

    A folder without ``generator.safetensors`` is an unfinished run. Notebook 03.
    """

    def __init__(self, settings, networks, optimizers, folder):
        self.settings, self.networks, self.folder = settings, networks, Path(folder)
        self.state = [v for part in (*networks, *optimizers) for v in part.variables]
        self.step, self.history = 0, []
        (self.folder / "frames").mkdir(parents=True, exist_ok=True)
        if not _settings_in(self.folder):
            _replace(self.folder / "settings.json", json.dumps(asdict(settings), indent=1))
        self.log = tf.summary.create_file_writer(str(self.folder / "logs"))

    def record(self, step, losses, **scores):
        """Add a step's losses (and validation scores) to the history and to TensorBoard's log."""
        self.step = step
        self.history.append({"step": step, **losses, **scores})
        with self.log.as_default(step=step):
            for name, value in (losses | scores).items():
                tf.summary.scalar(name, value)

    def save_checkpoint(self, keep=3):
        """Write both networks, both optimizers, the step and the history; keep the last three."""
        path = self.folder / f"checkpoint-{self.step:06}.safetensors"
        tensors = {f"{i:03}": np.asarray(v) for i, v in enumerate(self.state)}
        _replace(path, _tensors(tensors, {"step": self.step, "history": self.history}))
        for old in sorted(self.folder.glob("checkpoint-*.safetensors"))[:-keep]:
            old.unlink()

    def restore_checkpoint(self):
        """Go back to the newest checkpoint, if there is one; returns the step reached.

        Raises :class:`RunError` if the file is damaged or belongs to other networks.
        """
        files = sorted(self.folder.glob("checkpoint-*.safetensors"))
        if not files:
            return 0
        try:
            with safe_open(files[-1], "numpy") as file:
                arrays = [file.get_tensor(f"{i:03}") for i in range(len(file.keys()))]
                meta = file.metadata() or {}
                step, history = json.loads(meta["step"]), json.loads(meta["history"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            problem = f"{files[-1]}: damaged ({error}); delete it to use the one before."
            raise RunError(problem) from None
        shapes = [a.shape for a in arrays]
        if shapes != [tuple(v.shape) for v in self.state]:
            raise RunError(f"{files[-1]}: from another network; use the settings of that run.")
        for variable, array in zip(self.state, arrays, strict=True):
            variable.assign(array)
        self.step, self.history = step, history
        return step

    def finish(self):
        """Write the history and the generator's weights, which makes the run a finished one."""
        self.log.flush()
        _replace(self.folder / "history.json", json.dumps(self.history))
        save_generator(self.networks[0], self.folder / "generator.safetensors",
                       self.settings.name, **self.settings.architecture)


def open_run(settings, networks, optimizers, runs=None):
    """Continue the newest unfinished run with these settings, or start a new numbered folder.

    ``runs`` is the folder of all runs, by default :func:`helpers.env.runs_folder`. Nothing is ever
    deleted. Notebook 03.
    """
    runs = Path(runs or env.runs_folder())
    numbers = [int(p.name.rsplit("-", 1)[1]) for p in find_runs(settings.name, runs)]
    for number in sorted(numbers, reverse=True):
        folder = runs / f"{settings.name}-{number:03}"
        unfinished = not (folder / "generator.safetensors").exists()
        if unfinished and has_settings(folder, settings):
            run = Run(settings, networks, optimizers, folder)
            run.restore_checkpoint()
            return run
    return Run(settings, networks, optimizers,
               runs / f"{settings.name}-{max(numbers, default=0) + 1:03}")


def has_settings(folder, settings):
    """True if the run in ``folder`` was started with ``settings``."""
    wanted = json.loads(json.dumps(asdict(settings)))  # as a file gives them back: lists, no tuples
    return _settings_in(folder) == wanted


def find_runs(name, runs, finished=False):
    """Folders of the runs called ``name``, oldest first; ``finished``: only those that ended."""
    folders = [p for p in Path(runs).glob("*")
               if re.fullmatch(re.escape(name) + r"-\d+", p.name) and p.is_dir()]
    ended = [p for p in folders if (p / "generator.safetensors").exists()]
    return sorted(ended if finished else folders, key=lambda p: int(p.name.rsplit("-", 1)[1]))


def load_frames(folder):
    """The pictures that :func:`watch` saved in a run's folder: {scene: {step: RGB in [0, 1]}}."""
    frames = {}
    for path in sorted((Path(folder) / "frames").glob("*.jpg")):
        step, scene = path.stem.split("_", 1)
        frames.setdefault(scene, {})[int(step)] = load_image(path)
    return frames
