"""Scores the shipped weights, and the methods without training, on the test scenes.

    python scripts/scoreboard.py                   the table of results in README.md
    python scripts/scoreboard.py --runs runs       the newest finished runs of that folder instead
    python scripts/scoreboard.py --pairs my_data   other pairs than sample_data/test

Prints a Markdown table. PSNR and SSIM are means over all hazy images, each scored by itself at its
full size; the time is the median for one image, without loading it.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from helpers import env  # noqa: E402

env.import_tensorflow()  # quietly, before another module does it
from helpers.data import ImageError, load_pair  # noqa: E402
from helpers.haze import autocontrast, dark_channel_prior  # noqa: E402
from helpers.inference import WeightsError, dehaze, find_weights, load_generator  # noqa: E402
from helpers.metrics import scoreboard  # noqa: E402
from helpers.pairs import PairError, find_pairs  # noqa: E402

SHIPPED = env.SAMPLE_DATA / "weights"
NETWORKS = {"L1 alone": "l1-only", "pix2pix": "pix2pix"}


def methods_with(runs):
    """The rows of the scoreboard, {name: function}; networks come from ``runs`` or are shipped."""
    methods = {
        "hazy input": lambda hazy: hazy,
        "autocontrast": autocontrast,
        "dark channel prior": lambda hazy: dark_channel_prior(hazy)[0],
    }
    for title, name in NETWORKS.items():
        generator = load_generator(find_weights(name, runs) / "generator.safetensors")
        methods[title] = lambda hazy, generator=generator: dehaze(generator, hazy)
    return methods


def timed(method, seconds):
    """The same function, but it appends the time it took to the list ``seconds``."""

    def run(hazy):
        start = time.perf_counter()
        result = method(hazy)
        seconds.append(time.perf_counter() - start)
        return result

    return run


def table(scores, seconds):
    """Markdown table of {method: (images, 2) of PSNR and SSIM} and {method: list of seconds}."""
    lines = ["| method | mean PSNR | mean SSIM | worst PSNR | ms an image |"]
    lines.append("|---|--:|--:|--:|--:|")
    for name, values in scores.items():
        (psnr, ssim), worst = values.mean(axis=0), values[:, 0].min()
        speed = f"{1000 * np.median(seconds[name]):.0f}" if seconds[name] else "–"
        lines.append(f"| {name} | {psnr:.2f} dB | {ssim:.3f} | {worst:.2f} dB | {speed} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=SHIPPED, help="default: the shipped weights")
    parser.add_argument("--pairs", type=Path, default=env.SAMPLE_DATA / "test", help="their folder")
    options = parser.parse_args()
    try:
        pairs = find_pairs(options.pairs)
        scenes = [load_pair(pair) for pair in pairs]
        methods = methods_with(options.runs)
    except (ImageError, PairError, WeightsError) as error:
        sys.exit(str(error))
    for method in methods.values():
        method(scenes[0][0])  # the first call of a network takes longer
    seconds = {name: [] for name in methods}
    watched = {name: timed(method, seconds[name]) for name, method in methods.items()}
    scores = scoreboard(watched, scenes)
    seconds["hazy input"] = []  # nothing is done to it
    print(table(scores, seconds))
    print(f"\n{len(pairs)} hazy images of {len({pair.scene for pair in pairs})} scenes.")


if __name__ == "__main__":
    main()
