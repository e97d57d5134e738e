"""The committed sample data: rebuilt, believable, listed with a licence, and small enough."""

import csv
from urllib.parse import unquote

import make_samples
import numpy as np
import pytest
from PIL import Image

from helpers.data import load_pair
from helpers.env import SAMPLE_DATA
from helpers.haze import add_haze, transmission
from helpers.images import load_depth, load_image
from helpers.metrics import psnr
from helpers.pairs import find_pairs

SPLITS = ("train", "validation", "test")
FREE = {"CC0-1.0", "LicenseRef-Public-Domain", "CC-BY-2.0", "CC-BY-4.0", "CC-BY-SA-4.0"}
MADE = "weights", "laboratory"  # what was trained, with limits of its own


def stems(folder, pattern="*"):
    return sorted(p.stem for p in (SAMPLE_DATA / folder).glob(pattern))


def table():
    with open(SAMPLE_DATA / "photographs.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


CLEAR = [(split, scene) for split in SPLITS for scene in stems(f"{split}/clear")]
REAL = stems("real/hazy")


def hazy_files(split, scene):
    """{path: (airlight, beta)} of a scene's hazy versions, from their names."""
    found = {}
    for path in (SAMPLE_DATA / split / "hazy").glob(f"{scene}_*.jpg"):
        name, airlight, beta = path.stem.rsplit("_", 2)
        if name == scene:
            found[path] = float(airlight), float(beta)
    return found


# Number, split and size.


def test_there_are_enough_and_no_scene_is_in_two_splits():
    assert len(CLEAR) >= 28 and len(REAL) >= 4
    scenes = [scene for _, scene in CLEAR] + REAL
    assert len(scenes) == len(set(scenes))
    for split in SPLITS:
        pairs = find_pairs(SAMPLE_DATA / split)
        assert {p.scene for p in pairs} == set(stems(f"{split}/clear")) and len(pairs) >= 5
        values = [psnr(*load_pair(pair)) for pair in pairs]
        assert 12 <= np.mean(values) <= 17, "neither a whiff nor a wall"
        assert min(values) > 7 and max(values) < 25


def test_no_photograph_is_in_two_splits():
    """Not under another name either: small grey copies of all photographs differ."""
    small = {
        path: np.asarray(Image.open(path).convert("L").resize((16, 16)), float)
        for path in [*SAMPLE_DATA.glob("*/clear/*.jpg"), *SAMPLE_DATA.glob("real/hazy/*.jpg")]
    }
    paths = list(small)
    for i, one in enumerate(paths):
        for other in paths[i + 1:]:
            alike = np.corrcoef(small[one].ravel(), small[other].ravel())[0, 1]
            assert alike < 0.98, f"{one} and {other}"


def test_photographs_depth_and_pairs_take_at_most_15_mb():
    files = [p for p in SAMPLE_DATA.rglob("*") if p.is_file()]
    size = sum(p.stat().st_size for p in files if p.relative_to(SAMPLE_DATA).parts[0] not in MADE)
    assert size <= 15e6, f"{size / 1e6:.1f} MB"


def test_no_file_is_left_over():
    """Every picture belongs to a photograph of the table, and nothing else lies about."""
    scenes = {(row["split"], row["id"]) for row in table()}
    for path in SAMPLE_DATA.glob("*/*/*"):
        split, kind = path.relative_to(SAMPLE_DATA).parts[:2]
        if split in MADE:
            continue
        scene = path.stem.rsplit("_", 2)[0] if kind == "hazy" and split != "real" else path.stem
        assert (split, scene) in scenes, path
        assert kind in ("clear", "hazy", "depth", "sky"), path
        assert path.suffix == (".png" if kind in ("depth", "sky") else ".jpg"), path
    sketches = {p.stem for p in (SAMPLE_DATA / "scenes").iterdir()}
    assert sketches <= {scene for _, scene in scenes}


# Every scene.


@pytest.mark.parametrize("split, scene", CLEAR, ids=[scene for _, scene in CLEAR])
def test_a_scene_is_complete_and_its_haze_believable(split, scene):
    """Of the sky's own light a tenth at most is left, and it is behind everything else; a hazy
    version is what the committed depth makes of the clear photograph, but for JPEG's loss.
    """
    folder = SAMPLE_DATA / split
    clear = load_image(folder / f"clear/{scene}.jpg")
    depth = load_depth(folder / f"depth/{scene}.png")
    with Image.open(folder / f"sky/{scene}.png") as image:
        assert image.mode == "1"
        sky = np.asarray(image)
    shape = clear.shape[:2]
    assert max(shape) >= 384 and min(shape) >= 288 and depth.shape == sky.shape == shape
    assert depth.min() > 0 and depth.max() <= 5
    assert np.ptp(depth[~sky]) > 0.2, "a scene is no flat board"
    assert not sky.any() or np.median(depth[sky]) >= depth[~sky].max() * 0.95
    assert (SAMPLE_DATA / "scenes" / f"{scene}.toml").is_file()
    versions = hazy_files(split, scene)
    assert len(versions) >= 3
    for path, (airlight, beta) in versions.items():
        t, hazy = transmission(depth, beta), load_image(path)
        expected = add_haze(clear, t, airlight)
        assert 0.5 <= airlight <= 1 and (not sky.any() or t[sky].max() <= 0.1), path
        assert psnr(hazy, expected) > 30 and abs(np.mean(hazy - expected)) < 0.002, path


@pytest.mark.parametrize("scene", REAL)
def test_real_photographs_have_a_sky_mask(scene):
    photograph = load_image(SAMPLE_DATA / "real" / "hazy" / f"{scene}.jpg")
    with Image.open(SAMPLE_DATA / "real" / "sky" / f"{scene}.png") as sky:
        assert sky.mode == "1" and sky.size == photograph.shape[1::-1]
        assert np.asarray(sky).any()


# Sources and licences.


def test_every_photograph_has_author_licence_and_source():
    readme = (SAMPLE_DATA / "README.md").read_text(encoding="utf-8")
    listed = sorted((row["split"], row["id"]) for row in table())
    assert listed == sorted(CLEAR + [("real", scene) for scene in REAL])
    for row in table():
        texts = [row[k] for k in ("title", "original", "author", "changes")]
        assert all(text and text.strip() for text in texts), row
        assert row["licence"] in FREE, row
        assert row["source"].startswith("https://"), row
        start = f"| {row['id']} | {row['split']} | {row['title']} | {row['author']} |"
        line = next((x for x in readme.splitlines() if x.startswith(start)), None)
        assert line, f"README.md has no line that starts with {start}"
        assert row["source"] in unquote(line) or row["source"] in line, row
        assert row["licence"].removeprefix("LicenseRef-").replace("-", " ").lower() in (
            line.replace("-", " ").lower()), row


def test_readme_is_made_from_the_table():
    readme = (SAMPLE_DATA / "README.md").read_text(encoding="utf-8")
    for split in (*SPLITS, "real"):
        count = len(stems(f"{split}/{'hazy' if split == 'real' else 'clear'}"))
        assert f"| `{split}/` | {count} |" in readme
    assert make_samples.refresh_readme(readme, table()) == readme


# Rebuilt from photographs and sketches.


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("L") if image.mode == "1" else image, "float64") / (
            65535 if image.mode.startswith("I") else 255
        )


