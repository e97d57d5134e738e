"""helpers.experiments: the table of variants, what they replace, and stored runs."""

import json
from dataclasses import asdict, replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import experiments
from helpers.checkup import check_batch
from helpers.experiments import (
    SHOWN,
    STEPS,
    VARIANTS,
    judge,
    measure,
    other_step,
    parts_of,
    settings_of,
)
from helpers.losses import adversarial_loss, discriminator_loss, l1_loss
from helpers.models import patchgan
from helpers.training import build, l1_step, pix2pix_step


def tiny(name, **changes):
    return replace(settings_of(name), width=4, discriminator_width=4, precision="float32",
                   **changes)


def batch(n=2):
    return [tf.random.stateless_uniform((n, 256, 256, 3), (k, 1), -1, 1) for k in (0, 1)]


@pytest.mark.parametrize("name", [n for n in VARIANTS if VARIANTS[n].task == "fog"])
def test_every_variant_takes_a_step(name):
    """With its own networks and its own step, on its own batch: all losses are numbers."""
    settings = tiny(name)
    pairs, scenes, options = parts_of(name, settings)
    assert pairs == [] and len(scenes) == 6
    (_, *networks), optimizers = options["make"](settings)
    (hazy, clear), = options["batches"](start=3).take(1)
    assert hazy.shape == clear.shape == (settings.batch, 256, 256, 3)
    step = options["step"] or (pix2pix_step if settings.adversarial else l1_step)
    losses, logits = step(networks, optimizers, hazy[:1], clear[:1])
    assert all(np.isfinite(float(loss)) for loss in losses.values())
    assert len(logits) == (2 if settings.adversarial else 0)


def test_a_variant_differs_from_pix2pix_in_what_it_says_and_nothing_else():
    usual = asdict(settings_of("pix2pix"))
    for name, variant in VARIANTS.items():
        found = asdict(settings_of(name))
        assert {k for k in found if found[k] != usual[k]} - {"name"} == set(variant.changes)
        changed = [bool(variant.changes), variant.make is not build, variant.step is not None,
                   bool(variant.data), variant.leak]
        alone = name in ("pix2pix", "haze-pix2pix", "squared")  # squared has no adversary either
        assert alone or sum(changed) == 1, name
    assert SHOWN[-1] == STEPS and not any(step % SHOWN[0] for step in SHOWN)


def sees(discriminator, size=320):
    """Side of the square of pixels on which the middle logit depends, by gradients."""
    image = tf.Variable(tf.random.stateless_uniform((1, size, size, 3), (0, 0), -1, 1))
    with tf.GradientTape() as tape:
        logits = discriminator([image * 0, image], training=False)
        middle = logits.shape[1] // 2
        value = logits[0, middle, middle, 0]
    touched = np.abs(tape.gradient(value, image).numpy()[0]).sum(axis=-1) > 0
    return np.ptp(np.nonzero(touched.any(axis=1))[0]) + 1


@pytest.mark.parametrize("halvings, side", [(0, 1), (1, 16), (2, 34), (3, 70), (5, 286)])
def test_what_a_judge_sees(halvings, side):
    keras.utils.set_random_seed(0)
    assert sees(judge(4, halvings)) == side


def test_three_halvings_are_the_patchgan():
    shapes = [[w.shape for w in network.weights] for network in (judge(4, 3), patchgan(4))]
    assert shapes[0] == shapes[1]
    assert len(judge(4, 3, norm=False).non_trainable_weights) == 0


def moved(step, **options):
    keras.utils.set_random_seed(3)
    (_, *networks), _ = build(tiny("no-dropout"))
    optimizers = keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.5)
    losses, _ = step(networks, optimizers, *batch(), **options)
    return [w.numpy() for n in networks for w in n.trainable_weights], losses


