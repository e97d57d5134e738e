"""scripts/train.py: runs that are killed, interrupted or shared, and what is said of mistakes."""

import json
import os
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
import safetensors
import train as command
from pictures import ROUGH, save

from helpers import env
from helpers.runs import load_frames

# Whole runs, in processes of their own. The first words of the program may spoil something.
PROGRAM = """import sys, train
from helpers import env, weights
{}
sys.exit(train.main(sys.argv[1:]))"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four small pairs to train on and one to watch."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, count in (("train", 4), ("validation", 1)):
        for name in (f"{kind}/{i}.png" for kind in ("hazy", "clear") for i in range(count)):
            save(folder / part / name, rng.integers(0, 256, (280, 290, 3), dtype="uint8"))
    return folder


def start(folder, out, *options, before="", **variables):
    words = [folder / "train", "--validation", folder / "validation", "--out", out, "--width", "4",
             "--precision", "float32", *options]
    paths = {"PYTHONPATH": os.pathsep.join([str(env.ROOT), str(env.ROOT / "scripts")])}
    return subprocess.Popen([sys.executable, "-c", PROGRAM.format(before), *map(str, words)],
                            text=True, env=os.environ | paths | variables, encoding="utf-8",
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(process, status=0):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == status, errors + out
    return out, errors


def state_of(run):
    """All variables and the history of a finished run, and the weights that it leaves."""
    path = sorted(run.glob("checkpoint-*.safetensors"))[-1]
    with safetensors.safe_open(path, "numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    with safetensors.safe_open(run / "generator.safetensors", "numpy") as file:
        left = file.metadata()  # with the SHA-256 of the weights; its order in the file is random
    return tensors, (run / "history.json").read_text(), left


# Half of a checkpoint is written, and the process ends as abruptly as by SIGKILL.
KILL_IN_WRITE = """
import os
def half(path, content, whole=weights.Path.write_bytes):
    if b'"step":"8"' in content:
        whole(path, content[:len(content) // 2])
        os._exit(9)
    whole(path, content)
weights.Path.write_bytes = half
"""
# The same in the middle of a step that is not reported, after others that are.
KILL_IN_STEP = """
import os
from helpers import training
def dying(*arguments, watch=training.watch):
    after_step = watch(*arguments)
    return lambda n, numbers: os._exit(9) if n == 14 else after_step(n, numbers)
training.watch = dying
"""


def test_a_killed_run_ends_as_if_it_had_not_been(folder, tmp_path):
    recipe = ["--batch", "1", "--steps", "16", "--reports", "4", "--deterministic"]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    undisturbed = start(folder, straight, *recipe)
    end(start(folder, killed, *recipe, before=KILL_IN_WRITE), 9)
    assert len(list(killed.glob("*.part"))) == 1
    end(start(folder, killed, *recipe, "--resume", before=KILL_IN_STEP), 9)
    assert not (killed / "generator.safetensors").exists() and not list(killed.glob("*.part"))
    end(start(folder, killed, *recipe, "--resume"))
    end(undisturbed)
    (one, history, left), (two, again, same) = state_of(straight), state_of(killed)
    assert len(one) > 200 and set(one) == set(two)
    assert [key for key in one if not np.array_equal(one[key], two[key])] == []
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
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    workers = [
        start(folder, tmp_path / "workers", *recipe, "--strategy", "multiworker",
              TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}}))
        for i in (0, 1)
    ]
    (said, _), (other, _) = map(end, workers)
    assert "done." in said and not other, "one of them writes, and speaks"
    # In one process: the CPU is halved first, and the second run uses one of its halves.
    first = (f"train.main([*sys.argv[1:], '--strategy', 'mirrored', '--out', "
             f"{str(tmp_path / 'mirrored')!r}])")
    end(start(folder, tmp_path / "one", *recipe, before=first))
    one, *others = [json.loads((tmp_path / name / "history.json").read_text())
                    for name in ("one", "mirrored", "workers")]
    for history in others:
        assert [h["step"] for h in history] == [1, 2, 3]
        for expected, several in zip(one, history, strict=True):
            for name in ("discriminator", "adversarial", "l1"):
                assert several[name] == pytest.approx(expected[name], abs=1e-4), name
            assert several["psnr"] == pytest.approx(expected["psnr"], abs=0.01)


# What can go wrong; in this process, which has TensorFlow already.

TINY = ["--width", "4", "--batch", "1", "--steps", "2", "--reports", "2", "--precision", "float32"]


def run(capsys, data, out, *options, status=0):
    """What is said, (stdout, stderr); no line of it is a stack of frames."""
    try:
        found = command.main([str(data), "--out", str(out), *map(str, options)])
    except SystemExit as stopped:
        found = stopped.code
    said = capsys.readouterr()
    assert found == status, said.err
    assert "Traceback" not in said.err and (status == 0 or said.err.count("\n") == 1), said.err
    return said


def test_train_and_test_folders(capsys, tmp_path):
    """RESIDE-6K's layout: the name of a scene holds a slash."""
    for part in ("train", "test"):
        for name in ("hazy/0001.jpg", "GT/0001.jpg", "hazy/0002.jpg", "GT/0002.jpg"):
            save(tmp_path / "data" / part / name, ROUGH)
    run(capsys, tmp_path / "data", tmp_path / "run", *TINY)
    assert len(load_frames(tmp_path / "run")) == 2


def test_a_file_that_becomes_unreadable_and_is_removed(capsys, folder, tmp_path):
    """It is named; without it the run is another one, unless that is asked for."""
    data, out = tmp_path / "data", tmp_path / "run"
    shutil.copytree(folder, data)
    bad = data / "train" / "hazy" / "2.png"
    content = bad.read_bytes()
    bad.write_bytes(content[:100])
    options = [*TINY[:4], "--steps", "6", "--reports", "6", *TINY[8:], "--validation",
               data / "validation"]
    said = run(capsys, data / "train", out, *options, status=2)
    assert said.err.startswith(str(bad))
    bad.unlink()
    (data / "train" / "clear" / "2.png").unlink()
    said = run(capsys, data / "train", out, *options, "--resume", status=2)
    assert "trained on other data so far (pairs 4 then and 3 now, " in said.err
    assert "--data-changed" in said.err
    run(capsys, data / "train", out, *options, "--resume", "--data-changed")
    assert [entry["pairs"] for entry in json.loads((out / "data.json").read_text())] == [4, 3]
    assert [h["step"] for h in json.loads((out / "history.json").read_text())] == [*range(1, 7)]
    said = run(capsys, data / "train", out, *options, "--resume")
    assert said.out == f"{out}: this run is finished; name another folder for a new one.\n"


def test_an_interrupted_run_can_be_continued(capsys, folder, tmp_path, monkeypatch):
    from helpers import training

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "train", interrupt)
        said = run(capsys, folder / "train", tmp_path / "run", *TINY, status=130)
    assert said.err.startswith("interrupted; what is written is whole")
    said = run(capsys, folder / "train", tmp_path / "run", *TINY, status=2)
    assert said.err.endswith("holds a run; add --resume to continue it, or name another one.\n")
    said = run(capsys, folder / "train", tmp_path / "run", *TINY, "--resume", "--seed", 1, status=2)
    assert "started with other settings, see its settings.json; give the same." in said.err


@pytest.mark.parametrize("options, sentence", [
    (["--size", "300"], "size 300: it must be a multiple of 256"),
    (["--seed", "-1"], "seed -1: it must be"), (["--reports", "0"], "reports 0: it must be"),
    (["--validation", "nowhere"], "nowhere: no such folder; check the path."),
    (["--validation", "a" * 300], f"{'a' * 300}: File name too long; name another one."),
    (["--width", "9" * 99], f"width {'9' * 99}: it must be less than 2**31."),
], ids=lambda x: x[0] if isinstance(x, list) else "")
def test_wrong_options(capsys, folder, tmp_path, options, sentence):
    said = run(capsys, folder / "train", tmp_path / "run", *options, status=2)
    assert said.err.startswith(sentence) and not (tmp_path / "run").exists()


def test_data_without_pairs(capsys, tmp_path):
    said = run(capsys, tmp_path / "none", tmp_path / "run", status=2)
    assert said.err == f"{tmp_path / 'none'}: no such folder; check the path.\n"
    (tmp_path / "hazy").mkdir()
    said = run(capsys, tmp_path, tmp_path / "run", status=2)
    assert said.err.startswith(f"{tmp_path}") and not (tmp_path / "run").exists()


def test_a_folder_of_other_things_is_left_alone(capsys, folder, tmp_path):
    (tmp_path / "history.json").write_text("mine")
    said = run(capsys, folder / "train", tmp_path, *TINY, status=2)
    assert said.err == f"{tmp_path}: holds other things than a run; name a new folder.\n"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_run_that_cannot_be_written(capsys, folder, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "run"):
        said = run(capsys, folder / "train", place, *TINY, status=2)
        assert said.err.startswith(str(place)) and "folder for the run.\n" in said.err


@pytest.mark.parametrize("config", [None, "[]"])
def test_workers_need_to_know_each_other(capsys, folder, tmp_path, monkeypatch, config):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    said = run(capsys, folder / "train", tmp_path / "run", "--strategy", "multiworker", status=2)
    assert said.err.startswith("--strategy multiworker: TF_CONFIG (")


def test_help_needs_no_tensorflow():
    code = ("import sys; sys.modules['tensorflow'] = None\nimport train\n"
            "try:\n    train.main(['--help'])\nexcept SystemExit as done:\n    sys.exit(done.code)")
    path = os.pathsep.join([str(env.ROOT), str(env.ROOT / "scripts")])
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path},
                          capture_output=True, text=True)
    assert done.returncode == 0 and "--data-changed" in done.stdout
