"""Train the improved generator of notebook 08 (make weights does it after the other two).

    python scripts/maintain/train_improved.py --real real_pairs --clear clear_photos

--real is a folder of real hazy photographs and their clear partners: hazy/ and clear/ with the
same names, and scene_groups.json, whose list "validation" names the pairs that are never trained
on. --clear is a folder of clear photographs (searched with its subfolders), over which haze is
made. sample_data/weights/README.md says which ones. Without both, the training scenes of
sample_data must do, and the result stays in build/: it is not what ships. An interrupted run goes
on where it stopped; its folder is build/runs/weights/.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from real_pairs import load_half, split_pairs
from tqdm import tqdm

from helpers import env
from helpers.data import load_pair, made_batches
from helpers.images import SUFFIXES, ImageError, load_depth, open_image, to_uint8
from helpers.inference import dehaze
from helpers.losses import l1_loss, ssim_loss
from helpers.metrics import psnr
from helpers.models import physics_unet
from helpers.pairs import PairError, find_pairs
from helpers.runs import open_run, watch
from helpers.synthesis import Mixture, find_sky
from helpers.training import computing_in, train, update, update_average
from helpers.weights import RunError, load_generator, save_generator

tf = env.import_tensorflow()
keras = tf.keras


@dataclass(frozen=True)
class Recipe:
    """All that decides the run, as :class:`helpers.training.Settings` does for pix2pix."""

    name: str = "improved"
    filters: tuple = (32, 64, 128, 160, 160, 160)
    blocks: tuple = (0, 1, 2, 2, 2, 2)
    size: int = 256
    batch: int = 4
    steps: int = 15000
    precision: str = "mixed_bfloat16" if env.has_bfloat16() else "float32"
    seed: int = 0
    learning_rate: float = 5e-4
    warm_up: int = 500
    weight_decay: float = 0.01
    ssim: float = 0.4
    real: float = 0.5
    late_real: float = 0.6
    late_from: int = 4800  # the step from which real pairs keep their exposure
    squared: float = 2.0
    squared_from: int = 6000  # the step from which the squared error counts as well
    decay: float = 0.999
    early: int = 6000  # the step whose averaged weights have a share in what ships
    early_share: float = 0.15

    @property
    def architecture(self):
        return {"network": "physics_unet", "filters": self.filters, "blocks": self.blocks}


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
    """Photographs below ``folder`` as (clear, no depth, guessed sky); their frames are cut off."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        photograph = shrunk(open_image(path))[rim:-rim, rim:-rim]
        if min(photograph.shape) == 0:
            raise ImageError(f"{path}: too small to train on; remove it.")
        found.append((photograph, None, to_uint8(find_sky(photograph.astype("float32") / 255))))
    if not found:
        raise PairError(f"{folder}: no photographs in it or below; check the path.")
    return found


def real_images(pairs):
    """Pairs as uint8 arrays [hazy, clear] of at most 800 pixels."""
    for pair in pairs:
        load_pair(pair)  # raises if the two differ in size
    return [[shrunk(open_image(f)) for f in (p.hazy, p.clear)] for p in pairs]


def build(recipe):
    """((average, generator), (AdamW,)): the average of the weights is what will be shipped."""
    env.seed_everything(recipe.seed)
    with computing_in(recipe.precision):
        generator, average = (physics_unet(recipe.filters, recipe.blocks) for _ in range(2))
    average.set_weights(generator.get_weights())
    average.architecture = recipe.architecture  # dehaze asks for it
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, recipe.steps - recipe.warm_up, warmup_target=recipe.learning_rate,
        warmup_steps=recipe.warm_up,
    )
    adam = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, clipnorm=1.0)
    adam.build(generator.trainable_variables)
    return (average, generator), (adam,)


def mix(network, other, share):
    """Move the weights of ``network`` by ``share`` of the way towards those of ``other``.

    The late steps of this training gain on NH-HAZE and lose on O-HAZE. Weights between the two,
    of one and the same run, keep most of both. Wortsman et al. 2022, "Model soups".
    """
    for a, b in zip(network.weights, other.weights, strict=True):
        a.assign((1 - share) * a + share * b)


