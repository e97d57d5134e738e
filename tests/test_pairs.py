"""helpers.pairs: what is found, how it is split, and one sentence for each kind of bad folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import helpers.pairs
from helpers.env import ROOT
from helpers.pairs import (
    LAYOUTS,
    Layout,
    Pair,
    PairError,
    find_pairs,
    images_in,
    layout_table,
    one_per_scene,
    report,
    scan,
    split_by_scene,
)


def folder_with(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


# One miniature a layout: (files, layout, {(hazy, clear): scene}).
MINIATURES = {
    "RESIDE-ITS": (
        ["hazy/1_1_0.90179.png", "hazy/1_10_0.98796.png", "hazy/10_2_0.74.png", "clear/1.png",
         "clear/10.png", "trans/1_1.png"], "RESIDE ITS",
        {("hazy/1_1_0.90179.png", "clear/1.png"): "1", ("hazy/1_10_0.98796.png", "clear/1.png"):
         "1", ("hazy/10_2_0.74.png", "clear/10.png"): "10"},
    ),
    "RESIDE-OTS": (
        ["hazy/0005_0.8_0.04.jpg", "hazy/0005_1_0.2.jpg", "clear/0005.jpg"], "RESIDE OTS",
        {("hazy/0005_0.8_0.04.jpg", "clear/0005.jpg"): "0005",
         ("hazy/0005_1_0.2.jpg", "clear/0005.jpg"): "0005"},
    ),
    "SOTS-indoor": (
        ["hazy/1400_1.png", "hazy/1400_10.png", "gt/1400.png"], "SOTS indoor",
        {("hazy/1400_1.png", "gt/1400.png"): "1400", ("hazy/1400_10.png", "gt/1400.png"): "1400"},
    ),
    "SOTS-indoor-clear": (
        ["hazy/1400_1.png", "clear/1400.png"], "SOTS indoor",
        {("hazy/1400_1.png", "clear/1400.png"): "1400"},
    ),
    "SOTS-outdoor": (
        ["hazy/0001_0.8_0.2.jpg", "gt/0001.png"], "SOTS outdoor",
        {("hazy/0001_0.8_0.2.jpg", "gt/0001.png"): "0001"},
    ),
    "SOTS-both": (
        ["SOTS/indoor/hazy/1400_1.png", "SOTS/indoor/gt/1400.png",
         "SOTS/outdoor/hazy/0001_0.8_0.2.jpg", "SOTS/outdoor/gt/0001.png"],
        {"SOTS indoor", "SOTS outdoor"},
        {("SOTS/indoor/hazy/1400_1.png", "SOTS/indoor/gt/1400.png"): "SOTS/indoor/1400",
         ("SOTS/outdoor/hazy/0001_0.8_0.2.jpg", "SOTS/outdoor/gt/0001.png"): "SOTS/outdoor/0001"},
    ),
    "RESIDE-6K": (
        ["train/hazy/1.jpg", "train/GT/1.jpg", "test/hazy/1.png", "test/GT/1.png"], "RESIDE-6K",
        {("test/hazy/1.png", "test/GT/1.png"): "test/1",
         ("train/hazy/1.jpg", "train/GT/1.jpg"): "train/1"},
    ),
    "RESIDE-6K-one-part": (
        ["hazy/1.jpg", "GT/1.jpg"], "RESIDE-6K", {("hazy/1.jpg", "GT/1.jpg"): "1"},
    ),
    "IN-and-GT": (
        ["IN/0001.png", "GT/0001.png"], "IN and GT folders",
        {("IN/0001.png", "GT/0001.png"): "0001"},
    ),
    "O-HAZE": (
        ["hazy/01_outdoor_hazy.jpg", "GT/01_outdoor_GT.jpg"], "O-HAZE",
        {("hazy/01_outdoor_hazy.jpg", "GT/01_outdoor_GT.jpg"): "01_outdoor"},
    ),
    "I-HAZE": (
        ["hazy/01_indoor_hazy.jpg", "GT/01_indoor_GT.jpg"], "I-HAZE",
        {("hazy/01_indoor_hazy.jpg", "GT/01_indoor_GT.jpg"): "01_indoor"},
    ),
    "Dense-Haze": (
        ["hazy/01_hazy.png", "GT/01_GT.png"], "Dense-Haze, or NH-HAZE in two folders",
        {("hazy/01_hazy.png", "GT/01_GT.png"): "01"},
    ),
    "NH-HAZE-flat": (
        ["01_hazy.png", "01_GT.png", "02_hazy.png", "02_GT.png", "preview.png"], "NH-HAZE",
        {("01_hazy.png", "01_GT.png"): "01", ("02_hazy.png", "02_GT.png"): "02"},
    ),
    "NH-HAZE-two-folders": (
        ["HAZY/01_hazy.png", "GT/01_GT.png"], "Dense-Haze, or NH-HAZE in two folders",
        {("HAZY/01_hazy.png", "GT/01_GT.png"): "01"},
    ),
    "NH-HAZE2": (
        ["NTIRE2021_Train_Hazy/01.png", "NTIRE2021_Train_HazeFree/01.png",
         "NTIRE2021_Valid_Hazy/26.png"], "NH-HAZE2",
        {("NTIRE2021_Train_Hazy/01.png", "NTIRE2021_Train_HazeFree/01.png"):
         "NTIRE2021_Train/01"},
    ),
    "Haze4K": (
        ["hazy/1_0.68_0.66.png", "hazy/1000_1_1.2.png", "clear/1.png", "clear/1000.png"], "Haze4K",
        {("hazy/1000_1_1.2.png", "clear/1000.png"): "1000",
         ("hazy/1_0.68_0.66.png", "clear/1.png"): "1"},
    ),
    "Haze4K-IN-GT": (
        ["train/IN/1_0.68_0.66.png", "train/GT/1.png"], "Haze4K",
        {("train/IN/1_0.68_0.66.png", "train/GT/1.png"): "train/1"},
    ),
    "A-and-B": (
        ["A/1.jpg", "B/1.jpg"], "A and B folders", {("A/1.jpg", "B/1.jpg"): "1"},
    ),
    "side-by-side": (
        ["1.jpg", "2.jpg"], "side by side", {("1.jpg", "1.jpg"): "1", ("2.jpg", "2.jpg"): "2"},
    ),
    "side-by-side-parts": (
        ["train/1.jpg", "val/2.jpg"], "side by side",
        {("train/1.jpg", "train/1.jpg"): "train/1", ("val/2.jpg", "val/2.jpg"): "val/2"},
    ),
    "sample-data": (
        ["hazy/tower_0.9_1.2.jpg", "clear/tower.jpg"], "scene, airlight, beta",
        {("hazy/tower_0.9_1.2.jpg", "clear/tower.jpg"): "tower"},
    ),
}


def shout(name):
    """Other case of folders and endings; the stem, which names the scene, stays."""
    *folders, file = name.split("/")
    stem, dot, ending = file.rpartition(".")
    return "/".join([*(f.swapcase() for f in folders), f"{stem}{dot}{ending.upper()}"])


@pytest.mark.parametrize("other_case", [False, True], ids=["as-downloaded", "other-case"])
@pytest.mark.parametrize("names, layout, expected", MINIATURES.values(), ids=MINIATURES)
def test_layout(tmp_path, names, layout, expected, other_case):
    folder_with(tmp_path, *(map(shout, names) if other_case else names))
    pairs = find_pairs(tmp_path)
    found = {tuple(p.relative_to(tmp_path).as_posix() for p in (pair.hazy, pair.clear)): pair.scene
             for pair in pairs}
    if other_case:
        expected = {tuple(map(shout, files)): scene for files, scene in expected.items()}
        found = {files: scene.lower() for files, scene in found.items()}
        expected = {files: scene.lower() for files, scene in expected.items()}
    assert found == expected
    assert {pair.layout for pair in pairs} == ({layout} if isinstance(layout, str) else layout)


def test_the_examples_of_the_table_are_what_its_rows_find(tmp_path):
    """A row's own example must be named after it: rows above it may not take it away."""
    for row in LAYOUTS:
        folder_with(tmp_path / row.name, *row.example)
        pairs = find_pairs(tmp_path / row.name)
        assert [pair.layout for pair in pairs] == [row.name]
        assert f"| {row.name} | `{row.example[0]}` | `{row.example[1]}` |" in layout_table()


