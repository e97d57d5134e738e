"""helpers.training: the step, the loop, and what they need."""

import math
from dataclasses import replace
from itertools import islice

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import env
from helpers.pairs import find_pairs
from helpers.runs import gradient_lengths
from helpers.training import (
    Adam,
    LinearDecay,
    Settings,
    build,
    compile_step,
    distribute_batches,
    l1_step,
    pix2pix_step,
    train,
    update_average,
)
from helpers.weights import RunError

SETTINGS = Settings("tiny", width=4, size=256, batch=1, steps=10, precision="float32")


def uniform(n, *shape):
    return tf.random.stateless_uniform(shape, (n, 0), -1, 1)


def values(network):
    return [np.array(v) for v in network.variables]


def moved(before, network, trainable=True):
    kept = [v.trainable for v in network.variables]
    pairs = zip(before, values(network), kept, strict=True)
    return any(not np.array_equal(a, b) for a, b, t in pairs if t == trainable)


# A step small enough to be worked out with pencil and paper.


class Line(keras.layers.Layer):
    """x * weight, one number."""

    def __init__(self, start):
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer=keras.initializers.Constant(start))

    def call(self, x):
        return x * self.weight


def toy_networks(g=0.5, d=0.3):
    """Generator g·hazy; discriminator d·image, which does not look at the hazy image."""
    hazy, image = keras.Input((1, 1, 1)), keras.Input((1, 1, 1))
    return keras.Model(hazy, Line(g)(hazy)), keras.Model([hazy, image], Line(d)(image))


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("l1", [0.0, 0.7])
def test_step_by_hand(l1):
    """Hazy 0.8, clear -0.6, g 0.5, d 0.3, plain gradient descent with rates 0.1 and 2."""
    x, y, g, d = 0.8, -0.6, 0.5, 0.3
    networks = toy_networks(g, d)
    optimizers = keras.optimizers.SGD(0.1), keras.optimizers.SGD(2.0)
    hazy, clear = (tf.fill((1, 1, 1, 1), v) for v in (x, y))
    losses, (real, made) = pix2pix_step(networks, optimizers, hazy, clear, l1=l1)

    fake = g * x
    d_loss = (-math.log(sigmoid(d * y)) - math.log(1 - sigmoid(d * fake))) / 2
    new_d = d - 2.0 * (-(1 - sigmoid(d * y)) * y + sigmoid(d * fake) * fake) / 2
    g_loss = -math.log(sigmoid(new_d * fake))
    assert abs(g_loss + math.log(sigmoid(d * fake))) > 0.01, "old and new d must differ visibly"
    new_g = g - 0.1 * (-(1 - sigmoid(new_d * fake)) * new_d * x + l1 * x)

    assert (real.numpy().item(), made.numpy().item()) == pytest.approx((d * y, d * fake), rel=1e-5)
    found_g, found_d = (float(n.trainable_variables[0]) for n in networks)
    assert float(losses["discriminator"]) == pytest.approx(d_loss, rel=1e-5)
    assert float(losses["adversarial"]) == pytest.approx(g_loss, rel=1e-5)
    assert float(losses["l1"]) == pytest.approx(fake - y, rel=1e-5)
    assert found_d == pytest.approx(new_d, rel=1e-5)
    assert found_g == pytest.approx(new_g, rel=1e-5)


@pytest.fixture
def networks():
    (_, *networks), optimizers = build(SETTINGS)
    return networks, optimizers


HAZY, CLEAR = uniform(0, 1, 256, 256, 3), uniform(1, 1, 256, 256, 3)


@pytest.mark.parametrize("step", [pix2pix_step, l1_step])
def test_what_a_step_moves(networks, step):
    """Every weight of what learns; batch statistics wherever a network runs in training mode."""
    (generator, discriminator), optimizers = networks
    before = values(generator), values(discriminator)
    losses, logits = step((generator, discriminator), optimizers, HAZY, CLEAR)
    adversarial = step is pix2pix_step
    assert set(losses) == ({"discriminator", "adversarial", "l1"} if adversarial else {"l1"})
    assert [x.shape for x in logits] == ([(1, 30, 30, 1)] * 2 if adversarial else [])
    for old, network in zip(before, (generator, discriminator), strict=True):
        still = [v.path for a, v in zip(old, network.variables, strict=True)
                 if np.array_equal(a, v) and "seed" not in v.path]
        learns = adversarial or network is generator
        assert len(still) == (0 if learns else len([v for v in old if v.dtype == "float32"]))


