"""Renders depth, sky masks and hazy versions of the sample photographs from hand-drawn sketches.

    python scripts/maintain/make_samples.py    rebuild all derived files; further words:
        ID ...                                 those of some photographs
        --preview ID                           look at it: writes build/samples/ID.png only
        --preview ID --zoom 0.3 0 0.7 0.4      the part between left, top, right, bottom
        readme                                 only the lists in sample_data/README.md
        import FOLDER                          once: originals to sample_data/<split>/clear/

What is written by hand: `sample_data/photographs.tsv` and one sketch a photograph,
`sample_data/scenes/<id>.toml`. Points are [x, y] as fractions of width and height, (0, 0) at the
top left. Distances have no unit: at 1 and beta 1 haze takes 63 % of the light. Foreground 0.1-0.4,
middle 0.5-1.2, far hills 1.5-2.5, sky 5.

    [ground]               # everything that is neither sky nor a layer, water too
    horizon = 0.44         # y of the horizon, or [left, right]; may lie above the picture, not
                           # below it
    near = 0.3             # distance at the bottom edge; grows as 1 / (y - horizon) ...
    far = 2.2              # ... up to this

    [sky]                  # leave the table out where no sky is seen
    inside = [[0, 0], ...] # nothing outside this polygon is sky; default: all above the horizon
    surely = [[...], ...]  # polygons in clear sky: what the flood misses (clouds, enclosed sky)
    never  = [[...], ...]  # polygons the flood must not enter (white walls, pale hills)
    mixed  = [[...], ...]  # polygons where colour alone decides (branches, arches, railings)
    tolerance = 0.06       # largest step of colour that the flood from the top edge crosses
    band = 0.012           # part of the width within which a silhouette is searched

    [[layer]]              # any number, from far to near: a later one covers an earlier one
    name = "castle"
    points = [[x, y], ...] # rough outline; draw it generously over the sky, which cuts it
    distance = 0.8         # or foot = 0.7: that of the ground at y = 0.7 (towers, statues), or
                           # distance = [[x, y, d], ...]: a slanted plane through 2 (along their
                           # line) or 3 and more points; 1 / d is linear, as perspective has it
    holes = [[...], ...]   # polygons where one sees through it
    mixed = [[...], ...]   # polygons where colour alone decides between it and what is behind
    band = 0.012           # how far the outline may be off; 0 keeps it as drawn, slightly soft

    [haze]
    strength = 1.0         # factor on all betas: the mean PSNR should be about 14-14.5 dB

Only `[sky]` is used for the split `real`. Silhouettes follow the picture: in the band around an
outline, and in `mixed` polygons, colour statistics of both sides nearby give a prior, and
closed-form matting (Levin, Lischinski and Weiss 2008) the edge. All of it is linear algebra, and
the sensor's noise is seeded by the file's name, so that other library versions give the same
picture to within rounding.
"""

import argparse
import csv
import io
import re
import sys
import tomllib
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from helpers import env
from helpers.haze import add_haze, box_mean, transmission
from helpers.images import to_uint8

DATA = env.SAMPLE_DATA
NOISE = 2 / 255  # standard deviation of the sensor's noise in the hazy versions
SKY = 5.0  # distance of the sky, and the largest one a depth file can hold
KEYS = {
    "ground": {"horizon", "near", "far"},
    "sky": {"inside", "surely", "never", "mixed", "tolerance", "band"},
    "layer": {"name", "points", "distance", "foot", "holes", "mixed", "band"},
    "haze": {"strength"},
}


class SketchError(ValueError):
    """A sketch or the table of photographs is wrong; the message is one sentence."""


def photographs(data=DATA):
    """Rows of photographs.tsv as dicts, keyed by id."""
    with open(data / "photographs.tsv", encoding="utf-8", newline="") as file:
        return {row["id"]: row for row in csv.DictReader(file, delimiter="\t")}


