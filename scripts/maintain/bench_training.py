"""Measures the training step beside the classic tutorial's (make bench does it).

    python scripts/maintain/bench_training.py            two sizes, minutes
    python scripts/maintain/bench_training.py --quick    tiny networks, once, to see that it works

Ours is the step of notebook 05: alternating updates, an average of the weights, the precision that
suits the machine. The classic one updates both networks from one forward pass, in float32. Both
have the same networks, batches and input pipeline; they take turns, and medians count. Prints a
Markdown table.
"""

import argparse
import time
from statistics import median

from helpers import env

QUICK, CASES = [(4, 1)], [(64, 1), (16, 4)]  # (width, batch): the paper's, and notebook 05's
OURS, BASE = "ours", "classic"


def classic_step(generator, discriminator):
    """The step of the classic pix2pix tutorial: both updates from one forward pass."""
    import tensorflow as tf

    entropy = tf.keras.losses.BinaryCrossentropy(from_logits=True)
    g_adam, d_adam = (tf.keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2))

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
            weights = network.trainable_variables
            adam.apply(tape.gradient(loss, weights), weights)
        return {"l1": l1, "adversarial": adversarial, "discriminator": judged}

    return step


def build_step(name, width, batch):
    """A step, ready for batches of 256×256 pixels."""
    import tensorflow as tf

    from helpers.training import Settings, build, compile_step, pix2pix_step

    precision = env.profile().precision if name == OURS else "float32"
    settings = Settings("bench", width, 256, batch, 100_000, precision)
    networks, optimizers = build(settings)
    if name != OURS:
        return classic_step(*networks[1:])
    return compile_step(pix2pix_step, networks, optimizers, settings, tf.distribute.get_strategy())


def measure(width, batch, turns, steps):
    """{name of a step: median seconds}; they take turns, ``steps`` steps a turn."""
    from helpers.data import training_batches
    from helpers.pairs import find_pairs

    batches = iter(training_batches(find_pairs(env.SAMPLE_DATA / "train"), batch))
    made = {name: build_step(name, width, batch) for name in (OURS, BASE)}
    times = {name: [] for name in made}
    for turn in range(1 + turns):
        for name, step in made.items():
            for _ in range(steps):
                start = time.perf_counter()
                for value in step(*next(batches)).values():
                    float(value)
                if turn:  # the first one compiles
                    times[name].append(time.perf_counter() - start)
    return {name: median(taken) for name, taken in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7, help="how often each step is measured")
    parser.add_argument("--quick", action="store_true", help="tiny networks, once")
    options = parser.parse_args()
    env.import_tensorflow()
    print("| width, batch | step | ms a step | images/s | ratio |\n|---|---|--:|--:|--:|")
    for width, batch in QUICK if options.quick else CASES:
        turns, steps = (1, 1) if options.quick else (options.turns, 3 if width == 64 else 6)
        seconds = measure(width, batch, turns, steps)
        for name, taken in seconds.items():
            print(f"| {width}, {batch} | {name} | {1000 * taken:.0f} | {batch / taken:.2f} | "
                  f"{seconds[BASE] / taken:.2f} |", flush=True)
    print(f"\nOurs in {env.profile().precision}. The ratio is to the classic step.")


if __name__ == "__main__":
    main()
