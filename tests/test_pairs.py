"""helpers.pairs: what is found, how it is split, and one sentence for each kind of bad folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.env import ROOT
from helpers.pairs import (
    Pair,
    PairError,
    find_pairs,
    images_in,
    one_per_scene,
    report,
    split_by_scene,
)


def folder_with(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def test_reside_names(tmp_path):
    folder_with(
        tmp_path, "hazy/tower_0.9_1.2.jpg", "hazy/tower_0.8_0.04.jpg", "hazy/old_mill_1_2.png",
        "clear/tower.png", "clear/old_mill.jpg",
    )
    pairs = find_pairs(tmp_path)
    assert [(p.hazy.name, p.clear.name, p.scene) for p in pairs] == [
        ("old_mill_1_2.png", "old_mill.jpg", "old_mill"),
        ("tower_0.8_0.04.jpg", "tower.png", "tower"),
        ("tower_0.9_1.2.jpg", "tower.png", "tower"),
    ]


@pytest.mark.parametrize("name", ["a", "img_1_2", "photo_2024"])
def test_same_names(tmp_path, name):
    folder_with(tmp_path, f"hazy/{name}.jpg", f"clear/{name}.png")
    assert find_pairs(tmp_path) == [
        Pair(tmp_path / "hazy" / f"{name}.jpg", tmp_path / "clear" / f"{name}.png", name)
    ]


def test_a_path_may_be_a_string(tmp_path):
    folder_with(tmp_path, "hazy/a.jpg", "clear/a.jpg")
    assert find_pairs(str(tmp_path)) == find_pairs(tmp_path)


def test_what_is_no_image_is_left_alone(tmp_path):
    folder_with(tmp_path, "b.JPG", "a.webp", ".hidden.jpg", "notes.txt", "Thumbs.db")
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in images_in(tmp_path)] == ["a.webp", "b.JPG"]


def test_a_clear_image_without_hazy_ones_is_no_mistake(tmp_path):
    folder_with(tmp_path, "hazy/a.jpg", "clear/a.jpg", "clear/b.jpg")
    assert len(find_pairs(tmp_path)) == 1


BAD = {
    "no-clear-partner": (
        ["hazy/tower_0.9_1.2.jpg", "hazy/mill_0.9_1.2.jpg", "clear/tower.jpg"],
        "hazy/mill_0.9_1.2.jpg", "add it, or remove the hazy one",
    ),
    "no-clear-partner-same-names": (
        ["hazy/a.jpg", "hazy/b.jpg", "clear/a.jpg"], "hazy/b.jpg", "add it, or remove the hazy one",
    ),
    "name-of-another-layout": (
        ["hazy/tower_0.9_1.2.jpg", "hazy/mill.jpg", "clear/tower.jpg"], "hazy/mill.jpg",
        "add it, or remove the hazy one",
    ),
    "empty-hazy-folder": (["hazy/notes.txt", "clear/a.jpg"], "hazy", "put .jpg or .png"),
    "empty-clear-folder": (["hazy/a.jpg", "clear/notes.txt"], "clear", "put .jpg or .png"),
    "missing-clear-folder": (["hazy/a.jpg"], "clear", "no such folder; check the path"),
    "missing-hazy-folder": (["clear/a.jpg"], "hazy", "no such folder; check the path"),
    "nothing-in-it": (["notes.txt"], "hazy", "no such folder; check the path"),
    "names-match-nothing": (["hazy/a.jpg", "clear/b.jpg"], ".", "name them like hazy/tower_"),
}


@pytest.mark.parametrize("names, blamed, remedy", BAD.values(), ids=BAD)
def test_bad_folder(tmp_path, names, blamed, remedy):
    with pytest.raises(PairError) as error:
        find_pairs(folder_with(tmp_path, *names))
    message = str(error.value)
    assert message.startswith(f"{tmp_path / blamed}: ")
    assert remedy in message
    assert message.endswith(".") and "\n" not in message


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.write_text("")],
                         ids=["missing", "a-file"])
def test_missing_root(tmp_path, make):
    root = tmp_path / "my data"
    make(root)
    with pytest.raises(PairError, match="no such folder; check the path") as error:
        find_pairs(root)
    assert str(error.value).startswith(f"{root}: ")


def made_up(scenes, versions=3):
    return [Pair(f"{s}_{v}", f"s{s}", f"s{s}") for s in range(scenes) for v in range(versions)]


@pytest.mark.parametrize(
    "scenes, share, held", [(10, 0.2, 2), (2, 0.2, 1), (3, 0.99, 2), (5, 0, 1)]
)
def test_split_by_scene(scenes, share, held):
    pairs = made_up(scenes)
    training, validation = split_by_scene(pairs, share)
    assert len({p.scene for p in validation}) == held
    assert not {p.scene for p in training} & {p.scene for p in validation}
    assert sorted(training + validation, key=pairs.index) == pairs


def test_split_is_decided_by_the_seed():
    pairs = made_up(20)
    assert split_by_scene(pairs, seed=4) == split_by_scene(list(pairs), seed=4)
    assert len({tuple(split_by_scene(pairs, seed=s)[1]) for s in range(5)}) > 1


def test_split_does_not_depend_on_the_order():
    pairs = made_up(20)
    scenes = [{p.scene for p in split_by_scene(order)[1]} for order in (pairs, pairs[::-1])]
    assert scenes[0] == scenes[1]


SPLIT = """
from helpers.pairs import Pair, split_by_scene
held = split_by_scene([Pair(str(n), "", f"scene {n}") for n in range(30)])[1]
print(sorted(pair.scene for pair in held))
"""


def test_split_is_the_same_in_every_process():
    """Python orders sets of strings anew in each process; the split must not follow."""
    said = {
        subprocess.check_output([sys.executable, "-c", SPLIT], cwd=ROOT, text=True,
                                env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_one_scene_cannot_be_split():
    with pytest.raises(PairError, match="1 scene.*add pairs of other places"):
        split_by_scene(made_up(1))


def test_report():
    assert report(made_up(4)) == "12 pairs of 4 scenes, 3 hazy versions each"
    assert report(made_up(4)[:-1]) == "11 pairs of 4 scenes, 2 to 3 hazy versions each"


def test_one_per_scene_takes_each_scene_once_and_turns_through_the_versions():
    pairs = [Pair(Path(f"{s}{v}"), Path(s), s) for s in "cab" for v in (0, 1)]
    assert [p.hazy.name for p in one_per_scene(pairs)] == ["a0", "b1", "c0"]
