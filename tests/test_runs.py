"""helpers.runs: runs that stop and go on, and what can happen to their files."""

import errno
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from test_training import CLEAR, HAZY, SETTINGS, toy_networks, values

from helpers import env, runs
from helpers.runs import load_frames, load_verdicts, open_run
from helpers.training import build, train_step
from helpers.weights import RunError, find_runs, is_finished, load_generator


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
    train_step(networks[1:], optimizers, HAZY, CLEAR, adversarial=False)
    run.record(3, {"l1": 0.5, "psnr": 12.0})
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
    run, (generator, *_), _ = real_run(tmp_path, settings)
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
    elif kind == "one-bit":  # among the numbers, where a format without a digest sees nothing
        content = bytearray(path.read_bytes())
        content[-3] ^= 4
        path.write_bytes(content)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no checkpoint")
    elif kind == "foreign":
        safetensors.numpy.save_file({"weight": np.zeros(3, "float32")}, path)
    elif kind == "foreign-metadata":
        tensors = safetensors.numpy.load_file(path)
        safetensors.numpy.save_file(tensors, path, {"step": "three", "history": "[]"})


@pytest.mark.parametrize("kind", ["cut", "one-bit", "empty", "text", "foreign", "foreign-metadata"])
def test_a_damaged_checkpoint(tmp_path, kind, capsys):
    run = new_run(tmp_path)
    for step in (1, 2):
        run.record(step, {"l1": float(step)})
        run.save_checkpoint()
    path = run.folder / "checkpoint-000002.safetensors"
    damage(path, kind)
    again = new_run(tmp_path)
    assert again.step == 1, "the one before is used"
    said = capsys.readouterr().out
    assert said.startswith(f"{path}: damaged") and said.count("\n") == 1
    assert said.endswith("the checkpoint before it is used.\n")
    again.record(2, {"l1": 2.0})
    again.save_checkpoint()
    assert new_run(tmp_path).step == 2 and not capsys.readouterr().out, "written anew"


def test_all_checkpoints_damaged(tmp_path):
    run = new_run(tmp_path)
    run.save_checkpoint()
    damage(run.checkpoints()[0], "cut")
    with pytest.raises(RunError, match="all checkpoints are damaged; start in another folder.$"):
        new_run(tmp_path)


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
    message = str(error.value)
    assert message.startswith(f"{target}: from another architecture, variable ")
    assert re.search(r" is (\(.*\)|missing) there and (\(.*\)|missing) here; ", message), message
    assert "\n" not in message
    for old, network in zip(before, run.networks, strict=True):
        assert all(map(np.array_equal, old, values(network))), "nothing was overwritten"


def test_a_checkpoint_holds_all_that_the_next_step_needs(tmp_path):
    """Dropout's seeds, batch statistics, Adam's moments and its step count among it."""
    run, networks, optimizers = real_run(tmp_path)
    names = [v.path for v in run.state]
    for part in ("seed_generator_state", "moving_mean", "momentum", "velocity", "iteration"):
        assert sum(part in name for name in names) >= 2, part
    assert len(names) == sum(len(n.variables) for n in (*networks, *optimizers))
    train_step(networks[1:], optimizers, HAZY, CLEAR)
    before = [np.array(v) for v in run.state]
    run.save_checkpoint()
    train_step(networks[1:], optimizers, HAZY, CLEAR)
    assert not all(map(np.array_equal, before, [np.array(v) for v in run.state]))
    run.restore_checkpoint()
    assert all(map(np.array_equal, before, [np.array(v) for v in run.state]))


def limited(tmp_path, megabytes):
    """A process of its own that saves checkpoints of 3 MB until a file may grow no more."""
    code = f"""
import resource, signal
import numpy as np
from helpers import env
env.import_tensorflow()
import keras
from helpers.runs import Run
from helpers.weights import RunError
from helpers.training import Settings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails, as on a full disk
class Network:
    variables = [keras.Variable(np.ones(800_000, "float32"))]
run = Run(Settings("full", 4, 256, 1, 10, "float32"), [Network()], [], {str(tmp_path)!r})
for step in (1, 2, 3):
    run.step = step
    if step == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, ({megabytes}_000_000, resource.RLIM_INFINITY))
    try:
        run.save_checkpoint()
    except RunError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=env.ROOT, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_room_for_a_checkpoint(tmp_path):
    """The system refuses in the middle of the third file."""
    said = limited(tmp_path, 1)
    assert said.startswith(f"{tmp_path}/checkpoint-000003.safetensors: cannot be written (")
    assert "intact" in said and said.count("\n") == 1
    names = sorted(p.name for p in tmp_path.glob("checkpoint*"))
    assert names == ["checkpoint-000001.safetensors", "checkpoint-000002.safetensors"]


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    run = new_run(tmp_path)
    run.save_checkpoint()

    def full(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runs.Path, "write_bytes", full)
    for write in (run.save_checkpoint, run.finish):
        run.step += 1
        with pytest.raises(RunError, match=r"cannot be written \(No space left on device\)"):
            write()
    monkeypatch.undo()
    assert new_run(tmp_path).step == 0 and not is_finished(run.folder)


def test_a_weight_that_is_no_number_is_not_saved(tmp_path):
    run = new_run(tmp_path)
    run.record(1, {})
    run.save_checkpoint()
    run.state[0].assign(math.nan)
    run.record(2, {})
    with pytest.raises(RunError, match="^step 2: a weight is not a number any more"):
        run.save_checkpoint()
    assert new_run(tmp_path).step == 1


def test_a_reader_writes_nothing(tmp_path):
    run = new_run(tmp_path / "runs")
    run.record(1, {"l1": 0.5})
    run.save_checkpoint()
    before = files_in(tmp_path)
    networks = toy_networks()
    optimizers = [keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)]
    for optimizer, network in zip(optimizers, networks, strict=True):
        optimizer.build(network.trainable_variables)
    reader = open_run(SETTINGS, networks, optimizers, folder=run.folder, writes=False)
    assert reader.step == 1 and files_in(tmp_path) == before
    missing = tmp_path / "none"
    assert open_run(SETTINGS, networks, optimizers, folder=missing, writes=False).step == 0
    assert not missing.exists()


def test_what_a_killed_write_left_is_cleared(tmp_path):
    run = new_run(tmp_path)
    (run.folder / "checkpoint-000004.part").write_bytes(b"half")
    assert new_run(tmp_path).step == 0 and not list(run.folder.glob("*.part"))


def test_frames_and_verdicts_load_again(tmp_path):
    run = new_run(tmp_path)
    picture, verdict = np.full((20, 30, 3), 0.4, "float32"), np.full((30, 30), 0.7, "float32")
    for step in (1, 5):
        run.record(step, {"l1": 0.5}, {"old_tower": picture}, {"old_tower": verdict})
    assert list(load_frames(run.folder)["old_tower"]) == [1, 5]
    assert np.allclose(load_frames(run.folder)["old_tower"][5], picture, atol=0.02)
    found = load_verdicts(run.folder)["old_tower"][5]
    assert found.shape == (30, 30) and np.allclose(found, 0.7, atol=0.003)
    assert load_verdicts(tmp_path) == load_frames(tmp_path) == {}
