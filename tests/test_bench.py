"""scripts/bench.py on a tiny image."""

import json
import subprocess
import sys

import bench
import numpy as np
import pytest

from helpers import env

RUNS = env.SAMPLE_DATA / "weights"
LEAN = "dark channel prior"  # needs no TensorFlow, so a process with it starts at once


@pytest.fixture
def lean(monkeypatch):
    monkeypatch.setattr(bench, "methods_for", lambda size: [LEAN])


def test_take_turns(lean):
    seconds = bench.take_turns("quick", 2, RUNS)
    assert list(seconds) == [LEAN]
    assert len(seconds[LEAN]) == 3 and min(seconds[LEAN]) > 0


def test_peak_memory_is_that_of_a_process_of_its_own():
    """Linux hands the peak of the process that starts another on to it, so ours must be small."""
    pytest.importorskip("resource")
    code = f"import bench, sys; print(bench.in_another_process('--peak', 'quick', {LEAN!r})); "
    code += "print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=env.ROOT / "scripts",
                          capture_output=True, text=True, check=True)
    peak, numpy_here = done.stdout.split()
    assert numpy_here == "False"
    assert 10 < float(peak) < 150, "MB: Python, NumPy, Pillow and a small image"


def test_a_process_that_fails_ends_this_one_in_one_sentence(tmp_path, capfd):
    (tmp_path / "pix2pix-001").mkdir()
    (tmp_path / "pix2pix-001" / "generator.safetensors").write_text("damaged")
    with pytest.raises(SystemExit) as error:
        bench.in_another_process("--peak", "quick", "pix2pix, in tiles", "--runs", tmp_path)
    assert error.value.code == 1
    said = capfd.readouterr().err
    assert "generator.safetensors: not a generator" in said and said.count("\n") == 1


def test_the_report(lean, tmp_path, capsys, monkeypatch):
    answers = {"--turns": {LEAN: [3.0, 1.0, 2.0, 1.5]}, "--peak": 99.6}
    monkeypatch.setattr(bench, "in_another_process", lambda task, *rest: answers[task])
    path = tmp_path / "new" / "bench.json"
    bench.main(["--quick", "--json", str(path)])
    assert f"| 160×120 | {LEAN} | 1.50 s | 3.00 s | 100 MB |" in capsys.readouterr().out
    found = json.loads(path.read_text())
    assert found["rows"][0]["times_s"] == [1.0, 2.0, 1.5]
    assert found["versions"]["python"] == sys.version.split()[0]
    assert found["promises"] == []


def test_promises():
    rows = [{"size": "12 megapixels", "method": method, "median_s": 4.5, "peak_mb": 1500}
            for method in (bench.IMPROVED, LEAN)]
    assert [(p["what"], p["floor"], p["kept"]) for p in bench.promises(rows)] == [
        ("s", 4.0, False), ("MB", 2000, True)]


def test_adrishyam_arithmetic_is_what_its_function_does(tmp_path):
    """Ours calls its parts in the order of its dehaze_image; to the rounding of its PNG file."""
    package = pytest.importorskip("adrishyam")
    from PIL import Image

    picture = bench.picture((160, 120))
    picture.save(tmp_path / "hazy.png")
    package.dehaze_image(str(tmp_path / "hazy.png"), str(tmp_path))
    theirs = np.asarray(Image.open(tmp_path / "hazy_dehazed.png"))
    ours = bench.adrishyam((160, 120), RUNS)(bench.image_of((160, 120)))
    assert ((ours * 255).astype("uint8") == theirs).all()
