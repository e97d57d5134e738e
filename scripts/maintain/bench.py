"""Measures seconds and memory of the generators and of the dark channel prior (make bench does it).

    python scripts/bench.py               the shipped weights, three sizes, minutes
    python scripts/bench.py --quick       a small image once, to see that it works
    python scripts/bench.py --runs runs   the newest finished runs of that folder

All methods get the same photograph of sample_data, enlarged to 0.8, 12 and 24 megapixels; the
largest is for the improved generator alone. They take turns in one process, and the median counts;
the first call is told apart. The peak of resident memory is that of a process of its own, which
does nothing but load the method and the image and call it once; Python, TensorFlow and the image
are part of it. Prints a Markdown table and writes build/bench.json.

The dark channel prior of the PyPI package adrishyam is measured twice: its own arithmetic, and its
one public function, which also reads a JPEG and writes six PNG files.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib import metadata, util
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
PHOTOGRAPH = ROOT / "sample_data" / "real" / "hazy" / "golden-temple.jpg"
SIZES = {"0.8 megapixels": (1024, 768), "12 megapixels": (4000, 3000),
         "24 megapixels": (6000, 4000), "quick": (160, 120)}
IMPROVED = "improved generator"
# What the project promises of the improved generator on two cores: seconds and MB.
FLOORS = {"0.8 megapixels": (0.5, None), "12 megapixels": (4.0, 2000)}

# This process imports only the standard library, and all work is done by others that it starts:
# Linux hands a process's peak of memory on to those that it starts.


# Each of these returns a function of an image, RGB in [0, 1]; size is (width, height).


def network(name, runs):
    from helpers import env

    env.import_tensorflow()
    from helpers.inference import dehaze
    from helpers.weights import find_weights, load_generator

    generator = load_generator(find_weights(name, runs) / "generator.safetensors")
    return lambda image: dehaze(generator, image)


def dark_channel_prior(_size, _runs):
    from helpers.haze import dark_channel_prior

    return lambda image: dark_channel_prior(image)[0]


def adrishyam(_size, _runs):
    """What adrishyam.dehaze_image computes, with its defaults, but no file."""
    from adrishyam import dehaze as their

    def run(image):
        dark = their.get_dark_channel(image, 15)
        airlight = their.estimate_atmospheric_light(image, dark)
        t = their.estimate_transmission(image, airlight, dark, 0.95)
        t = their.guided_filter_simple(image[:, :, 0], t, 60, 0.01)
        return their.dehaze(image, t, airlight, 0.1)

    return run


def adrishyam_files(size, _runs):
    """adrishyam.dehaze_image, from a JPEG to six PNG files."""
    os.environ["MPLBACKEND"] = "Agg"
    from adrishyam import dehaze_image

    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / "hazy.jpg"
    picture(size).save(path, quality=95)

    def run(_image):
        with contextlib.redirect_stdout(io.StringIO()):
            dehaze_image(str(path), folder.name)

    return run


METHODS = {
    IMPROVED: lambda _size, runs: network("improved", runs),
    "pix2pix, in tiles": lambda _size, runs: network("pix2pix", runs),
    "dark channel prior": dark_channel_prior,
    "adrishyam, arithmetic": adrishyam,
    "adrishyam, with its files": adrishyam_files,
}


def methods_for(size):
    """Names of the methods that are measured at a size."""
    names = [IMPROVED] if size == "24 megapixels" else list(METHODS)
    there = util.find_spec("adrishyam") is not None
    return [name for name in names if there or not name.startswith("adrishyam")]


def picture(size):
    """The photograph at (width, height), cut to that shape."""
    from PIL import Image, ImageOps

    with Image.open(PHOTOGRAPH) as photograph:
        return ImageOps.fit(photograph.convert("RGB"), size, Image.Resampling.LANCZOS)


def image_of(size):
    """The photograph as float32 RGB in [0, 1], (height, width, 3)."""
    import numpy as np

    image = np.asarray(picture(size), "float32")
    image /= 255
    return image


def seconds_of(method, image):
    start = time.perf_counter()
    method(image)
    return time.perf_counter() - start


def take_turns(size, repeats, runs):
    """{method: [seconds of the first call, of the second, ...]}, all in this process."""
    image = image_of(SIZES[size])
    methods = {name: METHODS[name](SIZES[size], runs) for name in methods_for(size)}
    seconds = {name: [] for name in methods}
    for _ in range(repeats + 1):
        for name, method in methods.items():
            seconds[name].append(seconds_of(method, image))
    return seconds


def peak_memory(size, name, runs):
    """Peak of this process's resident memory in MB (10^6 bytes) after one call of one method."""
    import resource

    method = METHODS[name](SIZES[size], runs)
    method(image_of(SIZES[size]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def in_another_process(*arguments):
    """What another process of this script prints as JSON; one that fails ends this one too."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def measure(size, repeats, runs):
    """One row a method: [{"size", "width", "height", "method", "first_s", "median_s", ...}]."""
    seconds = in_another_process("--turns", size, "--repeats", repeats, *runs)
    rows = []
    for name, (first, *times) in seconds.items():
        peak = in_another_process("--peak", size, name, *runs)
        width, height = SIZES[size]
        rows.append({"size": size, "width": width, "height": height, "method": name,
                     "first_s": round(first, 4), "median_s": round(median(times), 4),
                     "times_s": [round(t, 4) for t in times], "peak_mb": round(peak)})
    return rows


def table(rows):
    """The rows as a Markdown table."""
    lines = ["| image | method | seconds | first call | peak memory |", "|---|---|--:|--:|--:|"]
    for row in rows:
        lines.append(f"| {row['width']}×{row['height']} | {row['method']} | "
                     f"{row['median_s']:.2f} s | {row['first_s']:.2f} s | {row['peak_mb']:,} MB |")
    return "\n".join(lines)


def promises(rows):
    """[{"size", "what", "measured", "floor", "kept"}] for the improved generator."""
    found = []
    for row in rows:
        if row["method"] == IMPROVED and row["size"] in FLOORS:
            seconds, megabytes = FLOORS[row["size"]]
            for what, key, floor in (("s", "median_s", seconds), ("MB", "peak_mb", megabytes)):
                if floor:
                    found.append({"size": row["size"], "what": what, "measured": row[key],
                                  "floor": floor, "kept": row[key] < floor})
    return found


def version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, help="default: the shipped weights")
    parser.add_argument("--repeats", type=int, default=5, help="calls after the first; default: 5")
    parser.add_argument("--quick", action="store_true", help="a small image, once")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench.json")
    # What the processes that this one starts are asked for.
    parser.add_argument("--turns", metavar="SIZE", help=argparse.SUPPRESS)
    parser.add_argument("--peak", nargs=2, metavar=("SIZE", "METHOD"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    runs = options.runs or ROOT / "sample_data" / "weights"
    if options.turns or options.peak:
        return child(options, runs)

    rows = []
    for size in ["quick"] if options.quick else [name for name in SIZES if name != "quick"]:
        print(f"measuring {size} …", file=sys.stderr, flush=True)
        rows += measure(size, 1 if options.quick else options.repeats, ["--runs", runs])
    print(table(rows))
    promised = promises(rows)
    for p in promised:
        verdict = "kept" if p["kept"] else "NOT kept"
        print(f"\n{IMPROVED}, {p['size']}: {p['measured']:g} {p['what']}; "
              f"promised are less than {p['floor']:g} {p['what']}: {verdict}.")
    if util.find_spec("adrishyam") is None:
        print("\nThe package adrishyam is not installed and was left out; make bench installs it.")
    packages = ("tensorflow", "keras", "numpy", "adrishyam")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    result = {"date": date.today().isoformat(), "cores": os.cpu_count(), "versions": versions,
              "rows": rows, "promises": promised}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")


def child(options, runs):
    """Measure one thing and print it as JSON; unusable weights end in one sentence."""
    try:
        if options.turns:
            result = take_turns(options.turns, options.repeats, runs)
        else:
            result = peak_memory(*options.peak, runs)
    except ValueError as error:
        if type(error).__name__ != "WeightsError":  # its module would import TensorFlow
            raise
        sys.exit(str(error))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
