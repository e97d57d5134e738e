"""helpers.training and helpers.runs: the step, the loop, and runs that stop and go on."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from helpers import env, models, runs, training
from helpers.inference import load_generator
from helpers.runs import RunError, find_runs, load_frames, open_run
from helpers.training import (
    LinearDecay,
    Settings,
    build,
    train,
    train_step,
    update_average,
    watch,
)

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
    return build(SETTINGS)


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
        (True, 100.0, True, True, {"discriminator", "adversarial", "l1"}),
        (True, 0.0, True, True, {"discriminator", "adversarial", "l1"}),
        (False, 100.0, True, False, {"l1"}),
        (False, 0.0, False, False, {"l1"}),
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
    both, optimizers = build(replace(SETTINGS, learning_rate=0.01))  # fifty times the usual
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
    for i in (0, 1):
        assert not moved(values(one[i]), same[i])
        assert moved(values(one[i]), other[i])


def test_build_follows_the_switches():
    (generator, discriminator), optimizers = build(SETTINGS)
    (cut, blind), _ = build(replace(SETTINGS, skips=False, conditional=False))
    assert cut.count_params() < generator.count_params()
    assert blind.count_params() < discriminator.count_params()
    assert [float(o.beta_1) for o in optimizers] == [0.5, 0.5]


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_build_sets_and_resets_the_policy(precision):
    (generator, discriminator), optimizers = build(replace(SETTINGS, precision=precision))
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


# Runs.


def new_run(folder, settings=SETTINGS):
    """A run of two toy networks: for its folder and files, any network does."""
    networks = toy_networks()
    optimizers = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)
    for optimizer, network in zip(optimizers, networks, strict=True):
        optimizer.build(network.trainable_variables)
    return open_run(settings, networks, optimizers, folder)


def real_run(folder, settings=SETTINGS):
    networks, optimizers = build(settings)
    return open_run(settings, networks, optimizers, folder), networks, optimizers


def files_in(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_open_run_numbers_from_one(tmp_path):
    run = new_run(tmp_path)
    assert run.folder == tmp_path / "tiny-001" and run.step == 0 and run.history == []
    assert json.loads((run.folder / "settings.json").read_text())["width"] == 4


def test_open_run_uses_the_runs_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DEHAZE_RUNS", str(tmp_path / "elsewhere"))
    assert new_run(None).folder == tmp_path / "elsewhere" / "tiny-001"


def test_open_run_continues_the_unfinished_one(tmp_path):
    run, networks, optimizers = real_run(tmp_path)
    train_step(networks, optimizers, HAZY, CLEAR, adversarial=False)
    run.record(3, {"l1": 0.5}, psnr=12.0)
    run.save_checkpoint()
    again, _, _ = real_run(tmp_path)
    assert again.folder == run.folder and again.step == 3
    assert again.history == [{"step": 3, "l1": 0.5, "psnr": 12.0}]
    for old, new in zip(run.networks, again.networks, strict=True):
        assert all(map(np.array_equal, values(old), values(new)))


def test_open_run_starts_anew_after_a_finished_one(tmp_path):
    run = new_run(tmp_path)
    run.save_checkpoint()
    run.finish()
    before = files_in(tmp_path)
    again = new_run(tmp_path)
    assert again.folder == tmp_path / "tiny-002" and again.step == 0
    after = files_in(tmp_path)
    assert {p: after.get(p) for p in before} == before, "nothing is deleted or changed"


@pytest.mark.parametrize("change", [{"l1": 1.0}, {"seed": 1}, {"steps": 11}], ids=str)
def test_other_settings_are_another_run(tmp_path, change):
    assert new_run(tmp_path).folder.name == "tiny-001"
    assert new_run(tmp_path, replace(SETTINGS, **change)).folder.name == "tiny-002"
    assert new_run(tmp_path).folder.name == "tiny-001", "and both can be continued"


def test_another_name_is_another_run(tmp_path):
    new_run(tmp_path)
    for name in ("tiny-more", "tin"):
        assert new_run(tmp_path, replace(SETTINGS, name=name)).folder.name == f"{name}-001"
    assert [p.name for p in find_runs("tiny", tmp_path)] == ["tiny-001"]


def test_numbers_go_on_behind_the_largest(tmp_path):
    for number in (2, 10, 1000):
        (tmp_path / f"tiny-{number:03}").mkdir()
    assert new_run(tmp_path).folder.name == "tiny-1001"
    assert [p.name for p in find_runs("tiny", tmp_path)] == [
        "tiny-002", "tiny-010", "tiny-1000", "tiny-1001"]


@pytest.mark.parametrize("content", [None, "", '{"name": "ti'], ids=["none", "empty", "cut"])
def test_a_run_whose_settings_were_lost_is_left_alone(tmp_path, content):
    run = new_run(tmp_path)
    run.save_checkpoint()
    (run.folder / "settings.json").unlink()
    if content is not None:
        (run.folder / "settings.json").write_text(content)
    before = files_in(tmp_path)
    assert new_run(tmp_path).folder.name == "tiny-002"
    assert {p: b for p, b in files_in(tmp_path).items() if "tiny-001" in str(p)} == before


def test_find_runs_finished(tmp_path):
    assert find_runs("tiny", tmp_path / "none") == []
    first = new_run(tmp_path)
    first.finish()
    new_run(tmp_path)
    assert find_runs("tiny", tmp_path, finished=True) == [first.folder]
    assert len(find_runs("tiny", tmp_path)) == 2
    assert json.loads((first.folder / "history.json").read_text()) == []


def test_a_finished_run_can_be_loaded(tmp_path):
    settings = replace(SETTINGS, width=8, skips=False)
    run, (generator, _), _ = real_run(tmp_path, settings)
    run.finish()
    again = load_generator(run.folder / "generator.safetensors")
    for old, new in zip(generator.weights, again.weights, strict=True):
        assert np.allclose(old, new, rtol=2**-11, atol=6e-8), old.path
    with safetensors.safe_open(run.folder / "generator.safetensors", "numpy") as file:
        description = {key: json.loads(value) for key, value in file.metadata().items()}
    assert description.pop("sha256") and description == {
        "format": 2, "name": "tiny", "keras": keras.__version__, "tensorflow": tf.__version__,
        "architecture": {"network": "unet", "width": 8, "skips": False}}


def test_the_last_three_checkpoints_are_kept(tmp_path):
    run = new_run(tmp_path)
    for step in (1, 2, 9, 10, 100):
        run.record(step, {"l1": 0.1})
        run.save_checkpoint()
    names = sorted(p.name for p in run.folder.glob("checkpoint-*"))
    assert names == [f"checkpoint-{n:06}.safetensors" for n in (9, 10, 100)]
    assert new_run(tmp_path).step == 100


def test_an_interrupted_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    run = new_run(tmp_path)
    run.record(1, {})
    run.save_checkpoint()

    def crash(source, target):
        raise KeyboardInterrupt

    run.record(2, {})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runs.os, "replace", crash)
        run.save_checkpoint()
    assert new_run(tmp_path).step == 1


def damage(path, kind):
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no checkpoint")
    elif kind == "foreign":
        safetensors.numpy.save_file({"weight": np.zeros(3, "float32")}, path)
    elif kind == "foreign-metadata":
        tensors = safetensors.numpy.load_file(path)
        safetensors.numpy.save_file(tensors, path, {"step": "three", "history": "[]"})


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "foreign", "foreign-metadata"])
def test_a_damaged_checkpoint(tmp_path, kind):
    run = new_run(tmp_path)
    for step in (1, 2):
        run.record(step, {"l1": float(step)})
        run.save_checkpoint()
    path = run.folder / "checkpoint-000002.safetensors"
    damage(path, kind)
    with pytest.raises(RunError) as error:
        new_run(tmp_path)
    message = str(error.value)
    assert message.startswith(f"{path}: damaged") and "\n" not in message
    assert message.endswith("delete it to use the one before.")
    path.unlink()
    assert new_run(tmp_path).step == 1, "the remedy helps"


@pytest.mark.parametrize("change", [{"width": 8}, {"skips": False}, {"conditional": False}],
                         ids=str)
def test_a_checkpoint_of_another_network(tmp_path, change):
    other, _, _ = real_run(tmp_path, replace(SETTINGS, **change))
    other.save_checkpoint()
    run, _, _ = real_run(tmp_path)
    (path,) = other.folder.glob("checkpoint-*")
    target = run.folder / path.name
    target.write_bytes(path.read_bytes())
    before = [values(n) for n in run.networks]
    with pytest.raises(RunError) as error:
        run.restore_checkpoint()
    assert str(error.value) == f"{target}: from another network; use the settings of that run."
    for old, network in zip(before, run.networks, strict=True):
        assert all(map(np.array_equal, old, values(network))), "nothing was overwritten"


def test_a_checkpoint_holds_all_that_the_next_step_needs(tmp_path):
    """Dropout's seeds, batch statistics, Adam's moments and its step count among it."""
    run, networks, optimizers = real_run(tmp_path)
    names = [v.path for v in run.state]
    for part in ("seed_generator_state", "moving_mean", "momentum", "velocity", "iteration"):
        assert sum(part in name for name in names) >= 2, part
    train_step(networks, optimizers, HAZY, CLEAR)
    before = [np.array(v) for v in run.state]
    run.save_checkpoint()
    train_step(networks, optimizers, HAZY, CLEAR)
    assert not all(map(np.array_equal, before, [np.array(v) for v in run.state]))
    run.restore_checkpoint()
    assert all(map(np.array_equal, before, [np.array(v) for v in run.state]))


APART = """
import sys
from pathlib import Path
import keras
import numpy as np
from helpers import env
tf = env.import_tensorflow()
tf.config.experimental.enable_op_determinism()
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from helpers.data import training_batches
from helpers.inference import dehaze
from helpers.pairs import find_pairs
from helpers.runs import open_run
from helpers.training import Settings, build, train, train_step, watch

