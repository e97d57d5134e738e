"""Measures the training step beside the classic tutorial's (make bench does it).

    python scripts/bench_training.py                 two sizes, minutes
    python scripts/bench_training.py --precision mixed_bfloat16 --seeds 3 --steps 100
                                                     also what that precision does to the PSNR
    python scripts/bench_training.py --quick         tiny networks, one step, to see that it works

Ours is the step of notebook 03: alternating updates, averaged weights, fused Adam, the precision
that suits the machine. The classic one updates both networks from one forward pass, in float32,
with Keras' Adam, in one tf.function. It is measured twice: with TensorFlow as it comes, and with
oneDNN's kernels switched on as helpers.env does (TensorFlow leaves them off on CPUs without
AVX-512). All have the same networks, the same batches and the same input pipeline.

Each step lives in a process of its own, with its own TensorFlow; they take turns, one at a time,
and medians count. Prints Markdown tables and writes build/bench_training.json.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import date
from importlib import metadata
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
QUICK, CASES = [(4, 1)], [(64, 1), (16, 4)]  # (width, batch): the paper's, and notebook 03's
OURS = "ours"
# Name of a step: what its process adds to the environment.
STEPS = {
    OURS: {},
    "ours, float32": {},
    "classic, oneDNN on": {"TF_ENABLE_ONEDNN_OPTS": "1"},
    "classic, TensorFlow as it comes": {},
}


def classic_step(generator, discriminator, g_adam, d_adam):
    """The step of the classic pix2pix tutorial: both updates from one forward pass."""
    import tensorflow as tf

    entropy = tf.keras.losses.BinaryCrossentropy(from_logits=True)

    @tf.function
    def step(hazy, clear):
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake = generator(hazy, training=True)
            real_logits = discriminator([hazy, clear], training=True)
            fake_logits = discriminator([hazy, fake], training=True)
            adversarial = entropy(tf.ones_like(fake_logits), fake_logits)
            l1 = tf.reduce_mean(tf.abs(clear - fake))
            total = adversarial + 100 * l1
            judged = (entropy(tf.ones_like(real_logits), real_logits)
                      + entropy(tf.zeros_like(fake_logits), fake_logits))
        for tape, loss, network, adam in ((g_tape, total, generator, g_adam),
                                          (d_tape, judged, discriminator, d_adam)):
            variables = network.trainable_variables
            adam.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"l1": l1, "adversarial": adversarial, "discriminator": judged}

    return step


def build_step(name, width, batch, precision):
    """(step, settings, networks, optimizers) of one of STEPS, ready for batches."""
    import keras
    import tensorflow as tf

    from helpers import env
    from helpers.training import Settings, build, compile_step, pix2pix_step

    if name.startswith("classic") or name.endswith("float32"):
        precision = "float32"
    settings = Settings("bench", width, 256, batch, 100_000, precision or env.profile().precision)
    networks, optimizers = build(settings)
    if name.startswith("classic"):
        optimizers = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
        return classic_step(*networks[1:], *optimizers), settings, networks, optimizers
    step = compile_step(pix2pix_step, networks, optimizers, settings, tf.distribute.get_strategy())
    return step, settings, networks, optimizers


def macs(network, size=256):
    """Multiplications of one image's forward pass, in its convolutions."""
    import keras

    side, total, shapes = size, 0, {}
    probe = keras.Model(network.inputs, [layer.output for layer in network.layers])
    inputs = [(1, side, side, 3)] * len(network.inputs)
    outputs = probe.compute_output_shape(inputs if len(inputs) > 1 else inputs[0])
    for layer, shape in zip(network.layers, outputs, strict=True):
        shapes[layer.name] = shape
    for layer in network.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Conv2DTranspose)):
            side = shapes[layer.name][1]
            if isinstance(layer, keras.layers.Conv2DTranspose):
                side //= layer.strides[0]  # each input pixel meets the whole kernel once
            height, width, *channels = layer.kernel.shape
            total += side**2 * height * width * channels[0] * channels[1]
    return total


def flops_of_step(generator, discriminator, batch, classic=False):
    """Floating-point operations of a step's convolutions, a multiplication with its sum as two.

    A backward pass costs two forward passes: one for the input's gradient, one for the weights'.
    The discriminator judges real and fake, is trained on both, and passes a gradient on to the
    image; alternating, it judges the fake once more.
    """
    forward = 2 if classic else 3
    return 2 * batch * (3 * macs(generator) + (forward + 4 + 1) * macs(discriminator))


def matmul_peak(precision):
    """Floating-point operations a second of a product of two 2,048×2,048 matrices, the best of 9.

    In the precision that the convolutions have.
    """
    import keras
    import tensorflow as tf

    a = tf.cast(tf.random.normal((2048, 2048)), keras.DTypePolicy(precision).compute_dtype)
    product = tf.function(lambda: tf.reduce_sum(tf.cast(tf.matmul(a, a), "float32")))
    product()
    return 2 * 2048**3 / min(seconds_of(lambda: float(product())) for _ in range(9))