def test_a_few_steps_lower_the_l1_loss():
    (_, *both), optimizers = build(replace(SETTINGS, learning_rate=0.01))  # five times the usual
    hazy = tf.fill((1, 256, 256, 3), 0.5)
    losses = [float(l1_step(both, optimizers, hazy, -hazy)[0]["l1"]) for _ in range(8)]
    assert losses[-1] < losses[0] * 0.8


# Settings, learning rate, networks.


@pytest.mark.parametrize(
    "step, expected", [(0, 2e-4), (250, 2e-4), (500, 2e-4), (750, 1e-4), (900, 4e-5), (1000, 0),
                       (1200, 0)],
)
def test_linear_decay(step, expected):
    assert float(LinearDecay(2e-4, 1000)(step)) == pytest.approx(expected, abs=1e-10)


def test_build_repeats_and_follows_the_seed():
    one, same, other = (build(replace(SETTINGS, seed=seed))[0] for seed in (1, 1, 2))
    for i in (0, 1, 2):
        assert not moved(values(one[i]), same[i])
        assert moved(values(one[i]), other[i])
    assert all(map(np.array_equal, one[0].get_weights(), one[1].get_weights())), "the average"


@pytest.mark.parametrize("wrong, sentence", [
    ({"size": 128}, "size 128: it must be a multiple of 256, which the U-Net halves 8 times."),
    ({"size": 300}, "size 300: it must be a multiple of 256"), ({"size": 0}, "size 0: it must be"),
    ({"seed": -1}, "seed -1: it must be a whole number from 0 to 4294967295."),
    ({"dropout": 1.5}, "dropout 1.5: it must be at least 0 and less than 1."),
    ({"dropout": -0.1}, "dropout -0.1"), ({"batch": 0}, "batch 0: it must be at least 1."),
    ({"width": -4}, "width -4"), ({"steps": 0}, "steps 0"), ({"name": "a/b"}, "name a/b"),
    ({"precision": "mixed_float16"}, "it must be float32 or mixed_bfloat16."),
    ({"schedule": "none"}, "schedule none: it must be linear or cosine."),
], ids=str)
def test_settings_that_no_run_can_have(wrong, sentence):
    with pytest.raises(ValueError) as error:
        replace(SETTINGS, **wrong)
    assert sentence in str(error.value) and "\n" not in str(error.value)


def test_build_follows_the_switches():
    (_, generator, discriminator), optimizers = build(SETTINGS)
    switched = replace(SETTINGS, skips=False, conditional=False, classic=True, schedule="cosine")
    (_, without, blind), others = build(switched)
    assert without.count_params() < generator.count_params()
    assert blind.count_params() < discriminator.count_params()
    assert [float(o.beta_1) for o in optimizers] == [0.5, 0.5]
    assert generator.layers[-1].name.startswith("add")
    assert not without.layers[-1].name.startswith("add")
    for adam, at_first, half_way in ((optimizers[0], 2e-3, 2e-3), (others[0], 2e-3, 1e-3)):
        found = [float(adam._learning_rate(step)) for step in (0, 5)]
        assert found == pytest.approx([at_first, half_way])


