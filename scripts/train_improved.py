"""Train the improved generator of notebook 05 (make weights does it after the other two).

    python scripts/train_improved.py --real real_pairs --clear clear_photos

--real is a folder of real hazy photographs and their clear partners: hazy/ and clear/ with the
same names, and scene_groups.json, whose list "validation" names the pairs that are never trained
on. --clear is a folder of clear photographs (searched with its subfolders), over which haze is
made. Both are optional and said in README.md; without them the training scenes of sample_data have
to do. An interrupted run goes on where it stopped; its folder is build/runs/weights/.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from helpers import env  # noqa: E402

tf = env.import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from tqdm import tqdm  # noqa: E402

from helpers.data import load_depth, normalise, open_image  # noqa: E402
from helpers.inference import dehaze  # noqa: E402
from helpers.losses import l1_loss, ssim_loss  # noqa: E402
from helpers.models import physics_unet  # noqa: E402
from helpers.pairs import IMAGE_SUFFIXES, find_pairs  # noqa: E402
from helpers.runs import open_run  # noqa: E402
from helpers.synthesis import Mixture, find_sky  # noqa: E402
from helpers.training import train, update_average, watch  # noqa: E402


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
    decay: float = 0.999

    @property
    def architecture(self):
        return {"network": "physics_unet", "filters": self.filters, "blocks": self.blocks}


def shrunk(image, longest=800):
    """A Pillow image as uint8 RGB, at most ``longest`` pixels wide or high."""
    image = image.convert("RGB")
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.asarray(image)


def as_bytes(image):
    return np.round(np.clip(image, 0, 1) * 255).astype("uint8")


def sample_scenes():
    """The training scenes of sample_data: (clear, depth, sky), all uint8."""
    folder, scenes = env.SAMPLE_DATA / "train", []
    for path in sorted((folder / "clear").iterdir()):
        depth = load_depth(folder / "depth" / f"{path.stem}.png")
        sky = open_image(folder / "sky" / f"{path.stem}.png")
        scenes.append((np.asarray(open_image(path).convert("RGB")), as_bytes(depth / depth.max()),
                       np.asarray(sky.convert("L"))))
    return scenes


def clear_photographs(folder, rim=4):
    """Photographs below ``folder`` as (clear, no depth, guessed sky); their frames are cut off."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES):
        photograph = shrunk(open_image(path))[rim:-rim, rim:-rim]
        found.append((photograph, None, as_bytes(find_sky(photograph.astype("float32") / 255))))
    return found


def real_pairs(folder):
    """(training pairs as uint8 arrays, validation pairs as paths) of a folder of real pairs."""
    held = json.loads((folder / "scene_groups.json").read_text())["validation"]
    pairs = find_pairs(folder)
    images = [[shrunk(open_image(f)) for f in (p.hazy, p.clear)]
              for p in pairs if p.hazy.stem not in held]
    return images, [p for p in pairs if p.hazy.stem in held]


def half_size(path):
    """An image at half its size, RGB in [0, 1]."""
    image = open_image(path).convert("RGB")
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    return np.asarray(half, "float32") / 255


def batches(mixture, batch, start):
    """Endless batches of a :class:`Mixture`, in [-1, 1]; ``start`` batches are left out."""

    def load(n):
        pair = tf.numpy_function(mixture, [n], [tf.float32, tf.float32])
        shape = (mixture.size, mixture.size, 3)
        return tuple(normalise(tf.ensure_shape(image, shape)) for image in pair)

    numbers = tf.data.Dataset.range(start * batch, tf.int64.max)
    return numbers.map(load, num_parallel_calls=2).batch(batch).prefetch(4)


def build(recipe):
    """((average, generator), (AdamW,)): the average of the weights is what will be shipped."""
    keras.config.set_dtype_policy(recipe.precision)
    env.seed_everything(recipe.seed)
    generator = physics_unet(recipe.filters, recipe.blocks)
    average = physics_unet(recipe.filters, recipe.blocks)
    average.set_weights(generator.get_weights())
    keras.config.set_dtype_policy("float32")
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, recipe.steps - recipe.warm_up, warmup_target=recipe.learning_rate,
        warmup_steps=recipe.warm_up,
    )
    adam = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay, clipnorm=1.0)
    adam.build(generator.trainable_variables)
    return (average, generator), (adam,)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="folder of real pairs")
    parser.add_argument("--clear", type=Path, help="folder of clear photographs")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    options = parser.parse_args()
    recipe = Recipe(steps=options.steps)
    pairs, held = real_pairs(options.real) if options.real else ([], [])
    sample = sample_scenes()
    others = clear_photographs(options.clear) if options.clear else []
    # The few scenes with a depth map count as much as a third of the many without one.
    repeats = max(1, len(others) // (2 * len(sample)))
    mixture = Mixture(pairs, sample * repeats + others, recipe.real, recipe.size, recipe.seed)
    print(f"{len(pairs)} real pairs, {len(sample)} scenes with depth, {len(others)} photographs")
    watched = held or find_pairs(env.SAMPLE_DATA / "validation")[::4]
    scenes = [(p.hazy.stem, half_size(p.hazy), half_size(p.clear)) for p in watched]

    (average, generator), (adam,) = parts = build(recipe)
    run = open_run(recipe, *parts, ROOT / "build" / "runs" / "weights")

    @tf.function
    def step(hazy, clear):
        with tf.GradientTape() as tape:
            fake = generator(hazy, training=True)
            losses = {"l1": l1_loss(clear, fake), "ssim": ssim_loss(clear, fake)}
            total = losses["l1"] + recipe.ssim * losses["ssim"]
        gradients = tape.gradient(total, generator.trainable_variables)
        adam.apply(gradients, generator.trainable_variables)
        update_average(average, generator, recipe.decay, adam.iterations)
        return losses

    start = time.monotonic()
    with tqdm(total=recipe.steps, initial=run.step, desc=recipe.name, mininterval=10) as bar:

        def panel(_history, status, _done, _pictures):
            tqdm.write(f"{(time.monotonic() - start) / 60:.1f} min: {status}")

        after = watch(run, scenes, dehaze, panel, reports=recipe.steps // 600, checkpoints=15)

        def after_step(n, losses):
            after(n, losses)
            bar.update()

        train(step, batches(mixture, recipe.batch, run.step), run.step, recipe.steps, after_step)
    run.finish()
    target = env.SAMPLE_DATA / "weights" / recipe.name
    target.mkdir(parents=True, exist_ok=True)
    for part in ("generator.safetensors", "history.json", "settings.json"):
        shutil.copy(run.folder / part, target / part)


if __name__ == "__main__":
    main()
