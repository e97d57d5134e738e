"""Order of the tests, a fresh folder of training runs for them, JupyterLab in a browser."""

import os
import shutil
from pathlib import Path

import lab_browser
import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_configure(config):
    """Nothing that the tests train may mix with the reader's own runs, or with a former test's."""
    runs = ROOT / "build" / "runs" / ("test" + os.environ.get("PYTEST_XDIST_WORKER", ""))
    if not config.option.collectonly:
        shutil.rmtree(runs, ignore_errors=True)
        runs.mkdir(parents=True)
    os.environ["DEHAZE_RUNS"] = str(runs)


def pytest_collection_modifyitems(items):
    """Quick tests first, then the notebooks in order, their solutions, and the browser.

    The browser is left out on a machine without Chromium, never in CI.
    """
    absent = not lab_browser.CHROMIUM and os.environ.get("CI") != "true"
    skip = pytest.mark.skipif(absent, reason="no Chromium on this machine")

    def in_browser(item):
        return item.path.name.startswith("test_browser")

    def place(item):
        if item.path.suffix == ".ipynb":
            return 1, item.path.parent.name == "solutions", item.path.name
        return (2 if in_browser(item) else 0), False, ""

    for item in filter(in_browser, items):
        item.add_marker(skip)
    items.sort(key=place)  # stable: cells and tests keep their order


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    return lab_browser.copy_project(tmp_path_factory.mktemp("browser") / "project")


@pytest.fixture(scope="session")
def lab(project):
    with lab_browser.serve(project) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    if not lab_browser.CHROMIUM:
        pytest.fail("CI needs Chromium: apt-get install chromium")
    with lab_browser.chromium() as browser:
        yield browser


@pytest.fixture
def page(browser):
    page = lab_browser.new_page(browser)
    yield page
    page.close()
