"""What nbval does not see: a stripped notebook passes it while comparing nothing."""

import functools
import re
import tomllib
from pathlib import Path

import nbformat
import pytest
import run_notebooks
import stamp_repository

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
PATHS = run_notebooks.all_notebooks()
REASONS = ("setup", "timing", "trained", "panel", "picture")
NEEDED = (r"\*\*(Goal|The question)\.\*\*", r"\*\*You will learn\*\*", r"\*\*You need\*\*",
          r"\*\*Time\*\*", "## Summary", "## Exercises")
LINK = re.compile(r"(?<!`)\]\(([^)\s]+)\)")
# Assembled, so that this file holds no such path itself.
MACHINE = re.compile("|".join(["/ro" + r"ot\b/?", "/ho" + r"me/\w", "/Us" + r"ers/\w",
                               r"[A-Z]:\\+Us" + "ers", "ipykernel" + r"_\d"]))


def name(path):
    return path.relative_to(FOLDER).with_suffix("").as_posix()


every = pytest.mark.parametrize("path", PATHS, ids=name)
lessons = pytest.mark.parametrize("path", [p for p in PATHS if p.parent == FOLDER], ids=name)


@functools.cache
def read(path):
    return nbformat.read(path, 4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def outputs(path):
    return [(cell.id, output) for cell in code_cells(path) for output in cell.outputs]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def prose(path):
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def test_every_lesson_has_its_solutions():
    names = [name(p) for p in PATHS]
    assert names, "no notebooks"
    lessons = [n for n in names if "/" not in n]
    assert names == lessons + [f"solutions/{n}" for n in lessons]


@every
def test_was_executed_top_to_bottom(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@every
def test_stderr_is_empty(path):
    loud = [cell for cell, output in outputs(path) if output.get("name") == "stderr"]
    assert not loud, "run these cells, see what they write, mend it"


@every
def test_errors_are_meant(path):
    failed = [c.id for c in code_cells(path) if "raises-exception" not in tags(c)
              and any(o.output_type == "error" for o in c.outputs)]
    assert not failed


@every
def test_no_widget_state(path):
    """GitHub calls a notebook invalid that has ``metadata.widgets`` without ``state``."""
    assert "widgets" not in read(path).metadata
    views = [cell for cell, output in outputs(path)
             if run_notebooks.WIDGET_VIEW in output.get("data", {})]
    assert not views, "make notebooks strips them"


@every
def test_metadata_and_size(path):
    """``jupyter nbconvert --to script`` takes the ending .py from the metadata."""
    metadata = read(path).metadata
    assert metadata == {"kernelspec": run_notebooks.KERNELSPEC,
                        "language_info": run_notebooks.LANGUAGE}
    assert path.stat().st_size <= 1.5e6


@every
def test_no_path_of_the_authors_machine(path):
    text = re.sub(r"base64,[\w+/=]+", "", path.read_text(encoding="utf-8"))
    text = re.sub(r'"image/\w+": "[^"]+"', "", text)
    assert MACHINE.findall(text) == []
    assert f"{ROOT}/" not in text


@every
def test_no_placeholders(path):
    cells = read(path).cells
    assert [(c.id, m) for c in cells for m in re.findall(r"@@\w+@@", c.source)] == []


@every
def test_relative_links_resolve(path):
    broken = [link for link in LINK.findall(prose(path)) if not link.startswith(("http", "#"))
              and not (path.parent / link.split("#")[0]).exists()]
    assert broken == []


@every
def test_figures_have_alternative_text(path):
    """An image shown without a description leaves ``<Figure …>`` as its text."""
    bare = [cell for cell, output in outputs(path)
            if any(kind.startswith("image/") for kind in output.get("data", {}))
            and (not output.data.get("text/plain") or output.data["text/plain"].startswith("<"))]
    assert bare == []


@lessons
def test_sections(path):
    text = prose(path)
    assert [part for part in NEEDED if not re.search(part, text)] == []
    assert re.match(r"# \d\d · \S", text), "a lesson begins with its number and title"
    assert f"solutions/{path.name}" in text


@lessons
def test_badge_and_map(path):
    address = stamp_repository.repository().removeprefix(stamp_repository.GITHUB)
    target = f"https://colab.research.google.com/github/{address}/blob/{stamp_repository.version()}/notebooks/{path.name}"
    assert f"colab-badge.svg)]({target})" in read(path).cells[0].source
    assert f'viz.course_map("{path.name[:2]}")' in code_cells(path)[1].source


@every
def test_solutions_lead_back(path):
    if path.parent != FOLDER:
        assert f"../{path.name}" in prose(path)


def test_setup_cells_are_the_same():
    firsts = {name(p): code_cells(p)[0] for p in PATHS}
    assert {cell.id for cell in firsts.values()} == {"setup"}
    assert len({cell.source for cell in firsts.values()}) == 1, "setup cells differ"


def test_ignored_cells_are_the_allowed_ones():
    allowed = tomllib.loads((ROOT / "tests" / "ignored_cells.toml").read_text(encoding="utf-8"))
    shortened = allowed.pop("shortened")
    for notebook, reasons in shortened.items():
        assert set(reasons) <= {c.id for c in code_cells(FOLDER / f"{notebook}.ipynb")}
    for reasons in [*allowed.values(), *shortened.values()]:
        assert all(reason.startswith(REASONS) for reason in reasons.values())
    ignored = {
        name(p): {c.id for c in code_cells(p) if "nbval-ignore-output" in tags(c)} for p in PATHS
    }
    assert ignored == {notebook: set(reasons) for notebook, reasons in allowed.items()}


@every
def test_nbval_skips_nothing(path):
    cells = code_cells(path)
    assert [c.id for c in cells if "nbval-skip" in tags(c)] == []
    marks = re.compile(r"#\s*(NBVAL|PYTEST_VALIDATE)_")  # comments that nbval obeys too
    assert [c.id for c in cells if marks.search(c.source)] == []
