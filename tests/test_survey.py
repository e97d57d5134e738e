"""helpers.survey: what the report says, and that it finds what would ruin a run, and only that."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from survey import main, survey

from helpers import env
from helpers.checkup import CERTAIN, pair_problem, phase_shift
from helpers.data import load_pair
from helpers.images import ImageError
from helpers.pairs import PairError, find_pairs
from helpers.viz import contact_sheet

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


def kinds(found):
    return [warning.split(",")[0].split(":")[0] for warning in found.warnings]


@pytest.mark.parametrize("moved", [(0, 0), (3, 0), (0, -7), (20, 12), (-40, 25)], ids=str)
def test_phase_shift(scenes, moved):
    down, right = moved
    for hazy, clear in scenes:
        height, width = hazy.shape[:2]
        one = hazy[max(0, -down):height - max(0, down), max(0, -right):width - max(0, right)]
        other = clear[max(0, down):, max(0, right):][:one.shape[0], :one.shape[1]]
        other = other[:height - abs(down), :width - abs(right)]
        found = phase_shift(one, other)
        assert found[:2] == moved and found[2] > CERTAIN


def test_pairs_that_are_right_have_no_problem(scenes):
    assert [pair_problem(*pair) for pair in scenes] == [None] * len(scenes)


def test_pairs_that_are_wrong(scenes):
    hazy, clear = scenes[0]
    assert pair_problem(clear, clear)[0] == "identical"
    kind, text = pair_problem(hazy[6:], clear[:-6])
    assert (kind, text) == ("misaligned", f"moved by {-600 / (len(hazy) - 6):.1f} % down, 0.0 % to "
                            "the right")
    assert pair_problem(hazy, clear[:, ::-1]) == ("misaligned", "one of the two is mirrored")
    sides = [min(x) for x in zip(hazy.shape, scenes[3][1].shape, strict=True)]
    stranger = scenes[3][1][:sides[0], :sides[1]]
    assert pair_problem(hazy[:sides[0], :sides[1]], stranger)[1] == "they do not show the same view"
    flat = np.full_like(clear, 0.5)
    assert pair_problem(flat, flat * 0.9) is None, "nothing to compare"


def test_nothing_is_said_against_the_sample_data():
    found = survey(env.SAMPLE_DATA / "train")
    assert found.warnings == []
    assert str(found) == f"""\
{env.SAMPLE_DATA / "train"}: 104 pairs of 26 scenes, 4 hazy versions each
names as in: scene, airlight, beta (104 pairs)
hazy images without a partner: 0
clear images without a partner: 0
sizes: {found.text.split("sizes: ")[1].split(chr(10))[0]}
compared: 104 of 104 pairs
to train on: 84 pairs of 21 scenes, 4 hazy versions each
held back:   20 pairs of 5 scenes, 4 hazy versions each
Nothing found that would ruin a run."""
    assert "480×320 (20)" in found.text or "427×320" in found.text


def test_orphans_of_either_side(folder):
    shutil.copy(next((folder / "clear").iterdir()), folder / "clear" / "alone.jpg")
    shutil.copy(next((folder / "hazy").iterdir()), folder / "hazy" / "lost_0.9_1.jpg")
    found = survey(folder)
    assert "hazy images without a partner: 1 (lost_0.9_1.jpg)" in found.text
    assert "clear images without a partner: 1 (alone.jpg)" in found.text
    assert kinds(found) == ["orphans"]


def test_each_kind_of_trouble(folder):
    hazy = sorted((folder / "hazy").iterdir())
    clear = sorted((folder / "clear").iterdir())
    picture = Image.open(hazy[0])
    moved = Image.new("RGB", picture.size)
    moved.paste(picture, (9, 5))
    moved.save(hazy[0], quality=95)
    shutil.copy(clear[1], hazy[5])
    hazy[6].write_bytes(hazy[6].read_bytes()[:500])
    picture.resize((100, 80)).save(hazy[1])
    found = survey(folder)
    assert sorted(kinds(found)) == ["identical", "misaligned", "unusable"]
    (text,) = [w for w in found.warnings if w.startswith("misaligned")]
    assert hazy[0].name in text and text.count("moved by") == 1
    (text,) = [w for w in found.warnings if w.startswith("unusable, 2 of the pairs")]
    assert hazy[6].name in text and hazy[1].name in text and "100×80" in text


def test_swapped_sides(folder):
    (folder / "hazy").rename(folder / "B")
    (folder / "clear").rename(folder / "A")
    for path in (folder / "B").iterdir():
        path.rename(folder / "B" / f"{path.stem.split('_')[0]}.jpg")
    assert kinds(survey(folder)) == ["swapped"]


def side_by_side(folder, half):
    """Train and test parts of images with the hazy one at ``half``; one scene is in both."""
    for n, pair in enumerate(find_pairs(SAMPLES)[::4]):
        images = [Image.open(path) for path in (pair.hazy, pair.clear)]
        images = images if half == "left" else images[::-1]
        both = np.concatenate([np.asarray(x) for x in images], axis=1)
        parts = [("train", "test")[n > 3]] + ["test"] * (n == 0)
        for part in parts:
            (folder / part).mkdir(exist_ok=True)
            Image.fromarray(both).save(folder / part / f"{n}{part}.jpg", quality=92)
    return folder


@pytest.mark.parametrize("half", ["left", "right"])
def test_the_same_scene_in_train_and_test(tmp_path, half):
    found = survey(side_by_side(tmp_path, half), hazy_on=half)
    assert kinds(found) == ["the same scene in training and validation"]
    assert "0train.jpg" in found.warnings[0] and "0test.jpg" in found.warnings[0]
    assert "to train on: 4 pairs" in found.text and "held back:   3 pairs" in found.text


def test_the_wrong_half(tmp_path):
    assert "swapped" in kinds(survey(side_by_side(tmp_path, "right")))


def test_sots_border_is_said(tmp_path):
    for n, pair in enumerate(find_pairs(SAMPLES)[::4]):
        hazy, clear = Image.open(pair.hazy), Image.open(pair.clear)
        for name, image in (("hazy", hazy.crop((4, 4, hazy.width - 4, hazy.height - 4))),
                            ("gt", clear)):
            (tmp_path / name).mkdir(exist_ok=True)
            image.save(tmp_path / name / (f"140{n}_1.png" if name == "hazy" else f"140{n}.png"))
    found = survey(tmp_path)
    assert found.warnings == []
    assert "names as in: SOTS indoor (6 pairs)" in found.text
    assert "a clear image of 6 pairs is larger, and is cut in the centre" in found.text


def test_one_scene_cannot_be_split(folder):
    for path in sorted((folder / "hazy").iterdir())[4:]:
        path.unlink()
    assert kinds(survey(folder)) == ["one scene"]


def test_checked_limits_the_work(folder):
    assert "compared: 3 of 8 pairs" in survey(folder, checked=3).text


@pytest.mark.parametrize("count", [1, 3, 8])
def test_contact_sheet(count):
    pairs = find_pairs(SAMPLES)[:count] if count < 8 else find_pairs(SAMPLES)
    sheet = contact_sheet(pairs, width=80)
    assert sheet.shape == ((1 + count // 8) * (2 * 60 + 2 + 8), min(count, 4) * 88, 3)
    assert 0 <= sheet.min() < 0.3 and sheet.max() == 1


def test_files_that_cannot_be_used(folder):
    paths = sorted((folder / "hazy").iterdir())
    for path in paths[1:]:
        path.write_bytes(b"")
    assert "compared: 1 of 8 pairs" in survey(folder).text
    assert contact_sheet(find_pairs(folder), width=80).shape == (130, 88, 3)
    paths[0].write_bytes(b"")
    found = survey(folder)
    assert kinds(found) == ["unusable"] and "compared: 0 of 8 pairs" in found.text
    with pytest.raises(ImageError, match="not an image"):
        contact_sheet(find_pairs(folder))


def test_no_pairs(tmp_path, capsys):
    with pytest.raises(PairError):
        survey(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"{tmp_path}: no pairs in it")


def test_command_line(folder, tmp_path):
    sheet = tmp_path / "sheet.png"
    done = subprocess.run([sys.executable, "-m", "helpers.survey", folder, "--sheet", sheet],
                          cwd=env.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith(f"{folder}: 8 pairs of 2 scenes, 4 hazy versions each\n")
    assert Image.open(sheet).size == (4 * 248, 2 * (2 * 180 + 2 + 8))
    shutil.copy(next((folder / "hazy").iterdir()), folder / "hazy" / "lost_0.9_1.jpg")
    assert main([str(folder)]) == 1
