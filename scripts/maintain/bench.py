"""Measure dehazing: seconds in a fresh process and after, peak memory (part of make bench).

    python scripts/maintain/bench.py                    the shipped weights, minutes
    python scripts/maintain/bench.py --before ../old    another checkout beside this one
    python scripts/maintain/bench.py --quick            a small photograph, to see that it works

All methods get the same photograph of sample_data, enlarged to 0.8, 12 and 24 megapixels. Each
method of each checkout has a process of its own; they take turns, so that other work on the machine
meets all of them, and the median counts. "Loading" is building the network and reading its weights.
The peak is that of the resident memory, with Python, TensorFlow and the photograph. Prints a
Markdown table and writes build/bench.json.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"0.8 megapixels": (1024, 768), "12 megapixels": (4000, 3000),
         "24 megapixels": (6000, 4000), "LiteRT": (512, 384), "quick": (160, 120)}
SMALL, LARGE = ("improved", "pix2pix", "prior"), ("improved", "pix2pix")
CASES = [("improved", "LiteRT"), ("pix2pix", "LiteRT"),
         *((method, "0.8 megapixels") for method in SMALL),
         *((method, "12 megapixels") for method in LARGE), ("improved", "24 megapixels")]


def method_of(name, size):
    """A function of an image, RGB in [0, 1]; imports and exports are done by then."""
    from helpers import env

    env.import_tensorflow()
    from helpers import export
    from helpers.haze import dark_channel_prior
    from helpers.inference import dehaze

    try:
        from helpers.inference import load_generator  # of a checkout before helpers.weights
    except ImportError:
        from helpers.weights import load_generator

    yield  # what comes now is measured as loading
    if name == "prior":
        yield dark_channel_prior
    generator = load_generator(env.SAMPLE_DATA / "weights" / name / "generator.safetensors")
    if size != "LiteRT":
        yield lambda image: dehaze(generator, image)
    shape = SIZES[size][::-1] if name == "improved" else (256, 512)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g.tflite"
        if hasattr(export, "serving_model"):
            export.save_litert(export.serving_model(generator, shape), path)
        else:  # before Keras' own export
            export.save_litert(export.save_saved_model(generator, shape, f"{folder}/m"), path)
        call = export.call_litert(path)
        yield lambda image: call(image[:shape[0], :shape[1]])


def child(name, size):
    """Work off the words that come in: "load", "call" and "peak"; a number goes out for each."""
    import resource

    import numpy as np
    from PIL import Image, ImageOps

    photograph = ROOT / "sample_data" / "real" / "hazy" / "golden-temple.jpg"
    with Image.open(photograph) as picture:
        fitted = ImageOps.fit(picture.convert("RGB"), SIZES[size], Image.Resampling.LANCZOS)
    image = np.asarray(fitted, "float32") / np.float32(255)
    steps = method_of(name, size)
    next(steps)
    print("ready", flush=True)
    for word in map(str.strip, sys.stdin):
        start = time.perf_counter()
        if word == "load":
            method = next(steps)
        elif word == "call":
            method(image)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak *= 1 if sys.platform == "darwin" else 1024
        print(peak / 1e6 if word == "peak" else time.perf_counter() - start, flush=True)


def start(checkout, name, size):
    process = subprocess.Popen(
        [sys.executable, __file__, "--child", name, size], text=True,
        env=os.environ | {"PYTHONPATH": str(checkout)}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )
    if process.stdout.readline().strip() != "ready":
        sys.exit(f"{checkout}: {name} cannot be measured; run with --child {name} '{size}' to see.")
    return process


def ask(process, word):
    process.stdin.write(word + "\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def measure(name, size, checkouts, repeats):
    """One row a checkout: seconds of loading, of the first and of further calls, MB at the peak."""
    processes = {which: start(folder, name, size) for which, folder in checkouts.items()}
    rows = {which: {"checkout": which, "method": name, "size": size, "calls": []}
            for which in checkouts}
    for word in ("load", "first", *["calls"] * repeats, "peak"):
        for which, process in processes.items():
            if word == "calls":
                rows[which]["calls"].append(ask(process, "call"))
            else:
                rows[which][word] = ask(process, "call" if word == "first" else word)
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return list(rows.values())


def processor():
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="another checkout, to compare with")
    parser.add_argument("--repeats", type=int, default=5, help="calls after the first; default: 5")
    parser.add_argument("--quick", action="store_true", help="a small photograph, once")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(*options.child)
    before = {"before": options.before.resolve()} if options.before else {}
    checkouts = before | {"now": ROOT}
    rows = []
    print(f"{processor()}, {os.cpu_count()} cores\n\n| method | image | checkout | loading | "
          "first call | further calls | peak memory |\n|---|---|---|--:|--:|--:|--:|")
    for name, size in [("improved", "quick")] if options.quick else CASES:
        for row in measure(name, size, checkouts, 1 if options.quick else options.repeats):
            width, height = SIZES[size]
            image = f"{width}×{height}" + (", LiteRT" if size == "LiteRT" else "")
            print(f"| {name} | {image} | {row['checkout']} | {row['load']:.2f} s | "
                  f"{row['first']:.2f} s | {median(row['calls']):.2f} s | {row['peak']:,.0f} MB |",
                  flush=True)
            rows.append(row)
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"processor": processor(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
