"""helpers.trainer and helpers.command: what watches a run, and runs that are killed or shared."""

import json
import math
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import safetensors
import tensorflow as tf
import train as command
from PIL import Image
from test_runs import new_run
from test_training import SETTINGS

from helpers import env
from helpers import training as trainer
from helpers.data import pairs_in_batch
from helpers.inference import verdict
from helpers.pairs import Pair
from helpers.runs import load_frames, watch
from helpers.weights import RunError

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
    assert re.fullmatch(r"step 10 of 10, [\d.]+ images/s, 0:00 left, validation [\d.]+ dB", status)


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
    """Counted from the end of the first step, which compiles."""
    clock = iter([10.0, 10.0, 15.97, 100.0])
    monkeypatch.setattr(trainer.time, "monotonic", lambda: next(clock))
    _, after, calls = watched_run(tmp_path, reports=10, scenes=[], steps=13)
    for n in (1, 2, 3):
        after(n, {"l1": 0.5})
    # 11 steps of 5.97 s, 10 of 45 s; a batch is one image
    assert [c[1].split(", ")[1:] for c in calls] == [
        [], ["0.2 images/s", "1:06 left"], ["0.0 images/s", "7:30 left"]]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=str)
@pytest.mark.parametrize("step", [3, 5], ids=["between-reports", "at-a-report"])
def test_a_loss_that_is_no_number_stops_the_run(tmp_path, bad, step):
    """It names the loss and the files, and the last good weights are back."""
    pairs = [Pair(tmp_path / f"h{i}.png", tmp_path / f"c{i}.png", str(i)) for i in range(4)]
    run, after, calls = watched_run(tmp_path, reports=2, pairs=pairs)
    weight = run.networks[0].trainable_variables[0]
    good = float(weight)
    after(1, {"l1": 0.5, "adversarial": 0.7})
    weight.assign(math.nan)
    with pytest.raises(RunError) as error:
        after(step, {"l1": 0.5, "adversarial": bad})
    message = str(error.value)
    (pair,) = pairs_in_batch(pairs, 1, step - 1, seed=0)
    assert message.startswith(f"step {step}: no longer a number: adversarial; ")
    assert f"made of {pair.hazy}." in message and "l1" not in message and "\n" not in message
    assert "the weights are those of step 1 again" in message
    assert len(run.history) == len(calls) == 1
    assert float(weight) == good
    assert new_run(tmp_path, run.settings).step == 1


def test_a_process_that_does_not_write_only_watches_for_numbers(tmp_path):
    run, after, calls = watched_run(tmp_path, reports=10)
    run.writes = False
    after(1, {"l1": 0.5})
    assert not calls and not run.history and not run.checkpoints()
    with pytest.raises(RunError, match="no checkpoint was there"):
        after(2, {"l1": math.nan})


def test_verdict_is_of_the_middle():
    """A discriminator that answers with the mean of what it sees."""
    def discriminator(inputs, training):
        assert training is False
        hazy, image = inputs
        assert hazy.shape == image.shape == (1, 256, 256, 3)
        return tf.reshape(tf.reduce_mean(hazy) + 10 * tf.reduce_mean(image), (1, 1, 1, 1))

    image = np.zeros((300, 400, 3), "float32")
    image[22:278, 72:328] = 0.6
    found = verdict(discriminator, np.full_like(image, 0.5), image)
    assert found == pytest.approx(1 / (1 + math.exp(-2)), abs=1e-4)


# Whole runs, in processes of their own: they are killed, or share the work.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four small pairs to train on and one to watch."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, count in (("train", 4), ("validation", 1)):
        for kind in ("hazy", "clear"):
            (folder / part / kind).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (280, 290, 3), dtype="uint8")
                Image.fromarray(pixels).save(folder / part / kind / f"{i}.png")
    return folder