def seconds_of(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def parts_of_step(networks, optimizers, hazy, clear, times=5):
    """{part of our step: median seconds}, each part in a graph of its own."""
    import tensorflow as tf

    from helpers.losses import adversarial_loss, discriminator_loss, l1_loss
    from helpers.training import update_average

    average, generator, discriminator = networks
    fake = generator(hazy, training=False)

    @tf.function
    def generate():
        with tf.GradientTape() as tape:
            loss = l1_loss(clear, generator(hazy, training=True))
        return tf.linalg.global_norm(tape.gradient(loss, generator.trainable_variables))

    @tf.function
    def judge():
        with tf.GradientTape() as tape:
            loss = discriminator_loss(discriminator([hazy, clear], training=True),
                                      discriminator([hazy, fake], training=True))
        return tf.linalg.global_norm(tape.gradient(loss, discriminator.trainable_variables))

    @tf.function
    def fool():
        with tf.GradientTape() as tape:
            tape.watch(fake)
            loss = adversarial_loss(discriminator([hazy, fake], training=True))
        return tf.linalg.global_norm([tape.gradient(loss, fake)])

    @tf.function
    def update():
        for adam, network in zip(optimizers, networks[1:], strict=True):
            variables = network.trainable_variables
            adam.apply([tf.zeros_like(v) for v in variables], variables)
        return tf.constant(0.0)

    @tf.function
    def remember():
        update_average(average, generator, 0.99, 1000)
        return tf.constant(0.0)

    found = {}
    for name, part in (("generator, forward and backward", generate),
                       ("discriminator's own update: two forward, two backward", judge),
                       ("what the generator is told: one forward, one backward", fool),
                       ("Adam", update), ("average of the weights", remember)):
        float(part())
        found[name] = median(seconds_of(lambda part=part: float(part())) for _ in range(times))
    return found


def serve(name, width, batch, precision):
    """What a child process does: reads orders from stdin, a line each, and answers in JSON."""
    from helpers import env

    if name.startswith("classic"):  # not import_tensorflow, which switches oneDNN on
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with env.quiet_stderr():
            import tensorflow as tf

            tf.config.list_physical_devices("GPU")  # says on a CPU that there is no CUDA
    else:
        env.import_tensorflow()
    from helpers.data import training_batches
    from helpers.pairs import find_pairs

    step, settings, networks, optimizers = build_step(name, width, batch, precision)
    pairs = find_pairs(env.SAMPLE_DATA / "train")
    batches = iter(training_batches(pairs, batch, settings.size))
    alone = iter(training_batches(pairs, batch, settings.size, seed=1))
    for hazy, clear in (next(batches), next(batches)):  # compiles
        step(hazy, clear)
    for line in sys.stdin:
        order, *count = line.split()
        if order == "steps":
            times = []
            for _ in range(int(count[0])):
                start = time.perf_counter()
                hazy, clear = next(batches)
                waited = time.perf_counter() - start
                for value in step(hazy, clear).values():
                    float(value)
                times.append((time.perf_counter() - start, waited))
            answer = times
        elif order == "pipeline":
            answer = seconds_of(lambda: [next(alone) for _ in range(40)]) / 40
        elif order == "rest":
            average, generator, discriminator = networks
            answer = {
                "precision": settings.precision,
                "flops": flops_of_step(generator, discriminator, batch, name.startswith("classic")),
                "peak": matmul_peak(settings.precision),
                "parts": None if name.startswith("classic") else
                parts_of_step(networks, optimizers, hazy, clear),
            }
        print(json.dumps(answer), flush=True)


class Child:
    """A process that holds one step."""

    def __init__(self, name, width, batch, precision):
        command = [sys.executable, __file__, "--serve", name, str(width), str(batch)]
        command += ["--precision", precision] if precision else []
        kept = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=kept | STEPS[name])

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the process of this measurement ended with {self.process.wait()}.")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(width, batch, names, precision, turns, steps):
    """One row a step: all take turns, ``steps`` steps a turn."""
    children = {name: Child(name, width, batch, precision) for name in names}
    try:
        times = {name: [] for name in names}
        pipeline = []
        for _ in range(turns):
            for name, child in children.items():
                times[name] += child.ask("steps", steps)
            pipeline.append(children[OURS].ask("pipeline"))
        rows = []
        for name, child in children.items():
            rest = child.ask("rest")
            seconds = median(t for t, _ in times[name])
            rows.append({
                "step": name, "width": width, "batch": batch, "seconds": seconds,
                "images_s": batch / seconds, "waits": sum(w for _, w in times[name])
                / sum(t for t, _ in times[name]), "pipeline": median(pipeline) / seconds,
                **rest,
                "times": [round(t, 5) for t, _ in times[name]],
            })
        return rows
    finally:
        for child in children.values():
            child.close()