pairs = find_pairs(env.SAMPLE_DATA / "validation")[:3]
scene = "x", *np.random.default_rng(0).random((2, 64, 64, 3)).astype("float32")

def run_with(folder, stops, precision):
    settings = Settings("r", 4, 256, 1, 4, precision)
    for last in stops:
        networks, optimizers = build(settings)
        run = open_run(settings, networks, optimizers, folder)
        train(
            lambda hazy, clear: train_step(networks, optimizers, hazy, clear),
            training_batches(pairs, 1, start=run.step), run.step, last,
            watch(run, [scene], dehaze, lambda *_: None, reports=4),
        )
    return [np.array(v) for v in run.state], run.history

for precision in ("float32", "mixed_bfloat16", "mixed_float16"):
    folders = [Path(sys.argv[1]) / precision / n for n in ("straight", "stopped")]
    straight, history = run_with(folders[0], [4], precision)
    stopped, again = run_with(folders[1], [1, 3, 4], precision)
    print(precision, len(straight) > 100, [h["step"] for h in history], history == again,
          all(map(np.array_equal, straight, stopped)))

class Line(keras.layers.Layer):
    def __init__(self, start):
        super().__init__()
        self.weight = self.add_weight(shape=(), initializer=keras.initializers.Constant(start))
    def call(self, x):
        return x * self.weight

