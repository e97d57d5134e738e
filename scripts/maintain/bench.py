"""Measure dehazing: seconds in a fresh process and after, peak memory (part of make bench).

    python scripts/maintain/bench.py                    the shipped weights, minutes
    python scripts/maintain/bench.py --before ../old    another checkout beside this one
    python scripts/maintain/bench.py --quick            a small photograph, to see that it works

Both networks get the same photograph of sample_data, enlarged. Each measurement has a process of
its own; those of two checkouts take turns, so that other work on the machine meets both, and the
median counts. "Loading" is building the network and reading its weights. The peak is that of the
resident memory, with Python, TensorFlow and the photograph. Prints a Markdown table.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
CASES = [(name, size) for size in ((1024, 768), (4000, 3000), (6000, 4000))
         for name in ("improved", "pix2pix")]
CALLS = 3  # after the first, in each process


def child(name, width, height):
    """Print seconds of loading, of the first and of each further call, and MB at the peak."""
    import resource

    import numpy as np
    from PIL import Image, ImageOps

    from helpers import env

    env.import_tensorflow()
    from helpers.inference import dehaze
    from helpers.weights import load_generator

    photograph = ROOT / "sample_data" / "real" / "hazy" / "golden-temple.jpg"
    with Image.open(photograph) as picture:
        fitted = ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
    image, times = np.asarray(fitted, "float32") / np.float32(255), [time.perf_counter()]
    generator = load_generator(env.SAMPLE_DATA / "weights" / name / "generator.safetensors")
    times.append(time.perf_counter())
    for _ in range(1 + CALLS):
        dehaze(generator, image)
        times.append(time.perf_counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps([*np.diff(times), peak * (1 if sys.platform == "darwin" else 1024) / 1e6]))


def measure(checkout, name, size):
    """What :func:`child` prints, for the `helpers` of a checkout."""
    command = [sys.executable, __file__, "--child", name, *map(str, size)]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(checkout)}, check=True,
                          stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="another checkout, to compare with")
    parser.add_argument("--turns", type=int, default=3, help="processes of each kind; default: 3")
    parser.add_argument("--quick", action="store_true", help="a small photograph, once")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, width, height = options.child
        return child(name, int(width), int(height))
    checkouts = {"before": options.before.resolve()} if options.before else {}
    checkouts["now"] = ROOT
    print("| network | image | checkout | loading | first call | further calls | peak memory |\n"
          "|---|---|---|--:|--:|--:|--:|")
    for name, size in [("improved", (160, 120))] if options.quick else CASES:
        rows = {which: [] for which in checkouts}
        for _ in range(1 if options.quick else options.turns):
            for which, folder in checkouts.items():
                rows[which].append(measure(folder, name, size))
        for which, turns in rows.items():
            load, first, *_, peak = map(median, zip(*turns, strict=True))
            further = median(seconds for turn in turns for seconds in turn[2:-1])
            print(f"| {name} | {size[0]}×{size[1]} | {which} | {load:.2f} s | {first:.2f} s | "
                  f"{further:.2f} s | {peak:,.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