def read_sketch(path):
    """Read and check one sketch; returns a dict with all four tables. Raises SketchError."""
    try:
        sketch = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SketchError(f"{path}: there is no such sketch; write it.") from None
    except tomllib.TOMLDecodeError as error:
        raise SketchError(f"{path}: not valid TOML: {error}.") from None
    for table, content in sketch.items():
        if table not in KEYS:
            raise SketchError(f"{path}: unknown table [{table}]; there are {', '.join(KEYS)}.")
        if not isinstance(content, list if table == "layer" else dict):
            raise SketchError(f"{path}: write [[layer]] for layers and [{table}] for the rest.")
        for part in content if table == "layer" else [content]:
            where = f"{path}: {table} {part.get('name', '')}".rstrip()
            if unknown := set(part) - KEYS[table]:
                raise SketchError(f"{where}: unknown key {sorted(unknown)[0]!r}.")
            outlines = [part[k] for k in ("points", "inside") if k in part]
            for key in ("surely", "never", "mixed", "holes"):
                outlines += part.get(key, [])
            for polygon in outlines:
                if np.size(polygon) < 6 or not all(np.shape(point) == (2,) for point in polygon):
                    raise SketchError(f"{where}: a polygon needs 3 or more points [x, y].")
            if table == "layer" and (
                "points" not in part or ("foot" in part) == ("distance" in part)
            ):
                raise SketchError(f"{where}: needs points, and either distance or foot.")
    ground = {"horizon": 0.5, "near": 0.3, "far": 2.0} | sketch.get("ground", {})
    horizon = np.ravel(ground["horizon"]).astype(object)
    if len(horizon) not in (1, 2) or not all(type(y) in (int, float) and y < 1 for y in horizon):
        raise SketchError(f"{path}: ground: the horizon is a number below 1 (the bottom), or two.")
    return {"layer": [], "haze": {}, "sky": None} | sketch | {"ground": ground}


def inside(shape, polygons):
    """Boolean mask (height, width) of the pixels inside any of the polygons."""
    height, width = shape
    mask = Image.new("L", (width, height))
    for polygon in polygons:
        ImageDraw.Draw(mask).polygon([(x * width, y * height) for x, y in polygon], fill=1)
    return np.asarray(mask, bool)


def local_colours(image, weight):
    """Log-density at each pixel of a Gaussian fitted to nearby colours, weighted by ``weight``.

    A hundredth of the weight is shared by the farther surroundings, for places without samples.
    """
    small, large = (round(part * image.shape[1]) for part in (0.04, 0.25))

    def mean(a):
        return box_mean(a, small) + 0.01 * box_mean(a, large) + 1e-7 * a.mean()

    total = mean(weight) + 1e-12
    centre = np.stack([mean(weight * image[..., c]) / total for c in range(3)], -1)
    spread = np.empty((*weight.shape, 3, 3))
    for i in range(3):
        for j in range(i, 3):
            product = mean(weight * image[..., i] * image[..., j]) / total
            spread[..., i, j] = spread[..., j, i] = product - centre[..., i] * centre[..., j]
    spread += 0.02**2 * np.eye(3)  # no surface is one colour: noise, JPEG, shading
    off = image - centre
    distance = (off * np.linalg.solve(spread, off[..., None])[..., 0]).sum(-1)
    return -0.5 * (distance + np.log(np.linalg.det(spread)))


def matting_laplacian(image, windows, eps=1e-4):
    """Sparse matting Laplacian (Levin 2008, eq. 12) over the 3x3 windows whose centre is marked."""
    height, width = windows.shape
    rows, columns = np.nonzero(windows[1:-1, 1:-1])
    offset = np.add.outer(np.arange(3) * width, np.arange(3)).ravel()
    index = (rows * width + columns)[:, None] + offset  # (windows, 9)
    colours = image.reshape(-1, 3)[index]
    off = colours - colours.mean(1, keepdims=True)
    spread = off.transpose(0, 2, 1) @ off / 9 + eps / 9 * np.eye(3)
    values = np.eye(9) - (1 + off @ np.linalg.solve(spread, off.transpose(0, 2, 1))) / 9
    i, j = np.repeat(index, 9, 1).ravel(), np.tile(index, (1, 9)).ravel()
    return sparse.coo_matrix((values.ravel(), (i, j)), shape=(height * width,) * 2).tocsr()


