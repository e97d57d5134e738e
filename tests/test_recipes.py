"""The recipes of the improved generator and of the ablation, and the results they committed."""

import hashlib
import json
from dataclasses import asdict

import ablation
import numpy as np
import pytest
import real_pairs
import train_improved
from depth_scenes import FAR, HELD, load_scenes
from PIL import Image
from pretrained import shrink_encoder, write_encoder

from helpers import env
from helpers.data import made_batches
from helpers.pairs import PairError
from helpers.synthesis import Blend
from helpers.weights import load_generator

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


@pytest.fixture
def depth_folder(tmp_path_factory, rng):
    """One indoor and one outdoor scene to train on, and those that are held back."""
    root = tmp_path_factory.mktemp("depth")
    for kind in ("nyu", "sots_outdoor"):
        for part in ("clear", "depth"):
            (root / kind / part).mkdir(parents=True)
        for n in range(HELD + 1):
            pixels = rng.integers(0, 255, (60, 80, 3)).astype("uint8")
            far = np.tile(np.linspace(0, 200, 40).astype("uint8"), (30, 1))
            Image.fromarray(pixels).save(root / kind / "clear" / f"{n:02}.jpg")
            Image.fromarray(far).save(root / kind / "depth" / f"{n:02}.png")
    return root


def test_validation_pairs_are_never_trained_on(real_folder):
    trained, held = real_pairs.split_pairs(real_folder)
    assert [p.hazy.stem for p in trained] == ["A1", "A2", "B1"]
    assert [p.hazy.stem for p in held] == ["B2"]


def test_batches_go_on_where_they_stopped(real_folder):
    pairs, _ = real_pairs.split_pairs(real_folder)
    data = train_improved.load_data(pairs, None, None)
    blend = Blend(train_improved.sources(train_improved.Phase(), data), 32, 3)
    first = [b for b, _ in zip(made_batches(blend, 2, 32), range(4), strict=False)]
    later = next(iter(made_batches(blend, 2, 32, 3)))
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


