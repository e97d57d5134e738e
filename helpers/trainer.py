"""A whole training run: what watches it, and :func:`fit`, which puts all together.

Taught in notebook 03.
"""

import math
import time

import keras
import numpy as np
import tensorflow as tf

from helpers.checkup import output_spread
from helpers.data import normalise, pairs_in_batch
from helpers.inference import dehaze
from helpers.metrics import psnr
from helpers.runs import RunError, open_run
from helpers.training import build, compile_step, distribute_batches, train, train_step


def central(image, size=256):
    """The central square of an image, at most ``size`` pixels a side."""
    top, left = (max(0, (n - size) // 2) for n in image.shape[:2])
    return image[top:top + size, left:left + size]


def verdict(discriminator, hazy, image):
    """What a PatchGAN says of the central 256×256 pixels of an RGB image in [0, 1].

    Returns float32 (30, 30): the probability, 0..1, of each patch of being real, given ``hazy``.
    Notebook 04.
    """
    inputs = [normalise(central(x))[None].astype("float32") for x in (hazy, image)]
    logits = discriminator(inputs, training=False)[0, ..., 0]
    return keras.ops.convert_to_numpy(keras.ops.sigmoid(logits))


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


def is_chief(strategy):
    """True for the process that writes: of several workers the first, otherwise the only one."""
    resolver = strategy.cluster_resolver
    return not (resolver and resolver.task_type == "worker" and resolver.task_id)


def fit(settings, pairs, scenes, panel, runs=None, folder=None, strategy=None, reports=20):
    """Train a run, or continue it, to its end; returns the :class:`helpers.runs.Run`.

    ``pairs`` are trained on and ``scenes``, a list of (name, hazy, clear), watched; ``panel`` and
    ``reports`` as in :func:`watch`; ``runs`` and ``folder`` as in :func:`helpers.runs.open_run`.
    ``strategy`` is a ``tf.distribute`` strategy for several devices. Notebook 03.
    """
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        networks, optimizers = build(settings)
    run = open_run(settings, networks, optimizers, runs, folder, is_chief(strategy))
    batches = distribute_batches(strategy, pairs, settings, run.step)
    step = compile_step(train_step, networks, optimizers, settings, strategy)
    after_step = watch(run, scenes, dehaze, panel, pairs, reports)
    train(step, batches, run.step, settings.steps, after_step)
    if run.writes:
        run.finish()
    return run