def matte(image, front, back, mixed, guess):
    """How much of each pixel belongs to the front, float (height, width) in 0..1.

    ``front`` and ``back`` are masks of what is known, ``mixed`` of where colour alone decides;
    ``guess`` (0..1) weighs unknown pixels as colour samples of the front.
    """
    unknown = ~(front | back)
    alpha = np.where(unknown, guess, front).astype(float)
    if not unknown.any() or not front.any() or not back.any():
        return alpha
    for _ in range(2):  # colours from what is known and, faintly, from the last guess
        trust = np.where(unknown, 0.1, 1)
        odds = local_colours(image, trust * alpha) - local_colours(image, trust * (1 - alpha))
        alpha = np.where(unknown, 1 / (1 + np.exp(-np.clip(odds, -12, 12) / 2)), alpha)
    laplacian = matting_laplacian(image, ndimage.binary_dilation(unknown, np.ones((3, 3))))
    free = unknown.ravel()
    faith = np.where(mixed, 1.0, 0.4).ravel()[free]
    rows = laplacian[free]
    right = faith * alpha.ravel()[free] - rows[:, ~free] @ alpha.ravel()[~free]
    solved = alpha.ravel().copy()
    solved[free] = spsolve((rows[:, free] + sparse.diags(faith)).tocsc(), right)
    # Steeper than the matte itself: texture must not show through as haze.
    return np.clip((solved.reshape(alpha.shape) - 0.5) * 1.8 + 0.5, 0, 1)


def find_sky(image, sky, horizon):
    """Part of sky in each pixel: a flood from the top edge over small steps, then a matte."""
    shape, width = image.shape[:2], image.shape[1]
    if sky is None:
        return np.zeros(shape)
    y = (np.arange(shape[0])[:, None] + 0.5) / shape[0]
    allowed = inside(shape, [sky["inside"]]) if "inside" in sky else y < horizon
    allowed = allowed & ~inside(shape, sky.get("never", []))
    surely, mixed = inside(shape, sky.get("surely", [])), inside(shape, sky.get("mixed", []))
    step = (
        ndimage.maximum_filter(image, (3, 3, 1)) - ndimage.minimum_filter(image, (3, 3, 1))
    ).max(-1)
    smooth = ((step < sky.get("tolerance", 0.06)) | surely) & allowed
    labels, _ = ndimage.label(smooth)
    roots = np.unique(labels[:2]) if not surely.any() else np.union1d(labels[:2], labels[surely])
    flood = np.isin(labels, roots[roots > 0])
    # Specks that the flood flows around (birds, cloud edges) are sky; spires reach its border.
    flood |= ndimage.binary_fill_holes(flood) & allowed & ~mixed
    core = ndimage.binary_erosion(flood, border_value=1) & ~mixed
    away = ndimage.distance_transform_edt(~flood)
    back = ((away > sky.get("band", 0.012) * width) & ~mixed) | ~allowed
    # The flood ends a pixel before the silhouette, where a 3x3 step first touches it.
    return matte(image, core, back, mixed, np.clip((3 - away) / 2, 0.05, 0.95))


def slanted(anchors, x, y):
    """Distance of a plane through ``anchors`` [[x, y, d], ...]; within their smallest and largest.

    In perspective 1 / d of a plane is linear in x and y. Two anchors: it changes along their line.
    """
    anchors = np.array(anchors, float)
    centre = anchors.mean(0)
    # Minimum-norm least squares: directions in which no anchor differs stay constant.
    slope = np.linalg.lstsq(
        anchors[:, :2] - centre[:2], 1 / anchors[:, 2] - np.mean(1 / anchors[:, 2]), rcond=1e-6
    )[0]
    inverse = np.mean(1 / anchors[:, 2]) + (x - centre[0]) * slope[0] + (y - centre[1]) * slope[1]
    return 1 / np.clip(inverse, 1 / anchors[:, 2].max(), 1 / anchors[:, 2].min())


def part_of(layer, image, sky):
    """Part of a layer of the sketch in each pixel, 0..1; ``sky`` is that of the sky."""
    shape, band = sky.shape, layer.get("band", 0.012) * sky.shape[1]
    shapely = inside(shape, [layer["points"]]) & ~inside(shape, layer.get("holes", []))
    if band == 0:
        return ndimage.gaussian_filter(shapely.astype(float), 1.0)
    mixed = inside(shape, layer.get("mixed", []))
    depth_in = ndimage.distance_transform_edt(np.pad(shapely, 1, mode="edge"))[1:-1, 1:-1]
    depth_out = ndimage.distance_transform_edt(~shapely)
    # Sky is settled already: it is neither sample nor question here.
    back = ((depth_out > band) & ~mixed) | (sky > 0.9)
    front = (depth_in > band) & ~mixed & ~back
    part = ndimage.median_filter(
        matte(image, front, back, mixed, np.where(shapely, 0.8, 0.2)), 3)
    part[(sky > 0.02) & shapely] = 1  # the outline is generous there, the sky cuts it
    return part


