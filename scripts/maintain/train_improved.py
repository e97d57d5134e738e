"""Train the improved generator of notebook 08 (make weights does it after the four others).

    python scripts/maintain/train_improved.py --real real_pairs --clear clear_photos \\
        --depth depth_scenes --encoder efficientnet_lite0.safetensors [--adversary 900]

--real is a folder of real hazy photographs and their clear partners: hazy/ and clear/ with the
same names, and scene_groups.json, whose list "validation" names the pairs that are never trained
on. --clear is a folder of clear photographs (searched with its subfolders) and --depth one of clear
photographs with depth (see depth_scenes.py), over which haze is made. --encoder is the pretrained
encoder (see check_encoder.py). sample_data/weights/README.md says which ones. Without all of them,
the training scenes of sample_data must do, and the result stays in build/: it is not what ships.

The phases are runs of their own: the main one; from its weights one at a low rate, mostly on real
pairs and with a perceptual loss, which ships; and from there, if asked for, one against an
adversary and the same without it, both without the perceptual loss. A finished one is not trained
again, an interrupted one goes on where it stopped; their folders are in build/runs/weights/. About
90 minutes on two cores with bfloat16, without the last two.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from depth_scenes import FAR, load_scenes
from PIL import Image
from real_pairs import load_half, split_pairs
from tqdm import tqdm

from helpers import env
from helpers.data import load_pair, made_batches
from helpers.encoder import PREFIX, efficientnet_lite0, encoder_layers, load_pretrained
from helpers.haze import add_haze, estimate_airlight, transmission
from helpers.images import SUFFIXES, ImageError, load_depth, open_image, to_uint8
from helpers.inference import dehaze
from helpers.losses import (
    adversarial_loss,
    discriminator_loss,
    l1_loss,
    perceptual_loss,
    ssim_loss,
)
from helpers.metrics import psnr
from helpers.models import patchgan, physics_efficientnet
from helpers.pairs import PairError, find_pairs
from helpers.runs import has_settings
from helpers.synthesis import (
    Blend,
    find_sky,
    haze_over,
    jpeg,
    restrengthen,
    synthesise,
    vary_exposure,
)
from helpers.training import Adam, computing_in, fit, update
from helpers.weights import RunError, find_runs, load_generator

tf = env.import_tensorflow()
keras = tf.keras
RUNS = env.ROOT / "build" / "runs" / "weights"


@dataclass(frozen=True)
class Phase:
    """All that decides a run, as :class:`helpers.training.Settings` does for pix2pix.

    ``start`` is the run whose weights it begins with. ``learning_rate`` is the decoder's, reached
    after ``warm_up`` steps; it falls along a cosine to the part ``last_rate`` of it. That of the
    encoder is ``encoder_rate`` times as high; 0 leaves the encoder as it is. ``real`` is the share
    of real pairs, half of each kind of camera; ``exposure`` varies theirs. ``own`` is the share of
    haze as it is in sample_data, ``cards`` that of grey cards, which are to stay as they are.
    ``ssim``, ``squared`` and ``perceptual`` are the weights of the losses beside L1; the last needs
    the pretrained encoder. ``adversarial`` adds a PatchGAN of width ``discriminator_width``, which
    the generator hears with the weight ``fooling`` after the first ``enters`` steps.
    """

    name: str = "improved-main"
    start: str = ""
    steps: int = 8000
    learning_rate: float = 5e-4
    encoder_rate: float = 0.3
    warm_up: int = 300
    last_rate: float = 0.05
    real: float = 0.55
    own: float = 0.0
    cards: float = 0.0
    exposure: bool = True
    ssim: float = 0.4
    squared: float = 1.0
    perceptual: float = 0.0
    adversarial: bool = False
    fooling: float = 0.05
    enters: int = 200
    discriminator_rate: float = 2e-4
    discriminator_width: int = 48
    filters: tuple = (48, 96, 128, 160)
    blocks: tuple = (1, 2, 2, 2)
    size: int = 256
    batch: int = 4
    precision: str = "mixed_bfloat16" if env.has_bfloat16() else "float32"
    seed: int = 0
    weight_decay: float = 0.01
    decay: float = 0.998
    l1: float = 1.0

    @property
    def architecture(self):
        return {"network": "physics_efficientnet", "filters": self.filters, "blocks": self.blocks}


def phases(main, steps, late, adversary):
    """The phases of a training; "improved" is what ships.

    ``main`` is the first :class:`Phase`. The second, of ``late`` steps, keeps the real pairs'
    exposure: the camera's answer to haze is worth learning in the end. From there two more, if
    ``adversary`` steps are asked for: one against an adversary and one, its control, that differs
    from it in nothing else; neither has the perceptual loss. Phases of 0 steps are left out.
    """
    main = replace(main, steps=steps, warm_up=min(main.warm_up, steps // 10))
    settled = replace(main, name="improved", start=main.name, steps=late, real=0.67, own=0.16,
                      cards=0.03, exposure=False, ssim=0.8, perceptual=0.3, learning_rate=1e-4,
                      warm_up=min(100, late // 10), last_rate=0.1, seed=main.seed + 1)
    fooling = replace(settled, name="improved-adversary", start="improved", steps=adversary,
                      adversarial=True, warm_up=min(100, adversary // 3), last_rate=1.0,
                      decay=0.99, ssim=0.4, squared=0.0, perceptual=0.0, fooling=0.2,
                      enters=adversary // 3, seed=main.seed + 2)
    control = replace(fooling, name="improved-control", adversarial=False)
    if not late:
        main = replace(main, name="improved")
    return [main, *([settled] if late else []), *([fooling, control] if adversary else [])]


def shrunk(image, longest=800):
    """A Pillow image as uint8 RGB, at most ``longest`` pixels wide or high."""
    image = image.convert("RGB")
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(image)


def sample_scenes():
    """The training scenes of sample_data: (clear, depth, sky), all uint8."""
    folder, scenes = env.SAMPLE_DATA / "train", []
    for path in sorted((folder / "clear").iterdir()):
        depth = load_depth(folder / "depth" / f"{path.stem}.png")
        sky = open_image(folder / "sky" / f"{path.stem}.png")
        scenes.append((np.asarray(open_image(path).convert("RGB")), to_uint8(depth / depth.max()),
                       np.asarray(sky.convert("L"))))
    return scenes


def clear_photographs(folder, rim=4):
    """Photographs below ``folder``, [clear, guessed sky], uint8; their frames are cut off."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        photograph = shrunk(open_image(path))[rim:-rim, rim:-rim]
        if min(photograph.shape) == 0:
            raise ImageError(f"{path}: too small to train on; remove it.")
        found.append([photograph, to_uint8(find_sky(photograph.astype("float32") / 255))])
    if not found:
        raise PairError(f"{folder}: no photographs in it or below; check the path.")
    return found


