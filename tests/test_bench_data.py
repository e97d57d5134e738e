"""scripts/bench_data.py on a few small pairs."""

import json

import bench_data
import pytest
from PIL import Image

from helpers.pairs import find_pairs


@pytest.fixture
def folder(tmp_path):
    bench_data.write_pairs(tmp_path, 3, (96, 72))
    return tmp_path


def test_it_writes_pairs_that_are_found(folder):
    pairs = find_pairs(folder)
    assert len(pairs) == 3 and len({p.scene for p in pairs}) == 3
    assert {Image.open(path).size for p in pairs for path in (p.hazy, p.clear)} == {(96, 72)}


@pytest.mark.parametrize("task", [t for t in bench_data.TASKS if t != bench_data.STEP])
def test_each_task_has_a_rate_and_keeps_copies_only_when_it_says_so(folder, task):
    assert bench_data.run(task, folder, 1) > 0
    copies = folder / "copies"
    assert copies.exists() == ("copies" in task or task == bench_data.MEMORY)


ROWS = {"from copies": {"rate": 60.0, "peak_mb": 700}, "first pass": {"rate": 12.0,
        "peak_mb": 1900}, "training step": {"rate": 10.0, "peak_mb": 2500}}


def test_table():
    assert bench_data.table(ROWS).splitlines()[2:] == [
        "| from copies | 60.0 | 6.0 × | 700 MB |", "| first pass | 12.0 | 1.2 × | 1,900 MB |",
        "| training step | 10.0 | 1.0 × | 2,500 MB |"]


@pytest.mark.parametrize("rate, peak, kept", [(50, 1999, [True, True]), (49, 2000, [False, False])])
def test_promises(rate, peak, kept):
    rows = ROWS | {"from copies": {"rate": rate, "peak_mb": peak}}
    assert [k for _, k in bench_data.promises(rows)] == kept


def test_the_report(monkeypatch, tmp_path, capsys):
    def answer(*arguments):
        return None if arguments[0] == "--write" else {"rate": 20.0, "peak_mb": 600}

    monkeypatch.setattr(bench_data, "in_another_process", answer)
    path = tmp_path / "new" / "bench_data.json"
    bench_data.main(["--quick", "--json", str(path)])
    said = capsys.readouterr().out
    assert "| from copies | 20.0 | 1.0 × | 600 MB |" in said and "promised are 5: NOT kept." in said
    assert json.loads(path.read_text())["rows"]["first pass"] == {"rate": 20.0, "peak_mb": 600}
