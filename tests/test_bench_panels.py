"""scripts/bench_panels.py without a browser."""

import bench_panels as bench
import nbformat
import pytest


def row(control="strength", panel="compare-panel", times=(50.0, 40.0, 90.0)):
    return {"notebook": "04_interactive_evaluation", "panel": panel, "control": control,
            "times_ms": list(times)}


def test_table_tells_the_median_and_the_slowest():
    assert bench.table([row()]).splitlines()[-1] == (
        "| 04 | compare | strength | 50 ms | 90 ms | 150 ms |"
    )


def test_a_slider_that_moved_nothing_is_an_error():
    with pytest.raises(ValueError, match="compare-panel: strength moved, the picture stayed"):
        bench.table([row(times=())])


def test_sliders_that_run_the_network_may_take_longer():
    assert bench.aim_of(row()) == 150
    assert bench.aim_of(row("β", "density-panel")) == 400


def test_the_network_s_sliders_exist():
    path = bench.ROOT / "notebooks" / "04_interactive_evaluation.ipynb"
    cells = {cell.id for cell in nbformat.read(path, 4).cells}
    assert {panel for panel, _ in bench.NETWORK} <= cells