def test_a_new_layout_is_one_row(tmp_path, monkeypatch):
    folder_with(tmp_path, "foggy/p01.png", "sunny/q01.png")
    with pytest.raises(PairError):
        find_pairs(tmp_path)
    row = Layout("mine", ("foggy/p01.png", "sunny/q01.png"), "foggy", "sunny", "p(.+)", "q(.+)")
    monkeypatch.setattr(helpers.pairs, "LAYOUTS", [*LAYOUTS, row])
    assert [(p.scene, p.layout) for p in find_pairs(tmp_path)] == [("01", "mine")]


def test_a_row_that_sees_a_part_of_the_pairs_is_not_another_opinion(tmp_path):
    """OTS asks for four digits; with Haze4K's unpadded numbers it sees those from 1000 on."""
    folder_with(tmp_path, *MINIATURES["Haze4K"][0])
    both = [next(row for row in LAYOUTS if row.name == name) for name in ("RESIDE OTS", "Haze4K")]
    for rows in (both, both[::-1]):
        (found,) = helpers.pairs._search(rows, tmp_path, tmp_path, "left")
        assert [p.layout for p in found.pairs] == ["Haze4K", "Haze4K"]


@pytest.mark.parametrize("names", [["hazy/a.jpg", "gt/a.jpg", "overview.png"],
                                   ["train/hazy/a.jpg", "train/gt/a.jpg", "overview.png"]])