def photographs(clear):
    """The scenes of sample_data and those of the folder ``clear``, if there is one.

    The few scenes with a depth map are repeated until they are about a third of all.
    """
    sample = sample_scenes()
    others = clear_photographs(clear) if clear else []
    return sample * max(1, len(others) // (2 * len(sample))) + others


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="folder of real pairs")
    parser.add_argument("--clear", type=Path, help="folder of clear photographs")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    options = parser.parse_args()
    if options.steps <= Recipe.warm_up:
        parser.error(f"--steps {options.steps}: more than the {Recipe.warm_up} of the warm-up.")
    try:
        run_recipe(Recipe(steps=options.steps), options.real, options.clear)
    except (ImageError, OSError, PairError, RunError) as error:
        sys.exit(str(error))


def make_step(recipe, average, generator, adam):
    """The train step, without an adversary."""

    @tf.function
    def step(hazy, clear):
        with tf.GradientTape() as tape:
            fake = generator(hazy, training=True)
            losses = {"l1": l1_loss(clear, fake), "ssim": ssim_loss(clear, fake)}
            # Under dense haze several pictures are possible. L1 alone settles on the middle one of
            # them, often a dark one; with the squared error it is drawn to their mean.
            losses["squared"] = tf.reduce_mean((clear - fake) ** 2)
            total = losses["l1"] + recipe.ssim * losses["ssim"]
            share = tf.cast(adam.iterations >= recipe.squared_from, tf.float32)
            total += share * recipe.squared * losses["squared"]
        update(generator, adam, tape, total)
        update_average(average, generator, recipe.decay, adam.iterations)
        return losses

    return step


def run_recipe(recipe, real, clear, runs=env.ROOT / "build" / "runs" / "weights"):
    """Train, or go on, and copy the result to sample_data if it is from all the data."""
    pairs, held = split_pairs(real) if real else ([], [])
    mixture = Mixture(
        real_images(pairs), photographs(clear), recipe.real, recipe.size, recipe.seed,
        late_from=recipe.late_from * recipe.batch, late_real=recipe.late_real,
    )
    print(f"{len(pairs)} real pairs, {len(mixture.clear)} clear photographs (some repeated)")
    watched = held or find_pairs(env.SAMPLE_DATA / "validation")[::4]
    scenes = [(pair.hazy.stem, *load_half(pair)) for pair in watched]

    (average, generator), (adam,) = parts = build(recipe)
    reports = max(1, recipe.steps // 600)
    with open_run(recipe, *parts, runs) as run, tqdm(
            total=recipe.steps, initial=run.step, desc=recipe.name, mininterval=10) as bar:
        early = run.folder / "early.safetensors"
        after = watch(run, scenes, dehaze, lambda report: tqdm.write(report.status),
                      reports=reports, checkpoints=reports)

        def after_step(n, losses):
            after(n, losses)
            bar.update()
            if n == recipe.early:
                save_generator(average, early, recipe.name, "float32", **recipe.architecture)

        train(make_step(recipe, average, generator, adam),
              made_batches(mixture, recipe.batch, recipe.size, run.step), run.step,
              recipe.steps, after_step)
        if early.exists():
            mix(average, load_generator(early), recipe.early_share)
        run.finish()
    values = [psnr(dehaze(average, hazy), truth) for _, hazy, truth in scenes]
    print(f"{run.folder}: done, {np.mean(values):.2f} dB on the validation pairs")
    if not (real and clear):
        return print("Not copied to sample_data: that takes --real and --clear.")
    target = env.SAMPLE_DATA / "weights" / recipe.name
    target.mkdir(parents=True, exist_ok=True)
    for part in ("generator.safetensors", "history.json", "settings.json"):
        shutil.copy(run.folder / part, target / part)


if __name__ == "__main__":
    main()
