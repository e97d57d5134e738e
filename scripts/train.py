"""Train from the command line: what ``python scripts/train.py DATA --out RUN`` does."""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from helpers import env
from helpers.pairs import find_pairs, is_held, one_per_scene, report, split_by_scene

# What needs TensorFlow is imported late: that takes seconds, and a wrong option needs none of it.

RUN = {"frames", "lock", "logs"}  # what a run makes before its settings.json
WORKERS = '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
EPILOGUE = ("Exit status: 0 done, 2 the run stopped or could not begin, 130 interrupted. With "
            "--resume it goes on from the last checkpoint.")


def parse(arguments):
    """The command line's options; raises :class:`helpers.env.Told` for a wrong one."""
    parser = argparse.ArgumentParser(
        "train.py", epilog=EPILOGUE,
        description="Train pix2pix on a folder of pairs, as notebook 05 does. What is not said is "
                    "chosen by the machine.")
    parser.add_argument("data", metavar="DATA", type=Path, help="folder of pairs")
    parser.add_argument("--out", metavar="RUN", type=Path, required=True,
                        help="folder of the run; runs/pix2pix-NUMBER is found by notebook 07")
    parser.add_argument("--resume", action="store_true", help="continue the run that is in RUN")
    parser.add_argument("--data-changed", action="store_true",
                        help="continue although DATA is not what the run began with, and record it")
    parser.add_argument("--validation", metavar="DATA", type=Path,
                        help="folder of pairs to watch; by default a fifth of the scenes of DATA")
    parser.add_argument("--hazy-on", choices=("left", "right"), default="left",
                        help="half of an image that holds both side by side")
    parser.add_argument("--strategy", choices=("none", "mirrored", "multiworker"), default="none",
                        help="mirrored: all GPUs, or two halves of the CPU to try it; multiworker: "
                             "one process a machine, as TF_CONFIG says")
    for name in ("width", "size", "batch", "steps", "seed", "reports"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--precision", choices=("float32", "mixed_bfloat16"))
    parser.add_argument("--dropout", type=float)
    parser.add_argument("--l1-only", action="store_true", help="no adversary")
    parser.add_argument("--deterministic", action="store_true",
                        help="operations that repeat to the last bit; slower")
    options = parser.parse_args(arguments)
    if problem := problem_with(options):
        raise env.Told(problem)
    return options


def problem_with(options):
    """A sentence on what is wrong with the options, or None."""
    for folder in filter(None, (options.data, options.validation)):
        if not folder.is_dir():
            return f"{folder}: no such folder; check the path."
    if options.out.exists() and not options.out.is_dir():
        return f"{options.out}: a file; name a folder for the run."
    names = os.listdir(options.out) if options.out.is_dir() else []
    holds = {name for name in names if not name.startswith(".")}
    if "settings.json" in holds and not options.resume:
        return f"{options.out}: holds a run; add --resume to continue it, or name another one."
    if "settings.json" not in holds and holds - RUN:
        return f"{options.out}: holds other things than a run; name a new folder."
    if options.reports is not None and options.reports < 1:
        return f"reports {options.reports}: it must be at least 1."
    return None


def settings_of(options):
    """The settings of the run: the machine's, changed by the options."""
    from helpers.training import Settings

    settings = dataclasses.asdict(env.profile())
    settings |= {key: value for key, value in vars(options).items()
                 if key in Settings.__dataclass_fields__ and value is not None}
    settings["name"] = "l1-only" if options.l1_only else "pix2pix"
    return Settings(**settings, adversarial=not options.l1_only)


def strategy_of(options):
    """The ``tf.distribute`` strategy; to be made before any TensorFlow operation has run."""
    import tensorflow as tf

    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    if options.strategy == "multiworker":
        try:
            json.loads(os.environ["TF_CONFIG"])["task"]  # without it, each would train alone
            return tf.distribute.MultiWorkerMirroredStrategy()
        except Exception as error:  # TensorFlow answers what is wrong in many ways
            raise env.Told(f"--strategy multiworker: TF_CONFIG ({error!r:.99}) must say who takes "
                           f"part: {WORKERS}, with an index of its own in each process.") from None
    if options.strategy == "mirrored":
        if tf.config.list_physical_devices("GPU"):
            return tf.distribute.MirroredStrategy()
        (cpu,) = tf.config.list_physical_devices("CPU")
        halves = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
        tf.config.set_logical_device_configuration(cpu, halves)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return tf.distribute.get_strategy()


def data_of(options, seed):
    """(pairs to train on, scenes to watch) of the folders that are named; prints how many."""
    from helpers.data import load_pair
    from helpers.runs import WATCHED

    pairs = find_pairs(options.data, options.hazy_on)
    if options.validation:
        pairs = [pair for pair in pairs if not is_held(pair)]
        held = find_pairs(options.validation, options.hazy_on)
    else:
        pairs, held = split_by_scene(pairs, seed=seed)
    scenes = [(pair.scene, *load_pair(pair, (WATCHED, WATCHED)))
              for pair in one_per_scene(held)[:6]]
    print(f"training: {report(pairs)}; held back: {report(held)}; watched: {len(scenes)} scenes",
          flush=True)
    return pairs, scenes


def train(options):
    """Train, or continue, the run that the options describe; returns the exit status."""
    from helpers import runs, weights
    from helpers.training import fit, is_chief

    try:
        strategy, settings = strategy_of(options), settings_of(options)
    except (ValueError, RuntimeError) as error:
        raise env.Told(str(error).splitlines()[0]) from None
    if weights.is_finished(options.out):
        print(f"{options.out}: this run is finished; name another folder for a new one.")
        return 0
    if (options.out / "settings.json").exists() and not runs.has_settings(options.out, settings):
        raise env.Told(f"{options.out}: started with other settings, see its settings.json; give "
                       "the same.")
    if not is_chief(strategy):  # one of several processes speaks for all
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    pairs, scenes = data_of(options, settings.seed)
    if options.data_changed and is_chief(strategy):
        runs.record_data(options.out, runs.fingerprint(pairs, scenes))
    print(f"{settings}\nTo see the curves: tensorboard --logdir {options.out}", flush=True)
    fit(settings, pairs, scenes, lambda report: print(report.status, flush=True), None,
        options.out, strategy, options.reports or max(20, settings.steps // 250))
    print(f"{options.out}: done.")
    return 0


@env.command
def main(arguments=None):
    """The command line (see ``--help``); returns the exit status."""
    options = parse(arguments)
    tf = env.import_tensorflow()
    try:
        return train(options)
    except tf.errors.ResourceExhaustedError:
        problem = "not enough memory: a smaller --batch, --width or --size needs less."
    except tf.errors.OpError as error:
        problem = f"TensorFlow stopped the run: {error.message.splitlines()[0]}"
    raise env.Told(problem)


if __name__ == "__main__":
    sys.exit(main())