images = np.random.default_rng(0).uniform(-1, 1, (2, 2, 1, 1, 1)).astype("float32")
results = []
for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
    strategy = tf.distribute.MirroredStrategy(devices)
    with strategy.scope():
        hazy, image = keras.Input((1, 1, 1)), keras.Input((1, 1, 1))
        networks = (keras.Model(hazy, Line(0.5)(hazy)),
                    keras.Model([hazy, image], Line(0.3)(image)))
        optimizers = keras.optimizers.SGD(0.1), keras.optimizers.SGD(2.0)
        for optimizer, network in zip(optimizers, networks):
            optimizer.build(network.trainable_variables)
    def part(context, i):
        share = 2 // len(devices)
        first = context.replica_id_in_sync_group * share
        return tf.constant(images[i, first:first + share])
    @tf.function
    def step(hazy, clear):
        return strategy.run(
            lambda h, c: train_step(networks, optimizers, h, c, l1=0.7), (hazy, clear))
    batch = [strategy.experimental_distribute_values_from_function(lambda c, i=i: part(c, i))
             for i in (0, 1)]
    losses = step(*batch)
    results.append([float(n.trainable_variables[0].value.values[0]) for n in networks] + [
        float(strategy.reduce("mean", losses[k], axis=None)) for k in sorted(losses)])
