"""Order of the tests, who runs them, a fresh folder of training runs, JupyterLab in a browser."""

import os
import shutil
import tomllib
from pathlib import Path

import lab_browser
import pytest
from xdist.scheduler import LoadScopeScheduling

from helpers import checks, env  # before any test imports TensorFlow: it sets how that computes

# What takes longest begins first, so that two workers end at about the same time. The second lesson
# reads what the first one trains.
LESSONS = ("notebooks/05_training_loop.ipynb", "notebooks/07_interactive_evaluation.ipynb")
LONG = ("tests/test_browser.py", "tests/test_browser_quickstart.py", "tests/test_train.py",
        "tests/test_toy.py", "tests/test_env.py", "tests/test_export.py")


class Together(LoadScopeScheduling):
    """Gives a worker of pytest-xdist whole files, and both LESSONS to the same one."""

    def _split_scope(self, nodeid):
        file = nodeid.split("::")[0]
        return "lessons" if file in LESSONS else file


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return Together(config, log)


def pytest_configure(config):
    """Nothing that the tests train may mix with the reader's own runs, or with a former test's."""
    runs = env.ROOT / "build" / "runs" / ("test" + os.environ.get("PYTEST_XDIST_WORKER", ""))
    if not config.option.collectonly:
        shutil.rmtree(runs, ignore_errors=True)
        runs.mkdir(parents=True)
    os.environ["DEHAZE_RUNS"] = str(runs)


def place(item):
    """Where an item comes in the order: a list of ranks."""
    file, short = item.nodeid.split("::")[0], "DEHAZE_STEPS" in os.environ
    if file == LESSONS[0] and short:
        return [9]  # last, where no other notebook finds its poor networks
    for rank, files in enumerate((LESSONS, LONG)):
        if file in files:
            return [rank, files.index(file)]
    return [2 if file.endswith(".ipynb") else 3, file]


def pytest_collection_modifyitems(items):
    """Long ones first; cells and tests of a file keep their order.

    The browser is left out on a machine without Chromium, never in CI.
    """
    absent = not lab_browser.CHROMIUM and os.environ.get("CI") != "true"
    skip = pytest.mark.skipif(absent, reason="no Chromium on this machine")
    for item in items:
        if item.path.name.startswith("test_browser"):
            item.add_marker(skip)
    items.sort(key=place)
    if "DEHAZE_STEPS" in os.environ:
        ignore_shortened(items)


def ignore_shortened(items):
    """A training that DEHAZE_STEPS shortens does not reach what its lesson says of it."""
    file = Path(__file__).with_name("ignored_cells.toml")
    shortened = tomllib.loads(file.read_text(encoding="utf-8"))["shortened"]
    for item in items:
        if item.path.suffix == ".ipynb" and item.cell.id in shortened.get(item.path.stem, ()):
            item.options["check"] = False


@pytest.fixture(autouse=True)
def unshortened(monkeypatch):
    """DEHAZE_STEPS is for the notebooks alone."""
    monkeypatch.delenv("DEHAZE_STEPS", raising=False)


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


@pytest.fixture
def verdict(capsys):
    """What the check of an exercise says of an answer, in its one line."""
    def verdict(name, answer):
        checks.check(name, answer)
        output = capsys.readouterr()
        assert output.err == ""
        (line,) = output.out.splitlines()
        assert line.startswith(f"Exercise {name}: ")
        return line.removeprefix(f"Exercise {name}: ")

    return verdict
