"""Which change bought which decibel: the table of notebook 05.

    python scripts/ablation.py --real real_pairs --clear clear_photos     (about 40 minutes)

Trains every row of ROWS from the same seeds for the same number of steps and scores it on the
same images: the validation scenes of sample_data, the validation pairs of --real at half size, and
the clear scenes given back. Folders as for scripts/train_improved.py. Numbers go to
sample_data/results/ablation.json, pictures of three scenes beside it. A row that is already there
with the same settings is not trained again, so an interrupted run goes on; --again forgets them.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))
from helpers import env  # noqa: E402

tf = env.import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402
from PIL import Image  # noqa: E402
from tqdm import tqdm  # noqa: E402
from train_improved import (  # noqa: E402
    batches,
    clear_photographs,
    half_size,
    real_pairs,
    sample_scenes,
)

from helpers.data import load_image, load_pair, training_batches  # noqa: E402
from helpers.inference import dehaze  # noqa: E402
from helpers.losses import adversarial_loss, discriminator_loss, l1_loss, ssim_loss  # noqa: E402
from helpers.metrics import psnr, score  # noqa: E402
from helpers.models import (  # noqa: E402
    patchgan,
    physics_head,
    physics_unet,
    plain_encoder_block,
    resize_block,
    unet,
)
from helpers.pairs import find_pairs  # noqa: E402
from helpers.synthesis import Mixture  # noqa: E402
from helpers.training import LinearDecay, train, update_average  # noqa: E402

WIDTH, SIZE, BATCH, STEPS = 16, 256, 4, 800
PRECISION = "mixed_bfloat16" if env.has_bfloat16() else "float32"
RESULTS = env.SAMPLE_DATA / "results"


@dataclass(frozen=True)
class Row:
    """One row of the table. Every field that differs from the row before is the change."""

    title: str
    norm: bool = True
    transposed: bool = True
    physics: bool = False
    ssim: float = 0.0
    adversary: float = 0.01  # relative to the L1 loss: pix2pix's 1 / 100
    enters: int = 0  # the step at which the adversary starts
    data: str = "sample"
    average: bool = False
    residual: bool = False
    seeds: int = 1
    rate: float = 2e-3
    warm_up: bool = False


plain = {"norm": False, "rate": 1e-3}
resized = plain | {"transposed": False}
physical = resized | {"physics": True}
similar = physical | {"ssim": 0.4}
alone = similar | {"adversary": 0.0}
online = alone | {"data": "online"}
mixed = alone | {"data": "mixed"}
averaged = mixed | {"average": True, "warm_up": True}

ROWS = [
    Row("pix2pix of notebooks 02 and 03", seeds=3),
    Row("no normalisation, no dropout", **plain),
    Row("resize, then convolve", **resized),
    Row("K and B as output", **physical),
    Row("L1 and 1 - SSIM", **similar),
    Row("adversary from the middle on", **similar | {"enters": STEPS // 2}),
    Row("no adversary", **alone),
    Row("haze made on line", **online),
    Row("half of it real pairs", **mixed),
    Row("average of weights, cosine schedule", **averaged),
    Row("residual blocks, no tiles", **averaged | {"residual": True}, seeds=3),
]


def build_generator(row):
    """pix2pix's U-Net, with as many of the changes as the row asks for."""
    if row.residual:
        narrow = (WIDTH, 2 * WIDTH, 4 * WIDTH, 5 * WIDTH, 5 * WIDTH, 5 * WIDTH)
        return physics_unet(narrow, (0, 1, 2, 2, 2, 2))
    if row.norm:
        return unet(WIDTH)
    filters = [WIDTH * min(2**i, 8) for i in range(8)]
    image = keras.Input((None, None, 3))
    x, features = image, []
    for level in filters:
        x = plain_encoder_block(x, level)
        features.append(x)
    for level, skip in list(zip(filters, features, strict=True))[-2::-1]:
        x = upsampling(row)(x, level)
        x = layers.Concatenate()([x, skip])
    if row.physics:
        return keras.Model(image, physics_head(image, x))
    if not row.transposed:
        x = layers.UpSampling2D()(x)
    last = layers.Conv2DTranspose if row.transposed else layers.Conv2D
    options = {"strides": 2} if row.transposed else {}
    x = last(3, 4, padding="same", activation="tanh", dtype="float32", **options)(x)
    return keras.Model(image, layers.Add(dtype="float32")([image, x]))


