"""The project's own files agree with each other."""

import ast
import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import run_notebooks
import stamp_repository

import helpers
from helpers import env

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def tracked_files():
    """What git tracks or would track; outside a clone there is nothing to say."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("no git clone")
    return [ROOT / line for line in found.stdout.splitlines() if (ROOT / line).exists()]


# --- dependencies -------------------------------------------------------------------------------


def test_every_requirement_has_a_floor_and_a_ceiling_and_a_reason():
    requirements = env.required_versions()
    assert all({bound.operator for bound in r.specifier} == {">=", "<"} for r in requirements)
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^ +# ([\w-]+) {2,}\S", text) == [r.name for r in requirements]
    assert "\n  - pip:\n" in text and text.endswith("\n      - -e .\n")


def test_colab_is_not_too_old():
    """Its versions, as of August 2026, are also what `make test-oldest` runs with."""
    colab = {"tensorflow": "2.20.0", "keras": "3.13.2", "numpy": "2.1.3", "pillow": "11.3.0",
             "ipywidgets": "7.7.1"}
    for requirement in env.required_versions():
        version = colab.get(requirement.name)
        assert version is None or requirement.specifier.contains(version), requirement
    assert "ipython==7.34.0\n" in (ROOT / "tests" / "oldest-requirements.txt").read_text()


def test_supported_pythons_agree():
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert env.OLDEST_PYTHON == (3, 11)
    assert "- python=3.12\n" in (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in (ROOT / "Makefile").read_text()


def test_citation_and_changelog_know_the_version():
    version = PROJECT["project"]["version"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {version}\n" in citation
    assert f"license: {PROJECT['project']['license']}\n" in citation
    assert f"## {version}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


# --- the house ----------------------------------------------------------------------------------

FILES = {}  # of each module; `checks` is one, whatever it is made of
for path in sorted((ROOT / "helpers").rglob("*.py")):
    parts = path.relative_to(ROOT / "helpers").with_suffix("").parts
    if parts[0] == "checks" or parts[-1] != "__init__":
        FILES.setdefault("checks" if parts[0] == "checks" else ".".join(parts), []).append(path)


def imported(path):
    """The dotted names that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_a_module_imports_only_from_those_above_it():
    """The order is that of the docstring of `helpers`; so there is no circle."""
    order = re.split(r",\s+", helpers.__doc__.split(":\n\n")[1].strip().rstrip("."))
    assert sorted(order) == sorted(FILES)
    for place, module in enumerate(order):
        names = set().union(*map(imported, FILES[module])) - {f"helpers.{module}"}
        ours = {name.removeprefix("helpers.") for name in names} & set(FILES)
        assert ours <= set(order[:place]), module


def test_helpers_need_no_script():
    scripts = {path.stem for path in (ROOT / "scripts").rglob("*.py")} | {"scripts"}
    for path in (ROOT / "helpers").rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & scripts, path


