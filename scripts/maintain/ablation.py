"""Which change bought which decibel: the table of notebook 08.

    python scripts/maintain/ablation.py --real real_pairs --clear clear_photos \\
        --encoder efficientnet_lite0.safetensors    (an hour)

Trains every row of ROWS from the same seeds for the same number of steps and scores it on the
same images: the validation scenes of sample_data, the validation pairs of --real at half size, and
the clear validation scenes given back. Folders as for train_improved.py. Numbers go to
sample_data/results/ablation.json, pictures of three photographs beside it. A row that is already
there with the same settings is not trained again, so an interrupted run goes on; --again forgets
them all.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from real_pairs import load_half, split_pairs
from tqdm import tqdm
from train_improved import (
    clear_photographs,
    over_photograph,
    over_sample,
    real_images,
    real_pair,
    sample_scenes,
)

from helpers import env
from helpers.data import load_pair, made_batches, training_batches
from helpers.encoder import load_pretrained
from helpers.images import ImageError, load_image, to_uint8
from helpers.inference import apply_maps, haze_maps, in_tiles
from helpers.losses import adversarial_loss, discriminator_loss, l1_loss, ssim_loss
from helpers.metrics import psnr, score
from helpers.models import (
    patchgan,
    physics_efficientnet,
    physics_head,
    physics_unet,
    plain_encoder_block,
    resize_block,
    unet,
)
from helpers.pairs import PairError, find_pairs
from helpers.synthesis import Blend
from helpers.training import LinearDecay, computing_in, train, update, update_average
from helpers.weights import write_whole

tf = env.import_tensorflow()
keras, layers = tf.keras, tf.keras.layers
WIDTH, SIZE, BATCH, STEPS = 16, 256, 4, 600
PRECISION = "mixed_bfloat16" if env.has_bfloat16() else "float32"
# The committed rows were measured with Keras' default. Today's networks have 0.9; after 600 steps
# the moving statistics have caught up with either.
MOMENTUM = 0.99
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
    enters: int = 0  # the step from which the generator listens to the adversary
    data: str = "sample"  # or online, more, mixed: see data_of
    average: bool = False
    residual: bool = False
    seeds: int = 1
    rate: float = 2e-3
    warm_up: bool = False
    encoder: str = ""  # the way down: EfficientNet-Lite0, "untrained" or "pretrained"


plain = {"norm": False, "rate": 1e-3}
resized = plain | {"transposed": False}
physical = resized | {"physics": True}
similar = physical | {"ssim": 0.4}
alone = similar | {"adversary": 0.0}
online = alone | {"data": "online"}
more = alone | {"data": "more"}
mixed = alone | {"data": "mixed"}
averaged = mixed | {"average": True, "warm_up": True}
lite = averaged | {"rate": 5e-4}

ROWS = [
    Row("pix2pix (norm with momentum 0.99)", seeds=3),
    Row("no norm or dropout; He, ReLU, half the rate, clipping", **plain),
    Row("resize, then convolve 3×3", **resized),
    Row("K and B as output, at half size", **physical),
    Row("L1 and 0.4 (1 - SSIM)", **similar),
    Row("L1 and SSIM, adversary ten times as heavy", **similar | {"adversary": 0.1}),
    Row("L1 and SSIM, adversary from the middle on", **similar | {"enters": STEPS // 2}),
    Row("L1 and SSIM, no adversary", **alone),
    Row("haze on the fly, more sizes, varied exposure", **online),
    Row("601 more photographs", **more),
    Row("half of it real pairs, some with less haze", **mixed),
    Row("averaged weights, warm-up and cosine rate", **averaged),
    Row("residual blocks, six levels, whole image", **averaged | {"residual": True}, seeds=3),
    Row("EfficientNet-Lite0 as encoder, untrained", **lite, encoder="untrained"),
    Row("EfficientNet-Lite0 as encoder, from ImageNet", **lite, encoder="pretrained"),
]


def build_generator(row, encoder):
    """pix2pix's U-Net, with as many of the changes as the row asks for; ``encoder`` is its file."""
    if row.encoder:
        network = physics_efficientnet((24, 48, 64, 80))
        network.architecture = {"network": "physics_efficientnet"}  # dehaze asks for it
        if row.encoder == "pretrained":
            load_pretrained(network, encoder)
        return network
    if row.residual:
        narrow = (WIDTH, 2 * WIDTH, 4 * WIDTH, 5 * WIDTH, 5 * WIDTH, 5 * WIDTH)
        network = physics_unet(narrow, (0, 1, 2, 2, 2, 2))
        network.architecture = {"network": "physics_unet"}
        return network
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
    """The train step of notebook 05 with the row's losses."""

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
            update(discriminator, d_adam, d_tape, losses["discriminator"])
        with g_tape:
            losses["l1"] = l1_loss(clear, fake)
            total = losses["l1"]
            if row.ssim:
                total += row.ssim * ssim_loss(clear, fake)
            if row.adversary:
                losses["adversarial"] = adversarial_loss(discriminator([hazy, fake], training=True))
                total += share * losses["adversarial"]
        update(generator, g_adam, g_tape, total)
        if row.average:
            update_average(average, generator, 0.99, g_adam.iterations)
        return losses

    return step


