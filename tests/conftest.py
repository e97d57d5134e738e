"""Order of the tests, and a fresh folder of training runs for them."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_configure(config):
    """Nothing that the tests train may mix with the reader's own runs, or with a former test's."""
    runs = ROOT / "build" / "runs" / "test"
    if not config.option.collectonly:
        shutil.rmtree(runs, ignore_errors=True)
        runs.mkdir(parents=True)
    os.environ["DEHAZE_RUNS"] = str(runs)


def pytest_collection_modifyitems(items):
    """Quick tests first, then the notebooks in order, their solutions, and the browser."""

    def place(item):
        if item.path.suffix == ".ipynb":
            return 1, item.path.parent.name == "solutions", item.path.name
        return (2 if item.path.name == "test_browser.py" else 0), False, ""

    items.sort(key=place)  # stable: cells and tests keep their order
