"""Training runs on disk: folders, checkpoints, weights. Taught in notebook 03."""

import contextlib
import hashlib
import io
import json
import os
import re
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf
from PIL import Image
from safetensors import SafetensorError, safe_open

from helpers import env
from helpers.images import load_image


class RunError(RuntimeError):
    """A run cannot go on; the message names the file and the remedy."""


def _replace(path, content):
    """Write bytes or text so that an interruption leaves the old file or the new one.

    Raises :class:`RunError` if there is no room, or no right, to write it; the old one stays.
    """
    part = path.with_suffix(".part")
    try:
        part.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        reason = error.strerror or error
        raise RunError(
            f"{path}: cannot be written ({reason}); what was saved before is intact: make room and "
            "run it again, and it goes on from the last checkpoint."
        ) from None


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

    ``networks`` are all that is to be saved; the first is the one that is judged and shipped.
    ``writes=False`` reads only: of several processes that train together, one writes. A folder
    without ``generator.safetensors`` is an unfinished run. Notebook 03.
    """

    def __init__(self, settings, networks, optimizers, folder, writes=True):
        self.settings, self.networks, self.folder = settings, networks, Path(folder)
        self.state = [v for part in (*networks, *optimizers) for v in part.variables]
        self.step, self.history, self.writes = 0, [], writes
        if writes:
            (self.folder / "frames").mkdir(parents=True, exist_ok=True)
            for part in self.folder.glob("*.part"):  # of a process that was killed while it wrote
                part.unlink()
            if not _settings_in(self.folder):
                _replace(self.folder / "settings.json", json.dumps(asdict(settings), indent=1))
            self.log = tf.summary.create_file_writer(str(self.folder / "logs"))

    def record(self, step, numbers, pictures=None, verdicts=None):
        """Add a step's losses and scores to the history and, with pictures, to TensorBoard's log.

        ``numbers`` maps names to floats, ``pictures`` scenes to RGB in [0, 1] and ``verdicts``
        scenes to maps (height, width) in 0..1; both are saved in ``frames/``.
        """
        self.step = step
        self.history.append({"step": step, **numbers})
        with self.log.as_default(step=step):
            for name, value in numbers.items():
                tf.summary.scalar(name, value)
            for scene, picture in (pictures or {}).items():
                tf.summary.image(scene, picture[None])
        for images, suffix, kind in ((pictures, "jpg", "JPEG"), (verdicts, "png", "PNG")):
            for scene, image in (images or {}).items():
                buffer = io.BytesIO()
                pixels = Image.fromarray(np.round(image * 255).astype("uint8"))
                pixels.save(buffer, kind, quality=90)
                _replace(self.folder / "frames" / f"{step:06}_{scene}.{suffix}", buffer.getvalue())

    def save_checkpoint(self, keep=3):
        """Write all networks and optimizers, the step and the history; keep the last three.

        Raises :class:`RunError`, and writes nothing, if a weight is no longer a number or there is
        no room.
        """
        arrays = [np.asarray(v) for v in self.state]
        if not all(np.isfinite(a).all() for a in arrays):
            raise RunError(f"step {self.step}: a weight is not a number any more; not saved.")
        path = self.folder / f"checkpoint-{self.step:06}.safetensors"
        tensors = {f"{i:04}": a for i, a in enumerate(arrays)}
        metadata = {"step": self.step, "history": self.history, "sha256": digest(arrays)}
        _replace(path, _tensors(tensors, metadata))
        for old in self.checkpoints()[:-keep]:
            old.unlink()

    def checkpoints(self):
        """Paths of the checkpoints, the oldest first."""
        return sorted(self.folder.glob("checkpoint-*.safetensors"))

    def restore_checkpoint(self):
        """Go back to the newest whole checkpoint, if there is one; returns the step reached.

        A damaged one is named and left out. Raises :class:`RunError` if all are damaged, or the
        one to use belongs to other networks.
        """
        files = self.checkpoints()
        for path in reversed(files):
            try:
                arrays, step, history = _read_checkpoint(path)
            except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                print(f"{path}: damaged ({error}); the checkpoint before it is used.")
                continue
            found, wanted = ([tuple(x.shape) for x in part] for part in (arrays, self.state))
            if found != wanted:
                i = next((i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b),
                         min(len(found), len(wanted)))
                a, b = (str(part[i]) if i < len(part) else "missing" for part in (found, wanted))
                raise RunError(
                    f"{path}: from another architecture, variable {i} is {a} there and {b} here; "
                    "use the settings of that run, or another folder."
                )
            for variable, array in zip(self.state, arrays, strict=True):
                variable.assign(array)
            self.step, self.history = step, history
            return step
        if files:
            raise RunError(f"{self.folder}: all checkpoints are damaged; start in another folder.")
        return 0

    def finish(self):
        """Write the history and the generator's weights, which makes the run a finished one."""
        self.log.flush()
        _replace(self.folder / "history.json", json.dumps(self.history))
        save_generator(self.networks[0], self.folder / "generator.safetensors",
                       self.settings.name, **self.settings.architecture)


