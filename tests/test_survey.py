"""scripts/survey.py: that it finds what would ruin a run, only that, and says it in a sentence."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import survey
from PIL import Image

from helpers import env
from helpers.checkup import pair_problem
from helpers.data import load_pair
from helpers.pairs import find_pairs

SAMPLES = env.SAMPLE_DATA / "validation"


@pytest.fixture(scope="module")
def scenes():
    """(hazy, clear) of six sample scenes."""
    return [load_pair(pair) for pair in find_pairs(SAMPLES)[::4]]


@pytest.fixture
def folder(tmp_path):
    """A copy of two scenes, four hazy versions each."""
    for side in ("hazy", "clear"):
        (tmp_path / side).mkdir()
        for path in sorted((SAMPLES / side).iterdir())[:8 if side == "hazy" else 2]:
            shutil.copy(path, tmp_path / side)
    return tmp_path


def run(capsys, *arguments):
    """(exit status, what was printed, the kinds of the warnings) of the command."""
    status = survey.main([str(argument) for argument in arguments])
    said, complaint = capsys.readouterr()
    assert complaint == "" and status == ("WARNING" in said)
    warnings = [line.removeprefix("WARNING: ") for line in said.split("\n") if "WARNING" in line]
    return said, [warning.split(",")[0].split(":")[0] for warning in warnings]


# The check of one pair.


@pytest.mark.parametrize("moved", [(0, 0), (2, 0), (0, -7), (20, 12), (-40, 25)], ids=str)
@pytest.mark.parametrize("part", [slice(None), slice(256)], ids=["whole", "crop"])
def test_a_shift_is_found(scenes, moved, part):
    down, right = moved
    for hazy, clear in scenes:
        height, width = hazy.shape[:2]
        one = hazy[max(0, -down):height - max(0, down), max(0, -right):width - max(0, right)]
        other = clear[max(0, down):, max(0, right):][:one.shape[0], :one.shape[1]]
        problem = pair_problem(one[part, part], other[part, part])
        if moved == (0, 0):
            assert problem is None
            continue
        rows = f"{abs(down)} rows {'below' if down > 0 else 'above'}"
        columns = f"{abs(right)} columns {'right' if right > 0 else 'left'} of"
        where = " and ".join(word for n, word in zip(moved, (rows, columns), strict=True) if n)
        assert problem == ("one-sided", f"the same scene, but hazy lies {where} clear")


# The report.


def test_nothing_is_said_against_the_sample_data(capsys):
    said, warnings = run(capsys, env.SAMPLE_DATA / "train", "--checked", 26)
    assert warnings == []
    lines = said.split("\n")
    assert lines[:2] == ["train: 104 pairs of 26 scenes, 4 hazy versions each",
                         "names as in: scene_number_number (104 pairs)"]
    assert lines[5].startswith("sizes: 427×320 (44), 480×320 (16)")
    assert lines[6:] == ["read: 104 of 104 pairs; compared: 26",
                         "to train on: 84 pairs of 21 scenes, 4 hazy versions each",
                         "held back:   20 pairs of 5 scenes, 4 hazy versions each",
                         "Nothing found that would ruin a run.", ""]


def test_each_kind_of_trouble(folder, capsys):
    hazy, clear = (sorted((folder / side).iterdir()) for side in ("hazy", "clear"))
    picture = Image.open(hazy[0])
    moved = Image.new("RGB", picture.size)
    moved.paste(picture, (9, 5))
    moved.save(hazy[0], quality=95)
    shutil.copy(clear[1], hazy[5])
    Image.open(hazy[7]).resize(picture.size).save(hazy[2])
    hazy[6].write_bytes(hazy[6].read_bytes()[:-500])  # its header is sound
    picture.resize((100, 80)).save(hazy[1])
    (folder / "hazy" / "IMG.heic").touch()
    (folder / "more").mkdir()
    shutil.copy(clear[0], folder / "more" / "a.jpg")
    shutil.copy(clear[0], folder / "clear" / "alone.jpg")
    shutil.copy(hazy[3], folder / "hazy" / "lost_0.9_1.jpg")
    said, warnings = run(capsys, folder)
    assert sorted(warnings) == ["identical", "not used", "not used", "one-sided", "orphans",
                                "strangers", "unusable"]
    lines = {line.split(",")[0].removeprefix("WARNING: "): line for line in said.split("\n")}
    assert f"hazy/{hazy[0].name} and {clear[0].name}: the same scene" in lines["one-sided"]
    assert lines["unusable"].startswith("WARNING: unusable, 2 of the pairs: ")
    assert f"hazy/{hazy[6].name}: damaged" in said and "is 100×80 but" in said
    assert "hazy images without a partner: 1 (lost_0.9_1.jpg)" in said
    assert "clear images without a partner: 1 (alone.jpg)" in said
    assert "hazy/IMG.heic: HEIC, which is not read; save it as JPEG" in said
    assert "more/a.jpg: not in a folder of hazy or clear images with one" in said
    assert "read: 6 of 8 pairs" in said and str(folder) not in said


@pytest.mark.parametrize("half, said_to_be, found", [
    ("left", "left", ["the same view in training and validation"]),
    ("right", "right", ["the same view in training and validation"]),
    ("right", "left", ["swapped"]),
])
def test_parts_of_images_side_by_side(tmp_path, capsys, half, said_to_be, found):
    """One scene is in both the part to train on and the one to test with."""
    for n, pair in enumerate(find_pairs(SAMPLES)[::4]):
        images = [np.asarray(Image.open(path)) for path in (pair.hazy, pair.clear)]
        both = Image.fromarray(np.concatenate(images if half == "left" else images[::-1], axis=1))
        for part in [("train", "test")[n > 3]] + ["test"] * (n == 0):
            (tmp_path / part).mkdir(exist_ok=True)
            both.save(tmp_path / part / f"{n}{part}.jpg", quality=92)
    said, warnings = run(capsys, tmp_path, "--hazy-on", said_to_be)
    assert set(found) <= set(warnings)
    assert "train/0train.jpg and test/0test.jpg; give them to one side" in said
    assert "to train on: 4 pairs" in said and "held back:   3 pairs" in said


def test_what_cannot_be_split(folder, capsys):
    for path in sorted((folder / "hazy").iterdir())[4:]:
        path.unlink()
    assert run(capsys, folder)[1] == ["no split"]
    for path in (folder / "hazy").iterdir():
        path.write_bytes(b"")
    said, warnings = run(capsys, folder)
    assert warnings == ["unusable", "no split"] and "read: 0 of 4 pairs; compared: 0" in said


# The command.


@pytest.mark.parametrize("arguments, problem", [
    (["{folder}/gone"], "gone: no such folder; check the path."),
    (["{folder}", "--checked", "0"], "--checked 0: give 1 or more."),
    (["{folder}", "--sheet", "sheet"], "--sheet sheet: end the name with .jpg, .png or .webp."),
    (["{folder}", "--sheet", "{folder}/.notes.png"], ".notes.png: a file of the data set; name"),
    (["{folder}"], "no pairs in it; name the folder that holds hazy and clear images"),
])
def test_wrong_arguments(tmp_path, capsys, monkeypatch, arguments, problem):
    monkeypatch.setattr(env, "import_tensorflow", lambda: pytest.fail("that takes seconds"))
    (tmp_path / ".notes.png").write_text("")
    with pytest.raises(SystemExit) as ended:
        sys.exit(survey.main([text.format(folder=tmp_path) for text in arguments]))
    said, complaint = capsys.readouterr()
    assert ended.value.code == 2 and said == "" and problem in complaint
    assert complaint.count("\n") == 1


def test_command_line(folder, tmp_path):
    """As a reader starts it, from another folder."""
    command = [sys.executable, env.ROOT / "scripts" / "survey.py", ".", "--sheet", "sheet.png"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(env.ROOT),
                               "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"{folder.name}: 8 pairs of 2 scenes, 4 hazy versions each\n")
    assert "\\xd7320 (" in done.stdout, "what a poor terminal lacks is escaped"
    with Image.open(folder / "sheet.png") as sheet:
        assert sheet.width > 900 and sheet.height > 600
