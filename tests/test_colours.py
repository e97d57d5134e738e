"""The command that measures colours, on a tiny network and tiny sets."""

import json

import colours
import numpy as np
import pytest
from PIL import Image
from pretrained import shrink_encoder, write_encoder

from helpers import env, models
from helpers.inference import LOOKS
from helpers.weights import save_generator


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """Sample data with one pair, one clear photograph, and the shipped network: the identity."""
    rng, folder = np.random.default_rng(0), tmp_path / "sample"
    for split in ("test", "validation"):
        clear = rng.random((48, 64, 3))
        for part, image in (("clear", clear), ("hazy", 0.5 * clear + 0.4)):
            (folder / split / part).mkdir(parents=True)
            pixels = Image.fromarray(np.round(image * 255).astype("uint8"))
            pixels.save(folder / split / part / f"{split}.png")
    (folder / "real" / "hazy").mkdir(parents=True)
    pixels.save(folder / "real" / "hazy" / "hill.png")
    path = folder / "weights" / "improved" / "generator.safetensors"
    path.parent.mkdir(parents=True)
    small = {"filters": (4, 4), "blocks": (0, 0)}
    save_generator(models.physics_unet(**small), path, "improved", network="physics_unet", **small)
    monkeypatch.setattr(env, "SAMPLE_DATA", folder)
    return path


def test_colours_of_all_sets(sample, tmp_path, monkeypatch, capsys):
    shrink_encoder(monkeypatch)
    encoder, file = write_encoder(tmp_path / "encoder.safetensors"), tmp_path / "colours.json"
    colours.main([f"once more={sample}", "--encoder", str(encoder), "--json", str(file),
                  "--pictures", str(tmp_path / "shown")])
    printed, found = capsys.readouterr().out, json.loads(file.read_text())
    assert list(found["sets"]) == ["sample test scenes", "clear photographs"]
    for title, rows in found["sets"].items():
        assert f"{title}: " in printed
        assert list(rows) == ["hazy input", "improved", "once more"]
        assert rows["once more"] == rows["improved"]
        assert list(rows["hazy input"]) == list(colours.COLUMNS)
        once = [f"improved, {size} pixels only" for size in LOOKS]
        assert list(found["seen once"][title]) == once and all(name in printed for name in once)
    hazy = found["sets"]["sample test scenes"]["hazy input"]
    assert 0.2 < hazy["chroma"] < 0.6 and hazy["difference"] > 5 and hazy["perceptual"] > 0
    row = found["sets"]["clear photographs"]["hazy input"]
    assert row["psnr"] == 100 and row["chroma"] == 1 and row["difference"] == 0
    assert max(found["grey card"].values()) < 0.1
    shown = {p.name for p in (tmp_path / "shown").iterdir()}
    assert shown == {f"{name}-{photograph}.jpg" for photograph in ("hill", "test")
                     for name in ("hazy-input", "improved", "once-more")}


def test_what_is_no_name_and_file(sample, tmp_path, capsys):
    with pytest.raises(SystemExit):
        colours.main(["generator.safetensors"])
    assert "write a name, =, and the generator's file" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="no such file"):
        colours.main([f"it={tmp_path / 'nowhere'}"])