def test_other_step_is_pix2pix_step_unless_it_is_told_otherwise():
    taught, losses = moved(pix2pix_step)
    same, others = moved(other_step)
    for a, b in zip(taught, same, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert {k: float(v) for k, v in losses.items()} == pytest.approx(
        {k: float(v) for k, v in others.items()}, rel=1e-4)


def test_simultaneous_updates_meet_the_discriminator_of_before():
    (_, alternating), (_, together) = moved(pix2pix_step), moved(other_step, simultaneous=True)
    for name in ("discriminator", "l1"):
        assert float(alternating[name]) == pytest.approx(float(together[name]), rel=1e-4)
    assert abs(float(alternating["adversarial"]) - float(together["adversarial"])) > 1e-4


def test_told_are_the_losses():
    told = discriminator_loss, adversarial_loss, lambda clear, fake: 3 * l1_loss(clear, fake)
    (_, usual), (_, tripled) = moved(other_step), moved(other_step, told=told)
    assert float(tripled["l1"]) == pytest.approx(3 * float(usual["l1"]), rel=1e-4)


def test_a_frozen_discriminator_stops():
    (_, _, discriminator), (_, adam) = experiments.with_judge(tiny("frozen"), frozen_after=1)
    weights = discriminator.trainable_variables
    for moves in (True, True, False, False):
        before = [w.numpy() for w in weights]
        adam.apply([tf.ones_like(w) for w in weights], weights)
        assert any(map(np.any, [a != b.numpy() for a, b in zip(before, weights, strict=True)])
                   ) == moves


def test_fed_bytes():
    (_, generator, _), _ = experiments.fed_bytes(tiny("bytes"))
    inner = generator.layers[-1]
    hazy, _ = batch(1)
    np.testing.assert_allclose(generator(hazy), inner(hazy * 127.5 + 127.5), atol=1e-5)


def test_measure_of_the_truth():
    scenes = experiments.watched_fog()
    assert [name for name, *_ in scenes][:3] == ["neuschwanstein", "mont-st-michel", "petra"]
    scores = measure([np.clip(clear + 0.1, 0, 1) for *_, clear in scenes], scenes)
    assert 19 < scores["psnr"] < 23 and 0.9 < scores["sharpness"] < 1.01
    assert len(scores["spectrum"]) == 129


# What is stored.


def test_the_stored_runs_are_those_of_the_table():
    results = json.loads((experiments.STORED / "results.json").read_text(encoding="utf-8"))
    found = {(run["name"], run["seed"]) for run in results["runs"]}
    assert found == {(name, seed) for name, v in VARIANTS.items() for seed in v.seeds}
    for run in results["runs"]:
        settings = settings_of(run["name"], run["seed"], precision=run["settings"]["precision"])
        assert asdict(settings) == run["settings"], "trained with other settings than today's"
        assert run["history"][-1]["step"] == STEPS
    files = [path for path in experiments.STORED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8e6
    records = experiments.stored()
    for name in VARIANTS:
        record = records[name, 0]
        assert set(record.pictures) == set(experiments.scenes_of(VARIANTS[name].task))
        assert all(tuple(frames) == SHOWN for frames in record.pictures.values())


def test_run_by_the_minute(tmp_path, monkeypatch):
    """It stops when the time is up, goes on from there, and gives scores at the end."""
    monkeypatch.setattr(experiments, "STEPS", 2)
    monkeypatch.setattr(experiments, "SHOWN", (1, 2))
    small = settings_of("pix2pix", steps=2)
    monkeypatch.setattr(experiments, "settings_of", lambda name, seed: replace(
        small, width=4, discriminator_width=4, name=f"lab-{name}", precision="float32"))
    told = []
    first = experiments.run("pix2pix", 0, told.append, tmp_path)
    assert first.scores is None and len(told) == 1
    second = experiments.run("pix2pix", 1, told.append, tmp_path)
    assert [h["step"] for h in second.history] == [1, 2] and second.scores["psnr"] > 5
    pictures = second.pictures["neuschwanstein"]
    assert set(pictures) == {1, 2} and pictures[2].shape == (256, 256, 3)
    with pytest.raises(ValueError, match="^quick: no such variant; there are l1, squared, lam"):
        experiments.run("quick")


def test_brief_trainings(monkeypatch):
    """The healthy one learns from sound batches; a patient is ill in one thing; they are stored."""
    monkeypatch.setattr(experiments, "BRIEF", 2)
    settings, batches, step = experiments.patient("healthy")
    assert check_batch(*next(iter(batches))) == [] and settings.l1 == 0.3
    assert not experiments.patient("B")[0].discriminator_rate
    history, picture = experiments.train_briefly(
        replace(settings, width=4, precision="float32"), batches, step)
    assert [h["step"] for h in history] == [1, 2] and picture.shape == (256, 256, 3)
    assert 0 <= picture.min() < picture.max() <= 1
    stored = experiments.patients()
    assert list(stored) == ["healthy", *"ABCD", "healthy-100", "strong-100"]
    for history, picture in stored.values():
        assert [h["step"] for h in history] == list(range(1, 61)) and picture.shape[2] == 3
