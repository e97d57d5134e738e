"""Training runs on disk: folders, checkpoints, what is watched. Taught in notebook 05."""

import contextlib
import hashlib
import io
import itertools
import json
import math
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import filelock
import numpy as np
import tensorflow as tf
from PIL import Image

from helpers import env
from helpers.checkup import output_spread
from helpers.data import pairs_in_batch
from helpers.haze import resize
from helpers.images import load_image, to_uint8
from helpers.inference import verdict
from helpers.metrics import psnr
from helpers.weights import (
    UNREADABLE,
    RunError,
    digest,
    find_runs,
    is_finished,
    read_arrays,
    save_generator,
    write_arrays,
    write_whole,
)

WATCHED = 768  # pixels: the long side of a watched scene; a larger one is shrunk


def _read_json(path, kind=dict):
    """What a JSON file holds; None if it is missing or damaged, or not of this kind."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, kind) else None


class Run:
    """A training run and its folder: settings, history, checkpoints, frames and, at the end, the
    generator's weights.

    ``networks`` are all that is to be saved; the first is the one that is judged and shipped.
    ``writes=False`` reads only: of several processes that train together, one writes. A folder
    without ``generator.safetensors`` is an unfinished run. Used by ``with``, the run gives its
    folder free at the end. Raises :class:`RunError` if the folder cannot be written, or if another
    process trains in it. Notebook 05.
    """

    def __init__(self, settings, networks, optimizers, folder, writes=True):
        self.settings, self.networks, self.optimizers = settings, networks, optimizers
        self.state = [v for part in (*networks, *optimizers) for v in part.variables]
        self.folder, self.writes = Path(folder), writes
        self.step, self.history, self.log = 0, [], None
        if not writes:
            return
        try:
            (self.folder / "frames").mkdir(parents=True, exist_ok=True)
            # The system holds it, so that a killed process leaves none behind; a second run of the
            # same process is let in.
            self.lock = filelock.FileLock(self.folder / "lock", timeout=0, is_singleton=True)
            self.lock.acquire()
        except filelock.Timeout:
            raise RunError(f"{self.folder}: another process trains in it; wait for its end, stop "
                           "it, or name another folder.") from None
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be written ({error.strerror or error}); name "
                           "another folder for the run.") from None
        for part in self.folder.rglob(".[0-9]*.part"):  # of a process killed while it wrote
            part.unlink(missing_ok=True)
        if not _read_json(self.folder / "settings.json"):
            write_whole(self.folder / "settings.json", json.dumps(asdict(settings), indent=1))
        self.log = tf.summary.create_file_writer(os.fsencode(self.folder / "logs"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Let other processes train in this folder. The run can still be read."""
        if self.writes:
            with contextlib.suppress(tf.errors.OpError):  # a disk that has gone away
                self.log.close()
            self.lock.release(force=True)

    def record(self, step, numbers, pictures=None, verdicts=None):
        """Add a step's losses and scores to the history and, with pictures, to TensorBoard's log.

        ``numbers`` maps names to floats, ``pictures`` scenes to RGB in [0, 1] and ``verdicts``
        scenes to maps (height, width) in 0..1; both are saved in ``frames/``.
        """
        self.step = step
        self.history.append({"step": step, **numbers})
        for images, suffix, kind in ((pictures, "jpg", "JPEG"), (verdicts, "png", "PNG")):
            for scene, image in (images or {}).items():
                buffer = io.BytesIO()
                Image.fromarray(to_uint8(image)).save(buffer, kind, quality=90)
                name = f"{step:06}_{self._frame_name(scene)}.{suffix}"
                write_whole(self.folder / "frames" / name, buffer.getvalue())
        with self.log.as_default(step=step):
            for name, value in numbers.items():
                tf.summary.scalar(name, value)
            for scene, picture in (pictures or {}).items():
                tf.summary.image(self._frame_name(scene), picture[None])

    def _frame_name(self, scene):
        """What a scene is called in ``frames/``: its name, or where a system may not take that, or
        not keep it apart from others, a part of its SHA-256, which ``scenes.json`` explains.
        """
        if re.fullmatch("[a-z0-9_-]{1,60}", scene):
            return scene
        name = hashlib.sha256(scene.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        index = self.folder / "frames" / "scenes.json"
        names = _read_json(index) or {}
        if name not in names:
            write_whole(index, json.dumps(names | {name: scene}, indent=1))
        return name

    def save_checkpoint(self, keep=3):
        """Write all networks and optimizers, the step and the history; keep the last three.

        Raises :class:`RunError`, and writes nothing, if a weight is NaN or infinite, or if there is
        no room.
        """
        arrays = [np.asarray(v) for v in self.state]
        if not all(np.isfinite(a).all() for a in arrays):
            raise RunError(f"step {self.step}: a weight is NaN or infinite; not saved.")
        path = self.folder / f"checkpoint-{self.step:06}.safetensors"
        write_arrays(path, arrays, step=self.step, history=self.history)
        for old in self.checkpoints()[:-keep]:
            with contextlib.suppress(OSError):  # one more than needed does no harm
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
                arrays, meta = read_arrays(path)
                if digest(arrays) != meta["sha256"]:
                    raise ValueError("its SHA-256 is not that of its saving")
                step, history = meta["step"], meta["history"]
            except UNREADABLE as error:
                print(f"{path}: damaged ({error}); the checkpoint before it is used.")
                continue
            self._assign(arrays, path)
            self.step, self.history = step, history
            return step
        if files:
            raise RunError(f"{self.folder}: all checkpoints are damaged; start in another folder.")
        return 0

    def _assign(self, arrays, path):
        for i, (a, v) in enumerate(itertools.zip_longest(arrays, self.state)):
            there, here = ("missing" if x is None else tuple(x.shape) for x in (a, v))
            if there != here:
                raise RunError(f"{path}: from another architecture, variable {i} is {there} there "
                               f"and {here} here; use the settings of that run, or another folder.")
        for variable, array in zip(self.state, arrays, strict=True):
            variable.assign(array)

    def finish(self):
        """Write the history and the generator's weights, which makes the run a finished one."""
        if self.writes:
            self.log.flush()
            write_whole(self.folder / "history.json", json.dumps(self.history))
            save_generator(self.networks[0], self.folder / "generator.safetensors",
                           self.settings.name, **self.settings.architecture)


def fingerprint(pairs, scenes=()):
    """What a run keeps of the data that it trains on: a few numbers to compare.

    ``pairs`` are trained on, and ``scenes``, (name, hazy, clear), watched. Where the files lie does
    not count, nor what is in them: their order and names do.
    """
    names = [f"{pair.part}/{pair.hazy.name}/{pair.clear.name}/{pair.scene}" for pair in pairs]
    text = json.dumps([names, [name for name, *_ in scenes]])
    return {"pairs": len(pairs), "watched scenes": len(scenes),
            "digest of all names": hashlib.sha256(text.encode()).hexdigest()[:16]}


def data_changes(folder, data):
    """In which points ``data``, a :func:`fingerprint`, differs from that of the run in ``folder``.

    A sentence without an end, "" if there is no difference or no such run.
    """
    before = (_data_of(folder) or [{}])[-1]
    return ", ".join(f"{key} {before[key]} then and {value} now"
                     for key, value in (data or {}).items() if before.get(key, value) != value)


def record_data(folder, data):
    """Note in the ``data.json`` of a run's folder that it goes on with ``data``."""
    before = _data_of(folder)
    if before[-1:] != [data] and Path(folder).is_dir():
        write_whole(Path(folder) / "data.json", json.dumps([*before, data], indent=1))


def _data_of(folder):
    """What the run in ``folder`` was trained on: fingerprints, the newest last."""
    found = _read_json(Path(folder) / "data.json", list) or []
    return [entry for entry in found if isinstance(entry, dict)]


def open_run(settings, networks, optimizers, runs=None, folder=None, writes=True, data=None):
    """Continue the newest unfinished run with these settings and data, or start a new folder.

    ``runs`` is the folder of all runs, by default :func:`helpers.env.runs_folder`; ``folder``, if
    given, is the run's own. ``writes`` as in :class:`Run`; ``data`` is the :func:`fingerprint` of
    what is trained on. Raises :class:`RunError` if the run in ``folder`` has other data. Nothing
    is ever deleted. Notebook 05.
    """
    if folder is None:
        runs = Path(runs or env.runs_folder())
        numbers = [int(p.name.rsplit("-", 1)[1]) for p in find_runs(settings.name, runs)]
        folders = {n: runs / f"{settings.name}-{n:03}" for n in sorted(numbers, reverse=True)}
        mine = [f for f in folders.values() if not is_finished(f) and has_settings(f, settings)
                and not data_changes(f, data)]
        folder = (mine or [runs / f"{settings.name}-{max(numbers, default=0) + 1:03}"])[0]
    elif writes and (changes := data_changes(folder, data)):
        raise RunError(f"{folder}: trained on other data so far ({changes}); name the same data, "
                       "or another folder, or continue with --data-changed.")
    run = Run(settings, networks, optimizers, folder, writes)
    run.restore_checkpoint()
    if writes and data:
        record_data(run.folder, data)
    return run


def has_settings(folder, settings):
    """True if the run in ``folder`` was started with ``settings``."""
    wanted = json.loads(json.dumps(asdict(settings)))  # as a file gives them back: lists, no tuples
    return _read_json(folder / "settings.json") == wanted


def load_frames(folder):
    """The pictures saved in a run's folder while it trained: {scene: {step: RGB in [0, 1]}}."""
    return _frames(folder, "jpg", load_image)


def load_verdicts(folder):
    """What the PatchGAN said of them: {scene: {step: float32 (30, 30)}}.

    Each value is the probability, 0..1, that it gave a patch of the picture's central 256×256
    pixels of being real. Empty for a run without a discriminator. Notebook 07.
    """
    return _frames(folder, "png", lambda path: load_image(path)[..., 0])


def _frames(folder, suffix, load):
    frames, folder = {}, Path(folder) / "frames"
    names = _read_json(folder / "scenes.json") or {}
    for path in sorted(folder.glob(f"*.{suffix}")):
        if match := re.fullmatch(r"(\d+)_(.+)", path.stem):
            step, name = match.groups()
            frames.setdefault(names.get(name, name), {})[int(step)] = load(path)
    return frames


@dataclass(frozen=True)
class Report:
    """What a callback is told: the run's history so far, where it is, and what it makes of scenes.

    ``status`` is a line of text, ``done`` the part of the run in 0..1. ``pictures`` lists for
    up to three scenes the images (input, output, truth), RGB in [0, 1].
    """

    history: list
    status: str
    done: float
    pictures: list


def watch(run, scenes, dehaze, callback, pairs=(), reports=20, checkpoints=5):
    """Make the ``after_step`` function of :func:`helpers.training.train` for a run.

    Every ``steps / reports`` steps, and after the first and the last one, it evaluates ``scenes``,
    a list of (name, hazy, clear), RGB in [0, 1] (see :func:`evaluate`), records the scores and the
    means of what the steps returned, and calls ``callback`` with a :class:`Report`. About
    ``checkpoints`` times, and after the first and the last step, it writes a checkpoint (tens of
    megabytes, hence not each time). ``pairs`` are those that are trained on. Raises
    :class:`RunError` if the training has diverged, see :func:`diverged`. Notebook 05.
    """
    steps, every = run.settings.steps, max(1, run.settings.steps // reports)
    scenes = [(name, *shrunk(hazy, clear)) for name, hazy, clear in scenes]
    seen, start = {}, None  # start: (step, seconds) when the first step had compiled

    def after_step(step, numbers):
        nonlocal seen, start
        start = start or (step, time.monotonic())
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        if len(finite) < len(numbers) and not weights_are_finite(run):
            raise diverged(run, step, numbers, pairs)
        for name, value in finite.items():
            seen.setdefault(name, []).append(value)
        if not run.writes or (step % every and step not in (1, steps)):
            return
        means = {name: float(np.mean(values)) for name, values in seen.items()}
        scores, pictures, verdicts = evaluate(run, scenes, dehaze, "discriminator" in numbers)
        run.record(step, means | scores, pictures, verdicts)
        if step in (1, steps) or step // every % max(1, reports // checkpoints) == 0:
            run.save_checkpoint()
        seen = {}
        shown = [(hazy, pictures[name], clear) for name, hazy, clear in scenes[:3]]
        callback(Report(run.history, status(run, start), step / steps, shown))

    return after_step


def shrunk(*images):
    """Images (height, width, 3) of one shape with a long side of at most :data:`WATCHED` pixels."""
    shape = images[0].shape[:2]
    scale = WATCHED / max(shape)
    if scale >= 1:
        return images
    shape = tuple(max(1, round(side * scale)) for side in shape)
    return [resize(x, shape) for x in images]


def evaluate(run, scenes, dehaze, judged=True):
    """Scores of a run's first network: (numbers, pictures, verdicts).

    ``numbers`` are the mean PSNR in dB over ``scenes``, a list of (name, hazy, clear), how far the
    outputs differ, see :func:`helpers.checkup.output_spread`, and the lengths of the gradients.
    ``pictures`` maps the names of the first three scenes to what ``dehaze(generator, hazy)`` makes
    of them; ``verdicts``, if they are ``judged`` and hold a patch, to what the last network says.
    """
    results = [dehaze(run.networks[0], hazy) for _, hazy, _ in scenes]
    numbers = gradient_lengths(run.optimizers)
    if scenes:
        truths = [clear for *_, clear in scenes]
        # A copy of the truth has an infinite PSNR, which would be the mean of all.
        scores = [min(100, psnr(*images)) for images in zip(results, truths, strict=True)]
        numbers["psnr"] = float(np.mean(scores))
    if len(scenes) > 1:
        numbers["spread"] = output_spread(results, truths)
    first = list(zip(scenes, results, strict=True))[:3]
    pictures = {name: result for (name, _, _), result in first}
    verdicts = {name: verdict(run.networks[-1], hazy, result)
                for (name, hazy, _), result in first if judged and min(hazy.shape[:2]) >= 32}
    return numbers, pictures, verdicts


def gradient_lengths(optimizers, names=("g_gradient", "d_gradient")):
    """How long the gradients were of late: the root of Adam's running mean of their squares.

    Adam keeps that for each weight, so nothing has to be measured in the step. Several devices add
    their gradients up: two have twice the length. Kingma and Ba 2015.
    """
    lengths = {}
    for name, adam in zip(names, optimizers, strict=False):
        squares = [np.sum(np.asarray(v)) for v in adam.variables if "velocity" in v.path]
        steps = int(np.asarray(adam.iterations))
        if squares and steps:
            lengths[name] = math.sqrt(sum(squares) / (1 - adam.beta_2**steps))  # it began at 0
    return lengths


def status(run, start):
    """Where a run is: its step, its speed since ``start``, (step, seconds), and its PSNR."""
    done, seconds = run.step - start[0], time.monotonic() - start[1]
    parts = [f"step {run.step} of {run.settings.steps}"]
    if done:
        minutes, rest = divmod(round((run.settings.steps - run.step) * seconds / done), 60)
        parts.append(f"{done * run.settings.batch / seconds:.1f} images/s")
        parts.append(f"{minutes}:{rest:02} left")
    if "psnr" in run.history[-1]:
        parts.append(f"validation {run.history[-1]['psnr']:.1f} dB")
    return ", ".join(parts)


def weights_are_finite(run):
    """True if no weight of the run's networks is NaN or infinite."""
    return all(np.isfinite(np.asarray(v)).all() for n in run.networks for v in n.weights)


def diverged(run, step, numbers, pairs):
    """The :class:`RunError` of a run whose weights have become NaN; the last checkpoint is back.

    The message names the losses and the files of the batch.
    """
    bad = ", ".join(name for name, value in numbers.items() if not math.isfinite(value))
    settings = run.settings
    files = pairs_in_batch(pairs, settings.batch, step - 1, settings.seed) if pairs else []
    names = ", ".join(str(pair.hazy) for pair in files) or "unknown files"
    back = run.restore_checkpoint()
    kept = f"the weights are those of step {back} again" if back else "there is no checkpoint"
    return RunError(
        f"step {step}: NaN or infinite: {bad}, and weights with it; {kept}. The batch was made of "
        f"{names}. Look at it with check_batch, or start a run with a lower learning rate.")