def test_the_table_of_what_must_not_break_is_the_committed_scores():
    board = json.loads((RESULTS / "scoreboard.json").read_text())
    text = (env.ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for name, skies in board["sky"].items():
        back = list(board["clear_back"].get(name, {}).values())
        cells = [f"{np.mean(back):.1f} dB, {min(back):.1f} dB" if back else "–"]
        for part in ("real", "test"):
            found = list(skies[part].values())
            cells.append(f"{np.mean(found):+.0f} %, {min(found):+.0f} %")
        assert f"| {name} | {' | '.join(cells)} |" in text


def test_the_tables_of_colours_and_looks_are_the_committed_numbers_of_the_shipped_weights():
    found = json.loads((RESULTS / "colours.json").read_text())
    file = env.SAMPLE_DATA / "weights" / "improved" / "generator.safetensors"
    assert found["weights"]["improved"] == hashlib.sha256(file.read_bytes()).hexdigest()
    text = (env.ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for title, rows in found["sets"].items():
        cells = [f"{row['difference']:.2f}, {row['chroma']:.2f}" for row in rows.values()]
        assert f"| {title}, {found['images'][title]} | {' | '.join(cells)} |" in text
    for title, rows in found["seen once"].items():
        looks = [*rows.values(), found["sets"][title]["improved"]]
        cells = " | ".join(f"{row['psnr']:.2f} dB, {row['ssim']:.3f}" for row in looks)
        assert f"| {title}, {found['images'][title]} | {cells} |" in text


def test_a_mistyped_folder_is_named_in_one_sentence(tmp_path, monkeypatch, real_folder):
    for arguments in (["--real", str(tmp_path / "no")],
                      ["--real", str(real_folder), "--clear", str(tmp_path / "nowhere")]):
        monkeypatch.setattr("sys.argv", ["train_improved.py", *arguments])
        with pytest.raises(SystemExit, match=r"check the path\.$"):
            train_improved.main()


def test_depth_scenes_are_of_one_size_and_scale(depth_folder):
    (indoor,), (outdoor,) = load_scenes(depth_folder)
    assert len(indoor) == 2 and len(outdoor) == 3, "outdoors the sky as well"
    for images in (indoor, outdoor):
        assert all(x.dtype == np.uint8 and x.shape[:2] == (60, 80) for x in images)
        assert np.quantile(images[1], 0.95) == pytest.approx(255 * FAR, abs=8)
        assert np.corrcoef(images[1].mean(axis=0), np.arange(80))[0, 1] > 0.9
    assert [len(scenes) for scenes in load_scenes(depth_folder, held=True)] == [HELD, HELD]
    (depth_folder / "nyu" / "depth" / "03.png").unlink()
    with pytest.raises(PairError, match=r"03\.png: missing"):
        load_scenes(depth_folder)
    with pytest.raises(PairError, match=r"check the path\.$"):
        load_scenes(depth_folder / "nowhere")


def test_the_two_kinds_of_cameras_are_drawn_alike(real_folder):
    pairs, _ = real_pairs.split_pairs(real_folder)  # A1, A2 and B1
    data = train_improved.load_data(pairs, None, None)
    made = train_improved.sources(train_improved.Phase(real=0.6), data)
    assert [(weight, len(scenes)) for weight, scenes, _ in made[:2]] == [(0.3, 2), (0.3, 1)]
    assert sum(weight for weight, *_ in made) == pytest.approx(1)
    assert data.airlights.shape == (3, 3)


@pytest.fixture
def tiny(monkeypatch):
    """A recipe of four phases on a tiny network."""
    shrink_encoder(monkeypatch)
    first = train_improved.Phase(
        filters=(4, 4, 4, 4), blocks=(0, 0, 0, 1), size=32, batch=2, precision="float32",
        discriminator_width=2, learning_rate=1e-2)
    return train_improved.phases(first, 3, 2, 2)


def test_the_recipe_from_end_to_end_and_once_more(
        tiny, tmp_path, tmp_path_factory, real_folder, depth_folder, monkeypatch, capsys):
    """Interrupted after the first step, continued to the end, and asked for once more."""
    runs = tmp_path_factory.mktemp("runs")
    encoder = write_encoder(tmp_path_factory.mktemp("encoder") / "encoder.safetensors")
    monkeypatch.setattr(train_improved, "sample_scenes", list)
    monkeypatch.setattr(env, "SAMPLE_DATA", tmp_path / "sample")
    folders = {"real": real_folder, "clear": real_folder / "clear", "depth": depth_folder}

    def interrupt(text):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(train_improved.tqdm, "write", interrupt)
        train_improved.run_recipe(tiny, **folders, encoder=encoder, runs=runs)
    train_improved.run_recipe(tiny, **folders, encoder=encoder, runs=runs)
    names = ["improved-main", "improved", "improved-adversary", "improved-control"]
    assert {p.name for p in runs.iterdir()} == {f"{name}-001" for name in names}
    settings = [json.loads((runs / f"{name}-001" / "settings.json").read_text()) for name in names]
    assert [s["start"] for s in settings] == ["", "improved-main-001", *2 * ["improved-001"]]
    for name, steps, losses in zip(names, (3, 2, 2, 2), (3, 4, 5, 3), strict=True):
        history = json.loads((runs / f"{name}-001" / "history.json").read_text())
        assert history[-1]["step"] == steps
        seen = {"l1", "ssim", "squared", "perceptual", "adversarial", "discriminator"}
        assert len(seen & set(history[-1])) == losses
    files = [runs / f"{name}-001" / "generator.safetensors" for name in names]
    shipped = tmp_path / "sample" / "weights"
    assert {p.name for p in shipped.iterdir()} == {"improved"}
    assert (shipped / "improved" / files[1].name).read_bytes() == files[1].read_bytes()
    weights = [np.concatenate([w.numpy().ravel() for w in load_generator(f).weights])
               for f in files]
    assert not np.array_equal(weights[0], weights[1])
    # A later phase begins where the one before ended: its few steps lead not far away.
    assert np.abs(weights[1] - weights[0]).max() < 0.05
    before = [f.stat().st_mtime_ns for f in files]
    capsys.readouterr()
    train_improved.run_recipe(tiny, **folders, encoder=encoder, runs=runs)
    assert capsys.readouterr().out.count("finished before") == 4
    assert [f.stat().st_mtime_ns for f in files] == before


def test_the_encoder_learns_more_slowly_or_not_at_all(tiny, tmp_path):
    encoder = write_encoder(tmp_path / "encoder.safetensors")
    image = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    for rate in (0.0, 0.01):
        phase = train_improved.replace(tiny[0], encoder_rate=rate, warm_up=0)
        (_, generator), optimizers = train_improved.build(phase, None, encoder)
        generator.get_layer("maps").kernel.assign(
            np.random.default_rng(1).normal(0, 0.05, generator.get_layer("maps").kernel.shape))
        before = {w.path: w.numpy() for w in generator.weights}
        step = train_improved.make_step(phase)
        step([generator], optimizers, image, image * 0.5)
        moved = {w.path: float(np.abs(w - before[w.path]).max()) for w in generator.weights}
        pretrained = [m for path, m in moved.items() if path.startswith("encoder_")]
        others = [m for path, m in moved.items() if not path.startswith("encoder_")]
        assert (max(pretrained) == 0) if rate == 0 else (0 < max(pretrained) < 0.02 * max(others))