def real_images(pairs):
    """Pairs as uint8 arrays [hazy, clear] of at most 800 pixels."""
    for pair in pairs:
        load_pair(pair)  # raises if the two differ in size
    return [[shrunk(open_image(f)) for f in (p.hazy, p.clear)] for p in pairs]


@dataclass(frozen=True)
class Data:
    """What is trained on, all uint8: real pairs of each kind of camera, and scenes to make haze on.

    ``airlights`` (n, 3), RGB in [0, 1], are those of the real pairs' haze.
    """

    real: list
    airlights: np.ndarray | None
    indoor: list
    outdoor: list
    photographs: list
    sample: list


def load_data(pairs, clear, depth):
    """The :class:`Data` of real pairs, of a folder of photographs and of one with depth.

    Raises PairError or ImageError as what reads them.
    """
    oldest = [pair.hazy.stem.startswith("A") for pair in pairs]  # O-HAZE; NH-HAZE has another one
    kinds = [[p for p, a in zip(pairs, oldest, strict=True) if a is kind] for kind in (True, False)]
    real = [real_images(kind) for kind in kinds if kind]
    airlights = [estimate_airlight(hazy[::4, ::4].astype("float32") / 255)
                 for kind in real for hazy, _ in kind]
    indoor, outdoor = load_scenes(depth) if depth else ([], [])
    return Data(real, np.array(airlights) if airlights else None, indoor, outdoor,
                clear_photographs(clear) if clear else [], sample_scenes())


def sources(phase, data):
    """The sources of a phase, as :class:`helpers.synthesis.Blend` takes them."""
    real = phase.real if data.real else 0.0
    over = partial(over_depth, airlights=data.airlights)
    made = [(0.25, data.indoor, over), (0.35, data.outdoor, over),
            (0.20, data.photographs, over_photograph), (0.20, data.sample, over_sample)]
    return [*((real / len(data.real), kind, partial(real_pair, exposure=phase.exposure))
              for kind in data.real),
            *(((1 - real - phase.own - phase.cards) * weight, scenes, make)
              for weight, scenes, make in made),
            (phase.own, data.sample, own_haze), (phase.cards, grey_cards(), photographed)]


def real_pair(crops, rng, exposure):
    """A real pair, sometimes with another amount of its haze and, if asked for, of light."""
    hazy, clear = crops
    hazy = restrengthen(hazy, clear, rng)
    return vary_exposure(hazy, clear, rng) if exposure else (hazy, clear)


def over_depth(crops, rng, airlights):
    """Haze over the depth of a scene of :func:`depth_scenes.load_scenes`."""
    clear, depth, *sky = crops
    sky = sky[0] > 0.5 if sky else None
    return vary_exposure(haze_over(clear, depth / FAR, rng, sky, airlights), clear, rng)


