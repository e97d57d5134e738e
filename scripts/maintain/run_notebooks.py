"""Execute the notebooks in order, headless, each in a fresh kernel of this very Python.

    python scripts/maintain/run_notebooks.py --into build/notebooks     (make run)
    python scripts/maintain/run_notebooks.py --in-place                 (make notebooks)

All notebooks of one call share one fresh folder of training runs under build/, so that 04 finds
what 03 trained, and the reader's own runs/ is left alone.
"""

import argparse
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parents[2]
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
# What JupyterLab writes, but for the version: nbconvert takes the ending of a script from it.
LANGUAGE = {
    "codemirror_mode": {"name": "ipython", "version": 3}, "file_extension": ".py",
    "mimetype": "text/x-python", "name": "python", "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}


class NotebookError(Exception):
    """A notebook failed; the message names the cell and the error."""


def all_notebooks():
    """The numbered notebooks in order, then the solutions."""
    folder = ROOT / "notebooks"
    return sorted(folder.glob("[0-9]*.ipynb")) + sorted(folder.glob("solutions/*.ipynb"))


def tidy(notebook):
    """Remove what cannot be shown without a kernel, and what differs from run to run.

    Widget state and widget views go (``text/plain`` stays, which keeps nbval content), and so do
    execution times and the details of this machine's Python.
    """
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": LANGUAGE})
    for cell in notebook.cells:
        for key in ("execution", "collapsed", "scrolled", "trusted"):
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
            output.get("metadata", {}).pop(WIDGET_VIEW, None)


def check(notebook):
    """Raise :class:`NotebookError` if a cell wrote to stderr."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                first = output.text.strip().split("\n")[0]
                raise NotebookError(f"cell {cell.id!r} wrote to stderr: {first}")


def execute(notebook, folder, timeout):
    """Execute every cell in ``folder``; raises :class:`NotebookError` at the first that fails."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", record_timing=False,
        store_widget_state=False, coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # progress lines, no start-up warnings
    )
    try:
        client.execute()
    except CellExecutionError as error:
        failed = [c for c in notebook.cells if any(
            o.output_type == "error" for o in c.get("outputs", [])
        )][-1]
        value = error.evalue.strip().split("\n")[0][:300]
        raise NotebookError(f"cell {failed.id!r}: {error.ename}: {value}") from None
    except CellTimeoutError:
        raise NotebookError(f"a cell took longer than {timeout} s") from None
    except DeadKernelError:
        raise NotebookError("the kernel died (out of memory?)") from None


def save(notebook, path):
    """Write a notebook so that an interruption leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    nbformat.write(notebook, part)
    os.replace(part, path)


def run(path, target, timeout):
    """Execute one notebook and write it to ``target``, in place only if nothing failed."""
    notebook = nbformat.read(path, 4)
    try:
        execute(notebook, path.parent, timeout)
        tidy(notebook)
        check(notebook)
    except NotebookError:
        if target != path:
            tidy(notebook)
            save(notebook, target)  # to look at
        raise
    save(notebook, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--in-place", action="store_true", help="write the committed notebooks")
    where.add_argument("--into", type=Path, help="folder to write the executed notebooks to")
    parser.add_argument("--runs", type=Path, help="folder for training runs; emptied first")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds for a cell")
    parser.add_argument("notebooks", nargs="*", type=Path, help="by default all, in order")
    options = parser.parse_args()

    default = ROOT / "build" / "runs" / ("notebooks" if options.in_place else "run")
    runs = (options.runs or default).resolve()
    shutil.rmtree(runs, ignore_errors=True)
    runs.mkdir(parents=True)
    os.environ["DEHAZE_RUNS"] = str(runs)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel of this Python, not the user's own

    paths = [p.resolve() for p in options.notebooks] or all_notebooks()
    begin = time.monotonic()
    for path in paths:
        name = path.relative_to(ROOT / "notebooks") if ROOT in path.parents else Path(path.name)
        target = path if options.in_place else (options.into / name).resolve()
        print(f"{str(name):46}", end="", flush=True)
        start = time.monotonic()
        try:
            run(path, target, options.timeout)
        except NotebookError as error:
            message = re.sub(r"\x1b\[[\d;]*m", "", str(error))
            print(f"failed after {time.monotonic() - start:.0f} s: {message}", flush=True)
            return 1
        print(f"{time.monotonic() - start:6.1f} s", flush=True)
    print(f"{len(paths)} notebooks in {(time.monotonic() - begin) / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