@pytest.mark.parametrize("own", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_build_leaves_the_policy_as_it_was(precision, own):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(own)
    try:
        (_, generator, discriminator), _ = build(replace(SETTINGS, precision=precision))
        assert keras.config.dtype_policy().name == own
    finally:
        keras.config.set_dtype_policy(before)
    compute = precision.removeprefix("mixed_")
    assert generator.layers[1].compute_dtype == discriminator.layers[3].compute_dtype == compute


# The average of the weights.


def average_after(values, decay=0.99, start=0.0):
    average, generator = toy_networks(start)[0], toy_networks()[0]
    for step, value in enumerate(values):
        generator.trainable_variables[0].assign(value)
        update_average(average, generator, decay, step)
        assert float(generator.trainable_variables[0]) == pytest.approx(value)
    return float(average.trainable_variables[0])


def test_the_average_by_hand():
    """Far from the start: 0.99 of the old mean and 0.01 of the new value; at first it is short."""
    average, generator = toy_networks(2.0)[0], toy_networks(5.0)[0]
    update_average(average, generator, 0.99, 100_000)
    assert float(average.trainable_variables[0]) == pytest.approx(0.99 * 2 + 0.01 * 5)
    assert average_after([1.0], start=-7.0) == pytest.approx(0.1 * -7 + 0.9)
    assert abs(average_after([1.0] * 10, start=-7.0) - 1) < 1e-3
    assert average_after([0.0] * 500 + [1.0] * 50, decay=0.9) == pytest.approx(1 - 0.9**50)


def test_the_average_takes_all_weights_and_leaves_the_generator(networks):
    """Batch statistics too; dropout's seeds, which have no mean, stay."""
    generator, average = networks[0][0], build(replace(SETTINGS, seed=1))[0][0]
    for w in generator.non_trainable_weights:
        w.assign(w + 0.3)
    before = values(generator)
    for step in (0, tf.constant(1, tf.int64), tf.Variable(2)):
        update_average(average, generator, 0.0, step)
    assert all(map(np.array_equal, before, values(generator)))
    for mean, value in zip(average.weights, generator.weights, strict=True):
        assert np.array_equal(mean, value), mean.path


def test_the_compiled_step():
    """The step, what is derived from its logits, and the average: every step at first."""
    hazy, clear = (tf.fill((1, 1, 1, 1), v) for v in (0.8, -0.6))
    networks, optimizers = toy_networks(), [keras.optimizers.SGD(1e-3) for _ in range(2)]
    for optimizer, network in zip(optimizers, networks, strict=True):
        optimizer.build(network.trainable_variables)
    average = toy_networks()[0]
    step = compile_step(pix2pix_step, (average, *networks), optimizers, SETTINGS,
                        tf.distribute.get_strategy(), every=3)
    others = keras.optimizers.SGD(), keras.optimizers.SGD()
    losses, _ = pix2pix_step(toy_networks(), others, hazy, clear)
    numbers, changed = None, []
    for _ in range(7):
        before = values(average)
        numbers = numbers or step(hazy, clear)
        step(hazy, clear)
        changed.append(moved(before, average))
    assert changed == [True, True, False, False, True, False, False], "steps 1 and 2, 3 to 8"
    assert float(numbers["l1"]) == pytest.approx(float(losses["l1"]))
    # A logit above 0 says "real": d·clear < 0 is wrong of the real one, d·fake > 0 of the fake one.
    assert (float(numbers["real_right"]), float(numbers["fake_right"])) == (0, 0)


def test_adam_is_keras_adam():
    """Three steps of the fused operation and of Keras' own, with a falling rate."""
    found = []
    for kind in (Adam, keras.optimizers.Adam):
        weights = keras.Variable(np.linspace(-1, 1, 5).astype("float32"))
        adam = kind(LinearDecay(0.1, 4), beta_1=0.5)
        adam.build([weights])
        for n in range(3):
            adam.apply([tf.constant([1.0, -0.2, 0.0, 3.0, 1e-4]) * (n + 1)], [weights])
        found.append(np.array(weights))
    assert np.abs(found[0] - np.linspace(-1, 1, 5)).max() > 0.1
    np.testing.assert_allclose(*found, atol=1e-5)


def test_lengths_of_gradients_from_adam():
    variable = keras.Variable(np.zeros(2, "float32"))
    adams = [keras.optimizers.Adam(0.1), keras.optimizers.Adam(0.1), keras.optimizers.SGD(0.1)]
    for optimizer in adams:
        optimizer.build([variable])
    for _ in range(3):
        adams[0].apply([tf.constant([3.0, 4.0])], [variable])
    found = gradient_lengths(adams, "abc")
    assert found == {"a": pytest.approx(5, rel=1e-4)}, "the second took no step, SGD keeps nothing"


class Devices:
    """A stand-in for a strategy: so many devices, of which this pipeline feeds some."""

    def __init__(self, count):
        self.num_replicas_in_sync = count

    def distribute_datasets_from_function(self, make):
        return make(tf.distribute.InputContext(2, 1, self.num_replicas_in_sync))


def test_devices_share_a_batch():
    settings, pairs = replace(SETTINGS, batch=4), find_pairs(env.SAMPLE_DATA / "validation")[:3]
    whole = distribute_batches(tf.distribute.get_strategy(), pairs, settings, start=3)
    half = distribute_batches(Devices(2), pairs, settings, start=3)
    for (hazy, _), (part, _) in zip(islice(whole, 2), islice(half, 2), strict=True):
        assert np.array_equal(hazy[2:], part), "the second of two machines gets the second half"


def test_a_batch_that_cannot_be_shared():
    with pytest.raises(RunError, match="^batch 4: 3 devices cannot share it evenly.$"):
        distribute_batches(Devices(3), [], replace(SETTINGS, batch=4))


# The loop.


def test_train_counts_and_converts():
    """It takes no batch too many, and none if the run is finished."""
    seen, batches = [], iter([(n, n) for n in range(4)])
    for first in (2, 5):
        train(lambda h, c: {"l1": tf.constant(h + c)}, batches, first, 5,
              lambda n, losses: seen.append((n, losses)))
    assert seen == [(3, {"l1": 0}), (4, {"l1": 2}), (5, {"l1": 4})] and next(batches) == (3, 3)
    assert all(type(losses["l1"]) is float for _, losses in seen)
