"""Draws sheets of dehazed photographs, to see what the numbers of the scoreboard do not say.

    python scripts/contact_sheet.py                    the naturally hazy photographs of sample_data
    python scripts/contact_sheet.py --real real_pairs  also the real pairs kept for validation
    python scripts/contact_sheet.py --runs runs        the newest finished runs of that folder

A row is one photograph: hazy, dark channel prior, pix2pix, improved, and the clear one if there is
one. Further sheets show pieces of them at 200 %, without smoothing: the middle, and a place where
the sky begins. Look for halos and bands in the sky, colour casts, darkening and checkerboards.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
from scoreboard import methods_with, sky_scenes, split_pairs, weights_in

from helpers import env
from helpers.data import load_pair
from helpers.haze import box_mean
from helpers.images import ImageError, load_image, to_uint8
from helpers.metrics import psnr
from helpers.pairs import PairError, images_in
from helpers.panels.drawing import beside
from helpers.viz import to_bytes
from helpers.weights import WeightsError

METHODS = ("dark channel prior", "pix2pix", "improved")
WIDTH = 400  # pixels of a cell
PIECE = np.array([150, 200])  # pixels; doubled, as wide as a cell


def small(image):
    """An image in [0, 1] at the width of a cell."""
    picture = Image.fromarray(to_uint8(image))
    size = WIDTH, round(WIDTH * picture.height / picture.width)
    return np.asarray(picture.resize(size, Image.Resampling.LANCZOS), "float32") / 255


def piece(image, centre):
    """What is around a place (row, column) of an image, each pixel doubled both ways."""
    corner = np.clip(centre - PIECE // 2, 0, np.maximum(image.shape[:2] - PIECE, 0))
    (top, left), (bottom, right) = corner, corner + PIECE
    return image[top:bottom, left:right].repeat(2, axis=0).repeat(2, axis=1)


def skyline(mask):
    """A place (row, column) whose surroundings are half sky."""
    share = box_mean(mask.astype("float32"), min(PIECE) // 2)
    return np.array(np.unravel_index(np.abs(share - 0.5).argmin(), mask.shape))


def rows_of(stem, methods, hazy, clear=None, mask=None):
    """The row of one photograph, and the rows of its pieces at 200 %."""
    images = [hazy, *(methods[name](hazy) for name in METHODS)]
    titles = [f"{stem}: hazy", *METHODS]
    if clear is not None:
        titles = [f"{title}, {psnr(image, clear):.1f} dB"
                  for title, image in zip(titles, images, strict=True)]
        images, titles = [*images, clear], [*titles, "clear"]
    places = [np.array(hazy.shape[:2]) // 2] + ([skyline(mask)] if mask is not None else [])
    pieces = [beside([piece(image, place) for image in images], titles, None) for place in places]
    return beside([small(image) for image in images], titles, None), pieces


def save(rows, folder, name, count):
    """Write rows of pictures as PNG sheets of ``count`` rows."""
    width = max((row.shape[1] for row in rows), default=0)
    rows = [np.pad(row, [(0, 8), (0, width - row.shape[1]), (0, 0)], constant_values=1)
            for row in rows]
    for first in range(0, len(rows), count):
        path = folder / f"{name}-{first // count + 1}.png"
        path.write_bytes(to_bytes(np.concatenate(rows[first:first + count]), "PNG"))
        print(path)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    shipped = env.SAMPLE_DATA / "weights"
    parser.add_argument("--runs", type=Path, default=shipped, help="default: the shipped weights")
    parser.add_argument("--real", type=Path, help="folder of real pairs and scene_groups.json")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "sheets")
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        methods = methods_with(weights_in(options.runs))
        masks = {stem: mask for kind, stem, _, _, mask in sky_scenes() if kind == "real"}
        pairs = split_pairs(options.real)[1] if options.real else []
        photographs = images_in(env.SAMPLE_DATA / "real" / "hazy")
        sheets = {
            "natural": [rows_of(path.stem, methods, load_image(path), mask=masks.get(path.stem))
                        for path in photographs],
            "pairs": [rows_of(pair.hazy.stem, methods, *load_pair(pair)) for pair in pairs],
        }
    except (ImageError, OSError, PairError, WeightsError) as error:
        sys.exit(str(error))
    for name, rows in sheets.items():
        pieces = [row for _, pieces in rows for row in pieces]
        save([row for row, _ in rows], options.out, name, count=8)
        save(pieces, options.out, f"{name}-200-percent", count=4)  # not shrunk on a screen


if __name__ == "__main__":
    main()
