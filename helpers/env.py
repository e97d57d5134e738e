"""What differs from machine to machine: quiet imports, the environment table, seeds, the profile,
and where runs are written. Used by the setup cell of every notebook.
"""

import contextlib
import os
import re
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_DATA = ROOT / "sample_data"
OLDEST_PYTHON = (3, 11)


@contextlib.contextmanager
def quiet_stderr():
    """Silence C++ libraries that write their start-up lines straight to file descriptor 2.

    What was written is shown after all when the block raises. Never silence TensorFlow by
    ``TF_ENABLE_ONEDNN_OPTS=0`` instead: that makes training on a CPU many times slower.
    """
    sys.stderr.flush()
    keep = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException:
            hidden.seek(0)
            os.write(keep, hidden.read())
            raise
        finally:
            os.dup2(keep, 2)
            os.close(keep)


def import_tensorflow():
    """Import TensorFlow without its start-up lines, let its memory on a GPU grow, return it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow leaves oneDNN's kernels off on CPUs without AVX-512; a step is faster with them.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with quiet_stderr():
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            # An error here means that TensorFlow has started already: too late, and harmless.
            with contextlib.suppress(RuntimeError):
                tf.config.experimental.set_memory_growth(gpu, True)
    return tf


def seed_everything(seed=0):
    """Seed Python's, NumPy's and TensorFlow's random numbers (hence Keras' initial weights)."""
    import keras

    keras.utils.set_random_seed(seed)


@dataclass(frozen=True)
class Profile:
    """What notebook 03 trains on this machine.

    ``width`` is the number of filters of the first layer, ``size`` the side of a training crop in
    pixels, ``batch`` the pairs a step, ``steps`` the steps of a run, ``precision`` a Keras dtype
    policy.
    """

    name: str
    width: int
    size: int
    batch: int
    steps: int
    precision: str


def has_bfloat16():
    """True if this CPU multiplies bfloat16 numbers in hardware (Linux tells; elsewhere False)."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) is not None


def best_precision(capability=None, bfloat16=None):
    """The Keras dtype policy that is fastest here and safe.

    ``capability`` is a GPU's compute capability, (8, 0) for an A100; without a GPU ``bfloat16``
    says whether the CPU has such instructions (by default, :func:`has_bfloat16`). bfloat16 has the
    range of float32. float16 has not, and needs its losses scaled: it is for the GPUs before
    (8, 0), whose tensor cores know nothing else. Notebook 03.
    """
    if capability is None:
        return "mixed_bfloat16" if (has_bfloat16() if bfloat16 is None else bfloat16) else "float32"
    if tuple(capability) >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if tuple(capability) >= (7, 0) else "float32"


@dataclass(frozen=True)
class Machine:
    """A row of :data:`MACHINES`: a profile, and the memory in GB that a run of it takes.

    ``known`` says how: "measured" (peak of the process) or "computed" (weights, gradients, both
    moments of Adam, the average, and what the layers keep; without what CUDA takes for itself).
    """

    profile: Profile
    memory_gb: float
    known: str


MACHINES = {
    "CPU": Machine(Profile("CPU", 16, 256, 4, 400, "float32"), 1.0, "measured"),
    "CPU with bfloat16": Machine(
        Profile("CPU", 16, 256, 4, 1000, "mixed_bfloat16"), 0.2, "computed"),
    "small GPU": Machine(Profile("GPU", 64, 256, 4, 4000, "mixed_float16"), 1.4, "computed"),
    "large GPU": Machine(Profile("GPU", 64, 256, 8, 4000, "mixed_bfloat16"), 1.7, "computed"),
}


def machine_name(capability=None):
    """The row of :data:`MACHINES` for a GPU of this compute capability, or for this CPU.

    A large GPU has (8, 0) or more; a T4 is a small one.
    """
    if capability is None:
        return "CPU with bfloat16" if has_bfloat16() else "CPU"
    return "large GPU" if tuple(capability) >= (8, 0) else "small GPU"


def profile():
    """The :class:`Profile` for this machine: a GPU if TensorFlow sees one, else the CPU.

    A CPU without bfloat16 takes two to three times as long a step, and gets fewer steps.
    """
    tf = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    capability = None
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        capability = details.get("compute_capability", (0, 0))
    found = MACHINES[machine_name(capability)].profile
    return replace(found, precision=best_precision(capability))


def runs_folder(drive=False):
    """Where training runs are kept: ``$DEHAZE_RUNS``, or ``runs/`` beside the notebooks.

    ``drive=True`` mounts Google Drive in Colab and keeps them there, from now on in this session,
    so that they outlive it. Raises RuntimeError for ``drive=True`` outside Colab.
    """
    if drive:
        try:
            from google.colab import drive as google_drive
        except ImportError:
            text = "drive=True is for Colab; set DEHAZE_RUNS to keep runs in another folder."
            raise RuntimeError(text) from None
        google_drive.mount("/content/drive")
        os.environ["DEHAZE_RUNS"] = "/content/drive/MyDrive/dehaze-runs"
    folder = Path(os.environ.get("DEHAZE_RUNS") or ROOT / "runs")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def required_versions(requirements=ROOT / "requirements.txt"):
    """Read ``requirements.txt``: a list of (package, floor, ceiling) with versions as strings."""
    line = re.compile(r"^([\w-]+)>=([\d.]+),<([\d.]+)$")
    found = map(line.match, Path(requirements).read_text().splitlines())
    return [match.groups() for match in found if match]


def _number(version):
    return tuple(int(part) for part in [*re.findall(r"\d+", version), 0, 0, 0][:3])


def environment_rows(required=None, installed=metadata.version, python=sys.version_info):
    """Compare this environment with what the notebooks need.

    Returns a list of (name, version, verdict); a verdict is ``"OK"`` or says what to do.
    ``installed`` is called with a package's name and returns its version or raises
    ``importlib.metadata.PackageNotFoundError``.
    """
    found = "{}.{}.{}".format(*python[:3])
    old = tuple(python[:2]) < OLDEST_PYTHON
    rows = [("Python", found, "too old: install Python 3.11 to 3.13" if old else "OK")]
    for name, floor, ceiling in required_versions() if required is None else required:
        try:
            version = installed(name)
        except metadata.PackageNotFoundError:
            # In Colab there is no JupyterLab, and none is needed.
            needed = not (name == "jupyterlab" and "google.colab" in sys.modules)
            verdict = f"run: pip install '{name}>={floor}'" if needed else "OK"
            rows.append((name, "missing", verdict))
            continue
        if _number(version) < _number(floor):
            verdict = f"too old: pip install '{name}>={floor}'"
        elif _number(version) >= _number(ceiling):
            verdict = f"newer than tested (below {ceiling}); if it fails, install an older one"
        else:
            verdict = "OK"
        rows.append((name, version, verdict))
    return rows


def setup(seed=0):
    """What a notebook needs at its start: TensorFlow quietly, seeds, and the environment table."""
    import_tensorflow()
    seed_everything(seed)
    machine = profile()
    for name, version, verdict in environment_rows():
        print(f"{name:14} {version:10} {verdict}")
    print(f"{'machine':14} {machine.name}, {os.cpu_count()} cores, {machine.precision}")
    print(f"{'runs':14} {os.path.relpath(runs_folder(), ROOT)}")
