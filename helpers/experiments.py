"""The laboratory: variants of pix2pix, runs of them that ship, and one more minute of any of them.

A variant changes one thing: a setting, the networks, the step, or the data. Taught in notebook 06.
"""

import contextlib
import json
import time
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from helpers import env
from helpers.checkup import make_ill
from helpers.data import load_pair, made_batches, training_batches
from helpers.images import central, load_image
from helpers.inference import dehaze
from helpers.losses import adversarial_loss, discriminator_loss, l1_loss
from helpers.metrics import halved, score, sharpness, spectrum
from helpers.models import encoder_block, normal
from helpers.pairs import find_pairs, one_per_scene
from helpers.runs import load_frames
from helpers.synthesis import ThickFog, fog_scenes, fog_views
from helpers.training import (
    SCHEDULES,
    Adam,
    Settings,
    build,
    compile_step,
    computing_in,
    fit,
    pix2pix_step,
    train,
    update,
)

STORED = env.SAMPLE_DATA / "laboratory"
STEPS = 700  # L1 alone and pix2pix then differ clearly, for three seeds
SHOWN = (25, 50, 100, 200, 400, 700)  # the steps of which pictures are stored
FIRST = "neuschwanstein", "mont-st-michel", "petra"  # the scenes of these pictures


# The two tasks.


def fog_settings(name, steps, precision, width=16, **changes):
    """Settings of a run in thick fog: the paper's network, and rates for a short training.

    The PatchGAN is at least 32 filters wide: with 16 it made half the difference. ``changes`` are
    other settings, such as ``adversarial=False``. Notebook 05.
    """
    usual = {"width": width, "batch": 4, "classic": True, "learning_rate": 1e-3,
             "discriminator_rate": 2e-4, "discriminator_width": max(width, 32)}
    return Settings(name=name, size=256, steps=steps, precision=precision, **usual | changes)


def fog_batches(settings, scenes=None, **options):
    """What :func:`helpers.training.fit` takes as ``batches``: pairs in thick fog, made on the fly.

    ``scenes`` are by default the training scenes of ``sample_data``, ``options`` those of
    :class:`helpers.synthesis.ThickFog`. Notebook 05.
    """
    scenes = fog_scenes(env.SAMPLE_DATA / "train") if scenes is None else scenes
    fog = ThickFog(scenes, settings.size, settings.seed, **options)
    return partial(made_batches, fog, settings.batch, settings.size)


def watched_fog():
    """The six validation scenes in thick fog: a list of (name, hazy, clear). Notebook 05.

    The first three, of which a run saves pictures, are a castle, an island and a rock.
    """
    return fog_views(in_order(fog_scenes(env.SAMPLE_DATA / "validation")))


def in_order(scenes):
    """Tuples that begin with a scene's name: those of FIRST in its order, then the others."""
    rank = {name: n for n, name in enumerate(FIRST)}
    return sorted(scenes, key=lambda scene: (rank.get(scene[0], len(FIRST)), scene[0]))


# What replaces a part.


def judge(width, halvings, norm=True):
    """A PatchGAN with ``halvings`` convolutions of stride 2, then two of stride 1.

    Its logits see 16, 34, 70, 142 and 286 pixels with 1 to 5 halvings; 3 is
    :func:`helpers.models.patchgan`. With 0, two 1×1 convolutions see single pixels: the paper's
    PixelGAN. ``norm`` is for all layers that have one. Isola et al. 2017, section 4.4; notebook 06.
    """
    hazy, image = keras.Input((None, None, 3)), keras.Input((None, None, 3))
    x, filters = layers.Concatenate()([hazy, image]), width
    for n in range(halvings):
        x = encoder_block(x, width * min(2**n, 8), norm=norm and n > 0)
    for last in (False, True):
        filters = 1 if last else width * min(2**max(halvings, 1), 8)
        if halvings:
            x = layers.ZeroPadding2D()(x)
        options = {"dtype": "float32"} if last else {"use_bias": not norm}
        x = layers.Conv2D(filters, 4 if halvings else 1, kernel_initializer=normal(), **options)(x)
        if not last:
            x = layers.BatchNormalization(momentum=0.9)(x) if norm else x
            x = layers.LeakyReLU(0.2)(x)
    return keras.Model([hazy, image], x, name="discriminator")


def with_judge(settings, halvings=3, norm=True, frozen_after=None):
    """Networks and optimizers as :func:`helpers.training.build` makes them, with another judge.

    ``frozen_after`` is the step from which the discriminator learns no more.
    """
    (average, generator, _), (g_adam, _) = build(settings)
    with computing_in(settings.precision):
        discriminator = judge(settings.discriminator_width, halvings, norm)
    rate = SCHEDULES[settings.schedule](settings.discriminator_rate, settings.steps)
    if frozen_after is not None:
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(
            [frozen_after], [settings.discriminator_rate, 0.0])
    d_adam = Adam(rate, beta_1=0.5)
    d_adam.build(discriminator.trainable_variables)
    return (average, generator, discriminator), (g_adam, d_adam)


