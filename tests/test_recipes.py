"""The recipes of the improved generator and of the ablation, and the results they committed."""

import hashlib
import json
from dataclasses import asdict

import ablation
import numpy as np
import pytest
import real_pairs
import train_improved
from PIL import Image

from helpers import env
from helpers.data import made_batches
from helpers.synthesis import Mixture

RESULTS = env.SAMPLE_DATA / "results"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def real_folder(tmp_path, rng):
    """Four real pairs; B2 is held for validation."""
    for side in ("hazy", "clear"):
        (tmp_path / side).mkdir()
        for stem in ("A1", "A2", "B1", "B2"):
            pixels = rng.integers(0, 255, (60, 80, 3)).astype("uint8")
            Image.fromarray(pixels).save(tmp_path / side / f"{stem}.png")
    (tmp_path / "scene_groups.json").write_text('{"validation": ["B2"]}')
    return tmp_path


def test_validation_pairs_are_never_trained_on(real_folder):
    trained, held = real_pairs.split_pairs(real_folder)
    assert [p.hazy.stem for p in trained] == ["A1", "A2", "B1"]
    assert [p.hazy.stem for p in held] == ["B2"]


def test_batches_go_on_where_they_stopped(real_folder):
    pairs, _ = real_pairs.split_pairs(real_folder)
    mixture = Mixture(train_improved.real_images(pairs), [], size=32, seed=3)
    first = [b for b, _ in zip(made_batches(mixture, 2, 32), range(4), strict=False)]
    later = next(iter(made_batches(mixture, 2, 32, 3)))
    assert first[0][0].shape == (2, 32, 32, 3)
    assert np.array_equal(first[3][0], later[0]) and np.array_equal(first[3][1], later[1])
    assert float(np.min(first[0][0])) >= -1 and float(np.max(first[0][0])) <= 1


def test_committed_ablation_is_that_of_the_script():
    results = json.loads((RESULTS / "ablation.json").read_text())
    wanted = [(asdict(row), seed) for row in ablation.ROWS for seed in range(row.seeds)]
    found = [(run["settings"], run["seed"]) for run in results["rows"]]
    assert found == wanted, "run scripts/maintain/ablation.py"
    assert results["steps"] == ablation.STEPS
    assert {"python", "tensorflow", "keras", "made"} <= set(results)


def test_committed_scores_are_those_of_the_shipped_weights():
    board = json.loads((RESULTS / "scoreboard.json").read_text())
    folders = {"L1 alone": "l1-only", "pix2pix": "pix2pix", "improved": "improved"}
    for title, folder in folders.items():
        file = env.SAMPLE_DATA / "weights" / folder / "generator.safetensors"
        assert board["weights"][title] == hashlib.sha256(file.read_bytes()).hexdigest(), title


def test_the_tables_of_results_are_the_committed_scores():
    board = json.loads((RESULTS / "scoreboard.json").read_text())
    text = (env.ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    sets = {(entry["set"], entry["size"]): entry["methods"] for entry in board["sets"]}
    for name, m in sets["Sample test scenes", "full"].items():
        assert (f"| {name} | {m['psnr']:.2f} dB | {m['worst_psnr']:.2f} dB | {m['ssim']:.3f} | "
                f"{m['worst_ssim']:.3f} |") in text
    columns = [sets[group, size] for size in ("half", "full")
               for group in ("O-HAZE", "NH-HAZE2 and NH-HAZE")]
    for name in columns[0]:
        cells = [f"{m[name]['psnr']:.2f} dB, {m[name]['ssim']:.3f}" for m in columns]
        assert f"| {name} | {' | '.join(cells)} |" in text


def test_a_mistyped_folder_is_named_in_one_sentence(tmp_path, monkeypatch, real_folder):
    for arguments in (["--real", str(tmp_path / "no")],
                      ["--real", str(real_folder), "--clear", str(tmp_path / "nowhere")]):
        monkeypatch.setattr("sys.argv", ["train_improved.py", *arguments])
        with pytest.raises(SystemExit, match=r"check the path\.$"):
            train_improved.main()