def start(folder, out, *options, **variables):
    command = [sys.executable, "-m", "helpers.training", folder / "train", "--validation",
               folder / "validation", "--out", out, "--width", "4", "--precision", "float32"]
    return subprocess.Popen([*map(str, command), *options], cwd=env.ROOT, text=True,
                            env=os.environ | variables, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def end(process, status=0):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == status, errors + out
    return out


def state_of(run):
    """All variables and the history of a finished run, and the weights that it leaves."""
    path = sorted(run.glob("checkpoint-*.safetensors"))[-1]
    with safetensors.safe_open(path, "numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    with safetensors.safe_open(run / "generator.safetensors", "numpy") as file:
        left = file.metadata()  # with the SHA-256 of the weights; its order in the file is random
    return tensors, (run / "history.json").read_text(), left


def wait_for(condition, process):
    """Spin, for a write takes milliseconds; the process must not end meanwhile."""
    give_up = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < give_up


def test_a_killed_run_ends_as_if_it_had_not_been(folder, tmp_path):
    """SIGKILL at three moments: two at random, one while a checkpoint is being written."""
    recipe = ["--batch", "1", "--steps", "24", "--reports", "6", "--deterministic"]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    undisturbed = start(folder, straight, *recipe)
    rng, resume, moments = random.Random(), [], []

    def writing():
        return list(killed.glob("checkpoint-*.part"))

    for moment in ("random", "write", "random"):
        process = start(folder, killed, *recipe, *resume)
        if moment == "write":
            wait_for(writing, process)
        else:
            before = {p.name for p in killed.glob("checkpoint-*")}
            wait_for(lambda b=before: {p.name for p in killed.glob("checkpoint-*")} - b, process)
            delay = rng.uniform(0, 0.3)
            moments.append(f"{delay:.3f} s")
            time.sleep(delay)
        process.kill()
        end(process, -signal.SIGKILL)
        if moment == "write":
            assert writing(), "it was killed a moment too late to have been writing"
        assert not (killed / "generator.safetensors").exists()
        resume = ["--resume"]
    end(start(folder, killed, *recipe, *resume))
    end(undisturbed)
    (one, history, left), (two, again, same) = state_of(straight), state_of(killed)
    assert len(one) > 200 and set(one) == set(two)
    differ = [key for key in one if not np.array_equal(one[key], two[key])]
    assert differ == [], f"killed {moments} behind a checkpoint"
    assert history == again and left == same and len(json.loads(left["sha256"])) == 64


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def test_several_devices_give_the_losses_of_one(folder, tmp_path):
    """One device, two halves of the CPU, two processes on this machine: the same to 1e-4."""
    recipe = ["--batch", "2", "--steps", "3", "--reports", "3", "--dropout", "0"]
    together = [start(folder, tmp_path / "none", *recipe),
                start(folder, tmp_path / "mirrored", *recipe, "--strategy", "mirrored")]
    for process in together:
        end(process)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    workers = [
        start(folder, tmp_path / "workers", *recipe, "--strategy", "multiworker",
              TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}}))
        for i in (0, 1)
    ]
    said = [end(worker) for worker in workers]
    assert "done." in said[0] and "done." not in said[1], "one of them writes"
    histories = [json.loads((tmp_path / name / "history.json").read_text())
                 for name in ("none", "mirrored", "workers")]
    for history in histories[1:]:
        assert [h["step"] for h in history] == [1, 2, 3]
        for one, several in zip(histories[0], history, strict=True):
            for name in ("discriminator", "adversarial", "l1"):
                assert several[name] == pytest.approx(one[name], abs=1e-4), (name, one["step"])
            assert several["psnr"] == pytest.approx(one["psnr"], abs=0.01)


# Mistakes on the command line.


def say(folder, *arguments, status):
    with pytest.raises(SystemExit) as stopped:
        raise SystemExit(command.main([str(a) for a in arguments]))
    assert stopped.value.code == status


def run_folder(tmp_path, finished=False, **settings):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps(settings))
    if finished:
        (folder / "generator.safetensors").write_bytes(b"")
    return folder


def test_a_missing_folder(tmp_path, capsys):
    say(tmp_path, tmp_path / "none", "--out", tmp_path / "run", status=2)
    assert capsys.readouterr().err == f"{tmp_path}/none: no such folder; check the path.\n"


def test_a_run_is_not_continued_unasked(tmp_path, capsys):
    run = run_folder(tmp_path)
    say(tmp_path, tmp_path, "--out", run, status=2)
    assert capsys.readouterr().err == (
        f"{run}: holds a run; add --resume to continue it, or name another one.\n")


def test_other_settings_are_refused(tmp_path, capsys):
    run = run_folder(tmp_path, width=3)
    say(tmp_path, tmp_path, "--out", run, "--resume", status=2)
    assert "started with other settings" in capsys.readouterr().err


def test_a_finished_run_is_left_alone(tmp_path, capsys):
    run = run_folder(tmp_path, finished=True)
    say(tmp_path, tmp_path, "--out", run, "--resume", status=0)
    assert capsys.readouterr().out.startswith(f"{run}: this run is finished")


def test_workers_need_to_know_each_other(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    say(tmp_path, tmp_path, "--out", tmp_path / "r", "--strategy", "multiworker", status=2)
    assert "TF_CONFIG" in capsys.readouterr().err


def test_no_pairs(tmp_path, capsys):
    (tmp_path / "hazy").mkdir()
    say(tmp_path, tmp_path, "--out", tmp_path / "r", status=1)
    assert capsys.readouterr().err.startswith(f"{tmp_path}") and not (tmp_path / "r").exists()
