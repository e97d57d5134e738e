"""helpers.env: versions, quiet imports, the profile, names, the runs folder, and the setup cell."""

import json
import os
import shutil
import subprocess
import sys
import types
from importlib import metadata

import pytest
import stamp_repository
from packaging.requirements import Requirement

from helpers import env

REQUIRED = [Requirement("tensorflow>=2.20,<2.22"), Requirement("jupyterlab>=4.2,<5")]


def problems(python=(3, 11, 4), **versions):
    def installed(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    return env.problems(REQUIRED, installed, python)


@pytest.mark.parametrize("version, said", [
    ("2.20.0", None), ("2.21.0rc1", None),
    ("2.9.1", "is too old: pip install 'tensorflow<2.22,>=2.20'"),
    ("2.100", "is newer than tested: if it fails, pip install 'tensorflow<2.22,>=2.20'"),
    (None, "is missing: pip install 'tensorflow<2.22,>=2.20'"),
])
def test_versions(version, said):
    found = problems(jupyterlab="4.3", **({"tensorflow": version} if version else {}))
    assert len(found) == bool(said) and (not said or said in found[0])
    assert all(p.startswith("tensorflow") for p in found)


def test_jupyterlab_is_needed_except_in_colab(monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    (problem,) = problems(tensorflow="2.21")
    assert problem == "jupyterlab is missing: pip install 'jupyterlab<5,>=4.2'"
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    assert problems(tensorflow="2.21") == []


def test_python_itself():
    found = problems((3, 10, 9), tensorflow="2.21", jupyterlab="4.3")
    assert found == ["Python 3.10 is too old: install 3.11 to 3.13."]


def test_requirements_that_were_not_installed_along(tmp_path):
    assert env.required_versions(tmp_path / "requirements.txt") == []
    assert env.problems() == [], "this environment has what the notebooks need"


def test_quiet_stderr_swallows_restores_and_shows_what_led_to_an_error(capfd):
    # os.write stands for libraries that write past sys.stderr.
    with env.quiet_stderr():
        os.write(2, b"chatter of a library\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"
    with pytest.raises(ImportError, match="boom"), env.quiet_stderr():
        os.write(2, b"libfoo.so not found\n")
        raise ImportError("boom")
    assert capfd.readouterr().err == "libfoo.so not found\n"


def run(code, folder=env.ROOT, **variables):
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(env.ROOT)} | variables, timeout=120)


@pytest.mark.skipif(os.name == "nt", reason="closes descriptors by their numbers")
def test_closed_streams(tmp_path):
    """A checkpoint that is opened next must not become the place of error messages."""
    code = ("import os; os.close(1); os.close(2)\nimport sys; sys.stdout = sys.stderr = None\n"
            "from helpers import env; env.safe_streams()\n"
            f"file = open({str(tmp_path / 'checkpoint')!r}, 'w')\n"
            "print('x'); print('y', file=sys.stderr); os.write(2, b'noise'); file.flush()\n"
            "assert file.fileno() > 2")
    assert run(code).returncode == 0
    assert (tmp_path / "checkpoint").read_text() == ""


# Another backend, and other settings of Keras.


@pytest.mark.parametrize("variable, settings, said", [
    ("torch", {}, "backend torch, and this course trains with TensorFlow: unset KERAS_BACKEND"),
    (None, {"backend": "tensorflow", "image_data_format": "channels_first"}, "channels_first"),
], ids=["torch", "channels-first"])
def test_settings_of_keras_are_named(tmp_path, variable, settings, said):
    """Neither the weights file nor a stack of frames is the answer."""
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    variables = {"KERAS_HOME": str(tmp_path)} | ({"KERAS_BACKEND": variable} if variable else {})
    done = run("from helpers import env; env.setup()", **variables)
    assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1


# The machine.


@pytest.mark.parametrize("flags, expected", [
    ("flags : fma avx512_bf16 amx_tile", True), ("flags : fma avx512f", False), (None, False),
], ids=["avx512", "without", "no-cpuinfo"])
def test_has_bfloat16(monkeypatch, flags, expected):
    def read_text(self):
        if flags is None:
            raise FileNotFoundError(self)
        return flags

    monkeypatch.setattr(env.Path, "read_text", read_text)
    assert env.has_bfloat16() is expected


@pytest.mark.parametrize("capability, bfloat16, expected", [
    (None, True, ("CPU with bfloat16", 16, "mixed_bfloat16")),
    (None, False, ("CPU", 16, "float32")),
    ((7, 5), True, ("GPU", 64, "float32")),
    ((8, 0), False, ("GPU with bfloat16", 64, "mixed_bfloat16")),
], ids=["cpu-bfloat16", "cpu", "t4", "a100"])
def test_profile(monkeypatch, capability, bfloat16, expected):
    tf = env.import_tensorflow()
    monkeypatch.setattr(env, "import_tensorflow", lambda: tf)
    monkeypatch.setattr(env, "has_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capability and ["GPU:0"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details",
                        lambda gpu: {"compute_capability": capability})
    found = env.profile()
    assert (found.name, found.width, found.precision) == expected
    monkeypatch.setenv("DEHAZE_STEPS", "40")
    assert env.profile().steps == 40
    for wrong in ("0", "-1", "many", "9" * 5000):
        monkeypatch.setenv("DEHAZE_STEPS", wrong)
        with pytest.raises(SystemExit, match=r"^DEHAZE_STEPS=\S+: set it to a number of steps"):
            env.profile()


# Places.

@pytest.mark.parametrize("value, expected", [
    (None, "project/runs"), ("", "project/runs"), ("mine", "project/mine"),
    ("~/mine", "home/mine"), ("{}/elsewhere", "elsewhere"),
])
def test_runs_folder(tmp_path, monkeypatch, value, expected):
    """Wherever it is asked for; and asking makes no folder, for the disk may be read-only."""
    monkeypatch.setattr(env, "ROOT", tmp_path / "project")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.delenv("DEHAZE_RUNS", raising=False)
    if value is not None:
        monkeypatch.setenv("DEHAZE_RUNS", value.format(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert env.runs_folder() == tmp_path / expected and not list(tmp_path.iterdir())


def test_runs_folder_on_drive(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "google.colab", None)
    with pytest.raises(RuntimeError, match="for Colab; set DEHAZE_RUNS"):
        env.runs_folder(drive=True)
    mounted = []
    colab = types.SimpleNamespace(drive=types.SimpleNamespace(mount=mounted.append))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setenv("DEHAZE_RUNS", str(tmp_path))
    folder = env.runs_folder(drive=True)
    assert mounted == ["/content/drive"] and folder.is_relative_to("/content/drive/MyDrive")
    assert env.runs_folder() == folder, "and it stays there"


# The setup cell of the notebooks, run as a reader would meet it.


@pytest.fixture(scope="module")
def setup_source():
    notebook = env.ROOT / "notebooks" / "02_data_loading.ipynb"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return next("".join(c["source"]) for c in cells if c.get("id") == "setup")


def run_setup(source, folder, before=""):
    """In a Python that has not installed the project: it must find it by itself."""
    hide = ("import sys\nsys.meta_path = [f for f in sys.meta_path "
            "if 'editable' not in str(getattr(f, '__name__', f)).lower()]\n"
            f"sys.path = [p for p in sys.path if p != {str(env.ROOT)!r}]\n")
    return run(hide + before + source + "\nprint('root', root)", folder, PYTHONPATH="")


def test_setup_cell_outside_the_project_is_one_sentence(setup_source, tmp_path):
    done = run_setup(setup_source, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "helpers" in line and "Jupyter" in line


def test_setup_cell_prints_one_line_wherever_runs_go(setup_source, tmp_path, monkeypatch):
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv("DEHAZE_RUNS", str(tmp_path / "a-file" / "runs"))
    done = run_setup(setup_source, env.ROOT / "notebooks")
    assert done.returncode == 0, done.stderr
    line, root = done.stdout.splitlines()
    assert line.startswith("Python 3.") and ", TensorFlow 2." in line and line.endswith(" cores")
    assert root == f"root {env.ROOT}"
    assert done.stderr == "", "TensorFlow's start-up lines are to be hidden"


def test_setup_cell_looks_above(setup_source, tmp_path):
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "env.py").write_text("def setup():\n    print('a line')\n")
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    done = run_setup(setup_source, tmp_path / "notebooks" / "solutions")
    assert done.stdout == f"a line\nroot {tmp_path}\n", done.stderr


# In Colab: an empty folder, no project on the path, a clone.

COLAB = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')\n"
INSTALLED = """
from importlib import metadata
print('installed', sorted((d.name, d.version) for d in metadata.distributions()))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A git repository of the project as it lies here, changes included, with a later commit."""
    folder = tmp_path_factory.mktemp("source") / "pix2pix-dehazing"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if not shutil.which("git"):
        pytest.skip("no git")
    done = subprocess.run(listed, cwd=env.ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, done.stdout.split("\0")):
        wanted = name.split("/")[0] in ("helpers", "requirements.txt") or "taj-mahal" in name
        if wanted and (env.ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(env.ROOT / name, folder / name)
    me = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    tag = stamp_repository.version()
    for command in (["init", "-q"], ["add", "-A"], [*me, "commit", "-qm", "x"], ["tag", tag],
                    ["rm", "-qr", "sample_data"], [*me, "commit", "-qm", "later"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def in_colab(setup_source, repository, folder, monkeypatch):
    monkeypatch.delenv("DEHAZE_RUNS", raising=False)
    line = next(x for x in setup_source.splitlines() if x.startswith("REPOSITORY = "))
    changed = setup_source.replace(line, f"REPOSITORY = {repository!r}")
    return run_setup(changed + INSTALLED, folder, INSTALLED + COLAB)


def test_setup_cell_in_colab_clones_and_installs_nothing(setup_source, source, tmp_path,
                                                         monkeypatch):
    done = in_colab(setup_source, source.as_uri(), tmp_path, monkeypatch)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "pix2pix-dehazing"
    assert done.stdout.splitlines()[-1] == f"root {root}"
    assert (root / "sample_data" / "test" / "clear" / "taj-mahal.jpg").exists()
    before, after = (x for x in done.stdout.splitlines() if x.startswith("installed"))
    assert before == after and "tensorflow" in before
    stamp = (root / ".git").stat().st_mtime_ns
    again = in_colab(setup_source, (tmp_path / "gone" / root.name).as_uri(), tmp_path, monkeypatch)
    assert again.returncode == 0, "the second time nothing is cloned"
    assert (root / ".git").stat().st_mtime_ns == stamp


def test_setup_cell_in_colab_without_network_is_one_sentence(setup_source, tmp_path, monkeypatch):
    address = (tmp_path / "nowhere" / "pix2pix-dehazing").as_uri()
    done = in_colab(setup_source, address, tmp_path, monkeypatch)
    assert done.returncode == 1 and not (tmp_path / "pix2pix-dehazing").exists()
    (line,) = done.stderr.splitlines()
    tag = stamp_repository.version()
    assert line == (f"Cannot clone {tag} of {address}: check the network, or upload the project.")
