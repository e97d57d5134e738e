"""helpers.checkup: what is found in a batch and in a run's numbers, and what is not."""

import json
import re
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import env
from helpers.checkup import check_batch, diagnose, make_ill, output_spread
from helpers.data import training_batches
from helpers.models import patchgan, unet
from helpers.pairs import find_pairs
from helpers.training import pix2pix_step


@pytest.fixture(scope="module")
def batch():
    """Four pairs of sample_data, of four scenes: (hazy, clear), each (4, 256, 256, 3)."""
    pairs = find_pairs(env.SAMPLE_DATA / "train")
    return [x.numpy() for x in next(iter(training_batches(pairs, 4)))]


def kinds(findings):
    return [finding.kind for finding in findings]


def test_good_batches_of_all_scenes():
    """No false alarm in 100 pairs, thick haze and skies among them."""
    pairs = find_pairs(env.SAMPLE_DATA / "test") + find_pairs(env.SAMPLE_DATA / "train")
    for hazy, clear in training_batches(pairs, 20).take(5):
        assert kinds(check_batch(hazy, clear)) == []


def ill(hazy, clear):
    """Every illness that is promised to be found, by the kind of its finding."""
    noise = np.random.default_rng(0).normal(0, 0.01, hazy.shape)
    return {
        "range, bytes": ((hazy + 1) * 127.5, (clear + 1) * 127.5),
        "range, bytes on one side": (hazy, (clear + 1) * 127.5),
        "range, from 0 to 1": ((hazy + 1) / 2, (clear + 1) / 2),
        "range, no numbers": (hazy, np.where(clear > 0.9, np.nan, clear)),
        "swapped": (clear, hazy),
        "swapped, with noise": (clear + noise, hazy),
        "strangers": (hazy, np.roll(clear, 1, axis=0)),
        "identical": (hazy, hazy),
        "one-sided, mirrored": (hazy[:, :, ::-1], clear),
        "one-sided, moved": (hazy[:, :-40, :-24], clear[:, 40:, 24:]),
        "shape": (hazy[:, ::2], clear),
    }


@pytest.mark.parametrize("name", list(ill(*np.zeros((2, 2, 64, 64, 3)))))
def test_an_ill_batch(batch, name):
    hazy, clear = ill(*batch)[name]
    found = check_batch(np.clip(hazy, -1, 1) if "noise" in name else hazy, clear)
    assert set(kinds(found)) == {name.split(",")[0]}, [str(f) for f in found]
    assert all("\n" not in f.text and "otebook 02" in f.text for f in found)


def test_findings_name_the_pairs(batch):
    hazy, clear = (x.copy() for x in batch)
    clear[2] = clear[2, :, ::-1]
    (found,) = check_batch(hazy, clear, ["a.png", "b.png", "c.png", "d.png"])
    assert found.kind == "one-sided" and found.text.startswith("c.png: one of the two is mirrored")
    assert "a.png" not in found.text


def test_the_shift_is_measured(batch):
    hazy, clear = batch
    (found,) = check_batch(hazy[:1, :, :-32], clear[:1, :, 32:])
    columns = int(re.search(r"(\d+) columns right of clear", found.text).group(1))
    assert abs(columns - 32) <= 1 and "rows" not in found.text


def test_a_flat_pair_says_nothing():
    flat = np.zeros((1, 64, 64, 3), "float32")
    assert check_batch(flat, flat + 0.5) == []


def test_output_spread():
    rng = np.random.default_rng(0)
    truths = [rng.random((40, 50 + i, 3)) for i in range(4)]
    assert output_spread(truths, truths) == pytest.approx(1)
    assert output_spread([0.5 + 0.3 * (t - 0.5) for t in truths], truths) == pytest.approx(0.3)
    assert output_spread([truths[0]] * 4, truths) == 0


# Diagnoses.


def history(steps=8, **changes):
    """A healthy run's reports, with some numbers changed: each a value or a function of 0..1."""
    numbers = {
        "discriminator": lambda x: 0.69 - 0.2 * x, "adversarial": lambda x: 0.7 + 0.4 * x,
        "real_right": lambda x: 0.6 + 0.2 * x, "fake_right": lambda x: 0.6 + 0.2 * x,
        "l1": lambda x: 0.3 - 0.15 * x, "d_gradient": 1.0, "g_gradient": 40.0,
        "psnr": lambda x: 14 + 4 * x, "spread": lambda x: 0.6 + 0.2 * x,
    } | changes
    return [
        {"step": 10 * (i + 1)} | {
            name: value(i / (steps - 1)) if callable(value) else value
            for name, value in numbers.items() if value is not None
        }
        for i in range(steps)
    ]