print("replicas", np.allclose(*results, rtol=1e-5), results)
"""


@pytest.fixture(scope="module")
def apart(tmp_path_factory):
    """What a process of its own prints: deterministic operations and two logical devices must be
    asked for before TensorFlow starts, and cannot be taken back.
    """
    done = subprocess.run(
        [sys.executable, "-c", APART, str(tmp_path_factory.mktemp("apart"))],
        cwd=env.ROOT, capture_output=True, text=True, timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_resumed_run_equals_an_uninterrupted_one(apart, precision):
    """To the bit: all variables of both networks and optimizers, and the history."""
    assert f"{precision} True [1, 2, 3, 4] True True" in apart


def test_two_replicas_equal_one(apart):
    """Networks after a step, and losses, of two images on one device and one on each of two."""
    assert apart[-1].startswith("replicas True"), apart[-1]


# Watching.


SCENES = [  # even colours, which JPEG keeps
    (name, np.full((20, 30, 3), 0.2 * i + 0.3, "float32"), np.full((20, 30, 3), 0.9, "float32"))
    for i, name in enumerate(["mill", "old_tower", "a-b", "unseen"])
]


def watched_run(folder, scenes=SCENES, steps=10, **options):
    calls = []
    run = new_run(folder, replace(SETTINGS, steps=steps))
    after = watch(run, scenes, lambda generator, hazy: hazy * 0.5,
                  lambda *arguments: calls.append(arguments), **options)
    return run, after, calls


def test_watch_reports_at_the_right_steps(tmp_path):
    run, after, calls = watched_run(tmp_path, reports=3)
    for n in range(1, 11):
        after(n, {"l1": float(n)})
    assert [h["step"] for h in run.history] == [1, 3, 6, 9, 10]
    assert [h["l1"] for h in run.history] == [1, 2.5, 5, 8, 10], "means since the last report"
    expected = np.mean([10 * np.log10(1 / np.mean((h * 0.5 - c) ** 2)) for _, h, c in SCENES])
    assert run.history[0]["psnr"] == pytest.approx(expected, abs=1e-4)
    history, status, done, pictures = calls[-1]
    assert history is run.history and done == 1 and len(pictures) == 3
    assert re.fullmatch(r"step 10 of 10, [\d.]+ steps/s, 0:00 left, validation [\d.]+ dB", status)


def test_watch_saves_frames_that_load_again(tmp_path):
    run, after, _ = watched_run(tmp_path, reports=2)
    for n in range(1, 11):
        after(n, {"l1": 0.1})
    frames = load_frames(run.folder)
    assert {name: list(steps) for name, steps in frames.items()} == {
        "mill": [1, 5, 10], "old_tower": [1, 5, 10], "a-b": [1, 5, 10]}
    assert frames["mill"][5].shape == (20, 30, 3)
    for name, hazy, _ in SCENES[:3]:
        assert np.allclose(frames[name][5], hazy * 0.5, atol=0.02)


def test_watch_writes_checkpoints_and_tensorboard_logs(tmp_path):
    run, after, _ = watched_run(tmp_path, reports=5)
    for n in range(1, 8):
        after(n, {"l1": 0.1})
    assert new_run(tmp_path, run.settings).step == 6, "step 7 was not reported"
    run.log.flush()
    events = [
        value.tag
        for path in (run.folder / "logs").glob("events*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert events.count("psnr") == events.count("l1") == 4


def test_watch_without_scenes(tmp_path, recwarn):
    run, after, calls = watched_run(tmp_path, scenes=[])
    after(1, {"l1": 0.5})
    assert run.history == [{"step": 1, "l1": 0.5}]
    assert "validation" not in calls[0][1] and not [w for w in recwarn if "empty" in str(w.message)]


def test_time_left(tmp_path, monkeypatch):
    clock = iter([0.0, 10.0, 15.97, 100.0])
    monkeypatch.setattr(training.time, "monotonic", lambda: next(clock))
    _, after, calls = watched_run(tmp_path, reports=10, scenes=[], steps=13)
    for n in (1, 2, 3):
        after(n, {"l1": 0.5})
    # 12 steps of 10 s, 11 of 7.985 s, 10 of 33.3 s
    assert [c[1].split(", ")[2] for c in calls] == ["2:00 left", "1:28 left", "5:33 left"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("step", [3, 5], ids=["between-reports", "at-a-report"])
def test_a_loss_that_is_no_number_stops_the_run(tmp_path, bad, step):
    run, after, calls = watched_run(tmp_path, reports=2)
    after(1, {"l1": 0.5, "adversarial": 0.7})
    with pytest.raises(RunError) as error:
        after(step, {"l1": 0.5, "adversarial": bad})
    message = str(error.value)
    assert message.startswith(f"step {step}: ") and str(run.folder) in message
    assert "learning rate" in message and "\n" not in message
    assert len(run.history) == len(calls) == 1
    assert new_run(tmp_path).step == 1, "the last good state is kept"
