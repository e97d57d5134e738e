"""Draws docs/overview.jpg and docs/worth.png, the pictures of the README.

    python scripts/maintain/readme_figure.py    two real photographs, two test scenes
        --scenes petra ...                      others: real, test or validation
        --runs runs                             by the newest finished runs of that folder

The second is notebook 06's figure of all stored runs. A row of the first is one photograph: hazy,
dark channel prior, pix2pix, improved, clear (of real haze there is none). Of a scene's hazy
versions, the one with beta nearest to 1 is shown. Methods run on the whole image; the picture shows
its middle.
"""

import argparse
import io
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from helpers import env
from helpers.data import load_pair
from helpers.haze import dark_channel_prior
from helpers.images import load_image, to_uint8
from helpers.inference import dehaze
from helpers.pairs import find_pairs
from helpers.panels.laboratory import worth_figure
from helpers.weights import WeightsError, find_weights, load_generator

SCENES = ("golden-temple", "bent-pyramid", "pont-du-gard", "chichen-itza")
COLUMNS = ("hazy", "dark channel prior", "pix2pix", "improved", "clear")
CELL, GAP, HEAD = (237, 158), 4, 30  # 5 * 237 + 4 * 4 = 1201 pixels across
LARGEST = 250_000  # bytes


def photograph(scene):
    """(hazy, clear) of the test or validation pair whose beta is nearest to 1, (hazy, None) of a
    naturally hazy photograph, or None.
    """
    for path in (env.SAMPLE_DATA / "real" / "hazy").glob(f"{scene}.*"):
        return load_image(path), None
    pairs = [
        pair for split in ("test", "validation") for pair in find_pairs(env.SAMPLE_DATA / split)
        if pair.scene == scene
    ]
    nearest = sorted(pairs, key=lambda p: abs(float(p.hazy.stem.split("_")[-1]) - 1))
    return load_pair(nearest[0]) if nearest else None


def as_cell(image):
    """The middle of an image in [0, 1] at the size of a cell."""
    picture = Image.fromarray(to_uint8(image))
    return ImageOps.fit(picture, CELL, Image.Resampling.LANCZOS)


def sheet(rows):
    """Rows of images in [0, 1] under the names of the columns, as one picture."""
    width = len(COLUMNS) * (CELL[0] + GAP) - GAP
    canvas = Image.new("RGB", (width, HEAD + len(rows) * (CELL[1] + GAP) - GAP), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(17)
    for column, name in enumerate(COLUMNS):
        x = column * (CELL[0] + GAP)
        draw.text((x + CELL[0] / 2, HEAD / 2), name, fill="#333333", font=font, anchor="mm")
        for row, images in enumerate(rows):
            if images[column] is not None:
                canvas.paste(as_cell(images[column]), (x, HEAD + row * (CELL[1] + GAP)))
    return canvas


def save(picture, path):
    """Write a JPEG of at most LARGEST bytes, in the best quality that allows it."""
    for quality in range(92, 30, -2):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= LARGEST:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    print(f"{path}: {picture.width}×{picture.height}, {buffer.tell() / 1000:.0f} kB, {quality=}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", nargs="+", default=SCENES, metavar="ID")
    parser.add_argument("--runs", type=Path, default=env.SAMPLE_DATA / "weights")
    parser.add_argument("--out", type=Path, default=env.ROOT / "docs" / "overview.jpg")
    options = parser.parse_args()
    try:
        generators = [
            load_generator(find_weights(name, options.runs) / "generator.safetensors")
            for name in ("pix2pix", "improved")
        ]
    except WeightsError as error:
        sys.exit(str(error))
    rows = []
    for scene in options.scenes:
        found = photograph(scene)
        if found is None:
            sys.exit(f"{scene}: no photograph has this name; see sample_data/test and real.")
        hazy, clear = found
        results = [dehaze(generator, hazy) for generator in generators]
        rows.append([hazy, dark_channel_prior(hazy)[0], *results, clear])
    save(sheet(rows), options.out)
    worth_figure().savefig(options.out.with_name("worth.png"))


if __name__ == "__main__":
    main()
