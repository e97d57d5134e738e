"""The mirror rule: what a notebook teaches is what `helpers` runs. Docstrings aside, the two
syntax trees are equal, so neither copy can drift.
"""

import ast
import copy
import functools
from pathlib import Path

import nbformat
import pytest
import run_notebooks

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 30
MANIFEST = {  # function: (notebook, module of helpers)
    "transmission": ("01", "haze"),
    "add_haze": ("01", "haze"),
    "dark_channel": ("01", "haze"),
    "estimate_airlight": ("01", "haze"),
    "guided_lines": ("01", "haze"),
    "guided_filter": ("01", "haze"),
    "dark_channel_prior": ("01", "haze"),
    "paired_jitter": ("02", "data"),
    "epoch_order": ("02", "data"),
    "keep": ("02", "data"),
    "places": ("02", "data"),
    "training_batches": ("02", "data"),
    "normal": ("04", "models"),
    "encoder_block": ("04", "models"),
    "decoder_block": ("04", "models"),
    "unet": ("04", "models"),
    "patchgan": ("04", "models"),
    "receptive_field": ("04", "models"),
    "cross_entropy": ("05", "losses"),
    "discriminator_loss": ("05", "losses"),
    "adversarial_loss": ("05", "losses"),
    "l1_loss": ("05", "losses"),
    "update": ("05", "training"),
    "pix2pix_step": ("05", "training"),
    "l1_step": ("05", "training"),
    "train": ("05", "training"),
    "compile_step": ("05", "training"),
    "fit": ("05", "training"),
    "psnr": ("07", "metrics"),
    "sharpness": ("07", "metrics"),
    "plain_encoder_block": ("08", "models"),
    "resize_block": ("08", "models"),
    "residual_block": ("08", "models"),
    "physics_head": ("08", "models"),
    "physics_efficientnet": ("08", "models"),
    "ssim_loss": ("08", "losses"),
    "restrengthen": ("08", "synthesis"),
    "distribute_batches": ("09", "training"),
    "serving_model": ("09", "export"),
    "call_saved_model": ("09", "export"),
    "call_litert": ("09", "export"),
}


@functools.cache
def tree_of(path):
    """Syntax tree of a module, or of all code cells of a notebook."""
    if path.suffix == ".py":
        return ast.parse(path.read_text(encoding="utf-8"))
    cells = [c.source for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
    lines = [line for cell in cells for line in cell.split("\n")]
    return ast.parse("\n".join("pass" if line.startswith(("%", "!")) else line for line in lines))


def function(path, name):
    """The one function of that name without its docstring, and the number of its lines."""
    found = [n for n in tree_of(path).body if isinstance(n, ast.FunctionDef) and n.name == name]
    assert len(found) == 1, f"{path.name} defines {name} {len(found)} times"
    node, lines = copy.deepcopy(found[0]), found[0].end_lineno - found[0].lineno + 1
    if ast.get_docstring(node) is not None:
        lines -= node.body[0].end_lineno - node.body[0].lineno + 1
        del node.body[0]
    return node, lines


def assigned_names(path):
    """Every name that a notebook binds at its top level other than by an import."""
    names = []
    for node in tree_of(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            names += [n.id for n in ast.walk(node)
                      if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return names


@pytest.mark.parametrize("name", MANIFEST)
def test_notebook_and_helpers_agree(name):
    number, module = MANIFEST[name]
    (notebook,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    taught, taught_lines = function(notebook, name)
    used, used_lines = function(ROOT / "helpers" / f"{module}.py", name)
    assert ast.unparse(taught) == ast.unparse(used)
    assert max(taught_lines, used_lines) <= LONGEST


@pytest.mark.parametrize("path", run_notebooks.all_notebooks(),
                         ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_mirrored_names_are_not_redefined(path):
    number = path.stem[:2] if path.parent.name == "notebooks" else None
    for name in MANIFEST:
        times = assigned_names(path).count(name)
        assert times == (MANIFEST[name][0] == number), f"{name} is bound {times} times"