def test_the_package_is_whole():
    """What `pip install .` would install is every module of ours."""
    folders = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "helpers").rglob("*.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders


def test_a_copy_without_sample_data_dehazes_with_a_file(tmp_path):
    """What `pip install .` leaves: the package alone, wherever it is started."""
    shutil.copytree(ROOT / "helpers", tmp_path / "helpers")
    weights = env.SAMPLE_DATA / "weights" / "pix2pix" / "generator.safetensors"
    code = f"""
import numpy as np
from helpers import env, weights
from helpers.inference import dehaze
env.setup()
generator = weights.load_generator({str(weights)!r})
print(dehaze(generator, np.full((64, 80, 3), 0.5, "float32")).shape)
try:
    weights.find_weights("pix2pix")
except weights.WeightsError as error:
    print(error)
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "DEHAZE_RUNS": str(tmp_path / "runs")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *_, shape, sentence = done.stdout.splitlines()
    assert shape == "(64, 80, 3)"
    assert "sample_data" in sentence and "no such weights; " in sentence


# --- the repository's address -------------------------------------------------------------------


def test_address_is_the_same_everywhere():
    assert stamp_repository.stamp(write=False) == [], "run scripts/maintain/stamp_repository.py"


# --- what is committed --------------------------------------------------------------------------


def test_no_path_or_package_host_of_the_authors_machine():
    # Assembled, so that this file holds none of them itself.
    words = ["/ro" + r"ot/", "/ho" + r"me/\w", "/Us" + r"ers/\w", "/wo" + "rk/", "/opt/py" + "pi",
             "index" + "-url", "find" + "-links", "python" + r"hosted\.org", "trusted" + "-host"]
    forbidden, found = re.compile("|".join(words)), []
    for path in tracked_files():
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # photographs, weights
        if path.suffix == ".ipynb":
            text = re.sub(r'base64,[\w+/=]+|"image/\w+": "[^"]+"', "", text)
        found += [f"{path.relative_to(ROOT)}: {word}" for word in forbidden.findall(text)]
    assert found == []


# --- the commands -------------------------------------------------------------------------------


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


def make(folder, *arguments, path=None):
    environment = os.environ | ({"PATH": path} if path else {})
    return subprocess.run([shutil.which("make"), *arguments], cwd=folder, capture_output=True,
                          text=True, env=environment, check=False)


@pytest.fixture
def bare_project(tmp_path):
    """A project where nothing is installed, and a PATH without any Python."""
    for name in ("Makefile", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "head", "rm"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


@needs_make
def test_a_python_too_old_gets_one_sentence(bare_project):
    old = bare_project / "bin" / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.2" || exit 1\n')
    old.chmod(0o755)
    result = make(bare_project, "-s", "lab", path=str(bare_project / "bin"))
    assert result.returncode
    lines = [line for line in result.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert "3.11, 3.12 or 3.13" in lines[0] and "Python 3.9.2" in lines[0]


@needs_make
def test_clean_keeps_runs(bare_project):
    for name in ("runs/pix2pix-001/x", "build/x", "helpers/__pycache__/x", ".venv/x",
                 ".venv-oldest/lib/__pycache__/x"):
        (bare_project / name).parent.mkdir(parents=True, exist_ok=True)
        (bare_project / name).touch()
    assert make(bare_project, "clean").returncode == 0
    kept = {p.relative_to(bare_project).as_posix() for p in bare_project.rglob("x")}
    assert kept == {"runs/pix2pix-001/x", ".venv/x", ".venv-oldest/lib/__pycache__/x"}


SCRIPTS = [path for path in sorted((ROOT / "scripts").rglob("*.py"))
           if "__main__" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_says_what_it_does(path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [path.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert not ended.value.code
    assert "usage: " + path.name in capsys.readouterr().out


def write_notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def run_script(folder, *arguments):
    script = ROOT / "scripts" / "maintain" / "run_notebooks.py"
    command = [sys.executable, script, "--runs", folder / "runs", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_running_a_notebook(tmp_path):
    path = write_notebook(
        tmp_path / "good.ipynb", "import ipywidgets, sys, os\nprint(sys.prefix)",
        "print(os.environ['DEHAZE_RUNS'])", "ipywidgets.IntSlider()",
    )
    result = run_script(tmp_path, "--into", tmp_path / "out", path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.match(r"good\.ipynb +[\d.]+ s\n", result.stdout)
    notebook = nbformat.read(tmp_path / "out" / "good.ipynb", 4)
    prefix, runs, slider = (cell.outputs[0] for cell in notebook.cells)
    assert prefix.text.strip() == sys.prefix
    assert runs.text.strip() == str((tmp_path / "runs").resolve())
    assert list(slider.data) == ["text/plain"]
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.language_info == run_notebooks.LANGUAGE
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3]
    assert nbformat.read(path, 4).cells[0].execution_count is None, "the original is left alone"


@pytest.mark.parametrize(("source", "message"), [
    ("1 / 0", "cell 'cell-1': ZeroDivisionError: division by zero"),
    ("import sys; print('loud', file=sys.stderr)", "cell 'cell-1' wrote to stderr: loud"),
])
def test_a_notebook_that_fails(tmp_path, source, message):
    path = write_notebook(tmp_path / "bad.ipynb", "1 + 1", source)
    before = path.read_bytes()
    result = run_script(tmp_path, "--in-place", path)
    assert result.returncode == 1
    assert message in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert path.read_bytes() == before


def test_nothing_large_but_the_weights_within_their_caps():
    """In bytes: 20 MB for the improved network, 14 MB for each two small ones together."""
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in tracked_files()}
    weights = {name.split("/")[-2]: size for name, size in sizes.items()
               if name.endswith("/generator.safetensors")}
    assert weights.pop("improved") <= 20e6
    assert weights.pop("pix2pix") + weights.pop("l1-only") <= 14e6
    assert weights.pop("fog-pix2pix") + weights.pop("fog-l1") <= 14e6 and not weights
    assert [name for name, size in sizes.items()
            if size > 1.5e6 and not name.endswith("/generator.safetensors")] == []
    assert sum(sizes.values()) <= 85e6, "the whole checkout"
