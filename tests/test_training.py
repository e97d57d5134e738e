"""helpers.training: the step, the loop, and what they need."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from helpers import env, models, training
from helpers.pairs import find_pairs
from helpers.training import (
    LinearDecay,
    Settings,
    build,
    compile_step,
    distribute_batches,
    train,
    train_step,
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
    losses = train_step(networks, optimizers, hazy, clear, l1=l1)

    fake = g * x
    d_loss = (-math.log(sigmoid(d * y)) - math.log(1 - sigmoid(d * fake))) / 2
    new_d = d - 2.0 * (-(1 - sigmoid(d * y)) * y + sigmoid(d * fake) * fake) / 2
    g_loss = -math.log(sigmoid(new_d * fake))
    assert abs(g_loss + math.log(sigmoid(d * fake))) > 0.01, "old and new d must differ visibly"
    new_g = g - 0.1 * (-(1 - sigmoid(new_d * fake)) * new_d * x + l1 * x)

    assert float(losses["d_gradient"]) == pytest.approx(abs(new_d - d) / 2.0, rel=1e-5)
    assert float(losses["g_gradient"]) == pytest.approx(abs(new_g - g) / 0.1, rel=1e-5)
    # A logit above 0 says «real»: d·y < 0 is wrong of the real one, d·fake > 0 of the fake one.
    assert (float(losses["real_right"]), float(losses["fake_right"])) == (0, 0)
    found_g, found_d = (float(n.trainable_variables[0]) for n in networks)
    assert float(losses["discriminator"]) == pytest.approx(d_loss, rel=1e-5)
    assert float(losses["adversarial"]) == pytest.approx(g_loss, rel=1e-5)
    assert float(losses["l1"]) == pytest.approx(fake - y, rel=1e-5)
    assert found_d == pytest.approx(new_d, rel=1e-5)
    assert found_g == pytest.approx(new_g, rel=1e-5)


class Watched:
    """A network that notes when it is called and what its variables were."""

    def __init__(self, network, name, notes):
        self.network, self.name, self.notes = network, name, notes
        self.trainable_variables = network.trainable_variables

    def __call__(self, inputs, training=None):
        weights = [np.array(v) for v in self.trainable_variables]
        self.notes.append((self.name, training, weights))
        return self.network(inputs, training=training)


@pytest.fixture
def networks():
    (_, *networks), optimizers = build(SETTINGS)
    return networks, optimizers


BOTH = {"discriminator", "adversarial", "l1", "d_gradient", "g_gradient", "real_right",
        "fake_right"}
HAZY, CLEAR = uniform(0, 1, 256, 256, 3), uniform(1, 1, 256, 256, 3)


def test_order_of_a_step(networks):
    """One generator pass; two discriminator passes before its update and one after it."""
    (generator, discriminator), optimizers = networks
    notes = []
    watched = Watched(generator, "generator", notes), Watched(discriminator, "discriminator", notes)
    train_step(watched, optimizers, HAZY, CLEAR)
    assert [name for name, _, _ in notes] == ["generator"] + 3 * ["discriminator"]
    assert {training for _, training, _ in notes} == {True}
    real, fake, again = (weights for name, _, weights in notes if name == "discriminator")
    assert all(map(np.array_equal, real, fake))
    assert not all(map(np.array_equal, fake, again)), "the third pass is the updated one's"
    assert all(map(np.array_equal, again, [np.array(v) for v in discriminator.trainable_variables]))


@pytest.mark.parametrize(
    "adversarial, l1, generator_moves, discriminator_moves, names",
    [
        (True, 100.0, True, True, BOTH),
        (True, 0.0, True, True, BOTH),
        (False, 100.0, True, False, {"l1", "g_gradient"}),
        (False, 0.0, False, False, {"l1", "g_gradient"}),
    ],
    ids=["both", "adversarial-only", "l1-only", "nothing"],
)
def test_switches(networks, adversarial, l1, generator_moves, discriminator_moves, names):
    (generator, discriminator), optimizers = networks
    before = values(generator), values(discriminator)
    losses = train_step((generator, discriminator), optimizers, HAZY, CLEAR, adversarial, l1)
    assert set(losses) == names
    assert moved(before[0], generator) is generator_moves
    assert moved(before[1], discriminator) is discriminator_moves
    # Batch statistics follow whenever a network runs in training mode, and only then.
    assert moved(before[0], generator, trainable=False)
    assert moved(before[1], discriminator, trainable=False) is adversarial


def test_every_weight_of_both_networks_learns(networks):
    (generator, discriminator), optimizers = networks
    before = [[np.array(w) for w in n.trainable_variables] for n in (generator, discriminator)]
    train_step((generator, discriminator), optimizers, HAZY, CLEAR)
    for old, network in zip(before, (generator, discriminator), strict=True):
        still = [w.path for a, w in zip(old, network.trainable_variables, strict=True)
                 if np.array_equal(a, w)]
        assert still == []


def test_a_few_steps_lower_the_l1_loss():
    (_, *both), optimizers = build(replace(SETTINGS, learning_rate=0.01))  # fifty times the usual
    hazy = tf.fill((1, 256, 256, 3), 0.5)
    losses = [float(train_step(both, optimizers, hazy, -hazy, adversarial=False)["l1"])
              for _ in range(8)]
    assert losses[-1] < losses[0] * 0.8


# Settings, learning rate, networks.


@pytest.mark.parametrize(
    "step, expected", [(0, 2e-4), (250, 2e-4), (500, 2e-4), (750, 1e-4), (900, 4e-5), (1000, 0),
                       (1200, 0)],
)
def test_linear_decay(step, expected):
    assert float(LinearDecay(2e-4, 1000)(step)) == pytest.approx(expected, abs=1e-10)


def test_linear_decay_can_be_saved():
    schedule = LinearDecay(2e-4, 1000)
    assert float(LinearDecay(**schedule.get_config())(600)) == float(schedule(600))


def test_build_repeats_and_follows_the_seed():
    one, same, other = (build(replace(SETTINGS, seed=seed))[0] for seed in (1, 1, 2))
    for i in (0, 1, 2):
        assert not moved(values(one[i]), same[i])
        assert moved(values(one[i]), other[i])


def test_build_follows_the_switches():
    (_, generator, discriminator), optimizers = build(SETTINGS)
    (_, cut, blind), _ = build(replace(SETTINGS, skips=False, conditional=False))
    assert cut.count_params() < generator.count_params()
    assert blind.count_params() < discriminator.count_params()
    assert [float(o.beta_1) for o in optimizers] == [0.5, 0.5]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_build_sets_and_resets_the_policy(precision):
    (_, generator, discriminator), optimizers = build(replace(SETTINGS, precision=precision))
    compute = precision.removeprefix("mixed_")
    assert generator.layers[1].compute_dtype == discriminator.layers[3].compute_dtype == compute
    assert keras.config.dtype_policy().name == "float32"
    scaled = isinstance(optimizers[0], keras.optimizers.LossScaleOptimizer)
    assert scaled is (precision == "mixed_float16")


def test_settings_say_how_to_build_the_generator():
    for settings in (SETTINGS, replace(SETTINGS, width=8, skips=False)):
        architecture = settings.architecture
        network = getattr(models, architecture.pop("network"))(**architecture)
        shapes = [v.shape for v in build(settings)[0][0].variables]
        assert [v.shape for v in network.variables] == shapes


# The average of the weights.


def average_after(values, decay=0.99, start=0.0):
    average, generator = toy_networks(start)[0], toy_networks()[0]
    for step, value in enumerate(values):
        generator.trainable_variables[0].assign(value)
        update_average(average, generator, decay, step)
        assert float(generator.trainable_variables[0]) == pytest.approx(value)
    return float(average.trainable_variables[0])


def test_the_average_by_hand():
    """Far from the start: 0.99 of the old mean and 0.01 of the new value."""
    average, generator = toy_networks(2.0)[0], toy_networks(5.0)[0]
    update_average(average, generator, 0.99, 100_000)
    assert float(average.trainable_variables[0]) == pytest.approx(0.99 * 2 + 0.01 * 5)


def test_the_average_warms_up():
    """It forgets its own start soon, and never remembers longer than it is told to."""
    assert average_after([1.0], start=-7.0) == pytest.approx(0.1 * -7 + 0.9)
    assert abs(average_after([1.0] * 10, start=-7.0) - 1) < 1e-3
    assert abs((1 - 0.99**10) * 8 - 8) > 7, "without the warm-up"
    assert average_after([0.0] * 500 + [1.0] * 50, decay=0.9) == pytest.approx(1 - 0.9**50)


def test_the_average_is_calmer_than_the_weights():
    noise = 3 + np.random.default_rng(0).standard_normal(1000)
    assert abs(average_after(noise.tolist()) - 3) < 0.3


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


def test_the_average_in_a_compiled_step():
    average, generator = toy_networks(0.0)[0], toy_networks(1.0)[0]
    compiled = tf.function(lambda step: update_average(average, generator, 0.99, step))
    for step in range(3):
        compiled(tf.constant(step))
    assert float(average.trainable_variables[0]) == pytest.approx(average_after([1.0] * 3))


def test_build_starts_the_average_at_the_generator():
    (average, generator, _), _ = build(SETTINGS)
    assert all(map(np.array_equal, average.get_weights(), generator.get_weights()))


def test_fused_adam_is_keras_adam():
    """Ten steps of both on the same gradients: the same weights, up to rounding."""
    rng, weights = np.random.default_rng(0), []
    gradients = (rng.standard_normal((10, 5)) * 10.0 ** -np.arange(5)).astype("float32")
    for kind in (keras.optimizers.Adam, training.Adam):
        variable = keras.Variable(np.ones(5, "float32"))
        optimizer = kind(LinearDecay(0.1, 10), beta_1=0.5)
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([tf.constant(gradient)], [variable])
        weights.append(np.array(variable))
        assert int(optimizer.iterations) == 10
    assert np.allclose(*weights, rtol=1e-6) and np.abs(weights[0] - 1).min() > 0.03


def test_the_compiled_step_is_the_step_and_the_average():
    settings = replace(SETTINGS, dropout=0.0)
    plain, compiled = build(settings), build(settings)
    strategy = tf.distribute.get_strategy()
    step = compile_step(train_step, *compiled, settings, strategy)
    one = train_step(plain[0][1:], plain[1], HAZY, CLEAR)
    two = step(HAZY, CLEAR)
    assert set(one) == set(two)
    assert float(one["l1"]) == pytest.approx(float(two["l1"]), rel=1e-5)
    average, generator, _ = compiled[0]
    update_average(plain[0][0], plain[0][1], settings.decay, 1)
    assert np.allclose(average.get_weights()[0], plain[0][0].get_weights()[0], rtol=1e-3, atol=1e-5)
    assert not np.array_equal(average.get_weights()[0], generator.get_weights()[0])


class Devices:
    """A stand-in for a strategy: so many devices, of which this pipeline feeds some."""

    def __init__(self, count):
        self.num_replicas_in_sync = count

    def distribute_datasets_from_function(self, make):
        return make(tf.distribute.InputContext(2, 1, self.num_replicas_in_sync))


def test_devices_share_a_batch(sample_pairs):
    settings = replace(SETTINGS, batch=4, size=32)
    whole = distribute_batches(tf.distribute.get_strategy(), sample_pairs, settings, start=3)
    half = distribute_batches(Devices(2), sample_pairs, settings, start=3)
    for (hazy, _), (part, _) in zip(whole.take(2), half.take(2), strict=True):
        assert np.array_equal(hazy[2:], part), "the second of two machines gets the second half"


def test_a_batch_that_cannot_be_shared(sample_pairs):
    with pytest.raises(RunError, match="^batch 4: 3 devices cannot share it evenly.$"):
        distribute_batches(Devices(3), sample_pairs, replace(SETTINGS, batch=4))


@pytest.fixture(scope="module")
def sample_pairs():
    return find_pairs(env.SAMPLE_DATA / "validation")[:3]


# The loop.


def test_train_counts_and_converts():
    seen = []
    train(lambda h, c: {"l1": tf.constant(h + c)}, zip(range(9), range(9), strict=True), 2, 5,
          lambda n, losses: seen.append((n, losses)))
    assert seen == [(3, {"l1": 0.0}), (4, {"l1": 2.0}), (5, {"l1": 4.0})]
    assert all(type(losses["l1"]) is float for _, losses in seen)


def test_train_takes_no_batch_too_many():
    batches = iter([(0, 0), (1, 1), (2, 2)])
    train(lambda h, c: {}, batches, 0, 2, lambda n, losses: None)
    assert next(batches) == (2, 2)


def test_a_finished_run_takes_no_step():
    def step(hazy, clear):
        raise AssertionError

    train(step, iter([(0, 0)]), 5, 5, step)
