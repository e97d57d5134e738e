"""helpers.panels.evaluation: what notebook 07 shows, with small scenes and no network."""

import json

import numpy as np
import pytest
from PIL import Image

from helpers import env
from helpers.haze import add_haze, dark_channel_prior, transmission
from helpers.metrics import psnr, ssim
from helpers.panels import evaluation
from helpers.panels.drawing import resize_to

SHIPPED = env.SAMPLE_DATA / "weights" / "pix2pix"


@pytest.fixture
def scene():
    """(hazy, clear, depth), 64×96."""
    rng = np.random.default_rng(0)
    clear = rng.random((64, 96, 3), dtype="float32") * 0.6
    depth = np.linspace(2, 0, 64)[:, None].repeat(96, axis=1)
    return add_haze(clear, transmission(depth, 1), 0.9), clear, depth


# --- compare ------------------------------------------------------------------------------------


@pytest.fixture
def calls():
    return []


@pytest.fixture
def compare(scene, calls):
    hazy, clear, _ = scene

    def half(image):
        calls.append(image.shape)
        return (image + clear) / 2

    return evaluation.Compare({"mill": (hazy, clear)}, {"half": half})


def test_a_method_runs_once_however_the_sliders_move(compare, calls):
    for strength, wipe, error in ((1, 0.5, 0), (0.4, 0.2, 0.5), (1.5, 1, 1)):
        compare("mill", "half", strength, wipe, error)
    assert len(calls) == 1


def test_scores_are_those_of_the_picture_at_that_strength(compare, scene):
    hazy, clear, _ = scene
    image = hazy + 0.5 * ((hazy + clear) / 2 - hazy)
    assert compare.scores("mill", "half", 0.5) == pytest.approx(
        (psnr(image, clear), ssim(image, clear)), abs=1e-4)
    _, text = compare("mill", "half", 0.5)
    assert f"{psnr(hazy, clear):.1f} dB" in text and f"{psnr(image, clear):.1f} dB" in text