def psnr_differences(precision, seeds, steps):
    """[(seed, PSNR in float32, PSNR in ``precision``)] of validation after equal training."""
    from helpers import env

    env.import_tensorflow()
    import numpy as np
    from helpers.training import distribute_batches

    from helpers.data import load_pair
    from helpers.inference import dehaze
    from helpers.metrics import psnr
    from helpers.pairs import find_pairs, one_per_scene
    from helpers.training import Settings, build, compile_step, pix2pix_step, train

    tf = env.import_tensorflow()
    strategy = tf.distribute.get_strategy()
    pairs = find_pairs(env.SAMPLE_DATA / "train")
    scenes = [load_pair(p) for p in one_per_scene(find_pairs(env.SAMPLE_DATA / "validation"))]
    found = []
    for seed in range(seeds):
        scores = []
        for policy in ("float32", precision):
            settings = Settings("bench", 16, 256, 4, steps, policy, seed=seed)
            networks, optimizers = build(settings)
            step = compile_step(pix2pix_step, networks, optimizers, settings, strategy)
            batches = distribute_batches(strategy, pairs, settings)
            train(step, batches, 0, steps, lambda n, seen: None)
            scores.append(float(np.mean([psnr(dehaze(networks[0], hazy), clear)
                                         for hazy, clear in scenes])))
        found.append((seed, *scores))
    return found


def table(rows):
    """The rows as a Markdown table; the ratio is to the classic step with oneDNN on."""
    lines = ["| width, batch | step | precision | ms a step | images/s | ratio | pipeline | of peak"
             " |", "|---|---|---|--:|--:|--:|--:|--:|"]
    for row in rows:
        base = next(r for r in rows if r["step"] == "classic, oneDNN on"
                    and (r["width"], r["batch"]) == (row["width"], row["batch"]))
        lines.append(
            f"| {row['width']}, {row['batch']} | {row['step']} | {row['precision']} | "
            f"{1000 * row['seconds']:.0f} | {row['images_s']:.2f} | "
            f"{base['seconds'] / row['seconds']:.2f} | {row['pipeline']:.1%} | "
            f"{row['of_peak']:.0%} |")
    return "\n".join(lines)


def parts_table(rows):
    """Where the time of our step goes, as a Markdown table."""
    ours = [row for row in rows if row["step"] == OURS]
    head = [f"width {row['width']}, batch {row['batch']}" for row in ours]
    lines = ["| part, alone | " + " | ".join(head) + " |", "|---|" + "--:|" * len(ours)]
    for part in ours[0]["parts"]:
        cells = " | ".join(f"{1000 * row['parts'][part]:.0f} ms" for row in ours)
        lines.append(f"| {part} | {cells} |")
    return "\n".join(lines)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", help="of «ours»; default: what suits this machine")
    parser.add_argument("--seeds", type=int, default=3, help="runs for each precision")
    parser.add_argument("--steps", type=int, default=200, help="length of such a run; default: 200")
    parser.add_argument("--turns", type=int, default=7, help="how often each is measured")
    parser.add_argument("--quick", action="store_true", help="tiny networks, once")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench_training.json")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)  # this script's own processes
    options = parser.parse_args(arguments)
    if options.serve:
        name, width, batch = options.serve
        return serve(name, int(width), int(batch), options.precision)

    from helpers import env

    precision = options.precision or env.profile().precision
    names = [n for n in STEPS if n != "ours, float32" or precision != "float32"]
    rows = []
    for width, batch in QUICK if options.quick else CASES:
        print(f"measuring width {width}, batch {batch} …", file=sys.stderr, flush=True)
        turns, steps = (1, 1) if options.quick else (options.turns, 3 if width == 64 else 6)
        rows += measure(width, batch, names, options.precision, turns, steps)
    # Other work on the machine can only lower a peak, so the highest of a precision counts for all.
    peaks = {p: max(row["peak"] for row in rows if row["precision"] == p)
             for p in {row["precision"] for row in rows}}
    for row in rows:
        row["of_peak"] = row["flops"] / row["seconds"] / peaks[row["precision"]]
    print(table(rows))
    told = ", ".join(f"{peak / 1e9:.0f} GFLOP/s ({p})" for p, peak in sorted(peaks.items()))
    print("\nThe ratio is to the classic step with oneDNN on. "
          f"Peak, by a matrix product: {told}.\n")
    print(parts_table(rows))
    pairs = []
    if precision == "float32":
        print("\nThis machine has no half precision that would be faster than float32: no "
              "precisions to compare.")
    elif not options.quick:
        print(f"\ntraining {options.seeds} pairs of runs …", file=sys.stderr, flush=True)
        pairs = psnr_differences(precision, options.seeds, options.steps)
        for seed, full, half in pairs:
            print(f"\nseed {seed}, {options.steps} steps: float32 {full:.2f} dB, {precision} "
                  f"{half:.2f} dB, {half - full:+.2f} dB")
    versions = {"python": platform.python_version(),
                **{name: metadata.version(name) for name in ("tensorflow", "keras", "numpy")}}
    result = {"date": date.today().isoformat(), "cores": os.cpu_count(), "versions": versions,
              "rows": rows, "precisions": pairs}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
