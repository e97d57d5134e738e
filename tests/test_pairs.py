"""helpers.pairs: what is found, what is left out and why, how it is split, bad folders."""

import os
import unicodedata
import warnings
from pathlib import Path

import pytest

import helpers.pairs
from helpers.pairs import (
    LAYOUTS,
    SIDE_BY_SIDE,
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
    """Empty files: names are all that is looked at."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names_of(root, found):
    """{hazy file below the root: (clear file, scene, part)}."""
    return {pair.hazy.relative_to(root).as_posix():
            (pair.clear.relative_to(root).as_posix(), pair.scene, pair.part) for pair in found}


def shout(name):
    """Other case of folders and endings; the stem, which names the scene, stays."""
    *folders, file = name.split("/")
    stem, dot, ending = file.rpartition(".")
    return "/".join([*(f.swapcase() for f in folders), f"{stem}{dot}{ending.upper()}"])


KNOWN = {name: (layout, files) for layout in LAYOUTS for name, files in layout.known.items()}


@pytest.mark.parametrize("change", [str, shout], ids=["as-downloaded", "other-case"])
@pytest.mark.parametrize("name", KNOWN)
def test_every_data_set_of_the_table(tmp_path, name, change):
    layout, (hazy, clear) = KNOWN[name]
    folder_with(tmp_path, change(hazy), change(clear))
    (pair,) = find_pairs(tmp_path)
    assert pair.hazy == tmp_path / change(hazy) and pair.clear == tmp_path / change(clear)
    assert (pair.layout, pair.crop) == (layout.name, "centre" if name == "SOTS indoor" else "")
    assert f"| {name} | `{hazy}` | `{clear}` |" in layout_table()


# Whole trees: (files, {hazy: (clear, scene, part)}); what is not a key's or a partner's is unused.
TREES = {
    "official-ITS": (
        ["ITS/train/ITS_haze/1_1_0.9.png", "ITS/train/ITS_clear/1.png",
         "ITS/train/ITS_trans/1_1.png", "ITS/val/haze/10001_1_0.9.png", "ITS/val/clear/10001.png",
         "ITS/val/trans/10001_1.png"],
        {"ITS/train/ITS_haze/1_1_0.9.png": ("ITS/train/ITS_clear/1.png", "ITS/train/1",
                                            "ITS/train"),
         "ITS/val/haze/10001_1_0.9.png": ("ITS/val/clear/10001.png", "ITS/val/10001", "ITS/val")},
    ),
    "train-and-test-named-in-two-ways": (
        ["train/hazy_images/1.png", "train/clear_images/1.png", "test/hazy/1.png",
         "test/GT/1.png"],
        {"test/hazy/1.png": ("test/GT/1.png", "test/1", "test"),
         "train/hazy_images/1.png": ("train/clear_images/1.png", "train/1", "train")},
    ),
    "parts-in-the-folders-names": (
        ["train_hazy/1.png", "train_gt/1.png", "testA/1.png", "testB/1.png", "Hazy-Val-2/1.png",
         "Val-2-Clear/1.png"],
        {"train_hazy/1.png": ("train_gt/1.png", "train/1", "train"),
         "testA/1.png": ("testB/1.png", "test/1", "test"),
         "Hazy-Val-2/1.png": ("Val-2-Clear/1.png", "val_2/1", "val_2")},
    ),
    "parts-below-the-sides": (
        ["hazy/train/1.png", "hazy/test/1.png", "clear/train/1.png", "clear/test/1.png"],
        {"hazy/test/1.png": ("clear/test/1.png", "test/1", "test"),
         "hazy/train/1.png": ("clear/train/1.png", "train/1", "train")},
    ),
    "hazy-images-in-several-folders": (
        ["hazy/1_0.8_0.1.jpg", "hazy/part2/1_0.8_0.2.jpg", "hazy/part3/2_0.8_0.2.jpg",
         "hazy/depth/1.png", "clear/1.jpg", "clear/2.jpg"],
        {"hazy/1_0.8_0.1.jpg": ("clear/1.jpg", "1", ""),
         "hazy/part2/1_0.8_0.2.jpg": ("clear/1.jpg", "1", "part2"),
         "hazy/part3/2_0.8_0.2.jpg": ("clear/2.jpg", "2", "part3")},
    ),
    "NTIRE-validation-without-truth": (
        ["NTIRE2021_Train_Hazy/01.png", "NTIRE2021_Train_HazeFree/01.png",
         "NTIRE2021_Valid_Hazy/26.png"],
        {"NTIRE2021_Train_Hazy/01.png": ("NTIRE2021_Train_HazeFree/01.png", "ntire_2021_train/01",
                                         "ntire_2021_train")},
    ),
    "phones": (
        ["hazy/1.jfif", "hazy/2.AVIF", "hazy/3.jpe", "hazy/4.heic", "clear/1.jpg", "clear/2.jpg",
         "clear/3.jpg", "clear/4.heic", "clear/notes.txt", "hazy/.5.jpg", "hazy/Thumbs.db"],
        {"hazy/1.jfif": ("clear/1.jpg", "1", ""), "hazy/2.AVIF": ("clear/2.jpg", "2", ""),
         "hazy/3.jpe": ("clear/3.jpg", "3", "")},
    ),
}


@pytest.mark.parametrize("files, expected", TREES.values(), ids=TREES)
def test_trees(tmp_path, files, expected):
    found = scan(folder_with(tmp_path, *files))
    assert names_of(tmp_path, found.pairs) == expected
    assert not found.hazy_orphans + found.clear_orphans
    used = {*expected, *(clear for clear, _, _ in expected.values())}
    pictures = {name for name in files if not name.endswith((".txt", ".db", "/.5.jpg"))}
    left_out = [path.relative_to(tmp_path).as_posix() for path, _ in found.unused]
    assert sorted(left_out) == sorted(pictures - used), "each picture is told, once"


@pytest.mark.parametrize("half, files", [
    ("left", ["1.jpg", "2.jpg"]), ("right", ["train/1.jpg", "val-2/2.jpg"]),
])
def test_side_by_side(tmp_path, half, files):
    pairs = find_pairs(folder_with(tmp_path, *files), hazy_on=half)
    assert [pair.hazy.relative_to(tmp_path).as_posix() for pair in pairs] == files
    assert all(pair.clear == pair.hazy and pair.crop == half for pair in pairs)
    assert [pair.scene for pair in pairs] == [name.removesuffix(".jpg") for name in files]
    assert {pair.layout for pair in pairs} == {SIDE_BY_SIDE.name}
    with pytest.raises(ValueError, match="'left' or 'right'"):
        find_pairs(tmp_path, hazy_on="AB")


def test_a_new_data_set_is_one_row(tmp_path, monkeypatch):
    folder_with(tmp_path, "hazy/p01.png", "clear/q01.png")
    with pytest.raises(PairError):
        find_pairs(tmp_path)
    row = Layout("mine", "p(.+)", "q(.+)", {"mine": ("hazy/p01.png", "clear/q01.png")})
    monkeypatch.setattr(helpers.pairs, "LAYOUTS", [*LAYOUTS, row])
    assert [(p.scene, p.layout) for p in find_pairs(tmp_path)] == [("01", "mine")]


@pytest.mark.parametrize("name", [
    "a" * 244, "霧の京都" * 20, "tower..", "CON", "img_1_2", "100% (copy) [2]", "-rf", "a\nb",
], ids=str)
def test_any_name_is_a_scene(tmp_path, name):
    folder_with(tmp_path, f"hazy/{name}.jpg", f"clear/{name}.png")
    assert [pair.scene for pair in find_pairs(str(tmp_path))] == [name]


def test_names_of_other_systems(tmp_path):
    """A Mac writes an accent and its letter as two characters; Latin-1 bytes are no UTF-8."""
    composed = "Schloß Hämelschenburg é"
    folder_with(tmp_path, f"hazy/{unicodedata.normalize('NFD', composed)}_0.8_1.jpg",
                f"clear/{composed}.jpg")
    for side in ("hazy", "clear"):
        try:
            open(os.fsencode(tmp_path / side) + b"/ch\xe2teau.jpg", "w").close()
        except OSError:
            pytest.skip("names are UTF-8 on this system")
    assert {pair.scene for pair in find_pairs(tmp_path)} == {composed, os.fsdecode(b"ch\xe2teau")}


def test_links(tmp_path):
    """Followed, but not round in circles; those to nothing are told."""
    folder_with(tmp_path, "data/hazy/1.jpg", "elsewhere/1.jpg")
    data = tmp_path / "data"
    (data / "clear").symlink_to(tmp_path / "elsewhere")
    (data / "hazy" / "2.jpg").symlink_to("gone.jpg")
    for name in ("loop", "hazy/loop"):
        (data / name).symlink_to(data)
    found = scan(data)
    assert [pair.scene for pair in found.pairs] == ["1"]
    assert sorted((path.name, reason) for path, reason in found.unused) == [
        ("2.jpg", "no such file; check the path"),
        *[("loop", "a link in circles")] * 2]


def test_scan_lists_orphans_of_either_side(tmp_path):
    folder_with(tmp_path, "hazy/1_0.8_0.2.png", "hazy/3_0.8_0.2.png", "clear/1.png", "clear/2.png")
    found = scan(tmp_path)
    assert [p.scene for p in found.pairs] == ["1"]
    assert [p.name for p in found.hazy_orphans] == ["3_0.8_0.2.png"]
    assert [p.name for p in found.clear_orphans] == ["2.png"] and found.unused == []


def test_what_is_left_out_is_one_warning(tmp_path):
    folder_with(tmp_path, "hazy/1.jpg", "clear/1.jpg", "depth/1.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(find_pairs(tmp_path)) == 1, "maps are no photographs: nothing to warn of"
    folder_with(tmp_path, "more/2.jpg", "real_hazy/3.jpg")
    with pytest.warns(UserWarning, match="2 not used below .*, first more/2.jpg: ") as told:
        find_pairs(tmp_path)
    assert len(told) == 1 and "\n" not in str(told[0].message)


def test_the_work_grows_as_the_number_of_files(tmp_path, monkeypatch):
    """RESIDE has 72,135 pairs: what is done with names, and asked of the disk, is counted."""
    count = {"names": 0, "disk": 0}

    def counted(kind, function):
        def call(*arguments, **options):
            count[kind] += 1
            return function(*arguments, **options)
        return call

    for module, name, kind in ((helpers.pairs.re, "fullmatch", "names"), (os, "scandir", "disk"),
                               (Pair, "__eq__", "names"), (Path, "__eq__", "names")):
        monkeypatch.setattr(module, name, counted(kind, getattr(module, name)))
    done = []
    for scenes in (10, 20, 40):
        for n in range(scenes):
            folder_with(tmp_path / str(scenes), f"clear/{n}.png",
                        *(f"hazy/{n}_{i}_0.9.png" for i in range(1, 10)))
        count.update(names=0, disk=0)
        assert len(find_pairs(tmp_path / str(scenes))) == 9 * scenes
        done.append(dict(count))
    assert done[2]["names"] - done[1]["names"] <= 2.2 * (done[1]["names"] - done[0]["names"])
    assert done[0]["disk"] == done[2]["disk"] == 3, "each folder is listed once"


# Bad folders: one sentence each.

NO_SIDE = "not in a folder of hazy or clear images with one of the other kind beside it); name the"
BAD = {
    "no-clear-partner": (["hazy/tower_0.9_1.2.jpg", "hazy/mill_0.9_1.2.jpg", "clear/tower.jpg"],
                         "hazy/mill_0.9_1.2.jpg", "add it, or remove the hazy one"),
    "no-clear-partner-in-one-folder": (["01_hazy.png", "01_GT.png", "02_hazy.png"],
                                       "02_hazy.png", "add it, or remove the hazy one"),
    "empty-clear-folder": (["hazy/a.jpg", "clear/notes.txt"], ".", "no pairs in it (hazy/a.jpg: no "
                           "image of the other kind is called like it); name"),
    "missing-hazy-folder": (["train/clear/a.jpg"], ".", f"(train/clear/a.jpg: {NO_SIDE} folder"),
    "nothing-in-it": (["notes.txt"], ".", "no pairs in it; name the folder that holds hazy"),
    "two-clear-folders": (["hazy/1400_1.png", "clear/1400.png", "gt/1400.png"], "hazy/1400_1.png",
                          "clear/1400.png and to {root}/gt/1400.png; move one of these"),
    "two-layouts": (["hazy/1_1_2.png", "clear/1.png", "clear/1_1_2.png"], "hazy/1_1_2.png",
                    "clear/1.png and to {root}/clear/1_1_2.png; move one of these two elsewhere"),
}


@pytest.mark.parametrize("names, blamed, remedy", BAD.values(), ids=BAD)
def test_bad_folder(tmp_path, names, blamed, remedy):
    with pytest.raises(PairError) as error:
        find_pairs(folder_with(tmp_path, *names))
    message = str(error.value)
    assert message.startswith(f"{tmp_path / blamed}: ")
    assert remedy.format(root=tmp_path) in message
    assert message.endswith(".") and "\n" not in message


def test_a_side_alone_is_not_taken_for_side_by_side(tmp_path):
    for side in ("hazy", "GT"):
        with pytest.raises(PairError, match="1.jpg: not in a folder of hazy or clear images"):
            find_pairs(folder_with(tmp_path / side, "1.jpg"))


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.write_text("")],
                         ids=["missing", "a-file"])
def test_missing_root(tmp_path, make):
    make(tmp_path / "my data")
    for find in (find_pairs, images_in):
        with pytest.raises(PairError, match="my data: no such folder; check the path"):
            find(tmp_path / "my data")


def test_images_in(tmp_path):
    folder_with(tmp_path, "b.JPG", "a.webp", ".hidden.jpg", "notes.txt")
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in images_in(tmp_path)] == ["a.webp", "b.JPG"]
    with pytest.raises(PairError, match="no images in it; put .jpg or .png"):
        images_in(tmp_path / "folder.png")


# Splits.


def made_up(scenes, versions=3, part=""):
    return [Pair(f"{part}{s}_{v}", f"s{s}", f"{part}/s{s}", part)
            for s in range(scenes) for v in range(versions)]


@pytest.mark.parametrize("scenes, share, held", [(10, 0.2, 2), (2, 0.2, 1), (3, 0.99, 2),
                                                 (5, 0, 1)])
def test_split_by_scene(scenes, share, held):
    pairs = made_up(scenes)
    training, validation = split_by_scene(pairs, share)
    assert len({p.scene for p in validation}) == held
    assert not {p.scene for p in training} & {p.scene for p in validation}
    assert sorted(training + validation, key=pairs.index) == pairs
    assert {p.scene for p in split_by_scene(pairs[::-1], share)[1]} == {
        p.scene for p in validation}, "whatever their order"


@pytest.mark.parametrize("held", ["test", "val-2", "Valid_set", "test_hazy", "SOTS/Test", "testset",
                                  "NTIRE2021_Validation"])
def test_a_test_part_is_never_trained_on(held):
    """With one training scene, or with none that is told to be one."""
    for part in ("train", "indoor", ""):
        training, validation = split_by_scene(made_up(1, part=part) + made_up(9, part=held))
        assert {p.part for p in training} == {part} and {p.part for p in validation} == {held}
    with pytest.raises(PairError, match="all 27 pairs are for testing.*name that folder itself"):
        split_by_scene(made_up(9, part=held))


def test_other_words_are_no_parts():
    for part in ("latest", "contest", "values", "attestation"):
        assert {p.part for p in split_by_scene(made_up(9, part=part))[0]} == {part}


def test_the_seed_decides():
    pairs = made_up(20)
    assert len({tuple(split_by_scene(pairs, seed=s)[1]) for s in range(5)}) > 1


def test_one_scene_cannot_be_split():
    with pytest.raises(PairError, match="1 scene.*add pairs of other places"):
        split_by_scene(made_up(1))


def test_report_and_one_per_scene():
    assert report(made_up(4)) == "12 pairs of 4 scenes, 3 hazy versions each"
    assert report(made_up(4, 1)) == "4 pairs of 4 scenes, 1 hazy version each"
    assert report(made_up(4)[:-1]) == "11 pairs of 4 scenes, 2 to 3 hazy versions each"
    pairs = [Pair(Path(f"{s}{v}"), Path(s), s) for s in "cab" for v in (0, 1)]
    assert [p.hazy.name for p in one_per_scene(pairs)] == ["a0", "b1", "c0"]