@pytest.mark.parametrize("scene", ["neuschwanstein", "pont-du-gard", "statue-of-liberty"])
def test_rebuilt_within_two_levels(tmp_path, scene):
    make_samples.build_scene(scene, tmp_path)
    rebuilt = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    split = make_samples.photographs()[scene]["split"]
    committed = [p for kind in ("depth", "sky", "hazy")
                 for p in (SAMPLE_DATA / split / kind).glob(f"{scene}[._]*")]
    assert [p.relative_to(tmp_path) for p in rebuilt] == sorted(
        p.relative_to(SAMPLE_DATA) for p in committed)
    assert len(rebuilt) >= 5
    for path in rebuilt:
        other = pixels(SAMPLE_DATA / path.relative_to(tmp_path))
        difference = np.abs(pixels(path) - other)
        if path.parent.name == "sky":  # black or white: rounding may turn a pixel over
            assert np.mean(difference > 0) < 1e-3, path
        else:
            assert difference.max() <= 2 / 255, path


GOOD = '[ground]\nhorizon = 0.5\n[[layer]]\npoints = [[0, 0], [1, 0], [1, 1]]\ndistance = 1.0\n'
BAD_SKETCHES = {
    "no-toml": ("[ground\n", "not valid TOML"),
    "unknown-key": (GOOD + "colour = 1\n", "unknown key 'colour'"),
    "both": (GOOD + "foot = 0.5\n", "either distance or foot"),
}


@pytest.mark.parametrize("text, problem", BAD_SKETCHES.values(), ids=BAD_SKETCHES)
def test_bad_sketch(tmp_path, text, problem):
    path = tmp_path / "mill.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(make_samples.SketchError) as error:
        make_samples.read_sketch(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and problem in message and "\n" not in message
