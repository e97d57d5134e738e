"""The train step, the loop, and what watches it. Taught in notebook 03."""

import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from helpers import env
from helpers.losses import adversarial_loss, discriminator_loss, l1_loss
from helpers.metrics import psnr
from helpers.models import patchgan, unet
from helpers.runs import RunError


@dataclass(frozen=True)
class Settings:
    """All that decides a run. Two runs with equal settings and pairs train the same network.

    ``width``, ``size``, ``batch``, ``steps`` and ``precision`` as in :class:`helpers.env.Profile`;
    ``learning_rate`` is the generator's.
    The switches: ``adversarial`` (train against a discriminator), ``l1`` (the weight lambda of the
    L1 loss), ``conditional`` (the discriminator sees the hazy image), ``skips`` (the U-Net's).
    """

    name: str
    width: int
    size: int
    batch: int
    steps: int
    precision: str
    seed: int = 0
    learning_rate: float = 2e-3
    discriminator_rate: float = 1e-4
    adversarial: bool = True
    l1: float = 100.0
    conditional: bool = True
    skips: bool = True

    @property
    def architecture(self):
        """How :func:`helpers.inference.load_generator` builds the generator again."""
        return {"network": "unet", "width": self.width, "skips": self.skips}


class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate: constant for the first half of ``steps``, then falling to 0 in a line.

    As in the code of Isola et al. 2017. Notebook 03.
    """

    def __init__(self, rate, steps):
        self.rate, self.steps = rate, steps

    def __call__(self, step):
        done = keras.ops.cast(step, "float32") / self.steps
        return self.rate * keras.ops.clip(2 - 2 * done, 0, 1)

    def get_config(self):
        return {"rate": self.rate, "steps": self.steps}


def build(settings):
    """Both networks and their optimizers: ((generator, discriminator), (Adam, Adam)).

    Sets Keras' precision policy and random seed. Adam with beta_1 = 0.5, as Isola et al. 2017,
    section 3.3. Notebook 03.
    """
    keras.config.set_dtype_policy(settings.precision)
    env.seed_everything(settings.seed)
    networks = (
        unet(settings.width, skips=settings.skips),
        patchgan(settings.width, settings.conditional),
    )
    optimizers = []
    rates = settings.learning_rate, settings.discriminator_rate
    for network, rate in zip(networks, rates, strict=True):
        adam = keras.optimizers.Adam(LinearDecay(rate, settings.steps), beta_1=0.5)
        if settings.precision == "mixed_float16":  # small gradients would round to zero
            adam = keras.optimizers.LossScaleOptimizer(adam)
        adam.build(network.trainable_variables)
        optimizers.append(adam)
    keras.config.set_dtype_policy("float32")
    return networks, tuple(optimizers)


def train_step(networks, optimizers, hazy, clear, adversarial=True, l1=100.0):
    """One alternating update: the discriminator, then the generator against the updated one.

    ``hazy`` and ``clear`` are batches in [-1, 1]. The generator runs once: its tape records
    again, after the discriminator's update, what the generator is told. Returns the losses by
    name. Isola et al. 2017, section 3.3; notebook 03.
    """
    (generator, discriminator), (g_optimizer, d_optimizer) = networks, optimizers
    share = 1 / tf.distribute.get_strategy().num_replicas_in_sync  # Keras sums over replicas
    losses = {}
    with tf.GradientTape() as g_tape:
        fake = generator(hazy, training=True)
    if adversarial:
        with tf.GradientTape() as d_tape:
            real_logits = discriminator([hazy, clear], training=True)
            fake_logits = discriminator([hazy, fake], training=True)
            losses["discriminator"] = discriminator_loss(real_logits, fake_logits)
            scaled = d_optimizer.scale_loss(losses["discriminator"] * share)
        gradients = d_tape.gradient(scaled, discriminator.trainable_variables)
        d_optimizer.apply(gradients, discriminator.trainable_variables)
    with g_tape:
        losses["l1"] = l1_loss(clear, fake)
        total = l1 * losses["l1"]
        if adversarial:
            losses["adversarial"] = adversarial_loss(discriminator([hazy, fake], training=True))
            total += losses["adversarial"]
        scaled = g_optimizer.scale_loss(total * share)
    gradients = g_tape.gradient(scaled, generator.trainable_variables)
    g_optimizer.apply(gradients, generator.trainable_variables)
    return losses


def train(step, batches, first, last, after_step):
    """Take steps ``first`` + 1 to ``last``, one batch each, and call ``after_step(n, losses)``.

    ``step(hazy, clear)`` returns losses by name, ``batches`` yields (hazy, clear). Notebook 03.
    """
    numbers = range(first + 1, last + 1)
    for n, (hazy, clear) in zip(numbers, batches, strict=False):
        losses = step(hazy, clear)
        after_step(n, {name: float(loss) for name, loss in losses.items()})


def update_average(average, generator, decay, step):
    """Move the weights of ``average`` towards those of ``generator``: a running mean of them.

    It remembers about 1 / (1 - ``decay``) steps, fewer at the start: ``step`` counts them. Its
    validation scores usually jump less than those of the last step's weights. Polyak and Juditsky
    1992; Yazıcı et al. 2019 for GANs; notebook 05.
    """
    step = tf.cast(step, tf.float32)
    decay = tf.minimum(decay, (1 + step) / (10 + step))
    # Not .variables: among them are the seeds of dropout, which are whole numbers.
    for mean, value in zip(average.weights, generator.weights, strict=True):
        mean.assign(decay * mean + (1 - decay) * value)


def watch(run, scenes, dehaze, panel, reports=20, checkpoints=5):
    """Make the ``after_step`` function of :func:`train` for a run.

    Every ``steps / reports`` steps, and behind the first and the last one, it dehazes ``scenes``
    (a list of (name, hazy, clear), RGB in [0, 1]) by ``dehaze(generator, hazy)``, records the mean
    PSNR, saves the pictures of the first three in ``frames/`` and calls ``panel(history, status,
    done, pictures)``, ``done`` being the part of the run in 0..1. About ``checkpoints`` times, and
    at the end, it writes a checkpoint (tens of megabytes, hence not each time). Raises
    :class:`RunError` when a loss is no longer a number. Notebook 03.
    """
    steps, first, start = run.settings.steps, run.step, time.monotonic()
    every, sums, count = max(1, steps // reports), {}, 0

    def after_step(step, losses):
        nonlocal sums, count
        if not np.all(np.isfinite(list(losses.values()))):
            raise RunError(
                f"step {step}: a loss is not a number ({losses}); checkpoints are kept in "
                f"{run.folder}: try a lower learning rate."
            )
        sums = {name: sums.get(name, 0) + loss for name, loss in losses.items()}
        count += 1
        if step % every and step not in (1, steps):
            return
        results = [dehaze(run.networks[0], hazy) for _, hazy, _ in scenes]
        values = [psnr(r, clear) for r, (_, _, clear) in zip(results, scenes, strict=True)]
        scores = {"psnr": float(np.mean(values))} if scenes else {}
        run.record(step, {k: v / count for k, v in sums.items()}, **scores)
        for picture, (name, _, _) in zip(results[:3], scenes, strict=False):
            pixels = Image.fromarray(np.round(picture * 255).astype("uint8"))
            pixels.save(run.folder / "frames" / f"{step:06}_{name}.jpg", quality=90)
        if step == steps or step // every % max(1, reports // checkpoints) == 0:
            run.save_checkpoint()
        sums, count = {}, 0
        speed = (step - first) / max(time.monotonic() - start, 1e-3)
        minutes, seconds = divmod(round((steps - step) / speed), 60)
        status = f"step {step} of {steps}, {speed:.1f} steps/s, {minutes}:{seconds:02} left"
        status += f", validation {scores['psnr']:.1f} dB" if scenes else ""
        panel(run.history, status, step / steps, results[:3])

    return after_step