def trained(row, seed, batches, encoder):
    """Train one row from one seed: (the generator to score, minutes)."""
    start = time.monotonic()
    env.seed_everything(seed)
    with computing_in(PRECISION):
        generator, discriminator = build_generator(row, encoder), patchgan(WIDTH)
        average = build_generator(row, encoder) if row.average else generator
    for layer in generator.layers + discriminator.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = MOMENTUM
    if row.average:
        average.set_weights(generator.get_weights())
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
        train(step, batches, 0, STEPS, lambda n, losses: bar.update())
    return average, (time.monotonic() - start) / 60


def restore(row, generator, hazy):
    """What a row makes of an image: the last networks see it whole, and look once.

    The committed scores were measured with this size and this filter; ``dehaze`` has others now.
    """
    if not (row.residual or row.encoder):
        return in_tiles(generator, hazy)
    maps = haze_maps(generator, hazy, sizes=(min(512, max(hazy.shape[:2])),))
    return apply_maps(hazy, maps, radius=4, eps=3e-5)


def mean_scores(method, scenes):
    """Mean PSNR and SSIM of a function over (hazy, clear) of [0, 1]."""
    values = [score(method(hazy), clear) for hazy, clear in scenes]
    return [round(float(v), 4) for v in np.mean(values, axis=0)]