def fed_bytes(settings):
    """The same networks, but the generator is fed 0 to 255 in place of -1 to 1."""
    (average, generator, discriminator), (_, d_adam) = build(settings)
    with computing_in(settings.precision):
        average, generator = (
            keras.Sequential([keras.Input((None, None, 3)), layers.Rescaling(127.5, 127.5), inner])
            for inner in (average, generator))
    g_adam = Adam(SCHEDULES[settings.schedule](
        settings.learning_rate, settings.steps), beta_1=0.5)
    g_adam.build(generator.trainable_variables)
    return (average, generator, discriminator), (g_adam, d_adam)


def squares(truth, values):
    """Mean squared difference."""
    return ops.mean((truth - values) ** 2)


def least_squares_judge(real_logits, fake_logits):
    """The discriminator's loss of LSGAN: verdicts are numbers, 1 real and 0 fake. Mao et al. 2017.
    """
    return (squares(1.0, real_logits) + squares(0.0, fake_logits)) / 2


def other_step(networks, optimizers, hazy, clear, l1=100.0, simultaneous=False,
               told=(discriminator_loss, adversarial_loss, l1_loss)):
    """:func:`helpers.training.pix2pix_step` with other losses, or with simultaneous updates.

    ``told`` are the losses of the discriminator, of the generator and between images. With
    ``simultaneous`` both networks learn from one forward pass, as in TensorFlow's tutorial.
    """
    (generator, discriminator), (g_adam, d_adam) = networks, optimizers
    judged, fool, distance = told
    with tf.GradientTape(persistent=True) as g_tape:
        fake = generator(hazy, training=True)
    with tf.GradientTape() as d_tape, g_tape if simultaneous else tf.GradientTape():
        real_logits = discriminator([hazy, clear], training=True)
        fake_logits = discriminator([hazy, fake], training=True)
        d_loss = judged(real_logits, fake_logits)
    if not simultaneous:
        update(discriminator, d_adam, d_tape, d_loss)
    with g_tape:
        verdict = fake_logits if simultaneous else discriminator([hazy, fake], training=True)
        fooled, far = fool(verdict), distance(clear, fake)
        total = fooled + l1 * far
    update(generator, g_adam, g_tape, total)
    if simultaneous:
        update(discriminator, d_adam, d_tape, d_loss)
    return {"discriminator": d_loss, "adversarial": fooled, "l1": far}, (real_logits, fake_logits)


def squared_step(networks, optimizers, hazy, clear):
    """:func:`helpers.training.l1_step` with the squared error."""
    generator = networks[0]
    with tf.GradientTape() as tape:
        loss = squares(clear, generator(hazy, training=True))
    update(generator, optimizers[0], tape, loss)
    return {"squared": loss}, ()


# The table of variants.


@dataclass(frozen=True)
class Variant:
    """One row of the laboratory: what it changes of pix2pix, λ = 100, in ``task``.

    ``changes`` are settings; ``make``, ``step`` and ``data`` (options of :func:`fog_batches`)
    replace the networks, the step and the batches. ``leak`` trains on the validation scenes too, in
    other fog. ``seeds`` are the runs that ship.
    """

    title: str
    group: str
    changes: dict = field(default_factory=dict)
    make: object = build
    step: object = None
    data: dict = field(default_factory=dict)
    leak: bool = False
    task: str = "fog"
    seeds: tuple = (0,)


LEAST_SQUARES = least_squares_judge, partial(squares, 1.0), l1_loss