def over_photograph(crops, rng):
    """Haze over a photograph whose depth is made up."""
    clear, sky = crops
    return vary_exposure(synthesise(clear, rng, None, sky), clear, rng)


def over_sample(crops, rng):
    """Haze over a scene of sample_data."""
    clear, depth, sky = crops
    return vary_exposure(synthesise(clear, rng, depth, sky), clear, rng)


def own_haze(crops, rng):
    """Haze over a scene of sample_data as its files have it: grey, even, after the depth alone."""
    clear, depth, _ = crops
    t, airlight = transmission(5 * depth, rng.uniform(0.47, 1.4)), rng.uniform(0.75, 0.96)
    hazy = add_haze(clear, t, airlight) + rng.normal(0, 2 / 255, clear.shape)
    return jpeg(np.clip(hazy, 0, 1).astype("float32"), 80), clear


def grey_cards(side=64):
    """Even greys from dark to bright, as scenes: lists of one uint8 image."""
    return [[np.full((side, side, 3), level, "uint8")] for level in range(8, 256, 8)]


def photographed(crops, rng):
    """An image that is to stay as it is, half of the time with a sensor's noise."""
    noise = rng.normal(0, rng.choice([0, 3 / 255]), crops[0].shape)
    image = np.clip(crops[0] + noise, 0, 1)
    return image, image


class SlowEncoder(Adam):
    """Adam with another rate for the pretrained encoder, whose weights do not decay either."""

    encoder_rate = 1.0

    def update_step(self, gradient, variable, learning_rate):
        factor = self.encoder_rate if variable.name.startswith(PREFIX) else 1.0
        super().update_step(gradient, variable, learning_rate * factor)


def build(phase, start, encoder):
    """((average, generator[, discriminator]), optimizers): the average of the weights is judged.

    They begin with the weights of the file ``start`` if there is one, else the encoder with those
    of the file ``encoder``. Loshchilov and Hutter 2019 ("AdamW").
    """
    env.seed_everything(phase.seed)
    arguments = {key: value for key, value in phase.architecture.items() if key != "network"}
    with computing_in(phase.precision):
        generator, average = (physics_efficientnet(**arguments) for _ in range(2))
        networks = [average, generator]
        if phase.adversarial:
            networks.append(patchgan(phase.discriminator_width))
    if start:
        generator.set_weights(load_generator(start).get_weights())
    elif encoder:
        load_pretrained(generator, encoder)
    average.set_weights(generator.get_weights())
    average.architecture = phase.architecture  # dehaze asks for it
    pretrained = encoder_layers(generator)
    for layer in pretrained:
        layer.trainable = phase.encoder_rate > 0
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, phase.steps - phase.warm_up, alpha=phase.last_rate,
        warmup_target=phase.learning_rate, warmup_steps=phase.warm_up)
    adam = SlowEncoder(rate, weight_decay=phase.weight_decay, clipnorm=1.0)
    adam.encoder_rate = phase.encoder_rate
    adam.exclude_from_weight_decay([v for layer in pretrained for v in layer.weights])
    optimizers = [adam]
    if phase.adversarial:
        optimizers.append(Adam(phase.discriminator_rate, beta_1=0.5))
    for optimizer, network in zip(optimizers, networks[1:], strict=True):
        optimizer.build(network.trainable_variables)
    return tuple(networks), tuple(optimizers)


def features(encoder, levels, precision="float32"):
    """The pretrained encoder, frozen, as a network that gives its features of these ``levels``."""
    with computing_in(precision):
        image = keras.Input((None, None, 3))
        every = efficientnet_lite0(image)
        network = keras.Model(image, [every[level] for level in levels])
    load_pretrained(network, encoder)
    network.trainable = False
    return network


def judged_together(discriminator, hazy, clear, fake):
    """(logits of the clear images, logits of the fakes), which the discriminator sees in one batch.

    In batches of their own the norms would take out what tells the two apart as a whole: that all
    fakes have less colour, say. Notebook 08.
    """
    images = tf.concat([clear, tf.cast(fake, clear.dtype)], axis=0)
    return tf.split(discriminator([tf.concat([hazy, hazy], axis=0), images], training=True), 2)