def test_wipe_shows_hazy_on_the_left(compare, scene):
    hazy = resize_to(scene[0], evaluation.WIDTH, evaluation.HEIGHT)
    picture, _ = compare("mill", "half", wipe=0.5)
    third = slice(0, evaluation.WIDTH // 3)
    assert picture.shape == (400, 600, 3)
    assert np.abs(picture[:300, third] - hazy[:300, third]).mean() < 0.01
    everything, _ = compare("mill", "half", wipe=1)
    assert np.abs(everything[:300] - hazy[:300]).mean() < 0.01
    nothing, _ = compare("mill", "half", wipe=0)
    assert np.abs(nothing[:300] - hazy[:300]).mean() > 0.02


def test_error_map_of_the_truth_is_black(scene):
    hazy, clear, _ = scene
    compare = evaluation.Compare({"mill": (hazy, clear)}, {"truth": lambda _: clear})
    picture, text = compare("mill", "truth", wipe=0, error=1)
    assert picture[:300].max() < 0.05 and "identical" in text and "Error map" in text
    hazy_side, _ = compare("mill", "truth", wipe=1, error=1)
    assert hazy_side[:150].mean() > 0.2, "the far part is far off"


# --- time machine -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def film():
    return evaluation.TimeMachine(SHIPPED)


def test_shipped_frames_are_small_and_complete(film):
    assert sum(p.stat().st_size for p in (SHIPPED / "frames").iterdir()) < 3_000_000
    assert len(film.scenes) == 3 and len(film.steps) >= 20
    for scene in film.scenes:
        assert set(film.steps) <= set(film.frames[scene]) & set(film.verdicts[scene])
        assert film.verdicts[scene][film.steps[0]].shape == (30, 30)


def test_picture_verdict_and_cursors_all_move(film):
    one, text, chart = film(film.scenes[0], film.steps[3])
    two, other, moved = film(film.scenes[0], film.steps[-1])
    assert one.shape == two.shape and text != other and "ships with the project" in text
    changed = np.abs(one - two).max(axis=-1) > 0.1
    assert changed[:, :330].mean() > 0.02, "the picture"
    assert changed[:, 350:].mean() > 0.02, "the verdict"
    changed = np.any(chart != moved, axis=-1)
    assert changed[:, :300].any() and changed[:, 300:].any(), "both cursors"


def test_numbers_of_a_step(film):
    scene, step = film.scenes[0], film.steps[-1]
    _, text, _ = film(scene, step)
    record = film.history[step]
    verdict = film.verdicts[scene][step]
    for number in (f"{record['discriminator']:.2f}", f"{record['l1']:.3f}",
                   f"{(verdict > 0.5).mean():.0%}",
                   f"{psnr(film.frames[scene][step], film.clear[scene]):.1f} dB"):
        assert f">{number}<" in text


@pytest.mark.parametrize("shape, places", [((256, 300), (30, 30)), ((80, 112), (8, 12))])
def test_a_verdict_lies_where_it_was_given(shape, places):
    """Also on a picture that is smaller than 256 pixels, of which it has fewer."""
    verdict = np.zeros(places)
    verdict[0, -1] = 1
    found = evaluation.verdict_picture(np.full((*shape, 3), 0.5, "float32"), verdict, opacity=1)
    blue = found[..., 2] > found[..., 0]
    assert found.shape == (8 * places[0], 8 * places[1], 3)
    assert blue.sum() == 64 and blue[:8, -8:].all()


def test_the_frame_is_drawn_around_what_was_judged():
    found = evaluation.framed(np.zeros((300, 400, 3), "float32"))[..., 0]
    rows, columns = np.nonzero(found)
    assert (rows.min(), rows.max() + 1) == (22, 278)
    assert (columns.min(), columns.max() + 1) == (72, 328)
    assert found.sum() == 256**2 - 252**2


def run_in(runs, number, verdicts=True, size=(300, 260), places=(30, 30), scene="barn"):
    """A run of two steps that kept pictures of one scene."""
    folder = runs / f"pix2pix-{number:03}"
    (folder / "frames").mkdir(parents=True)
    (folder / "generator.safetensors").touch()
    history = json.loads((SHIPPED / "history.json").read_text())[:2]
    (folder / "history.json").write_text(json.dumps(history))
    for step in (record["step"] for record in history):
        Image.new("RGB", size, (step, 0, 0)).save(folder / f"frames/{step:06}_{scene}.jpg")
        if verdicts:
            Image.new("L", places, 64).save(folder / f"frames/{step:06}_{scene}.png")
    return folder


def test_own_run_comes_first(tmp_path):
    assert evaluation.find_film(runs=tmp_path) == SHIPPED
    run_in(tmp_path, 1)
    own = run_in(tmp_path, 2)
    run_in(tmp_path, 3, verdicts=False)  # of an older version: nothing to show of its PatchGAN
    assert evaluation.find_film(runs=tmp_path) == own


def test_own_run_is_named_and_needs_no_truth(tmp_path):
    film = evaluation.TimeMachine(run_in(tmp_path, 7))
    _, text, _ = film("barn", film.steps[-1])
    assert film.scenes == ["barn"] and "Your own run, pix2pix-007." in text
    assert "PSNR" not in text, "nobody knows the clear image of a scene of the reader's own"


def test_a_run_with_small_pictures_is_shown(tmp_path):
    """Pairs under 256 pixels; the scene has the name of a shipped one, and another size."""
    name = "carcassonne"
    film = evaluation.TimeMachine(run_in(tmp_path, 1, size=(112, 80), places=(12, 8), scene=name))
    picture, text, chart = film(name, film.steps[0])
    assert picture.shape[1] == chart.shape[1] == evaluation.WIDTH
    assert "PSNR" not in text


def test_a_run_without_verdicts_is_refused_in_one_sentence(tmp_path):
    folder = run_in(tmp_path, 1, verdicts=False)
    with pytest.raises(ValueError, match="pix2pix-001: no pictures with the discriminator's verd"):
        evaluation.TimeMachine(folder)


# --- how hard is it? ----------------------------------------------------------------------------


@pytest.fixture
def hard(scene):
    _, clear, depth = scene
    return evaluation.HowHard({"mill": (clear, depth)}, lambda images: images * 0.9, (0.5, 1.5))


def test_curves_are_measured(hard, scene):
    _, clear, depth = scene
    curves = hard.curves("mill", 0.8)
    for name, method in (("hazy", lambda x: x), ("pix2pix", lambda x: x * 0.9),
                         ("dark channel prior", lambda x: dark_channel_prior(x)[0])):
        betas, values = curves[name]
        for i in (1, len(betas) - 1):
            hazy = add_haze(clear, transmission(depth, betas[i]), 0.8)
            assert values[i] == pytest.approx(psnr(method(hazy), clear), abs=1e-6), name
    assert curves["hazy"][1][0] == float("inf"), "no haze at β 0"


def test_both_sliders_change_pictures_and_chart(hard):
    start, text, chart = hard("mill", 1.0, 0.9)
    for values in ((2.0, 0.9), (1.0, 0.5)):
        found, other, moved = hard("mill", *values)
        assert found.shape == start.shape and other != text and np.any(moved != chart)
        assert (np.abs(found - start).max(axis=-1) > 0.05).mean() > 0.1


@pytest.mark.parametrize("beta, where", [(0.0, "outside"), (1.0, "inside"), (4.0, "outside")])
def test_it_says_where_the_training_range_ends(hard, beta, where):
    _, text, _ = hard("mill", beta, 0.9)
    assert f"β {beta:.2f} is {where} the training range, 0.50 to 1.50." in text


def test_a_large_scene_is_cut_to_what_was_trained_on():
    clear = np.zeros((300, 400, 3), "float32")
    hard = evaluation.HowHard({"mill": (clear, np.ones((300, 400)))}, lambda x: x, (0, 1))
    assert hard.hazy("mill", [1, 2], 0.9).shape == (2, 256, 256, 3)


# --- the panels ---------------------------------------------------------------------------------


def test_panels_start_as_their_figures_do():
    """Each wires all its object's arguments, at the defaults that the figures show."""

    class Shown:
        scenes, methods, steps, calls = ["a", "b"], {"m": None, "n": None}, [1, 60], []

        def __call__(self, **values):
            self.calls.append(values)
            return np.zeros((4, 4, 3)), ""

    evaluation.compare_panel(Shown(), "b", "n")
    evaluation.time_panel(Shown())
    evaluation.density_panel(Shown(), "b")
    assert Shown.calls == [
        {"scene": "b", "method": "n", "strength": 1, "wipe": 0.5, "error": 0},
        {"scene": "a", "step": 60},
        {"scene": "b", "beta": 1, "airlight": 0.9},
    ]
