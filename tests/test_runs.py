"""helpers.runs: runs that stop and go on, what can happen to their files, and what is watched."""

import errno
import json
import math
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from test_training import SETTINGS, toy_networks, values

from helpers import env, runs, weights
from helpers.data import pairs_in_batch
from helpers.pairs import Pair
from helpers.runs import fingerprint, load_frames, load_verdicts, open_run, record_data, watch
from helpers.training import build
from helpers.weights import RunError, find_runs, is_finished, load_generator


def new_run(runs=None, settings=SETTINGS, **options):
    """A run of two toy networks: for its folder and files, any network does."""
    networks = toy_networks()
    optimizers = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)
    for optimizer, network in zip(optimizers, networks, strict=True):
        optimizer.build(network.trainable_variables)
    return open_run(settings, networks, optimizers, runs, **options)


def real_run(folder, settings=SETTINGS):
    networks, optimizers = build(settings)
    return open_run(settings, networks, optimizers, folder), networks, optimizers


def files_in(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# Which folder.


def test_open_run_numbers_from_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DEHAZE_RUNS", str(tmp_path / "elsewhere"))
    run = new_run()
    assert run.folder == tmp_path / "elsewhere" / "tiny-001" and run.step == 0 and not run.history
    assert json.loads((run.folder / "settings.json").read_text())["width"] == 4


def test_open_run_starts_anew_after_a_finished_one(tmp_path):
    run = new_run(tmp_path)
    run.save_checkpoint()
    run.finish()
    before = files_in(tmp_path)
    again = new_run(tmp_path)
    assert again.folder == tmp_path / "tiny-002" and again.step == 0
    after = files_in(tmp_path)
    assert {p: after.get(p) for p in before} == before, "nothing is deleted or changed"
    assert find_runs("tiny", tmp_path, finished=True) == [run.folder]
    assert find_runs("tiny", tmp_path / "none") == []


def test_other_settings_are_another_run(tmp_path):
    assert new_run(tmp_path).folder.name == "tiny-001"
    assert new_run(tmp_path, replace(SETTINGS, l1=1.0)).folder.name == "tiny-002"
    assert new_run(tmp_path).folder.name == "tiny-001", "and both can be continued"


def test_names_and_numbers_of_runs(tmp_path):
    for number in (2, 10, 1000):
        (tmp_path / f"tiny-{number:03}").mkdir()
    for name in ("tiny-more", "tin"):
        assert new_run(tmp_path, replace(SETTINGS, name=name)).folder.name == f"{name}-001"
    assert new_run(tmp_path).folder.name == "tiny-1001"
    assert [p.name for p in find_runs("tiny", tmp_path)] == [
        "tiny-002", "tiny-010", "tiny-1000", "tiny-1001"]


def test_a_reader_writes_nothing(tmp_path):
    run = new_run(tmp_path / "runs")
    run.record(1, {"l1": 0.5})
    run.save_checkpoint()
    before = files_in(tmp_path)
    reader = new_run(folder=run.folder, writes=False)
    reader.finish()
    assert reader.step == 1 and files_in(tmp_path) == before
    assert new_run(folder=tmp_path / "none", writes=False).step == 0
    assert not (tmp_path / "none").exists()


# One process to a folder.

OTHER = """
import sys, filelock
lock = filelock.FileLock(sys.argv[1] + "/lock")
lock.acquire()
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_and_a_dead_one_forgotten(tmp_path):
    folder = tmp_path / "tiny-001"
    folder.mkdir()
    other = subprocess.Popen([sys.executable, "-c", OTHER, folder], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "locked\n"
    part, theirs = folder / ".1234.part", folder / "film.mp4.part"
    theirs.write_text("what a browser is loading")
    part.write_text("what the other process is writing")
    with pytest.raises(RunError) as error:
        new_run(folder=folder)
    assert str(error.value).startswith(f"{folder}: another process trains in it; ")
    assert part.exists(), "it is the other's"
    other.kill()
    other.communicate()
    with new_run(folder=folder):
        assert not part.exists(), "what a killed write left is cleared"
        assert theirs.exists(), "it is nobody's of ours"
        with new_run(folder=folder):
            pass  # the same process, after an interruption in a notebook


# The data.

PAIRS = [Pair(env.ROOT / f"h{i}.png", env.ROOT / f"c{i}.png", str(i)) for i in range(4)]


@pytest.mark.parametrize("pairs, scenes, said", [
    (PAIRS[:3], (), "pairs 4 then and 3 now, digest of all names"),
    (PAIRS[::-1], (), "digest of all names"),
    (PAIRS, [("mill", 0, 0)], "watched scenes 0 then and 1 now"),
])
def test_a_run_goes_on_with_its_own_data_only(tmp_path, pairs, scenes, said):
    first = new_run(tmp_path, data=fingerprint(PAIRS))
    first.save_checkpoint()
    other = fingerprint(pairs, scenes)
    with pytest.raises(RunError) as error:
        new_run(folder=first.folder, data=other)
    assert f"trained on other data so far ({said}" in str(error.value)
    assert new_run(tmp_path, data=other).folder.name == "tiny-002"
    moved = [replace(p, hazy=tmp_path / p.hazy.name) for p in PAIRS]
    assert new_run(tmp_path, data=fingerprint(moved)).folder == first.folder
    record_data(first.folder, other)
    assert new_run(folder=first.folder, data=other).step == 0
    path = first.folder / "data.json"
    assert json.loads(path.read_text()) == [fingerprint(PAIRS), other]
    path.write_text("[1]")
    assert new_run(folder=first.folder, data=other).step == 0, "what is none is no obstacle"


# Checkpoints.


def test_a_finished_run_can_be_loaded(tmp_path):
    settings = replace(SETTINGS, width=8, skips=False, classic=True)
    architecture = {"network": "unet", "width": 8, "skips": False, "classic": True}
    run, (generator, *_), _ = real_run(tmp_path, settings)
    run.finish()
    again = load_generator(run.folder / "generator.safetensors")
    for old, new in zip(generator.weights, again.weights, strict=True):
        # Half precision keeps 11 bits; below 6e-5 its steps are 6e-8.
        assert np.allclose(old, new, rtol=2**-11, atol=6e-8), old.path
    assert again.architecture == architecture
    with safetensors.safe_open(run.folder / "generator.safetensors", "numpy") as file:
        description = {key: json.loads(value) for key, value in file.metadata().items()}
    assert description.pop("sha256") and description == {
        "format": 2, "name": "tiny", "keras": keras.__version__, "tensorflow": tf.__version__,
        "architecture": architecture}


def test_the_last_three_checkpoints_are_kept(tmp_path):
    run = new_run(tmp_path)
    for step in (1, 2, 9, 10, 100):
        run.record(step, {"l1": 0.1})
        run.save_checkpoint()
    names = sorted(p.name for p in run.folder.glob("checkpoint-*"))
    assert names == [f"checkpoint-{n:06}.safetensors" for n in (9, 10, 100)]
    assert new_run(tmp_path).step == 100


def damage(path, kind):
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif kind == "one-bit":  # among the numbers, where a format without a digest sees nothing
        content = bytearray(path.read_bytes())
        content[-3] ^= 4
        path.write_bytes(content)
    elif kind == "foreign-metadata":
        tensors = safetensors.numpy.load_file(path)
        safetensors.numpy.save_file(tensors, path, {"step": "three", "history": "[]"})


@pytest.mark.parametrize("kind", ["cut", "one-bit", "foreign-metadata"])
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
    damage(run.folder / "checkpoint-000001.safetensors", kind)
    with pytest.raises(RunError, match="all checkpoints are damaged; start in another folder.$"):
        new_run(tmp_path)


@pytest.mark.parametrize("change", [{"width": 8}, {"conditional": False}], ids=str)
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
    for old, network in zip(before, run.networks, strict=True):
        assert all(map(np.array_equal, old, values(network))), "nothing was overwritten"


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    """Half of the new file was written; the old ones are whole, and the run can be continued."""
    run = new_run(tmp_path)
    run.save_checkpoint()

    def fail(self, content):
        with open(self, "wb") as file:
            file.write(content[:len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(weights.Path, "write_bytes", fail)
    for write in (run.save_checkpoint, run.finish,
                  lambda: run.record(2, {}, {"mill": SCENES[0][1]})):
        run.step += 1
        with pytest.raises(RunError, match=r"written \(No space left on device\); what was saved"):
            write()
    monkeypatch.undo()
    assert new_run(tmp_path).step == 0 and not is_finished(run.folder)
    assert not list(run.folder.rglob("*.part"))


def test_an_interrupted_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")

    def interrupted(path, _content):
        path.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(weights.Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        weights.write_whole(tmp_path / "a", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


# What is watched. Even colours, which JPEG keeps.

SCENES = [(name, np.full((20, 30, 3), 0.2 * i + 0.3, "float32"),
           np.full((20, 30, 3), 0.9, "float32"))
          for i, name in enumerate(["mill", "old_tower", "test/0006", "unseen"])]


def watched_run(folder, scenes=SCENES, steps=10, **options):
    told = []
    run = new_run(folder, replace(SETTINGS, steps=steps))
    after = watch(run, scenes, lambda generator, hazy: hazy * 0.5, told.append, **options)
    return run, after, told


def test_watch_reports_at_the_right_steps(tmp_path):
    run, after, told = watched_run(tmp_path, reports=3)
    for n in range(1, 11):
        after(n, {"l1": float(n)})
    assert [h["step"] for h in run.history] == [1, 3, 6, 9, 10]
    assert [h["l1"] for h in run.history] == [1, 2.5, 5, 8, 10], "means since the last report"
    expected = np.mean([10 * np.log10(1 / np.mean((h * 0.5 - c) ** 2)) for _, h, c in SCENES])
    assert run.history[0]["psnr"] == pytest.approx(expected, abs=1e-4)
    last = told[-1]
    assert last.history is run.history and last.done == 1 and len(last.pictures) == 3
    assert re.fullmatch(r"step 10 of 10, [\d.]+ images/s, 0:00 left, validation [\d.]+ dB",
                        last.status)
    frames = load_frames(run.folder)
    assert {name: list(steps) for name, steps in frames.items()} == {
        name: [1, 3, 6, 9, 10] for name, *_ in SCENES[:3]}
    for name, hazy, _ in SCENES[:3]:
        assert np.allclose(frames[name][6], hazy * 0.5, atol=0.02)
    assert new_run(tmp_path, run.settings).step == 10


def test_large_scenes_are_shrunk(tmp_path):
    large = np.linspace(0, 1, 3000 * 4000 * 3, dtype="float32").reshape(3000, 4000, 3)
    run, after, told = watched_run(tmp_path, scenes=[("large", large, large * 0.5)])
    after(1, {"l1": 0.5})
    assert told[0].pictures[0][1].shape == (576, 768, 3)
    assert told[0].history[0]["psnr"] == 100, "the truth itself, which would be infinite"


def test_time_left(tmp_path, monkeypatch):
    """Counted from the end of the first step, which compiles."""
    clock = iter([10.0, 10.0, 15.97, 100.0])
    monkeypatch.setattr(runs.time, "monotonic", lambda: next(clock))
    _, after, told = watched_run(tmp_path, reports=10, scenes=[], steps=13)
    for n in (1, 2, 3):
        after(n, {"l1": 0.5})
    # 11 steps of 5.97 s, 10 of 45 s; a batch is one image
    assert [report.status.split(", ")[1:] for report in told] == [
        [], ["0.2 images/s", "1:06 left"], ["0.0 images/s", "7:30 left"]]


@pytest.mark.parametrize("bad, step", [(math.nan, 3), (-math.inf, 5)],
                         ids=["between-reports", "at-a-report"])
def test_a_diverged_run_stops(tmp_path, bad, step):
    """It names the loss and the files, and the last good weights are back."""
    run, after, told = watched_run(tmp_path, reports=2, pairs=PAIRS)
    weight = run.networks[0].trainable_variables[0]
    good = float(weight)
    after(1, {"l1": 0.5, "adversarial": 0.7})
    weight.assign(bad)
    with pytest.raises(RunError) as error:
        after(step, {"l1": 0.5, "adversarial": bad})
    message = str(error.value)
    (pair,) = pairs_in_batch(PAIRS, 1, step - 1, seed=0)
    assert message.startswith(f"step {step}: NaN or infinite: adversarial, and weights with it; ")
    assert f"made of {pair.hazy}." in message and "l1" not in message and "\n" not in message
    assert "the weights are those of step 1 again" in message
    assert len(run.history) == len(told) == 1 and float(weight) == good


def test_what_is_not_finite_and_harmless_ends_no_run(tmp_path):
    run, after, _ = watched_run(tmp_path, reports=2)
    for n, value in enumerate([0.5, math.inf, 0.4, math.nan, 0.6], 1):
        after(n, {"l1": value})
    assert [h["l1"] for h in run.history] == [0.5, pytest.approx(0.5)]


def test_a_weight_that_is_nan_is_not_saved(tmp_path):
    run = new_run(tmp_path)
    run.record(1, {})
    run.save_checkpoint()
    run.state[0].assign(math.nan)
    run.record(2, {})
    with pytest.raises(RunError, match="^step 2: a weight is NaN or infinite"):
        run.save_checkpoint()
    assert new_run(tmp_path).step == 1


def test_a_process_that_does_not_write_only_watches_for_nan(tmp_path):
    run, after, told = watched_run(tmp_path, reports=10)
    run.writes = False
    after(1, {"l1": 0.5})
    assert not told and not run.history and not run.checkpoints()
    run.state[0].assign(math.nan)
    with pytest.raises(RunError, match="there is no checkpoint"):
        after(2, {"l1": math.nan})


NAMES = ["test/0006", "test\\0006", "x" * 248, "x" * 248 + "y", "霧" * 80, "Tower", "tower",
         "caf\udce9", "café", unicodedata.normalize("NFD", "café"), "end.", "end", "end ", "CON",
         "con", "", "..", "a:b", "a*b", "-rf", "0.9", "\n"]


def test_frames_of_scenes_with_any_name(tmp_path):
    """As names of files and of TensorBoard's tags; and they come back as they were."""
    run = new_run(tmp_path)
    (run.folder / "frames" / "scenes.json").write_text("[1]")  # what is none is made anew
    for i, name in enumerate(NAMES):
        grey = np.full((20, 30, 3), i / len(NAMES), "float32")
        run.record(7, {"l1": 0.5}, {name: grey}, {name: grey[..., 0]})
    run.close()
    (events,) = (run.folder / "logs").glob("events*")
    tags = [value.tag for event in tf.compat.v1.train.summary_iterator(str(events))
            for value in event.summary.value]
    assert tags.count("l1") == len(NAMES), "TensorBoard gets the numbers"
    for found in (load_frames(run.folder), load_verdicts(run.folder)):
        assert set(found) == set(NAMES)
        for i, name in enumerate(NAMES):
            assert abs(found[name][7].mean() - i / len(NAMES)) < 0.02, name
    names = [path.stem for path in (run.folder / "frames").glob("*.jpg")]
    assert len({name.casefold() for name in names}) == len(NAMES)
    assert all(re.fullmatch("[0-9a-z_-]{1,70}", name) for name in names), "for every system"
    assert load_verdicts(tmp_path) == load_frames(tmp_path) == {}
