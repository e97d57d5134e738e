"""helpers.env: the environment table, quiet imports, where runs are written, and the setup cell."""

import json
import math
import shutil
import subprocess
import sys
import types
from importlib import metadata

import pytest

from helpers import env

REQUIRED = [("tensorflow", "2.20", "2.22"), ("jupyterlab", "4.2", "5")]


def fake(**versions):
    def installed(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    return installed


def verdicts(python=(3, 11, 4), **versions):
    rows = env.environment_rows(REQUIRED, fake(**versions), python)
    return {name: (version, verdict) for name, version, verdict in rows}


def test_every_requirement_is_read():
    lines = (env.ROOT / "requirements.txt").read_text().splitlines()
    lines = [line for line in lines if line and not line.startswith("#")]
    assert [f"{n}>={a},<{b}" for n, a, b in env.required_versions()] == lines


def test_required_versions_skips_comments(tmp_path):
    (tmp_path / "r.txt").write_text("# why\n\nnumpy>=2.0,<3\nscikit-image>=0.25,<0.27\n")
    found = env.required_versions(tmp_path / "r.txt")
    assert found == [("numpy", "2.0", "3"), ("scikit-image", "0.25", "0.27")]


@pytest.mark.parametrize("version", ["2.20", "2.20.0", "2.21.0", "2.21.3", "2.21.0rc1"])
def test_a_version_within_the_bounds_is_ok(version):
    assert verdicts(tensorflow=version)["tensorflow"] == (version, "OK")


@pytest.mark.parametrize("version", ["2.9.1", "2.19.1", "1.99"])
def test_too_old_says_how_to_upgrade(version):
    verdict = verdicts(tensorflow=version)["tensorflow"][1]
    assert verdict == "too old: pip install 'tensorflow>=2.20'"


@pytest.mark.parametrize("version", ["2.22", "2.22.0", "3.0", "2.100"])
def test_newer_than_tested_is_not_forbidden(version):
    verdict = verdicts(tensorflow=version)["tensorflow"][1]
    assert verdict.startswith("newer than tested (below 2.22)")


def test_a_short_version_equals_its_long_form():
    rows = env.environment_rows([("x", "2.0.0", "3.0.0")], fake(x="2"), (3, 11, 0))
    assert rows[1] == ("x", "2", "OK")
    rows = env.environment_rows([("x", "2.0.0", "3.0.0")], fake(x="3"), (3, 11, 0))
    assert rows[1][2].startswith("newer")


def test_missing_says_how_to_install():
    assert verdicts()["tensorflow"] == ("missing", "run: pip install 'tensorflow>=2.20'")


def test_jupyterlab_is_needed_except_in_colab(monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    assert verdicts()["jupyterlab"][1].startswith("run: pip install")
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    assert verdicts()["jupyterlab"] == ("missing", "OK")
    assert verdicts()["tensorflow"][1] != "OK"


@pytest.mark.parametrize(
    "python, ok", [((3, 10, 9), False), ((2, 7, 18), False), ((3, 11, 0), True), ((3, 13, 1), True)]
)
def test_python_itself(python, ok):
    version, verdict = verdicts(python)["Python"]
    assert version == ".".join(map(str, python))
    assert (verdict == "OK") is ok
    assert ok or "3.11" in verdict


def test_this_environment_is_fit():
    assert {row[2] for row in env.environment_rows()} == {"OK"}


def write_to_fd_2(text):
    # An own process' libraries write past sys.stderr; os.write stands for them.
    import os

    os.write(2, text)


def test_quiet_stderr_swallows_and_restores(capfd):
    with env.quiet_stderr():
        write_to_fd_2(b"chatter of a library\n")
    write_to_fd_2(b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_quiet_stderr_shows_what_was_said_before_an_error(capfd):
    with pytest.raises(ImportError, match="boom"), env.quiet_stderr():
        write_to_fd_2(b"libfoo.so not found\n")
        raise ImportError("boom")
    write_to_fd_2(b"afterwards\n")
    assert capfd.readouterr().err == "libfoo.so not found\nafterwards\n"


def test_runs_folder_follows_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("DEHAZE_RUNS", str(tmp_path / "a" / "b"))
    assert env.runs_folder() == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_runs_folder_is_beside_the_notebooks_by_default(tmp_path, monkeypatch, value):
    monkeypatch.setattr(env, "ROOT", tmp_path)
    monkeypatch.delenv("DEHAZE_RUNS", raising=False)
    if value is not None:
        monkeypatch.setenv("DEHAZE_RUNS", value)
    assert env.runs_folder() == tmp_path / "runs"


@pytest.mark.parametrize(
    "flags, expected",
    [
        ("flags : fma avx512_bf16 amx_tile", True),
        ("flags : fma amx_bf16", True),
        ("flags : fma avx512f", False),
        ("flags : xavx512_bf16x", False),
        (None, False),
    ],
    ids=["avx512", "amx", "without", "part-of-a-word", "no-cpuinfo"],
)
def test_has_bfloat16(monkeypatch, flags, expected):
    def read_text(self):
        if flags is None:
            raise FileNotFoundError(self)
        return flags

    monkeypatch.setattr(env.Path, "read_text", read_text)
    assert env.has_bfloat16() is expected


@pytest.mark.parametrize("capability, bfloat16, expected", [
    (None, True, "mixed_bfloat16"), (None, False, "float32"), ((9, 0), False, "mixed_bfloat16"),
    ((8, 0), False, "mixed_bfloat16"), ((7, 5), True, "mixed_float16"),
    ((7, 0), True, "mixed_float16"), ((6, 1), True, "float32"),
], ids=["cpu-bfloat16", "cpu", "h100", "a100", "t4", "v100", "older"])
def test_best_precision(capability, bfloat16, expected):
    assert env.best_precision(capability, bfloat16) == expected


@pytest.mark.parametrize("capability, bfloat16, expected", [
    (None, True, ("CPU", 16, 1000, "mixed_bfloat16")), (None, False, ("CPU", 16, 400, "float32")),
    ((7, 5), False, ("GPU", 64, 4000, "mixed_float16")),
    ((8, 0), False, ("GPU", 64, 4000, "mixed_bfloat16")),
    ((6, 1), False, ("GPU", 64, 4000, "float32")),
], ids=["cpu-bfloat16", "cpu", "t4", "a100", "older"])
def test_profile(monkeypatch, capability, bfloat16, expected):
    tf = env.import_tensorflow()
    monkeypatch.setattr(env, "import_tensorflow", lambda: tf)
    monkeypatch.setattr(env, "has_bfloat16", lambda: bfloat16)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capability and ["GPU:0"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details",
                        lambda gpu: {"compute_capability": capability})
    found = env.profile()
    assert (found.name, found.width, found.steps, found.precision) == expected


def tensors_gb(profile):
    """Weights, gradients, moments and average, and each layer's output, of one step."""
    from helpers.models import patchgan, unet

    networks = unet(profile.width), patchgan(profile.width)
    kept = sum(math.prod(shape) * times for network, times in zip(networks, (1, 3), strict=True)
               for shape in shapes_of(network, profile.size))
    weights = sum(n * network.count_params() for n, network in zip((5, 4), networks, strict=True))
    return (4 * weights + (4 if profile.precision == "float32" else 2) * kept * profile.batch) / 1e9


def shapes_of(network, size):
    import keras

    probe = keras.Model(network.inputs, [layer.output for layer in network.layers])
    inputs = [(1, size, size, 3)] * len(network.inputs)
    return probe.compute_output_shape(inputs if len(inputs) > 1 else inputs[0])


@pytest.mark.parametrize("name", env.MACHINES)
def test_expected_memory(name):
    machine = env.MACHINES[name]
    if machine.known == "computed":
        assert machine.memory_gb == pytest.approx(tensors_gb(machine.profile), abs=0.06)
    else:  # the libraries come on top
        assert machine.known == "measured" and machine.memory_gb > tensors_gb(machine.profile)


def test_runs_folder_on_drive_is_for_colab(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", None)
    with pytest.raises(RuntimeError, match="for Colab; set DEHAZE_RUNS"):
        env.runs_folder(drive=True)


def test_runs_folder_on_drive_mounts_it_and_stays_there(monkeypatch, tmp_path):
    mounted = []
    colab = types.SimpleNamespace(drive=types.SimpleNamespace(mount=mounted.append))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(env.Path, "mkdir", lambda *_, **__: None)
    monkeypatch.setenv("DEHAZE_RUNS", str(tmp_path))
    folder = env.runs_folder(drive=True)
    assert mounted == ["/content/drive"] and folder.is_relative_to("/content/drive/MyDrive")
    assert env.runs_folder() == folder


@pytest.mark.parametrize("chosen, expected", [(None, "1"), ("0", "0")])
def test_one_dnn_stays_on_and_can_be_chosen(chosen, expected, monkeypatch, tmp_path):
    """Without it a step takes 1.4 to 28 times as long, and on some CPUs it is off by default."""
    name = "TF_ENABLE_ONEDNN_OPTS"
    monkeypatch.delenv(name, raising=False)
    if chosen is not None:
        monkeypatch.setenv(name, chosen)
    # A TensorFlow that only says what it met when it was imported.
    (tmp_path / "tensorflow.py").write_text(
        f"import os\nprint(os.environ['{name}'])\n"
        "class config: list_physical_devices = staticmethod(lambda kind: [])\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = "from helpers import env; env.import_tensorflow()"
    done = subprocess.run([sys.executable, "-c", code], cwd=env.ROOT, capture_output=True,
                          text=True, check=True)
    assert done.stdout.strip() == expected


def test_seed_everything_repeats():
    import random

    import keras
    import numpy as np

    def draw():
        env.seed_everything(3)
        return random.random(), np.random.rand(), float(keras.random.uniform(()))

    assert draw() == draw()


def test_setup_prints_the_table(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("DEHAZE_RUNS", str(tmp_path))
    env.setup()
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines]
    assert names == ["Python", *(n for n, _, _ in env.required_versions()), "machine", "runs"]


# The setup cell of the notebooks, run as a reader would meet it.


@pytest.fixture(scope="module")
def setup_source():
    notebook = env.ROOT / "notebooks" / "01_data_loading.ipynb"
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return next("".join(c["source"]) for c in cells if c.get("id") == "setup")


def run_setup(source, folder, before=""):
    return subprocess.run(
        [sys.executable, "-c", before + source + "\nprint('root', root)"],
        cwd=folder, capture_output=True, text=True, timeout=120,
    )


def test_setup_cell_outside_the_project_is_one_sentence(setup_source, tmp_path):
    done = run_setup(setup_source, tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "helpers" in done.stderr and "Jupyter" in done.stderr


def test_setup_cell_in_the_notebooks_folder(setup_source, tmp_path, monkeypatch):
    monkeypatch.setenv("DEHAZE_RUNS", str(tmp_path))
    done = run_setup(setup_source, env.ROOT / "notebooks")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Python")
    assert done.stdout.splitlines()[-1] == f"root {env.ROOT}"
    assert done.stderr == "", "TensorFlow's start-up lines are to be hidden"


def light_project(folder):
    """A stand-in for the project whose setup takes no time."""
    (folder / "helpers").mkdir(parents=True)
    (folder / "helpers" / "env.py").write_text("def setup():\n    print('table')\n")


@pytest.mark.parametrize("below", ["", "notebooks", "notebooks/solutions"])
def test_setup_cell_looks_above(setup_source, tmp_path, below):
    light_project(tmp_path)
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    done = run_setup(setup_source, tmp_path / below)
    assert done.stdout == f"table\nroot {tmp_path}\n", done.stderr


# In Colab: an empty folder, no project on the path, a clone.

COLAB = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')\n"
INSTALLED = """
from importlib import metadata
print('installed', sorted((d.name, d.version) for d in metadata.distributions()))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A git repository of the project as it lies here, changes included."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    folder = tmp_path_factory.mktemp("source") / "pix2pix-dehazing"
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=env.ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, done.stdout.split("\0")):
        if name.split("/")[0] in ("helpers", "sample_data", "requirements.txt"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(env.ROOT / name, folder / name)
    me = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*me, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def in_colab(setup_source, repository, folder, monkeypatch):
    monkeypatch.delenv("DEHAZE_RUNS", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
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
    assert line == f"Cannot clone {address}: check the network, or upload the project."
