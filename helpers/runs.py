"""Training runs on disk: folders, checkpoints, weights. Taught in notebook 03."""

import io
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image
from safetensors import SafetensorError, safe_open

from helpers import env
from helpers.checkup import output_spread
from helpers.data import pairs_in_batch
from helpers.images import load_image, to_uint8
from helpers.inference import verdict
from helpers.metrics import psnr
from helpers.weights import (
    RunError,
    digest,
    find_runs,
    is_finished,
    pack,
    save_generator,
    write_whole,
)


def _settings_in(folder):
    """The settings of a run as a dictionary; None if its file is missing or damaged."""
    try:
        return json.loads((folder / "settings.json").read_text())
    except (OSError, ValueError):
        return None


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
                write_whole(self.folder / "settings.json", json.dumps(asdict(settings), indent=1))
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
                pixels = Image.fromarray(to_uint8(image))
                pixels.save(buffer, kind, quality=90)
                write_whole(self.folder / "frames" / f"{step:06}_{scene}.{suffix}", buffer.getvalue())

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
        write_whole(path, pack(tensors, metadata))
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
        write_whole(self.folder / "history.json", json.dumps(self.history))
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


def watch(run, scenes, dehaze, panel, pairs=(), reports=20, checkpoints=5):
    """Make the ``after_step`` function of :func:`helpers.training.train` for a run.

    Every ``steps / reports`` steps, and behind the first and the last one, it dehazes ``scenes``
    (a list of (name, hazy, clear), RGB in [0, 1]) by ``dehaze(generator, hazy)``, in inference
    mode; records the means of what the steps returned and the validation scores; saves the pictures
    of the first three and the discriminator's verdict on them; and calls ``panel(history, status,
    done, pictures)``, ``done`` being the part of the run in 0..1. About ``checkpoints`` times, and
    behind the first and the last step, it writes a checkpoint (tens of megabytes, hence not each
    time). Raises :class:`helpers.runs.RunError` when a number is none any more, see
    :func:`go_back`; ``pairs`` are those that are trained on. Notebook 03.
    """
    settings = run.settings
    steps, every = settings.steps, max(1, settings.steps // reports)
    sums, count, clock = {}, 0, None  # clock: (step, seconds) when the first step had compiled

    def after_step(step, seen):
        nonlocal sums, count, clock
        clock = clock or (step, time.monotonic())
        if not all(map(math.isfinite, seen.values())):
            go_back(run, step, seen, pairs)
        sums = {name: sums.get(name, 0) + value for name, value in seen.items()}
        count += 1
        if not run.writes or (step % every and step not in (1, steps)):
            return
        numbers = {name: value / count for name, value in sums.items()}
        results = {name: dehaze(run.networks[0], hazy) for name, hazy, _ in scenes}
        if scenes:
            truths = [clear for *_, clear in scenes]
            numbers["psnr"] = float(np.mean(list(map(psnr, results.values(), truths))))
            numbers["spread"] = output_spread(list(results.values()), truths)
        pictures = dict(list(results.items())[:3])
        verdicts = {name: verdict(run.networks[-1], hazy, pictures[name])
                    for name, hazy, _ in scenes[:3] if "discriminator" in seen}
        run.record(step, numbers, pictures, verdicts)
        if step in (1, steps) or step // every % max(1, reports // checkpoints) == 0:
            run.save_checkpoint()
        sums, count = {}, 0
        panel(run.history, status_line(run, numbers, clock), step / steps, list(pictures.values()))

    return after_step


def status_line(run, numbers, clock):
    """Where a run is: its step, its speed since ``clock``, (step, seconds), and its PSNR."""
    done, seconds = run.step - clock[0], time.monotonic() - clock[1]
    parts = [f"step {run.step} of {run.settings.steps}"]
    if done:
        minutes, rest = divmod(round((run.settings.steps - run.step) * seconds / done), 60)
        parts.append(f"{done * run.settings.batch / seconds:.1f} images/s")
        parts.append(f"{minutes}:{rest:02} left")
    if "psnr" in numbers:
        parts.append(f"validation {numbers['psnr']:.1f} dB")
    return ", ".join(parts)


def go_back(run, step, seen, pairs):
    """Restore the last checkpoint, then raise RunError: at ``step`` a number was none any more.

    The message names the losses and the files of the batch.
    """
    bad = ", ".join(name for name, value in seen.items() if not math.isfinite(value))
    settings = run.settings
    files = pairs_in_batch(pairs, settings.batch, step - 1, settings.seed) if pairs else []
    names = ", ".join(str(pair.hazy) for pair in files) or "unknown"
    back = run.restore_checkpoint()
    kept = f"the weights are those of step {back} again" if back else "no checkpoint was there"
    raise RunError(
        f"step {step}: no longer a number: {bad}; {kept}. The batch was made of {names}. Look at "
        "it with check_batch, or start a run with a lower learning rate."
    )