VARIANTS = {
    "l1": Variant("L1 alone", "loss", {"adversarial": False}, seeds=(0, 1)),
    "squared": Variant("squared error alone", "loss", {"adversarial": False}, step=squared_step),
    "lambda-1000": Variant("pix2pix, λ = 1000", "loss", {"l1": 1000.0}),
    "pix2pix": Variant("pix2pix, λ = 100", "loss", seeds=(0, 1)),
    "lambda-10": Variant("pix2pix, λ = 10", "loss", {"l1": 10.0}, seeds=(0, 1)),
    "gan": Variant("adversary alone, λ = 0", "loss", {"l1": 0.0}, seeds=(0, 1)),
    "lsgan": Variant("LSGAN's squared loss", "loss", step=partial(other_step, told=LEAST_SQUARES)),
    "pixel": Variant("sees 1×1 pixels", "discriminator", make=partial(with_judge, halvings=0),
                     seeds=(0, 1)),
    "patch-16": Variant("sees 16×16 pixels", "discriminator", make=partial(with_judge, halvings=1)),
    "image": Variant("sees the whole image", "discriminator", make=partial(with_judge, halvings=5)),
    "unconditional": Variant("does not see the fog", "discriminator", {"conditional": False},
                             seeds=(0, 1)),
    "fast": Variant("learns ten times as fast", "discriminator", {"discriminator_rate": 2e-3}),
    "frozen": Variant("frozen after 100 steps", "discriminator",
                      make=partial(with_judge, frozen_after=100)),
    "no-norm": Variant("no batch normalisation", "discriminator",
                       make=partial(with_judge, norm=False)),
    "no-skips": Variant("no skips", "generator", {"skips": False}, seeds=(0, 1)),
    "no-dropout": Variant("no dropout", "generator", {"dropout": 0.0}),
    "ours": Variant("adds to its input", "generator", {"classic": False}),
    "batch-1": Variant("batch 1", "training", {"batch": 1}),
    "simultaneous": Variant("simultaneous updates", "training",
                            step=partial(other_step, simultaneous=True)),
    "no-jitter": Variant("always the same crop", "data", data={"jitter": False}),
    "unpaired": Variant("cropped apart", "data", data={"paired": False}),
    "bytes": Variant("fed 0 to 255", "data", make=fed_bytes),
    "leak": Variant("trained on these scenes", "data", leak=True, seeds=(0, 1)),
    "haze-l1": Variant("L1 alone", "ordinary haze", {"adversarial": False}, task="haze"),
    "haze-pix2pix": Variant("pix2pix, λ = 100", "ordinary haze", task="haze"),
    "haze-l1-ours": Variant("L1 alone, adds to its input", "ordinary haze",
                            {"adversarial": False, "classic": False}, task="haze"),
    "haze-ours": Variant("pix2pix, adds to its input", "ordinary haze", {"classic": False},
                         task="haze"),
}


def settings_of(name, seed=0, steps=STEPS, precision=None):
    """The :class:`helpers.training.Settings` of a variant's run."""
    variant = VARIANTS[name]
    precision = precision or env.profile().precision
    changes = {"seed": seed} | variant.changes
    return fog_settings(f"lab-{name}-seed-{seed}", steps, precision, **changes)


def parts_of(name, settings):
    """What :func:`helpers.training.fit` takes of a variant: (pairs, scenes, options)."""
    variant = VARIANTS[name]
    step = variant.step
    if isinstance(step, partial):
        step = partial(step, l1=settings.l1)
    options = {"make": variant.make, "step": step}
    if variant.task == "haze":
        pairs = find_pairs(env.SAMPLE_DATA / "train")
        watched = one_per_scene(find_pairs(env.SAMPLE_DATA / "validation"))
        return pairs, in_order((pair.scene, *load_pair(pair)) for pair in watched), options
    scenes = None
    if variant.leak:
        validation = fog_scenes(env.SAMPLE_DATA / "validation")
        scenes = fog_scenes(env.SAMPLE_DATA / "train")[len(validation):] + validation
    options["batches"] = fog_batches(settings, scenes, **variant.data)
    return [], watched_fog(), options


def measure(results, scenes):
    """Scores of pictures against the truth: PSNR, SSIM, sharpness (also halved), power spectrum.

    ``results`` are RGB in [0, 1], ``scenes`` a list of (name, hazy, clear). All are means over the
    scenes; the spectrum is that of :func:`helpers.metrics.spectrum`. Notebooks 05 and 06.
    """
    truths = [clear for *_, clear in scenes]
    both = list(zip(results, truths, strict=True))
    scores = np.mean([score(*images) for images in both], axis=0)
    return {
        "psnr": float(scores[0]), "ssim": float(scores[1]),
        "sharpness": float(np.mean([sharpness(*images) for images in both])),
        "sharpness_halved": float(np.mean([sharpness(*map(halved, images)) for images in both])),
        "spectrum": np.mean([spectrum(image) for image in results], axis=0).tolist(),
    }


def detail(scores, truth):
    """How much of the truth's power is there between 32 and 96 waves over 256 pixels: a median.

    Both are what :func:`measure` returns. A mean would count the spikes of a lattice; the median
    does not see them. Notebook 06.
    """
    return float(np.median(np.divide(scores["spectrum"], truth["spectrum"])[32:97]))


# Trainings that are ill.

BRIEF = 60  # steps of a thousand: the learning rates have not begun to fall


