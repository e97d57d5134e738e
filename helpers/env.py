"""What differs from machine to machine: quiet imports, versions, seeds, the profile, and where runs
are written. Used by the setup cell of every notebook.
"""

import contextlib
import functools
import gc
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


class Told(Exception):
    """A mistake that a user can mend, told in one sentence: what is wrong, and what to do."""


def safe_streams():
    """Make ``print`` safe in a command: no character and no closed stream ends the program.

    What the terminal's encoding lacks is written as an escape ("\\xd7"), and a stream that the
    caller has closed goes nowhere. Without the latter the next file that is opened, a checkpoint
    perhaps, would be given the stream's number, and TensorFlow's messages would go into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
        elif hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def command(main):
    """A command's ``main(arguments)``, on safe streams; what goes wrong is one sentence.

    The exit status is 2 then, and 130 if interrupted, or if nobody reads on, as behind "| head".
    """
    @functools.wraps(main)
    def run(arguments=None):
        safe_streams()
        try:
            if "" in (sys.argv[1:] if arguments is None else arguments):
                raise Told("an argument is empty; check the variable that it came from.")
            status = main(arguments)
            sys.stdout.flush()
            return status
        except Told as error:
            problem, status = error, 2
        except KeyboardInterrupt:
            problem, status = "interrupted; what is written is whole: start it again to go on.", 130
        except OSError as error:
            if error.filename is None:  # of the output; Python would try again at its end
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            problem = f"{error.filename or 'the output'}: {error.strerror}; name another one."
            status = 130 if isinstance(error, BrokenPipeError) else 2
        print(problem, file=sys.stderr)
        return status

    return run


@contextlib.contextmanager
def quiet_stderr():
    """Silence C++ libraries that write their start-up lines straight to file descriptor 2.

    What was written is shown after all if the block raises. Never silence TensorFlow by
    ``TF_ENABLE_ONEDNN_OPTS=0`` instead: that makes training on a CPU many times slower.
    """
    if sys.stderr is not None:
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
    """Import TensorFlow without its start-up lines, let its memory on a GPU grow, return it.

    Raises SystemExit, see :func:`check_keras`, if Keras would not compute with it.
    """
    with quiet_stderr():
        import tensorflow as tf

        for gpu in tf.config.list_physical_devices("GPU"):
            # An error here means that TensorFlow has started already: too late, and harmless.
            with contextlib.suppress(RuntimeError):
                tf.config.experimental.set_memory_growth(gpu, True)
    # Python's collector need not look through TensorFlow's million objects again and again:
    # building and tracing networks takes a third less.
    gc.freeze()
    check_keras()
    return tf


def check_keras():
    """Raise SystemExit with one sentence if Keras is set to another backend or order of axes."""
    remedy = "in ~/.keras/keras.json, then restart"
    try:
        import keras

        backend = keras.backend.backend()
    except ImportError as error:  # the other backend is not even installed
        backend = os.environ.get("KERAS_BACKEND") or f"{error.name}, which is missing"
    if backend != "tensorflow":
        raise SystemExit(
            f"Keras is set to the backend {backend}, and this course trains with TensorFlow: unset "
            f'KERAS_BACKEND, or write "backend": "tensorflow" {remedy}.')
    if keras.config.image_data_format() != "channels_last":
        raise SystemExit(
            "Keras is set to channels_first, and the images of this course have their colours "
            f'last: write "image_data_format": "channels_last" {remedy}.')


def seed_everything(seed=0):
    """Seed Python's, NumPy's and TensorFlow's random numbers (hence Keras' initial weights)."""
    import keras

    keras.utils.set_random_seed(seed)


@dataclass(frozen=True)
class Profile:
    """What notebook 05 trains on this machine.

    ``width`` is the number of filters of the first layer, ``size`` the side of a training crop in
    pixels, ``batch`` the pairs a step, ``steps`` the steps of a run, ``precision`` a Keras dtype
    policy: "mixed_bfloat16" where the hardware multiplies such numbers, "float32" elsewhere.
    """

    name: str
    width: int
    size: int
    batch: int
    steps: int
    precision: str


# Steps of a CPU: measured so that notebook 05 takes under six minutes on two cores.
# Steps of a GPU without bfloat16: computed, not measured, so that it takes under ten on a T4. Its
# peak is 8.1 TFLOP/s in float32; a third of it is assumed, 2.7. A step's convolutions take, with
# 6.05 GMAC for the generator and 3.2 for the PatchGAN, two operations each, a backward pass as two
# forward passes, and four images: 2 · 4 · (3 · 6.05 + 8 · 3.2) = 350 GFLOP, 0.13 s; with L1 alone
# 2 · 4 · 3 · 6.05 = 145 GFLOP, 0.05 s. Two runs of pix2pix and one of L1 alone, 1,600 steps each:
# 1,600 · 0.31 s = 8.3 minutes, which leaves one and a half for compiling and the watched scenes.
PROFILES = {profile.name: profile for profile in (
    Profile("CPU", 16, 256, 4, 300, "float32"),
    Profile("CPU with bfloat16", 16, 256, 4, 500, "mixed_bfloat16"),
    Profile("GPU", 64, 256, 4, 1600, "float32"),
    Profile("GPU with bfloat16", 64, 256, 8, 2400, "mixed_bfloat16"),
)}


def has_bfloat16():
    """True if this CPU multiplies bfloat16 numbers in hardware (Linux tells; elsewhere False)."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) is not None