def upsampling(row):
    """The block that doubles height and width: (x, filters) to x."""
    if not row.transposed:
        return resize_block

    def transposed_block(x, filters):
        x = layers.Conv2DTranspose(
            filters, 4, strides=2, padding="same", kernel_initializer="he_normal"
        )(x)
        return layers.ReLU()(x)

    return transposed_block


def make_step(row, generator, average, discriminator, g_adam, d_adam):
    """The train step of notebook 03 with the row's losses; ``n`` counts the steps."""

    @tf.function
    def step(hazy, clear):
        losses, share = {}, tf.constant(row.adversary, tf.float32)
        with tf.GradientTape() as g_tape:
            fake = generator(hazy, training=True)
        if row.adversary:
            share *= tf.cast(g_adam.iterations >= row.enters, tf.float32)
            with tf.GradientTape() as d_tape:
                losses["discriminator"] = discriminator_loss(
                    discriminator([hazy, clear], training=True),
                    discriminator([hazy, fake], training=True),
                )
            gradients = d_tape.gradient(losses["discriminator"], discriminator.trainable_variables)
            d_adam.apply(gradients, discriminator.trainable_variables)
        with g_tape:
            losses["l1"] = l1_loss(clear, fake)
            total = losses["l1"]
            if row.ssim:
                total += row.ssim * ssim_loss(clear, fake)
            if row.adversary:
                losses["adversarial"] = adversarial_loss(discriminator([hazy, fake], training=True))
                total += share * losses["adversarial"]
        gradients = g_tape.gradient(total, generator.trainable_variables)
        g_adam.apply(gradients, generator.trainable_variables)
        if row.average:
            update_average(average, generator, 0.99, g_adam.iterations)
        return losses

    return step


def trained(row, seed, data):
    """Train one row from one seed: (the generator to score, minutes)."""
    start = time.monotonic()
    keras.config.set_dtype_policy(PRECISION)
    env.seed_everything(seed)
    generator, discriminator = build_generator(row), patchgan(WIDTH)
    average = generator
    if row.average:
        average = build_generator(row)
        average.set_weights(generator.get_weights())
    keras.config.set_dtype_policy("float32")
    rate = LinearDecay(row.rate, STEPS)
    if row.warm_up:
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, STEPS - 50, warmup_target=row.rate, warmup_steps=50
        )
    clip = {} if row.norm else {"clipnorm": 1.0}  # without a norm, a rare large gradient ruins all
    g_adam = keras.optimizers.Adam(rate, beta_1=0.5, **clip)
    d_adam = keras.optimizers.Adam(LinearDecay(1e-4, STEPS), beta_1=0.5)
    g_adam.build(generator.trainable_variables)
    d_adam.build(discriminator.trainable_variables)
    step = make_step(row, generator, average, discriminator, g_adam, d_adam)
    with tqdm(total=STEPS, desc=f"{row.title}, seed {seed}", mininterval=10) as bar:
        train(step, data(row, seed), 0, STEPS, lambda n, losses: bar.update())
    return average, (time.monotonic() - start) / 60


def scores(generator, scenes):
    """Mean PSNR and SSIM over (hazy, clear) of [0, 1]."""
    values = [score(dehaze(generator, hazy), clear) for hazy, clear in scenes]
    return [round(float(v), 4) for v in np.mean(values, axis=0)]