def test_a_stray_picture_does_not_make_it_side_by_side(tmp_path, names):
    folder_with(tmp_path, *names)
    assert [p.layout for p in find_pairs(tmp_path)] == ["RESIDE-6K"]


@pytest.mark.parametrize("side", ["hazy", "clear", "GT"])
def test_one_side_alone_is_not_taken_for_side_by_side(tmp_path, side):
    with pytest.raises(PairError, match="name the folder that holds hazy and clear ones"):
        find_pairs(folder_with(tmp_path / side, "1.jpg"))


def test_which_half_is_hazy_is_an_argument(tmp_path):
    folder_with(tmp_path, "1.jpg")
    assert [find_pairs(tmp_path, hazy_on=side)[0].cut for side in ("left", "right")] == [
        "left", "right"]
    with pytest.raises(ValueError, match="'left' or 'right'"):
        find_pairs(tmp_path, hazy_on="AB")


def test_only_sots_indoor_cuts():
    assert [row.name for row in LAYOUTS if row.cut] == ["SOTS indoor"]


def test_scan_lists_orphans_of_either_side(tmp_path):
    folder_with(tmp_path, "hazy/1_0.8_0.2.png", "hazy/3_0.8_0.2.png", "hazy/extra.png",
                "clear/1.png", "clear/2.png")
    found = scan(tmp_path)
    assert [p.scene for p in found.pairs] == ["1"]
    assert [p.name for p in found.hazy_orphans] == ["3_0.8_0.2.png", "extra.png"]
    assert [p.name for p in found.clear_orphans] == ["2.png"]


def test_folders_that_link_to_each_other_do_not_hang_it(tmp_path):
    for i in range(3):
        (tmp_path / f"loop{i}").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(PairError, match="no pairs in it"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("parts, held", [
    (("train", "test"), {"test"}), (("train", "validation", "test"), {"validation", "test"}),
    (("Train_set", "Valid_set"), {"Valid_set"}),
])
def test_a_data_set_that_is_split_already_stays_so(parts, held):
    pairs = [Pair(f"{part}{n}", "", f"{part}/{n}", part) for part in parts for n in range(9)]
    training, validation = split_by_scene(pairs)
    assert {p.part for p in validation} == held and {p.part for p in training} == {*parts} - held


def test_a_test_part_alone_is_split_like_any_other():
    training, validation = split_by_scene([Pair(f"{n}", "", f"{n}", "test") for n in range(10)])
    assert (len(training), len(validation)) == (8, 2)


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
    "nothing-in-it": (["notes.txt"], ".", "name the folder that holds hazy and clear ones"),
    "only-one-side": (["a.jpg", "hazy/a.jpg"], "clear", "no such folder; check the path"),
    "no-clear-partner-flat": (
        ["01_hazy.png", "01_GT.png", "02_hazy.png"], "02_hazy.png", "add it, or remove the hazy",
    ),
    "one-name-twice": (
        ["hazy/a.jpg", "clear/a.jpg", "clear/a.png"], "clear/a.jpg", "a.png has the same name",
    ),
    "two-rows": (
        ["hazy/1_0.8_0.2.png", "hazy/2_0.8_0.2.png", "clear/1.png", "clear/2.png",
         "clear/2_0.8_0.2.png"], ".",
        "«hazy/2_0.8_0.2.png» with «clear/2.png» as in Haze4K, or «hazy/2_0.8_0.2.png» with "
        "«clear/2_0.8_0.2.png» as in same names",
    ),
    "two-clear-folders": (
        ["hazy/1400_1.png", "clear/1400.png", "gt/1400.png"], ".",
        "«hazy/1400_1.png» with «clear/1400.png» as in SOTS indoor, or «hazy/1400_1.png» with "
        "«gt/1400.png» as in SOTS indoor",
    ),
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
