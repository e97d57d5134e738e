"""Colours beside decibels: how colourful each set comes back, and how far its colours are off.

    python scripts/maintain/colours.py NAME=generator.safetensors ...    the shipped one comes first
        --real real_pairs          the real pairs kept for validation, at half size
        --depth depth_scenes       haze made over the scenes that are held back
        --encoder FILE             a distance on features of the pretrained encoder
        --json FILE                write the means, and what they were measured on
        --pictures FOLDER          what each network makes of the sample photographs in haze

Prints Markdown tables, one for each set: PSNR, SSIM, sharpness over the truth's, mean chroma over
the truth's (0: grey), the mean CIEDE2000 to the truth (1 can just be seen), the distance on
features. The last rows are of the shipped network when it looks at one copy of an image only. The
sets: the sample test scenes, the kinds of real pairs, indoor haze and thin and dense outdoor haze
made over the held depth scenes, and clear photographs that should come back as they are. Last the
grey card: the largest mean chroma that a network gives to an even grey, which has none.
"""

import argparse
import hashlib
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
from depth_scenes import FAR, load_scenes
from PIL import Image
from real_pairs import load_half, split_pairs
from scoreboard import REAL_SETS
from train_improved import features

from helpers import env
from helpers.data import load_pair, normalise
from helpers.haze import add_haze, transmission
from helpers.images import ImageError, load_image, to_uint8
from helpers.inference import LOOKS, apply_maps, dehaze, haze_maps
from helpers.losses import perceptual_loss
from helpers.metrics import chroma_ratio, colour_difference, score, sharpness, to_lab
from helpers.pairs import PairError, find_pairs, images_in
from helpers.weights import WeightsError, load_generator, write_whole

# Optical depth at the far end: those of RESIDE's kinds.
MADE = {"indoor, made": ("indoor", 0.8, 2.5), "outdoor, made, dense": ("outdoor", 2.0, 3.0),
        "outdoor, made, thin": ("outdoor", 0.3, 1.0)}
COLUMNS = {"psnr": "PSNR", "ssim": "SSIM", "sharpness": "sharpness", "chroma": "chroma",
           "difference": "CIEDE2000", "perceptual": "features"}


def made_sets(folder):
    """{set: [(name, hazy, clear)]} over the held scenes of a folder; always the same haze."""
    scenes, sets = dict(zip(("indoor", "outdoor"), load_scenes(folder, held=True), strict=True)), {}
    for title, (kind, least, most) in MADE.items():
        sets[title] = []
        for n, images in enumerate(scenes[kind]):
            clear, depth = (image.astype("float32") / 255 for image in images[:2])
            rng = np.random.default_rng([17, n])
            t, airlight = transmission(depth / FAR, rng.uniform(least, most)), rng.uniform(0.8, 1)
            sets[title].append((f"{n:02}", add_haze(clear, t, airlight), clear))
    return sets


def all_sets(real, depth):
    """{set: [(name, hazy, clear)]}, RGB in [0, 1]: of sample_data and of the folders given."""
    test = find_pairs(env.SAMPLE_DATA / "test")
    sets = {"sample test scenes": [(p.hazy.stem, *load_pair(p)) for p in test]}
    held = split_pairs(real)[1] if real else []
    for title, letters in REAL_SETS.items() if held else ():
        if letters:
            chosen = [p for p in held if p.hazy.stem[0] in letters]
            sets[title] = [(p.hazy.stem, *load_half(p)) for p in chosen]
    sets |= made_sets(depth) if depth else {}
    folders = [env.SAMPLE_DATA / split / "clear" for split in ("validation", "test")]
    clear = {p.stem: load_image(p) for folder in folders for p in images_in(folder)}
    sets["clear photographs"] = [(name, image, image) for name, image in clear.items()]
    return {title: scenes for title, scenes in sets.items() if scenes}


def measure(image, truth, seen=None):
    """{column: number} of one image, RGB in [0, 1]; ``seen`` gives features of one in [-1, 1]."""
    psnr, ssim = score(image, truth)
    row = {"psnr": min(psnr, 100), "ssim": ssim, "sharpness": sharpness(image, truth),
           "chroma": chroma_ratio(image, truth), "difference": colour_difference(image, truth)}
    if seen:
        row["perceptual"] = float(perceptual_loss(seen, *(normalise(x)[None].astype("float32")
                                                          for x in (truth, image))))
    return row