def patient(name, l1=0.3):
    """A training in ordinary haze in which the adversary leads: (settings, batches, step).

    ``name`` is "healthy", or "A" to "D" for those of :func:`helpers.checkup.make_ill`. Notebook 06.
    """
    settings = Settings(f"patient-{name}", width=8, size=256, batch=2, steps=1000, l1=l1, seed=2,
                        learning_rate=5e-4, discriminator_rate=2e-3, classic=True,
                        precision=env.profile().precision)
    pairs = find_pairs(env.SAMPLE_DATA / "train")
    whole = settings, training_batches(pairs, 2, 256, settings.seed), pix2pix_step
    return whole if name == "healthy" else make_ill(name, *whole)


def train_briefly(settings, batches, step):
    """The first BRIEF steps of a training: its history, and what it then paints.

    That is the first image of a batch, RGB in [0, 1], computed in training mode. Notebook 06.
    """
    networks, optimizers = build(settings)
    strategy, history = tf.distribute.get_strategy(), []
    compiled = compile_step(partial(step, l1=settings.l1), networks, optimizers, settings, strategy)
    train(compiled, batches, 0, BRIEF, lambda n, seen: history.append({"step": n, **seen}))
    painted = networks[1](next(iter(batches))[0], training=True)[0]
    return history, np.clip((np.asarray(painted, "float32") + 1) / 2, 0, 1)


def patients(folder=STORED):
    """The brief trainings that ship: {name: what :func:`train_briefly` returned}. Notebook 06.

    "healthy" and "A" to "D" are those of :func:`patient`; "healthy-100" and "strong-100" are a
    healthy training and one with a strong discriminator at λ = 100.
    """
    histories = json.loads((folder / "patients.json").read_text(encoding="utf-8"))
    return {name: (history, load_image(folder / "patients" / f"{name}.jpg"))
            for name, history in histories.items()}


# Runs that ship, and one's own.


@dataclass(frozen=True)
class Record:
    """A run of a variant: its history, its scores at the end, and its pictures of three scenes.

    ``scores`` is what :func:`measure` returns, None for a run that has not come to its end.
    ``folder`` holds the pictures that were saved while it trained.
    """

    name: str
    seed: int
    history: list
    scores: dict | None
    folder: Path

    @cached_property
    def pictures(self):
        """Pictures as {scene: {step: RGB in [0, 1], (256, 256, 3)}}, read when they are needed."""
        return {scene: {step: central(image) for step, image in frames.items()}
                for scene, frames in load_frames(self.folder).items()}


def stored(folder=STORED):
    """The runs that ship: {(name, seed): :class:`Record`}, those of seed 0 with pictures.

    Notebook 06.
    """
    runs = json.loads((folder / "results.json").read_text(encoding="utf-8"))["runs"]
    return {(run["name"], run["seed"]): Record(
        run["name"], run["seed"], run["history"], run["scores"],
        folder / f"{run['name']}-seed-{run['seed']}") for run in runs}


def scenes_of(task, folder=STORED):
    """What the stored pictures show: {scene: (hazy, clear)}, RGB in [0, 1], (256, 256, 3)."""
    found = in_order((path.stem,) for path in (folder / task / "hazy").glob("*.jpg"))
    return {name: tuple(load_image(folder / task / kind / f"{name}.jpg")
                        for kind in ("hazy", "clear")) for name, in found}


def ends_of(task, folder=STORED):
    """What a task's scores lie between: what :func:`measure` says of the hazy images, and of the
    clear ones, which have no PSNR.
    """
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results["hazy"][task], results["truth"][task]


class _TimeIsUp(Exception):
    pass


def run(name, minutes=1.0, callback=None, runs=None, seed=0):
    """Train a variant for some minutes, or on from where it stood; returns its :class:`Record`.

    It is trained as the stored run was: the same data, steps and seed. ``callback`` is called with
    a :class:`helpers.runs.Report` every 25 steps, the last time when the minutes are over. The run
    lies in ``runs``, by default :func:`helpers.env.runs_folder`. Raises ValueError for an unknown
    name. Notebook 06.
    """
    if name not in VARIANTS:
        raise ValueError(f"{name}: no such variant; there are {', '.join(VARIANTS)}.")
    settings = settings_of(name, seed)
    pairs, scenes, options = parts_of(name, settings)
    folder = Path(runs or env.runs_folder()) / settings.name
    end, history, scores = time.monotonic() + 60 * minutes, [], None

    def watched(report):
        history[:] = report.history
        if callback:
            callback(report)
        if time.monotonic() > end and report.done < 1:
            raise _TimeIsUp

    with contextlib.suppress(_TimeIsUp):
        finished = fit(settings, pairs, scenes, watched, folder=folder, reports=STEPS // SHOWN[0],
                       **options)
        scores = measure([dehaze(finished.networks[0], hazy) for _, hazy, _ in scenes], scenes)
        history[:] = finished.history
    return Record(name, seed, history, scores, folder)
