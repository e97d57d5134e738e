"""The project's own files agree with each other."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import stamp_repository

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


def requirement_names():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split("\n")
    return [re.match(r"[\w-]+", line).group() for line in lines if line and line[0] != "#"]


# --- dependencies -------------------------------------------------------------------------------


def test_every_requirement_has_a_floor_and_a_ceiling():
    """The setup cell reads them; a line that it cannot read would be left out unseen."""
    assert [name for name, _, _ in env.required_versions()] == requirement_names()


def test_conda_environment_takes_and_explains_the_requirements():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "\n  - pip:\n" in text
    assert text.rstrip().endswith("- -r requirements.txt")
    assert re.findall(r"(?m)^ +# ([\w-]+) {2,}\S", text) == requirement_names()


def test_supported_pythons_agree():
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert env.OLDEST_PYTHON == (3, 11)
    assert "- python=3.12\n" in (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in (ROOT / "Makefile").read_text()


def test_pyproject_takes_the_requirements():
    assert PROJECT["project"]["dynamic"] == ["dependencies"]
    dynamic = PROJECT["tool"]["setuptools"]["dynamic"]
    assert dynamic["dependencies"]["file"] == ["requirements.txt"]


def test_citation_agrees():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {PROJECT['project']['version']}\n" in text
    assert f"license: {PROJECT['project']['license']}\n" in text


# --- the repository's address -------------------------------------------------------------------


def test_address_is_the_same_everywhere():
    assert stamp_repository.stamp(write=False) == [], "run: make stamp"


def test_stamping_a_new_address(tmp_path):
    for path in [ROOT / "pyproject.toml", *stamp_repository.files()]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    old = stamp_repository.repository()
    project = (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        project.replace(old, "https://github.com/someone.else/a-fork"), encoding="utf-8"
    )
    assert len(stamp_repository.stamp(tmp_path)) == len(stamp_repository.files(tmp_path))
    assert stamp_repository.stamp(tmp_path) == []
    left = old.removeprefix(stamp_repository.GITHUB)
    assert [p for p in stamp_repository.files(tmp_path) if left in p.read_text("utf-8")] == []


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


def make(folder, *arguments, path=None):
    environment = os.environ | ({"PATH": path} if path else {})
    return subprocess.run([shutil.which("make"), *arguments], cwd=folder, capture_output=True,
                          text=True, env=environment, check=False)


@pytest.fixture
def bare_project(tmp_path):
    """A project where nothing is installed, and a PATH without any Python."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "head", "rm"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    return tmp_path


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_a_python_too_old_gets_one_sentence(bare_project):
    old = bare_project / "bin" / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "Python 3.9.2" || exit 1\n')
    old.chmod(0o755)
    result = make(bare_project, "-s", "lab", path=str(bare_project / "bin"))
    assert result.returncode
    lines = [line for line in result.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert "3.11, 3.12 or 3.13" in lines[0] and "Python 3.9.2" in lines[0]


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_clean_keeps_runs(bare_project):
    for name in ("runs/pix2pix-001/x", "build/x", "helpers/__pycache__/x", ".venv/x",
                 ".venv-colab/lib/__pycache__/x"):
        (bare_project / name).parent.mkdir(parents=True, exist_ok=True)
        (bare_project / name).touch()
    assert make(bare_project, "clean").returncode == 0
    kept = {p.relative_to(bare_project).as_posix() for p in bare_project.rglob("x")}
    assert kept == {"runs/pix2pix-001/x", ".venv/x", ".venv-colab/lib/__pycache__/x"}


def write_notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def run_script(folder, *arguments):
    script = ROOT / "scripts" / "run_notebooks.py"
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
    """In bytes: 20 MB for the improved network, 14 MB for the two small ones together."""
    sizes = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in tracked_files()}
    weights = {name: size for name, size in sizes.items() if name.endswith(".safetensors")}
    improved = weights.pop("sample_data/weights/improved/generator.safetensors")
    assert improved <= 20e6 and sum(weights.values()) <= 14e6 and len(weights) == 2
    frames = [size for name, size in sizes.items() if "/pix2pix/frames/" in name]
    assert 0 < sum(frames) < 3e6
    assert [name for name, size in sizes.items()
            if size > 1.5e6 and not name.endswith(".safetensors")] == []
