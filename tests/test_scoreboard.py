"""The scoreboard on tiny photographs and networks."""

import json

import numpy as np
import pytest
import scoreboard
from PIL import Image

from helpers import env, models
from helpers.metrics import score
from helpers.weights import save_generator

SIZE = (48, 64)  # height, width


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.round(image * 255).astype("uint8")).save(path)


def write_pair(folder, name, rng, scene=None):
    clear = rng.random((*SIZE, 3))
    write(folder / "clear" / f"{scene or name}.png", clear)
    write(folder / "hazy" / f"{name}.png", 0.5 * clear + 0.4)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Sample data, real pairs and runs in miniature: {"sample", "real", "runs": folder}."""
    root, rng = tmp_path_factory.mktemp("scoreboard"), np.random.default_rng(0)
    sample, real, runs = root / "sample_data", root / "real", root / "runs"
    sky = np.zeros(SIZE)
    sky[:20] = 1
    write_pair(sample / "test", "tower_0.9_1.2", rng, scene="tower")
    write_pair(sample / "test", "plain_0.9_1.2", rng, scene="plain")
    write(sample / "test" / "sky" / "tower.png", sky)
    write(sample / "test" / "sky" / "plain.png", 0 * sky)
    for split in ("train", "validation"):
        write(sample / split / "clear" / f"{split}.png", rng.random((*SIZE, 3)))
    write(sample / "real" / "hazy" / "hill.png", rng.random((*SIZE, 3)))
    write(sample / "real" / "sky" / "hill.png", sky)
    for name in ("A01", "B02", "C03", "C04"):
        write_pair(real, name, rng)
    (real / "scene_groups.json").write_text('{"validation": ["A01", "B02", "C03"]}')

    physics = {"filters": (4, 4), "blocks": (0, 0)}
    made = {"l1-only": ("unet", {"width": 1}), "pix2pix": ("unet", {"width": 1}),
            "improved": ("physics_unet", physics)}
    for name, (kind, arguments) in made.items():
        path = runs / f"{name}-001" / "generator.safetensors"
        path.parent.mkdir(parents=True)
        generator = getattr(models, kind)(**arguments)
        save_generator(generator, path, name, network=kind, **arguments)
    return {"sample": sample, "real": real, "runs": runs}


@pytest.fixture
def arguments(place, monkeypatch):
    monkeypatch.setattr(env, "SAMPLE_DATA", place["sample"])
    return ["--runs", str(place["runs"]), "--real", str(place["real"])]


def test_scores_of_all_sets(arguments, place, tmp_path, capsys):
    path = tmp_path / "new" / "scores.json"
    scoreboard.main([*arguments, "--json", str(path)])
    printed, found = capsys.readouterr().out, json.loads(path.read_text())
    names = {(s["set"], s["size"]): s["names"] for s in found["sets"]}
    assert names.pop(("Sample test scenes", "full")) == ["plain_0.9_1.2", "tower_0.9_1.2"]
    assert names == {
        (title, size): chosen for size in ("half", "full") for title, chosen in {
            "O-HAZE": ["A01"], "NH-HAZE2": ["B02"], "NH-HAZE": ["C03"],
            "NH-HAZE2 and NH-HAZE": ["B02", "C03"],
            "All real validation pairs": ["A01", "B02", "C03"],
        }.items()
    }
    methods = ["hazy input", "autocontrast", "dark channel prior", *scoreboard.NETWORKS]
    for one in found["sets"]:
        assert list(one["methods"]) == methods and f"{one['set']}, {one['size']} size" in printed
    size = SIZE[1] // 2, SIZE[0] // 2
    hazy, clear = (np.asarray(Image.open(place["real"] / kind / "A01.png").resize(
        size, Image.Resampling.LANCZOS)) / 255 for kind in ("hazy", "clear"))
    ours = found["images"]["real half"]["hazy input"]["A01"]
    assert (ours["psnr"], ours["ssim"]) == pytest.approx(score(hazy, clear), abs=1e-3)
    for kinds in found["sky"].values():  # the scene without sky is left out
        assert {kind: list(images) for kind, images in kinds.items()} == {
            "real": ["hill"], "test": ["tower_0.9_1.2"]}
    # A physics network starts as the identity: it gives the clear photographs back.
    assert min(found["clear_back"]["improved"].values()) > 20


def test_a_folder_of_real_pairs_that_cannot_be_used(arguments, place, tmp_path):
    for kind in ("hazy", "clear"):
        (tmp_path / kind).symlink_to(place["real"] / kind)
    (tmp_path / "scene_groups.json").write_text('{"validation": ["A01", "A09"]}')
    for folder, said in ((tmp_path, "no pair is called A09"), (tmp_path / "no", "no such folder")):
        with pytest.raises(SystemExit, match=said) as error:
            scoreboard.main([*arguments[:2], "--real", str(folder)])
        assert "\n" not in str(error.value)