def seconds(generator, image, times=5):
    """Median seconds for one image."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        dehaze(generator, image)
        taken.append(time.perf_counter() - start)
    return round(float(np.median(taken[1:])), 4)


def pictures():
    """The three hazy photographs that every row dehazes: {name: RGB in [0, 1]}."""
    return {p.stem: load_image(p) for p in (
        env.SAMPLE_DATA / "test" / "hazy" / find_pairs(env.SAMPLE_DATA / "test")[4].hazy.name,
        *sorted((env.SAMPLE_DATA / "real" / "hazy").iterdir())[1:3],
    )}


def save(results):
    """Write the results file whole or not at all."""
    part = RESULTS / "ablation.part"
    part.write_text(json.dumps(results, indent=1) + "\n")
    os.replace(part, RESULTS / "ablation.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="folder of real pairs")
    parser.add_argument("--clear", type=Path, required=True, help="folder of clear photographs")
    parser.add_argument("--again", action="store_true", help="forget the rows that are there")
    options = parser.parse_args()
    pairs, held = real_pairs(options.real)
    sample = sample_scenes()
    others = clear_photographs(options.clear)
    clear = sample * max(1, len(others) // (2 * len(sample))) + others
    sample_pairs = find_pairs(env.SAMPLE_DATA / "train")

    def data(row, seed):
        if row.data == "sample":
            return training_batches(sample_pairs, BATCH, SIZE, seed)
        mixture = Mixture(pairs if row.data == "mixed" else [], clear, 0.5, SIZE, seed)
        return batches(mixture, BATCH, 0)

    scenes = [load_pair(p) for p in find_pairs(env.SAMPLE_DATA / "validation")]
    real = [(half_size(p.hazy), half_size(p.clear)) for p in held]
    known = [load_image(p) for p in sorted((env.SAMPLE_DATA / "validation" / "clear").iterdir())]

    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "ablation.json"
    done = json.loads(file.read_text()) if file.exists() and not options.again else {}
    results = {
        "made": f"{datetime.date.today()}",
        "steps": STEPS, "batch": BATCH, "size": SIZE, "precision": PRECISION,
        "python": platform.python_version(), "tensorflow": tf.__version__,
        "keras": keras.__version__, "cores": os.cpu_count(),
        "images": {"sample": len(scenes), "real": len(real), "clear": len(known)},
        "hazy": {
            "sample": [round(float(v), 4) for v in np.mean([score(*s) for s in scenes], axis=0)],
            "real": [round(float(v), 4) for v in np.mean([score(*s) for s in real], axis=0)],
        },
        "rows": [],
    }
    old = {json.dumps([r["settings"], r["seed"]]): r for r in done.get("rows", [])
           if done.get("steps") == STEPS}
    shown = pictures()
    for number, row in enumerate(ROWS):
        for seed in range(row.seeds):
            key = json.dumps([asdict(row), seed])
            if key not in old:
                generator, minutes = trained(row, seed, data)
                old[key] = {
                    "row": number, "settings": asdict(row), "seed": seed,
                    "minutes": round(minutes, 2), "parameters": generator.count_params(),
                    "sample": scores(generator, scenes), "real": scores(generator, real),
                    "clear": round(float(np.mean(
                        [psnr(dehaze(generator, c), c) for c in known])), 3),
                    "seconds": seconds(generator, shown[list(shown)[0]]),
                }
                for name, hazy in shown.items() if seed == 0 else []:
                    result = dehaze(generator, hazy)
                    pixels = Image.fromarray(np.round(result * 255).astype("uint8"))
                    pixels.thumbnail((320, 320), Image.Resampling.LANCZOS)
                    pixels.save(RESULTS / f"ablation-{number:02}-{name}.jpg", quality=88)
                print(old[key] | {"settings": row.title}, flush=True)
                keras.backend.clear_session()
            results["rows"].append(old[key])
            save(results)


if __name__ == "__main__":
    main()