def _read_checkpoint(path):
    """(arrays, step, history) of a checkpoint; raises ValueError if its digest is another."""
    with safe_open(path, "numpy") as file:
        arrays = [file.get_tensor(key) for key in sorted(file.keys())]
        meta = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
    if digest(arrays) != meta["sha256"]:
        raise ValueError("its SHA-256 is not that of its saving")
    return arrays, meta["step"], meta["history"]


def is_finished(folder):
    """True if the run in ``folder`` has written its generator."""
    return (Path(folder) / "generator.safetensors").exists()


def open_run(settings, networks, optimizers, runs=None, folder=None, writes=True):
    """Continue the newest unfinished run with these settings, or start a new numbered folder.

    ``runs`` is the folder of all runs, by default :func:`helpers.env.runs_folder`; ``folder``, if
    given, is the run's own. ``writes`` as in :class:`Run`. Nothing is ever deleted. Notebook 03.
    """
    if folder is None:
        runs = Path(runs or env.runs_folder())
        numbers = [int(p.name.rsplit("-", 1)[1]) for p in find_runs(settings.name, runs)]
        folders = {n: runs / f"{settings.name}-{n:03}" for n in sorted(numbers, reverse=True)}
        mine = [f for f in folders.values() if not is_finished(f) and has_settings(f, settings)]
        folder = (mine or [runs / f"{settings.name}-{max(numbers, default=0) + 1:03}"])[0]
    run = Run(settings, networks, optimizers, folder, writes)
    run.restore_checkpoint()
    return run


def has_settings(folder, settings):
    """True if the run in ``folder`` was started with ``settings``."""
    wanted = json.loads(json.dumps(asdict(settings)))  # as a file gives them back: lists, no tuples
    return _settings_in(folder) == wanted


def find_runs(name, runs, finished=False):
    """Folders of the runs called ``name``, oldest first; ``finished``: only those that ended."""
    folders = [p for p in Path(runs).glob("*")
               if re.fullmatch(re.escape(name) + r"-\d+", p.name) and p.is_dir()]
    chosen = filter(is_finished, folders) if finished else folders
    return sorted(chosen, key=lambda p: int(p.name.rsplit("-", 1)[1]))


def load_frames(folder):
    """The pictures saved in a run's folder while it trained: {scene: {step: RGB in [0, 1]}}."""
    return _frames(folder, "jpg", load_image)


def load_verdicts(folder):
    """What the PatchGAN said of them: {scene: {step: float32 (30, 30)}}.

    Each value is the probability, 0..1, that it gave a patch of the picture's central 256×256
    pixels of being real. Empty for a run without a discriminator. Notebook 04.
    """
    return _frames(folder, "png", lambda path: load_image(path)[..., 0])


def _frames(folder, suffix, load):
    frames = {}
    for path in sorted((Path(folder) / "frames").glob(f"*.{suffix}")):
        step, scene = path.stem.split("_", 1)
        frames.setdefault(scene, {})[int(step)] = load(path)
    return frames