@pytest.mark.parametrize("kind, changes", [
    ("strong discriminator",
     {"discriminator": 0.08, "real_right": 1.0, "fake_right": 0.99, "adversarial": 2.5}),
    ("strong discriminator", {"discriminator": 0.4, "real_right": 0.98, "fake_right": 0.96}),
    ("losing discriminator", {"discriminator": 0.82, "real_right": 0.58, "fake_right": 0.04}),
    ("blind discriminator", {"discriminator": 0.8, "real_right": 0.98, "fake_right": 0.05}),
    ("undecided discriminator", {"discriminator": 0.69, "real_right": 0.52, "fake_right": 0.47}),
    ("range", {"l1": 41.0}),
    ("no progress", {"l1": lambda x: 0.4 - 0.02 * x}),
    ("gradient", {"g_gradient": 1e-5}),
    ("past its best", {"psnr": lambda x: 14 + 20 * x * (1 - x)}),
    ("one picture for all", {"spread": 0.1}),
])
def test_diagnose(kind, changes):
    found = diagnose(history(**changes))
    assert kind in kinds(found) and found[-1].kind == "limits"
    expected = set() if kind.endswith("discriminator") or kind == "range" else {"balanced"}
    assert set(kinds(found)) - {kind, "limits"} == expected, [str(f) for f in found]


def test_a_run_without_an_adversary_or_scenes():
    names = ("discriminator", "adversarial", "real_right", "fake_right", "d_gradient")
    assert kinds(diagnose(history(**dict.fromkeys(names)))) == ["limits"]
    assert kinds(diagnose(history(psnr=None, spread=None))) == ["balanced", "limits"]


def test_too_early():
    for steps in (0, 2):
        assert kinds(diagnose(history(8)[:steps])) == ["early", "limits"]


def test_what_is_missing_is_not_judged():
    """A run that kept no gradients, or no L1 loss; and one that learns from bytes is no balance."""
    assert kinds(diagnose(history(d_gradient=None, g_gradient=None))) == ["balanced", "limits"]
    assert kinds(diagnose(history(l1=None))) == ["balanced", "limits"]
    undecided = {"discriminator": 0.69, "real_right": 0.52, "fake_right": 0.47}
    for gradient, words in ((None, "is at a draw"), (1.0, "is at a draw"), (0.0, "learnt nothing")):
        assert words in diagnose(history(**undecided, d_gradient=gradient))[0].text


@pytest.mark.parametrize("name", ["pix2pix", "l1-only"])
def test_the_shipped_runs_are_healthy(name):
    path = env.SAMPLE_DATA / "weights" / name / "history.json"
    healthy = {"limits"} if name == "l1-only" else {"balanced", "limits"}
    assert set(kinds(diagnose(json.loads(path.read_text())))) == healthy


def test_a_contest_is_balanced_up_to_a_part_that_is_right():
    changes = {"discriminator": 0.5, "real_right": 0.93, "fake_right": 0.93}
    assert kinds(diagnose(history(**changes))) == ["balanced", "limits"]


# The patients of notebook 06.


@dataclass(frozen=True)
class Rates:
    learning_rate: float = 5e-4
    discriminator_rate: float = 2e-3


def test_patients(batch):
    """Each differs from the healthy training in one thing: the data, a rate or the step."""
    batches = tf.data.Dataset.from_tensors(tuple(batch))
    made = {letter: make_ill(letter, Rates(), batches, pix2pix_step) for letter in "ABCD"}
    found = {letter: set(kinds(check_batch(*next(iter(data))))) for letter, (_, data, _)
             in made.items()}
    assert found == {"A": {"strangers"}, "B": set(), "C": set(), "D": {"range"}}
    assert {letter: settings == Rates() for letter, (settings, _, _) in made.items()} == {
        "A": True, "B": False, "C": True, "D": True}
    assert made["B"][0] == Rates(discriminator_rate=0.0)
    assert [made[letter][2] is pix2pix_step for letter in "ABCD"] == [True, True, False, True]


def test_a_strong_discriminator_takes_eight_updates(batch):
    networks = unet(4), patchgan(4)
    optimizers = keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4)
    _, _, step = make_ill("C", Rates(), None, pix2pix_step)
    hazy, clear = (tf.constant(x[:1]) for x in batch)
    numbers, logits = tf.function(partial(step, networks, optimizers, hazy, clear, l1=0.0))()
    assert {"discriminator", "adversarial", "l1"} == set(numbers) and len(logits) == 2
    assert [int(adam.iterations) for adam in optimizers] == [1, 8]
