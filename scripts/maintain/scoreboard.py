"""Scores the shipped weights, and the methods without training, on hazy photographs.

    python scripts/maintain/scoreboard.py    the tables of docs/results.md
        --runs runs                          of the newest finished runs of that folder instead
        --pairs my_data                      on other pairs than sample_data/test
        --real real_pairs                    also on the real pairs kept for validation
        --json FILE                          write all numbers, those of each image too

Prints Markdown tables. PSNR and SSIM are means over all hazy images, each scored by itself; the
time is the median for one image, without loading it. Two further tables ask what decibels do not
show: does a clear photograph come back as it was, and does the sky keep its light?

--real is a folder with hazy/ and clear/, the same names in both, and scene_groups.json, whose list
"validation" names the pairs to score, at half size and at full size.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from datetime import date
from importlib import metadata
from pathlib import Path

import numpy as np
from real_pairs import half, split_pairs

from helpers import env
from helpers.data import load_pair
from helpers.haze import autocontrast, dark_channel_prior
from helpers.images import ImageError, load_image, open_image
from helpers.inference import dehaze
from helpers.metrics import psnr, score
from helpers.pairs import PairError, find_pairs, images_in
from helpers.weights import WeightsError, find_weights, load_generator

NETWORKS = {"L1 alone": "l1-only", "pix2pix": "pix2pix", "improved": "improved"}
# The sets of real pairs, by the first letter of their names; no letter stands for all of them.
REAL_SETS = {"O-HAZE": "A", "NH-HAZE2": "B", "NH-HAZE": "C", "NH-HAZE2 and NH-HAZE": "BC",
             "All real validation pairs": ""}


def weights_in(runs):
    """{name of a network: its newest weights in ``runs``, or those that are shipped}."""
    return {title: find_weights(name, runs) / "generator.safetensors"
            for title, name in NETWORKS.items()}


def methods_with(weights):
    """The rows of the scoreboard, {name: function}; ``weights`` is what weights_in returns."""
    methods = {
        "hazy input": lambda hazy: hazy,
        "autocontrast": autocontrast,
        "dark channel prior": lambda hazy: dark_channel_prior(hazy)[0],
    }
    for title, path in weights.items():
        generator = load_generator(path)
        methods[title] = lambda hazy, generator=generator: dehaze(generator, hazy)
    return methods


def measure(methods, scenes):
    """{method: array (scenes, 3) of PSNR in dB, SSIM and milliseconds}, scenes (hazy, clear)."""
    measured = {name: [] for name in methods}
    for name, method in methods.items():
        for hazy in {hazy.shape: hazy for hazy, _ in scenes}.values():
            method(hazy)  # a network's first call takes longer, and its first of each shape
        for hazy, clear in scenes:
            start = time.perf_counter()
            image = method(hazy)
            seconds = time.perf_counter() - start
            measured[name].append((*score(image, clear), 1000 * seconds))
    return {name: np.array(rows) for name, rows in measured.items()}


def summary(values):
    """What a table shows of one method: the means, the worst images and the median time."""
    psnrs, ssims, ms = values.T
    row = {"psnr": psnrs.mean(), "ssim": ssims.mean(), "worst_psnr": psnrs.min(),
           "worst_ssim": ssims.min(), "ms": np.median(ms)}
    return {key: round(float(value), 4) for key, value in row.items()}


def table(results):
    """Markdown table of one set, {method: {"psnr", "ssim", "worst_psnr", "worst_ssim", "ms"}}."""
    lines = ["| method | mean PSNR | mean SSIM | worst PSNR | worst SSIM | ms an image |"]
    lines.append("|---|--:|--:|--:|--:|--:|")
    for name, row in results.items():
        speed = "–" if name == "hazy input" else f"{row['ms']:.0f}"  # nothing is done to it
        lines.append(f"| {name} | {row['psnr']:.2f} dB | {row['ssim']:.3f} | "
                     f"{row['worst_psnr']:.2f} dB | {row['worst_ssim']:.3f} | {speed} |")
    return "\n".join(lines)


def report_sets(measured, names, size, groups):
    """Print a table for each of ``groups``, {title: first letters of the names in it}, and return
    what --json writes of it: [{"set", "size", "names", "methods": {method: its row}}]."""
    sets = []
    for title, letters in groups.items():
        chosen = [i for i, name in enumerate(names) if not letters or name[0] in letters]
        if chosen:
            rows = {method: summary(values[chosen]) for method, values in measured.items()}
            print(f"\n{title}, {size} size, hazy images: {len(chosen)}\n\n{table(rows)}")
            sets.append({"set": title, "size": size, "names": [names[i] for i in chosen],
                         "methods": rows})
    return sets


def each_image(measured, names):
    """What --json writes of single images: {method: {name: {"psnr", "ssim", "ms"}}}."""
    return {method: {name: {"psnr": psnr, "ssim": ssim, "ms": ms} for name, (psnr, ssim, ms)
                     in zip(names, values.round(4).tolist(), strict=True)}
            for method, values in measured.items()}


def clear_back(methods):
    """{method: {scene: PSNR of what it makes of a clear sample photograph, against that}}."""
    folders = [env.SAMPLE_DATA / split / "clear" for split in ("train", "validation", "test")]
    photographs = {p.stem: load_image(p) for folder in folders for p in images_in(folder)}
    return {name: {stem: round(psnr(method(image), image), 4)
                   for stem, image in photographs.items()} for name, method in methods.items()}


def sky_scenes():
    """Sample photographs with sky: [(kind, name, hazy, what its sky should be like, mask)]."""
    found = []
    for path in images_in(env.SAMPLE_DATA / "real" / "hazy"):
        hazy = load_image(path)
        found.append(("real", path.stem, hazy, hazy, path.parents[1] / "sky" / f"{path.stem}.png"))
    for pair in find_pairs(env.SAMPLE_DATA / "test"):
        mask = pair.hazy.parents[1] / "sky" / f"{pair.scene}.png"
        found.append(("test", pair.hazy.stem, *load_pair(pair), mask))
    masked = [(*scene, np.asarray(open_image(mask).convert("1"))) for *scene, mask in found]
    return [scene for scene in masked if scene[-1].any()]


def sky_change(methods):
    """{method: {"real" or "test": {image: change of the sky's mean luminance in percent}}}.

    Of the naturally hazy photographs against the photograph, of the test scenes against the truth.
    """
    changes = {name: {"real": {}, "test": {}} for name in methods}
    for kind, stem, hazy, reference, mask in sky_scenes():
        light = (reference[mask] @ (0.299, 0.587, 0.114)).mean()
        for name, method in methods.items():
            ours = (method(hazy)[mask] @ (0.299, 0.587, 0.114)).mean()
            changes[name][kind][stem] = round(float(100 * (ours / light - 1)), 4)
    return changes


def check(methods):
    """Print the two further tables and return what --json writes of them."""
    trained = {name: methods[name] for name in NETWORKS}
    back = clear_back(trained)
    print("\nA clear photograph back: PSNR of the output against the input, clear sample scenes")
    print("\n| method | mean | worst |\n|---|--:|--:|")
    for name, values in back.items():
        worst, mean = min(values, key=values.get), np.mean(list(values.values()))
        print(f"| {name} | {mean:.2f} dB | {values[worst]:.2f} dB ({worst}) |")
    sky = sky_change({"dark channel prior": methods["dark channel prior"], **trained})
    print("\nMean luminance in the sky: of the naturally hazy photographs against the photograph,")
    print("of the test scenes against the truth; the mean, and the image where it falls most")
    print("\n| method | real, mean | real, lowest | test, mean | test, lowest |")
    print("|---|--:|--:|--:|--:|")
    for name, kinds in sky.items():
        cells = []
        for values in kinds.values():
            lowest = min(values, key=values.get)
            cells.append(f"{np.mean(list(values.values())):+.1f} %")
            cells.append(f"{values[lowest]:+.1f} % ({lowest})")
        print(f"| {name} | {' | '.join(cells)} |")
    return {"clear_back": back, "sky": sky}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shipped, test = env.SAMPLE_DATA / "weights", env.SAMPLE_DATA / "test"
    parser.add_argument("--runs", type=Path, default=shipped, help="default: the shipped weights")
    parser.add_argument("--pairs", type=Path, default=test, help="their folder")
    parser.add_argument("--real", type=Path, help="folder of real pairs and scene_groups.json")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to it")
    options = parser.parse_args(arguments)
    try:
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
        real = split_pairs(options.real)[1] if options.real else []
        real_scenes = [load_pair(pair) for pair in real]
        pairs = find_pairs(options.pairs)
        scenes = [load_pair(pair) for pair in pairs]
        files = weights_in(options.runs)
        methods = methods_with(files)
    except (ImageError, OSError, PairError, WeightsError) as error:
        sys.exit(str(error))

    names, measured = [pair.hazy.stem for pair in pairs], measure(methods, scenes)
    title = "Sample test scenes" if options.pairs == test else options.pairs.name
    sets = report_sets(measured, names, "full", {title: ""})
    images = {"pairs full": each_image(measured, names)}
    names = [pair.hazy.stem for pair in real]
    for size, change in {"half": half, "full": lambda image: image}.items() if real else ():
        measured = measure(methods, [(change(hazy), change(clear)) for hazy, clear in real_scenes])
        sets += report_sets(measured, names, size, REAL_SETS)
        images[f"real {size}"] = each_image(measured, names)
    checks = check(methods)
    if options.json:
        result = {
            "date": date.today().isoformat(), "cores": os.cpu_count(),
            "versions": {"python": platform.python_version(),
                         **{name: metadata.version(name) for name in ("tensorflow", "keras")}},
            "weights": {title: hashlib.sha256(path.read_bytes()).hexdigest()
                        for title, path in files.items()},
            "sets": sets, "images": images, **checks,
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