def profile():
    """The one of :data:`PROFILES` for this machine: a GPU if TensorFlow sees one, else the CPU.

    GPUs compute in bfloat16 from compute capability 8.0 on (an A100; a T4 has 7.5). The variable
    ``DEHAZE_STEPS`` is another number of steps, to try a lesson quickly. Notebook 05.
    """
    tf = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        quick = tuple(details.get("compute_capability", (0, 0))) >= (8, 0)
    else:
        quick = has_bfloat16()
    found = PROFILES[("GPU" if gpus else "CPU") + (" with bfloat16" if quick else "")]
    steps = os.environ.get("DEHAZE_STEPS") or str(found.steps)
    if not re.fullmatch("0*[1-9][0-9]{0,8}", steps):
        raise SystemExit(f"DEHAZE_STEPS={steps[:99]}: set it to a number of steps, or unset it.")
    return replace(found, steps=int(steps))


def runs_folder(drive=False):
    """Where training runs are kept: ``$DEHAZE_RUNS``, or ``runs/`` beside the notebooks.

    "~" is the home folder, and a relative path starts in the project's folder, from wherever it is
    used. The folder is made when a run is written. ``drive=True`` mounts Google Drive in Colab and
    keeps them there, from now on in this session, so that they outlive it. Raises RuntimeError for
    ``drive=True`` outside Colab. Notebook 09.
    """
    if drive:
        try:
            from google.colab import drive as google_drive
        except ImportError:
            text = "drive=True is for Colab; set DEHAZE_RUNS to keep runs in another folder."
            raise RuntimeError(text) from None
        google_drive.mount("/content/drive")
        os.environ["DEHAZE_RUNS"] = "/content/drive/MyDrive/dehaze-runs"
    return ROOT / os.path.expanduser(os.environ.get("DEHAZE_RUNS") or "runs")


def required_versions(requirements=ROOT / "requirements.txt"):
    """The requirements of ``requirements.txt``, as ``packaging`` reads them; none without it."""
    from packaging.requirements import Requirement

    if not Path(requirements).exists():
        return []
    lines = Path(requirements).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def problems(required=None, installed=metadata.version, python=sys.version_info):
    """What to do so that this environment has what the notebooks need: a list of sentences.

    ``required`` as :func:`required_versions` returns. ``installed`` is called with a package's name
    and returns its version or raises ``importlib.metadata.PackageNotFoundError``.
    """
    found = []
    if tuple(python[:2]) < OLDEST_PYTHON:
        found.append("Python {}.{} is too old: install 3.11 to 3.13.".format(*python[:2]))
    try:
        from packaging.version import Version
    except ImportError:
        return [*found, "packaging is missing: pip install -r requirements.txt"]
    for requirement in required_versions() if required is None else required:
        name, bounds = requirement.name, requirement.specifier
        try:
            version = installed(name)
        except metadata.PackageNotFoundError:
            # In Colab there is no JupyterLab, and none is needed.
            if not (name == "jupyterlab" and "google.colab" in sys.modules):
                found.append(f"{name} is missing: pip install '{requirement}'")
            continue
        if not bounds.contains(version, prereleases=True):
            old = any(b.operator == ">=" and Version(version) < Version(b.version) for b in bounds)
            word = "is too old:" if old else "is newer than tested: if it fails,"
            found.append(f"{name} {version} {word} pip install '{requirement}'")
    return found


def setup(seed=0):
    """What a notebook needs at its start: TensorFlow quietly, seeds, and a line on the machine.

    For each package that is missing, too old or newer than tested, another line says what to do.
    """
    print(*problems(), sep="\n", end="\n" if problems() else "")
    try:
        tf = import_tensorflow()
    except ModuleNotFoundError as error:
        raise SystemExit(f"{error.name} is missing: pip install -r requirements.txt") from None
    seed_everything(seed)
    python, tensorflow = sys.version_info, tf.__version__.split(".")
    versions = "Python {}.{}, TensorFlow {}.{}".format(*python[:2], *tensorflow[:2])
    print(f"{versions}, {profile().name}, {os.cpu_count()} cores")