def seconds(method, image, times=5):
    """Median seconds for one image, the first call left out."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        method(image)
        taken.append(time.perf_counter() - start)
    return round(float(np.median(taken[1:])), 4)


def pictures():
    """The three photographs that every row dehazes: {name: RGB in [0, 1]}."""
    test = find_pairs(env.SAMPLE_DATA / "test")
    real = sorted((env.SAMPLE_DATA / "real" / "hazy").iterdir())
    chosen = [p.hazy for p in test if p.scene == "pont-du-gard"][1:2]
    chosen += [p for p in real if p.stem in ("christ-the-redeemer", "golden-temple")]
    return {path.stem: load_image(path) for path in chosen}


def save_picture(image, name):
    """A small JPEG beside the results."""
    pixels = Image.fromarray(to_uint8(image))
    pixels.thumbnail((320, 320), Image.Resampling.LANCZOS)
    pixels.save(RESULTS / f"ablation-{name}.jpg", quality=88)


def key_of(number, settings, seed):
    """What makes a trained row the same one; its title does not."""
    return json.dumps([number, asdict(Row("")) | settings | {"title": ""}, seed])


def data_of(row, seed, pairs, folder):
    """Endless batches: the hazy files of sample_data; or haze made on the fly over its scenes, over
    those and the photographs of ``folder``, or mixed with as many real ``pairs``.
    """
    if row.data == "sample":
        return training_batches(find_pairs(env.SAMPLE_DATA / "train"), BATCH, SIZE, seed)
    others = [] if row.data == "online" else clear_photographs(folder)
    real = real_images(pairs) if row.data == "mixed" else []
    sources = [(0.5, real, partial(real_pair, exposure=True)),
               (0.5 * 1 / 3, sample_scenes(), over_sample), (0.5 * 2 / 3, others, over_photograph)]
    return made_batches(Blend(sources, SIZE, seed), BATCH, SIZE)


def measured(number, row, seed, generator, minutes, images, shown):
    """What the results file has of a trained row; ``images`` are the sets to score."""
    method = partial(restore, row, generator)
    scores = dict.fromkeys(images)  # None where a training diverged
    if all(np.all(np.isfinite(w)) for w in generator.get_weights()):
        scores = {name: mean_scores(method, images[name]) for name in ("sample", "real")}
        scores["clear"] = round(float(np.mean([psnr(method(c), c) for c in images["clear"]])), 3)
    return {
        "row": number, "settings": asdict(row), "seed": seed, "minutes": round(minutes, 2),
        "parameters": generator.count_params(), **scores,
        "seconds": seconds(method, shown["christ-the-redeemer"]),
    }


def head_of(images):
    """What the results file says before its rows: the budget, the versions, the hazy images."""
    return {
        "made": f"{datetime.date.today()}", "steps": STEPS, "batch": BATCH, "size": SIZE,
        "width": WIDTH, "precision": PRECISION, "python": platform.python_version(),
        "tensorflow": tf.__version__, "keras": keras.__version__, "cores": os.cpu_count(),
        "images": {name: len(scenes) for name, scenes in images.items()},
        "hazy": {name: mean_scores(lambda hazy: hazy, images[name]) for name in ("sample", "real")},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, required=True, help="folder of real pairs")
    parser.add_argument("--clear", type=Path, required=True, help="folder of clear photographs")
    parser.add_argument("--encoder", type=Path, required=True, help="its safetensors file")
    parser.add_argument("--again", action="store_true", help="forget the rows that are there")
    options = parser.parse_args()
    try:
        pairs, held = split_pairs(options.real)
        clear_photographs(options.clear)  # for its errors, before hours of training
        real = [load_half(pair) for pair in held]
        options.encoder.open().close()
    except (ImageError, OSError, PairError) as error:
        sys.exit(str(error))
    validation = find_pairs(env.SAMPLE_DATA / "validation")
    images = {"sample": [load_pair(pair) for pair in validation], "real": real,
              "clear": [load_image(path) for path in sorted({p.clear for p in validation})]}
    results, file = head_of(images), RESULTS / "ablation.json"
    before = json.loads(file.read_text()) if file.exists() and not options.again else {}
    budget = "steps", "batch", "size", "width", "precision"
    same = all(before.get(name) == results[name] for name in budget)
    done = {key_of(run["row"], run["settings"], run["seed"]): run
            for run in (before["rows"] if same else [])}
    wanted = {key_of(number, asdict(row), seed): (number, row, seed)
              for number, row in enumerate(ROWS) for seed in range(row.seeds)}
    shown = pictures()
    for name, hazy in shown.items():
        save_picture(hazy, f"hazy-{name}")
    for key, (number, row, seed) in wanted.items():
        if key not in done:
            batches = data_of(row, seed, pairs, options.clear)
            generator, minutes = trained(row, seed, batches, options.encoder)
            done[key] = measured(number, row, seed, generator, minutes, images, shown)
            for name, hazy in shown.items() if seed == 0 else []:
                save_picture(restore(row, generator, hazy), f"{number:02}-{name}")
            print(done[key] | {"settings": row.title}, flush=True)
            keras.backend.clear_session()
        done[key]["settings"] = asdict(row)  # a new title is taken over
        content = results | {"rows": [done[k] for k in wanted if k in done]}
        write_whole(file, json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