def make_step(phase, seen=None):
    """A train step for :func:`helpers.training.fit`; ``seen`` gives features of an image."""

    def step(networks, optimizers, hazy, clear):
        generator, *adversary = networks
        losses, logits = {}, ()
        with tf.GradientTape() as g_tape:
            fake = generator(hazy, training=True)
        if adversary:
            with tf.GradientTape() as d_tape:
                logits = judged_together(adversary[0], hazy, clear, fake)
                losses["discriminator"] = discriminator_loss(*logits)
            update(adversary[0], optimizers[1], d_tape, losses["discriminator"])
        with g_tape:
            # Under dense haze several pictures are possible. L1 alone settles on the middle one of
            # them, often a dark one; with the squared error it is drawn to their mean.
            losses |= {"l1": l1_loss(clear, fake), "ssim": ssim_loss(clear, fake),
                       "squared": tf.reduce_mean((clear - fake) ** 2)}
            if seen:
                losses["perceptual"] = perceptual_loss(seen, clear, fake)
            if adversary:
                _, fooled = judged_together(adversary[0], hazy, clear, fake)
                losses["adversarial"] = adversarial_loss(fooled)
            heard = tf.cast(optimizers[0].iterations >= phase.enters, tf.float32)
            weights = {"l1": phase.l1, "ssim": phase.ssim, "squared": phase.squared,
                       "perceptual": phase.perceptual, "adversarial": phase.fooling * heard}
            total = sum(weights[name] * losses[name] for name in weights if name in losses)
        update(generator, optimizers[0], g_tape, total)
        return losses, logits

    return step


def run_phase(phase, blend, start, encoder, scenes, runs):
    """Train a phase, or go on with it, from the weights of ``start``; returns its generator's file.

    ``blend`` makes its pairs, ``scenes`` are watched. A finished run with the same settings is
    taken as it is.
    """
    for folder in find_runs(phase.name, runs, finished=True)[::-1]:
        if has_settings(folder, phase):
            print(f"{folder}: finished before")
            return folder / "generator.safetensors"
    seen = features(encoder, (1, 2, 3), phase.precision) if phase.perceptual else None
    run = fit(phase, [], scenes, lambda report: tqdm.write(report.status), runs=runs,
              reports=max(1, phase.steps // 600), make=partial(build, start=start, encoder=encoder),
              step=make_step(phase, seen),
              batches=lambda first: made_batches(blend, phase.batch, phase.size, first))
    return run.folder / "generator.safetensors"


def run_recipe(recipe, real=None, clear=None, depth=None, encoder=None, runs=RUNS):
    """Train all phases, and copy what ships to sample_data if it is from all the data."""
    pairs, held = split_pairs(real) if real else ([], [])
    data = load_data(pairs, clear, depth)
    watched = held or find_pairs(env.SAMPLE_DATA / "validation")[::4]
    scenes = [(pair.hazy.stem, *load_half(pair)) for pair in watched]
    files = {"": None}  # {phase: its generator's}
    for phase in recipe:
        start = files[phase.start]
        phase = replace(phase, start=start.parent.name if start else "")
        made = sources(phase, data)
        counts = ", ".join(f"{len(images)} ({weight:.0%})" for weight, images, _ in made)
        print(f"{phase.name}: {phase.steps} steps; pairs and scenes, and their shares: {counts}")
        blend = Blend(made, phase.size, phase.seed)
        file = files[phase.name] = run_phase(phase, blend, start, encoder, scenes, runs)
        generator = load_generator(file)
        values = [psnr(dehaze(generator, hazy), truth) for _, hazy, truth in scenes]
        print(f"{file.parent}: {np.mean(values):.2f} dB on the validation pairs", flush=True)
        if phase.name != "improved":
            continue
        if not (real and clear and depth and encoder):
            print("Not copied to sample_data: that takes --real, --clear, --depth and --encoder.")
            continue
        target = env.SAMPLE_DATA / "weights" / phase.name
        target.mkdir(parents=True, exist_ok=True)
        for part in ("generator.safetensors", "history.json", "settings.json"):
            shutil.copy(file.parent / part, target / part)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="folder of real pairs")
    parser.add_argument("--clear", type=Path, help="folder of clear photographs")
    parser.add_argument("--depth", type=Path, help="folder of clear photographs with depth")
    parser.add_argument("--encoder", type=Path, help="the pretrained encoder's safetensors file")
    parser.add_argument("--steps", type=int, default=Phase.steps, help="of the main phase")
    parser.add_argument("--late", type=int, default=1800, help="steps of the second phase")
    parser.add_argument("--adversary", type=int, default=0, help="steps against an adversary")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the phases' runs")
    options = parser.parse_args()
    if options.steps < 1 or min(options.late, options.adversary) < 0:
        parser.error("--steps: at least 1; --late and --adversary: at least 0.")
    recipe = phases(Phase(), options.steps, options.late, options.adversary)
    if not options.encoder:
        recipe = [replace(phase, perceptual=0.0) for phase in recipe]  # its features are missing
    try:
        if options.encoder:
            options.encoder.open().close()  # for its error, before the data is read
        run_recipe(recipe, options.real, options.clear, options.depth, options.encoder,
                   options.runs)
    except (ImageError, OSError, PairError, RunError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