def render_depth(clear, sketch):
    """Depth of a scene and its part of sky, both float (height, width), the latter in 0..1.

    ``clear`` is RGB in [0, 1], (height, width, 3); ``sketch`` comes from :func:`read_sketch`.
    """
    height, width = clear.shape[:2]
    image = clear.astype("float64")
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    ground = sketch["ground"]
    left, right = np.broadcast_to(ground["horizon"], 2)
    horizon = left + (right - left) * x

    def ground_at(row):
        reach = ground["near"] * (1 - horizon) / np.maximum(row - horizon, 1e-6)
        return np.minimum(reach, ground["far"])

    sky = find_sky(image, sketch["sky"], horizon)
    # Mixed pixels mix light, so it is transmission, not distance, that is blended.
    light = np.exp(-ground_at(y))
    for layer in sketch["layer"]:
        distance = ground_at(layer["foot"]) if "foot" in layer else layer["distance"]
        if isinstance(distance, list):
            distance = slanted(distance, x, y)
        part = part_of(layer, image, sky)
        light = part * np.exp(-distance) + (1 - part) * light
    light = (1 - sky) * light + sky * np.exp(-SKY)
    return np.minimum(-np.log(light), SKY), sky


def haze_versions(scene, sketch):
    """Four (airlight, beta) of a scene. They depend on its id and sketch, not on its pixels."""
    seed = zlib.crc32(scene.encode())
    strength = sketch["haze"].get("strength", 1.0)
    airlights = [0.75 + 0.06 * ((k + seed) % 4) + 0.01 * (seed // 4 % 4) for k in (0, 2, 1, 3)]
    betas = [b * strength * (0.9 + 0.02 * (seed // 24 % 11)) for b in (0.5, 0.7, 0.95, 1.3)]
    # Below 0.47 the sky would keep more than a tenth of its own light.
    return [(round(a, 2), max(round(b, 2), 0.47)) for a, b in zip(airlights, betas, strict=True)]


def psnr(a, b):
    """Peak signal-to-noise ratio in dB of two pictures in [0, 1]."""
    return -10 * np.log10(np.mean((np.asarray(a, "float64") - b) ** 2))


def load(path):
    """Picture as float32 RGB in [0, 1]. Raises SketchError where it is missing."""
    if not path.exists():
        raise SketchError(f"{path}: the photograph is missing; run the subcommand import first.")
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), "float32") / 255


def write(path, pixels, **options):
    """Save an array or picture, leaving a file alone whose bytes would stay the same."""
    buffer = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(buffer, "JPEG" if path.suffix == ".jpg" else "PNG", optimize=True, **options)
    if not path.exists() or path.read_bytes() != buffer.getvalue():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())


def scene_parts(scene, data=DATA):
    """All of a scene: dict with split, clear, sketch, hazy {name: RGB}, and of the shape
    (height, width): code and depth as stored, sky (its part in 0..1) and mask (surely sky).
    """
    rows = photographs(data)
    if scene not in rows:
        raise SketchError(f"{data / 'photographs.tsv'}: no photograph has the id {scene!r}.")
    split = rows[scene]["split"]
    sketch = read_sketch(data / "scenes" / f"{scene}.toml")
    clear = load(data / split / ("hazy" if split == "real" else "clear") / f"{scene}.jpg")
    depth, sky = render_depth(clear, sketch)
    # Steps of 32 in 65535 (0.0024) are 11 bits: finer ones only cost bytes.
    code = np.minimum(np.round(depth / SKY * 65535 / 32) * 32, 65535).astype("uint16")
    depth, hazy = code / 65535 * SKY, {}
    # Of a pixel that is part tower, part sky, the tower would shine through thin haze.
    mask = sky >= 0.8
    for airlight, beta in haze_versions(scene, sketch) if split != "real" else []:
        mask &= transmission(depth, beta) <= 0.1
        picture = add_haze(clear, transmission(depth, beta), airlight)
        name = f"{scene}_{airlight:.2f}_{beta:.2f}.jpg"
        # A camera adds its noise behind the haze; methods that stretch contrast stretch it, too.
        noise = np.random.default_rng(zlib.crc32(name.encode())).normal(0, NOISE, picture.shape)
        hazy[name] = (picture + noise).astype("float32")
    return {
        "split": split,
        "clear": clear,
        "sketch": sketch,
        "code": code,
        "depth": depth,
        "sky": sky,
        "mask": mask,
        "hazy": hazy,
    }


def build_scene(scene, out_dir=DATA, data=DATA):
    """Write the derived files of a scene under ``out_dir``; returns the PSNRs of its versions."""
    parts = scene_parts(scene, data)
    out = Path(out_dir) / parts["split"]
    write(out / "sky" / f"{scene}.png", Image.fromarray(to_uint8(parts["mask"])).convert("1"))
    if parts["split"] == "real":
        return []
    write(out / "depth" / f"{scene}.png", parts["code"])
    for old in (out / "hazy").glob(f"{scene}_*.jpg"):
        if old.name not in parts["hazy"]:
            old.unlink()
    for name, picture in parts["hazy"].items():
        # Quality 80, as of a photograph on the web: haze is dehazed from such files.
        write(out / "hazy" / name, to_uint8(picture), quality=80)
    return [psnr(picture, parts["clear"]) for picture in parts["hazy"].values()]


def outlines_of(sketch):
    """The polygons of a sketch and the colours to draw them in: [(points, colour)]."""
    found, sky = [], sketch["sky"] or {}
    for layer in sketch["layer"]:
        found += [(layer["points"], "yellow"), *((p, "orange") for p in layer.get("holes", []))]
        found += [(p, "magenta") for p in layer.get("mixed", [])]
    found += [(sky["inside"], "cyan")] if "inside" in sky else []
    for key, colour in (("surely", "blue"), ("never", "red"), ("mixed", "magenta")):
        found += [(p, colour) for p in sky.get(key, [])]
    left, right = np.broadcast_to(sketch["ground"]["horizon"], 2)
    return [*found, ([(0, left), (1, right)], "lime")]


def preview(scene, zoom=(0, 0, 1, 1), data=DATA):
    """Write build/samples/<scene>.png: sketch, depth, sky and hazy versions, to be judged.

    ``zoom`` is the part shown: left, top, right and bottom as fractions.
    """
    from matplotlib import colormaps

    parts = scene_parts(scene, data)
    height, width = parts["depth"].shape
    wide = round(540 / (zoom[2] - zoom[0]))
    size = (wide, round(wide * height / width))
    sky, hazy = parts["sky"][..., None], list(parts["hazy"].values())
    # The square root shows the differences in front, where haze changes most.
    images = [parts["clear"], colormaps["turbo"](np.sqrt(parts["depth"] / SKY))[..., :3],
              parts["clear"] * (1 - 0.65 * sky) + sky * np.array([0.6, 0, 0.4]),
              *hazy[:1], *hazy[2:]]
    panels = [Image.fromarray(to_uint8(image)).resize(size, Image.Resampling.BICUBIC)
              for image in images]
    draw = ImageDraw.Draw(panels[0])
    grid = [([(i / 20, 0), (i / 20, 1)], "#999999") for i in range(1, 20)]
    grid += [([(0, i / 20), (1, i / 20)], "#999999") for i in range(1, 20)]
    for points, colour in grid + outlines_of(parts["sketch"]):
        draw.line([(x * size[0], y * size[1]) for x, y in [*points, points[0]]], fill=colour,
                  width=1 if colour == "#999999" else 2)
    for i in range(2, 20, 2):
        draw.text((i / 20 * size[0], 0), f"{i / 20:.1f}", fill="red")
        draw.text((0, i / 20 * size[1]), f"{i / 20:.1f}", fill="red")
    panels = [p.crop([round(z * size[k % 2]) for k, z in enumerate(zoom)]) for p in panels]
    across = 2 if panels[0].width >= panels[0].height else 3
    cell = panels[0].width + 6, panels[0].height + 6
    sheet = Image.new("RGB", (across * cell[0], -(-len(panels) // across) * cell[1]))
    for k, panel in enumerate(panels):
        sheet.paste(panel, (k % across * cell[0], k // across * cell[1]))
    path = env.ROOT / "build" / "samples" / f"{scene}.png"
    write(path, sheet)
    for name, picture in parts["hazy"].items():
        print(f"{name}: {psnr(picture, parts['clear']):.1f} dB")
    print(f"wrote {path.relative_to(env.ROOT)}")


def import_photographs(originals, data=DATA):
    """Make the committed photographs from the originals anywhere below a folder."""
    for scene, row in photographs(data).items():
        found = sorted(Path(originals).rglob(row["original"]))
        if not found:
            raise SketchError(f"{originals}: {row['original']} of {scene!r} is not in this folder.")
        real = row["split"] == "real"
        picture, short = Image.open(found[0]).convert("RGB"), 480 if real else 320
        scale = short / min(picture.size)
        crop = [min(side, 570 / 320 * min(picture.size)) for side in picture.size]
        box = [(side - c) / 2 for side, c in zip(picture.size, crop, strict=True)]
        box += [side - b for side, b in zip(picture.size, box, strict=True)]
        new = tuple(round(c * scale) for c in crop)
        folder = data / row["split"] / ("hazy" if real else "clear")
        picture = picture.resize(new, Image.Resampling.LANCZOS, box=box)
        write(folder / f"{scene}.jpg", picture, quality=88 if real else 92)


LICENCES = {
    "CC0-1.0": "publicdomain/zero/1.0/",
    "CC-BY-2.0": "licenses/by/2.0/",
    "CC-BY-4.0": "licenses/by/4.0/",
    "CC-BY-SA-4.0": "licenses/by-sa/4.0/",
}
SITES = {"wikimedia": "Wikimedia Commons", "flickr": "Flickr", "lomiri": "lomiri-wallpapers"}


def table_line(row):
    """A line of the table of sources from a row of photographs.tsv."""
    licence = "public domain"
    if row["licence"] in LICENCES:
        address = f"https://creativecommons.org/{LICENCES[row['licence']]}"
        licence = f"[{row['licence']}]({address})"
    source = row["source"].replace("(", "%28").replace(")", "%29")
    site = next((name for part, name in SITES.items() if part in source), row["id"])
    cells = [row[key] for key in ("id", "split", "title", "author")]
    return "| " + " | ".join([*cells, licence, f"[{site}]({source})", row["changes"]]) + " |"


def refresh_readme(text, rows):
    """The text of sample_data/README.md with its numbers, list and table made anew from rows."""
    splits = ("train", "validation", "test", "real")
    rows = sorted(rows, key=lambda row: (splits.index(row["split"]), row["id"]))
    shared = ", ".join(f"`{row['id']}`" for row in rows if "-SA-" in row["licence"])
    rules = [
        (r"^\d+(?= free photographs)", str(len(rows))),
        (r"(?<=CC-BY-SA-4\.0 \()[^)]+", shared),
    ]
    for split, count in Counter(row["split"] for row in rows).items():
        rules.append((rf"^(\| `{split}/` \| )\d+", rf"\g<1>{count}"))
    table = "\n".join(table_line(row) for row in rows)
    rules.append((r"(^\| id \| split \|.*\n\|[-|]+\|\n)(\|.*\n)*", lambda m: f"{m[1]}{table}\n"))
    for pattern, new in rules:
        text, times = re.subn(pattern, new, text, flags=re.MULTILINE)
        if times != 1:
            raise SketchError(f"sample_data/README.md: {times} places instead of one for {pattern}")
    return text


def write_readme(data=DATA):
    """Bring sample_data/README.md in line with photographs.tsv."""
    path = data / "README.md"
    new = refresh_readme(path.read_text(encoding="utf-8"), photographs(data).values())
    path.write_text(new, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "what", nargs="*", metavar="ID", help="ids, or: import FOLDER, or: readme; default all"
    )
    parser.add_argument("--preview", action="store_true", help="draw build/samples/ID.png only")
    parser.add_argument(
        "--zoom",
        nargs=4,
        type=float,
        default=(0, 0, 1, 1),
        metavar="F",
        help="of the preview: left, top, right, bottom as fractions",
    )
    arguments = parser.parse_args()
    try:
        if arguments.what[:1] == ["import"] and len(arguments.what) == 2:
            return import_photographs(arguments.what[1])
        if arguments.what == ["readme"]:
            return write_readme()
        values = []
        for scene in arguments.what or photographs():
            if arguments.preview:
                preview(scene, arguments.zoom)
                continue
            new = build_scene(scene)
            values += new
            print(scene, " ".join(f"{v:.1f}" for v in new))
        if not arguments.what and not arguments.preview:
            write_readme()
        if values:
            print(
                f"{len(values)} pairs, PSNR {np.mean(values):.1f} dB on average, "
                f"{min(values):.1f} to {max(values):.1f}"
            )
    except SketchError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