def seen_once(generator, size, hazy):
    """An image in [0, 1] dehazed from one copy instead of two; its longer side is ``size``."""
    return apply_maps(hazy, haze_maps(generator, hazy, (size,)))


def grey_card(method):
    """The largest mean chroma in L*a*b* that a method gives to even greys from dark to bright."""
    cards = [np.full((192, 256, 3), level, "float32") for level in (0.1, 0.25, 0.5, 0.75, 0.9)]
    return max(float(np.hypot(*np.moveaxis(to_lab(method(card))[..., 1:], -1, 0)).mean())
               for card in cards)


def means(method, scenes, seen):
    """{column: its mean over the scenes (name, hazy, clear)}."""
    rows = [measure(method(hazy), clear, seen) for _, hazy, clear in scenes]
    return {column: round(float(np.mean([row[column] for row in rows])), 4) for column in rows[0]}


def table(rows):
    """Markdown table of one set, {method: {column: mean}}."""
    columns = list(next(iter(rows.values())))
    lines = ["| method | " + " | ".join(COLUMNS[c] for c in columns) + " |",
             "|---|" + "--:|" * len(columns)]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(
            f"{m:.2f}" if c in ("psnr", "difference") else f"{m:.3f}" for c, m in row.items())
            + " |")
    return "\n".join(lines)


def save_pictures(methods, folder):
    """What each method makes of the sample photographs in haze, as JPEG: NAME-photograph.jpg."""
    folder.mkdir(parents=True, exist_ok=True)
    hazy = [images_in(env.SAMPLE_DATA / part / "hazy") for part in ("real", "test")]
    for path in sum(hazy, []):
        for name, method in methods.items():
            picture = Image.fromarray(to_uint8(method(load_image(path))))
            picture.save(folder / f"{name.replace(' ', '-')}-{path.stem}.jpg", quality=88)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="*", metavar="NAME=FILE", help="generators to measure")
    parser.add_argument("--real", type=Path, help="folder of real pairs and scene_groups.json")
    parser.add_argument("--depth", type=Path, help="folder of clear photographs with depth")
    parser.add_argument("--encoder", type=Path, help="the pretrained encoder's safetensors file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the means to it")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write pictures to it")
    options = parser.parse_args(arguments)
    if wrong := [text for text in options.weights if "=" not in text]:
        parser.error(f"{wrong[0]}: write a name, =, and the generator's file.")
    files = {"improved": env.SAMPLE_DATA / "weights" / "improved/generator.safetensors"}
    files |= dict(text.split("=", 1) for text in options.weights)
    try:
        generators = {name: load_generator(path) for name, path in files.items()}
        seen = features(options.encoder, (0, 4)) if options.encoder else None
        sets = all_sets(options.real, options.depth)
    except (ImageError, OSError, PairError, WeightsError) as error:
        sys.exit(str(error))
    # In use a physics network looks at two copies (haze_maps); here at one of them alone.
    once = {f"improved, {size} pixels only": partial(seen_once, generators["improved"], size)
            for size in LOOKS}
    methods, found = {"hazy input": lambda hazy: hazy}, {}
    methods |= {name: partial(dehaze, generator) for name, generator in generators.items()}
    for title, scenes in sets.items():
        found[title] = {name: means(method, scenes, seen)
                        for name, method in (methods | once).items()}
        print(f"\n{title}: {len(scenes)} images\n\n{table(found[title])}", flush=True)
    cards = {name: grey_card(method) for name, method in methods.items()}
    print("\nGrey card, largest mean chroma: "
          + ", ".join(f"{name} {value:.1f}" for name, value in cards.items()))
    if options.pictures:
        save_pictures(methods, options.pictures)
    if options.json:
        looks = {title: {name: rows.pop(name) for name in once} for title, rows in found.items()}
        result = {"images": {title: len(scenes) for title, scenes in sets.items()}, "sets": found,
                  "seen once": looks,
                  "grey card": {name: round(value, 2) for name, value in cards.items()},
                  "weights": {name: hashlib.sha256(Path(path).read_bytes()).hexdigest()
                              for name, path in files.items()}}
        write_whole(options.json, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
