"""helpers.panels.laboratory: two runs side by side, step by step, and predictions that are marked.
"""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from helpers.experiments import SHOWN, VARIANTS, Record, detail, ends_of, stored
from helpers.panels.laboratory import (
    QUESTIONS,
    Laboratory,
    ask,
    label,
    prediction,
    scores_table,
)

L1, GAN = label("l1"), label("pix2pix")


def save(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (256, 256), (grey,) * 3).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two stored runs of one scene: a grey that grows with the step, and the truth, 200."""
    runs = []
    for k, name in enumerate(("l1", "pix2pix")):
        for n, step in enumerate(SHOWN):
            path = tmp_path / f"{name}-seed-0" / "frames" / f"{step:06}_petra.jpg"
            save(path, 100 + 10 * n + 30 * k)
        history = [{"step": step, "l1": 0.3} | ({"discriminator": 0.6} if k else {})
                   for step in SHOWN]
        scores = {"psnr": 16.0 - k, "ssim": 0.5, "sharpness": 0.3 + k, "sharpness_halved": 0.5,
                  "spectrum": [1.0 + k] * 129}
        runs.append({"name": name, "seed": 0, "history": history, "scores": scores})
    for kind, grey in (("hazy", 220), ("clear", 200)):
        save(tmp_path / "fog" / kind / "petra.jpg", grey)
    truth = {"ssim": 1.0, "sharpness": 1.0, "sharpness_halved": 1.0, "spectrum": [4.0] * 129}
    (tmp_path / "results.json").write_text(json.dumps({
        "runs": runs, "hazy": {"fog": scores}, "truth": {"fog": truth}}))
    return tmp_path


def test_what_the_panel_shows(folder):
    lab = Laboratory("fog", folder)
    assert list(lab.runs) == [L1, GAN, "the input", "the truth"]
    picture, text, chart = lab(L1, GAN, "petra", SHOWN[-1], 0.5)
    grey = np.rint(picture * 255)
    assert abs(grey[100, 50, 0] - 150) < 3 and abs(grey[100, 350, 0] - 180) < 3
    assert chart.dtype == np.uint8 and chart.shape[2] == 4
    assert "14.2 dB" in text and "22.1 dB" in text and "15.0" in text and "1.30" in text
    earlier, _, moved = lab(L1, GAN, "petra", SHOWN[0], 1.0)
    assert abs(np.rint(earlier * 255)[100, 350, 0] - 100) < 3, "all of it is the left run"
    assert not np.array_equal(chart, moved), "the cursor moves"


def test_a_run_of_ones_own_joins_the_others(folder):
    lab = Laboratory("fog", folder)
    for step, grey in ((1, 0), (50, 255)):
        save(folder / "mine" / "frames" / f"{step:06}_petra.jpg", grey)
    lab.runs["mine"] = Record("l1", 0, [{"step": 1, "l1": 0.5}], None, folder / "mine")
    for step, value in ((25, 0), (50, 1), (700, 1)):
        picture, text, _ = lab("mine", GAN, "petra", step, 0.5)
        assert abs(picture[100, 50, 0] - value) < 0.01
    assert "–" in text, "it has no scores yet"


def test_both_tasks_have_a_panel():
    for task in ("fog", "haze"):
        left, right = Laboratory(task).panel().children[0].children[:2]
        assert left.value.endswith("L1 alone") and right.value.endswith("pix2pix, λ = 100")


def test_run_it_yourself(folder, monkeypatch):
    """It joins the panel; when it goes on, its curves do, too. The other task has its own."""
    lab, record = Laboratory("fog", folder), Record("l1", 0, [], None, folder / "l1-seed-0")
    monkeypatch.setattr("helpers.experiments.run", lambda *_: record)
    lab(L1, GAN, "petra", SHOWN[0])
    assert lab.run("l1") is lab.runs[f"yours: {L1}"] and lab.charts == {}
    with pytest.raises(ValueError, match='^haze-l1: not in this .*Laboratory[(]"haze"[)].$'):
        lab.run("haze-l1")


def test_against_the_truth(folder):
    """It has no PSNR, no losses, and one picture for all steps."""
    lab = Laboratory("fog", folder)
    for step in SHOWN:
        picture, text, _ = lab("the input", "the truth", "petra", step, 0.5)
        assert abs(picture[100, 50, 0] - 220 / 255) < 0.01
        assert abs(picture[100, 350, 0] - 200 / 255) < 0.01
        assert "22.1 dB" in text and "–" in text and "1.000" in text and "inf" not in text


def test_tables(folder):
    assert detail({"spectrum": [9.0] * 32 + [1.0] * 65 + [9.0] * 32},
                  {"spectrum": [4.0] * 129}) == 0.25
    table = scores_table("l1", "pix2pix", folder=folder)
    assert table.splitlines()[1].split()[-4:] == ["16.00", "0.500", "0.30", "25.0%"]
    assert table.splitlines()[2].startswith("pix2pix, λ = 100") and "50.0%" in table


def test_the_panel_moves(folder):
    panel = Laboratory("fog", folder).panel()
    controls = {c.description: c for c in panel.children[0].children}
    shown = panel.children[1].children[0].children[0]
    for name, value in (("wipe", 0.0), ("step", SHOWN[0]), ("left", GAN), ("right", L1)):
        before = shown.value
        controls[name].value = value
        assert shown.value != before, name


def test_a_prediction_is_marked():
    box = prediction("What then?", {"this": "It does <so>.", "that": "Why?"}, right="this")
    _, buttons, reply = box.children
    assert buttons.value is None and reply.value == ""
    buttons.value = "that"
    assert "Look again." in reply.value and "Why?" in reply.value
    buttons.value = "this"
    assert "Yes." in reply.value and "&lt;so&gt;" in reply.value


def test_every_group_has_its_question():
    assert set(QUESTIONS) == {variant.group for variant in VARIANTS.values()}
    for group, (question, replies, right) in QUESTIONS.items():
        assert question.endswith("?") and len(replies) == 3 and right in replies
        assert ask(group).children[1].options == tuple(replies)


# What notebook 06 says of the runs that ship: its decimals and percentages, cell by cell, in the
# order of the text. A claim is a run (with its seed, if it is not 0) and what is said of it.
CLAIMS = {
    "ruler-see": "fog sharpness, l1 psnr, l1/1 psnr, pix2pix psnr, pix2pix/1 psnr, l1 sharpness, "
                 "l1/1 sharpness, pix2pix sharpness, pix2pix/1 sharpness, l1 detail, l1/1 detail, "
                 "pix2pix detail, pix2pix/1 detail",
    "loss-see": "gan sharpness, gan/1 sharpness, gan detail, gan/1 detail, gan psnr, gan/1 psnr, "
                "fog psnr, lambda-1000 real_right, lambda-1000 fake_right, lambda-10 sharpness, "
                "lambda-10/1 sharpness, squared sharpness, l1 sharpness, lsgan sharpness",
    "judge-see": "pixel sharpness, pixel/1 sharpness, l1 sharpness, patch-16 sharpness, "
                 "pix2pix sharpness, image sharpness, unconditional sharpness, "
                 "unconditional/1 sharpness, frozen sharpness, frozen fooled, fast sharpness, "
                 "no-norm sharpness",
    "generator-see": "no-skips psnr, no-skips/1 psnr, no-dropout psnr, no-dropout sharpness, "
                     "no-dropout detail, ours sharpness, ours sharpness_halved, "
                     "pix2pix sharpness_halved",
    "training-see": "simultaneous psnr, simultaneous sharpness, simultaneous detail, "
                    "batch-1 psnr, batch-1 sharpness, batch-1 detail",
    "data-see": "unpaired psnr, no-jitter psnr, no-jitter sharpness, bytes first_l1, "
                "pix2pix first_l1, bytes psnr, bytes below, leak psnr, leak/1 psnr",
    "haze-see": "haze-l1-ours sharpness, haze-l1 sharpness, haze-ours sharpness, "
                "haze-pix2pix sharpness, l1 sharpness, pix2pix sharpness",
}
FORMS = {"psnr": ".2f", "ssim": ".3f", "sharpness": ".2f", "sharpness_halved": ".2f",
         "detail": ".1%", "first_l1": ".2f", "below": ".1f",
         **dict.fromkeys(["real_right", "fake_right", "fooled"], ".0%")}
NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "06_what_breaks_if.ipynb"


def value(claim, runs):
    """What a claim is about, as the text has it."""
    run, key = claim.split()
    name, _, seed = run.partition("/")
    if name in ("fog", "haze"):
        return format(ends_of(name)[0][key], FORMS[key])
    record = runs[name, int(seed or 0)]
    truth = ends_of(VARIANTS[name].task)[1]
    last = record.history[-1]
    numbers = record.scores | last | {"detail": detail(record.scores, truth),
                                      "fooled": 1 - last.get("fake_right", 0),
                                      "first_l1": record.history[0].get("l1", 0),
                                      "below": runs["pix2pix", 1].scores["psnr"]
                                      - record.scores["psnr"]}
    return format(numbers[key], FORMS[key])


def test_what_the_notebook_says_of_the_runs():
    runs = stored()
    cells = {cell.id: cell.source for cell in nbformat.read(NOTEBOOK, 4).cells}
    texts = {name: re.sub("[(]http.*?[)]", "", cells[name]).replace(" %", "%") for name in CLAIMS}
    said = {name: re.findall(r"\d+\.\d+%?|\d+%", text) for name, text in texts.items()}
    assert said == {name: [value(claim.strip(), runs) for claim in claims.split(",")]
                    for name, claims in CLAIMS.items()}
