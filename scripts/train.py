"""Train from the command line: what ``python scripts/train.py DATA --out RUN`` does."""

import argparse
import dataclasses
import os
import sys
from pathlib import Path

from tqdm import tqdm

from helpers import env

# What needs TensorFlow is imported late: that takes seconds, and is not needed to say that an
# argument is wrong.


def _positive(text):
    if int(text) < 1:
        raise ValueError
    return int(text)


def _options(arguments):
    """The command line's options; a wrong one ends the program with status 2 and one sentence."""
    parser = argparse.ArgumentParser(
        
        description="Train pix2pix on a folder of pairs, as notebook 03 does. What is not said is "
                    "chosen by the machine.",
        epilog="Exit status: 0 done, 1 the run stopped, 2 wrong usage, 130 interrupted.",
    )
    parser.add_argument("data", metavar="DATA", type=Path, help="folder of pairs")
    parser.add_argument("--out", metavar="RUN", type=Path, required=True,
                        help="folder of the run; runs/pix2pix-NUMBER is found by notebook 04")
    parser.add_argument("--resume", action="store_true", help="continue the run that is in RUN")
    parser.add_argument("--validation", metavar="DATA", type=Path,
                        help="folder of pairs to watch; by default a fifth of the scenes of DATA")
    parser.add_argument("--hazy-on", choices=("left", "right"), default="left",
                        help="half of an image that holds both side by side")
    parser.add_argument("--copies", metavar="FOLDER", type=Path,
                        help="keep small copies of large photographs there, and train on them")
    parser.add_argument("--skip-bad", action="store_true",
                        help="read all pairs first, leave out those that cannot be used, and list "
                             "them at the end")
    parser.add_argument("--strategy", choices=("none", "mirrored", "multiworker"), default="none",
                        help="mirrored: all GPUs, or two halves of the CPU to try it; multiworker: "
                             "one process a machine, as TF_CONFIG says")
    for name in ("width", "size", "batch", "steps", "reports"):
        parser.add_argument(f"--{name}", type=_positive)
    parser.add_argument("--precision", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dropout", type=float, default=0.5)
    parser.add_argument("--l1-only", action="store_true", help="no adversary")
    parser.add_argument("--deterministic", action="store_true",
                        help="operations that repeat to the last bit; slower")
    options = parser.parse_args(arguments)
    problem = None
    for folder in filter(None, (options.data, options.validation)):
        if not folder.is_dir():
            problem = f"{folder}: no such folder; check the path."
    if options.out.exists() and not options.out.is_dir():
        problem = f"{options.out}: a file; name a folder for the run."
    elif (options.out / "settings.json").exists() and not options.resume:
        problem = f"{options.out}: holds a run; add --resume to continue it, or name another one."
    if options.strategy == "multiworker" and "TF_CONFIG" not in os.environ:
        problem = "--strategy multiworker: set TF_CONFIG in each process to say who takes part."
    if problem:
        parser.exit(2, problem + "\n")
    return options


def _settings(options):
    """The settings of the run: the machine's, changed by the options."""
    from helpers.training import Settings

    settings = dataclasses.asdict(env.profile())
    named = ("width", "size", "batch", "steps", "precision")
    settings |= {name: getattr(options, name) for name in named if getattr(options, name)}
    settings["name"] = "l1-only" if options.l1_only else "pix2pix"
    return Settings(**settings, seed=options.seed, dropout=options.dropout,
                    adversarial=not options.l1_only)


def _strategy(name):
    """The ``tf.distribute`` strategy of that name; before any TensorFlow operation has run."""
    import tensorflow as tf

    if name == "multiworker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        if tf.config.list_physical_devices("GPU"):
            return tf.distribute.MirroredStrategy()
        (cpu,) = tf.config.list_physical_devices("CPU")
        halves = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
        tf.config.set_logical_device_configuration(cpu, halves)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return None


def _run(options):
    from survey import survey

    from helpers.data import copied_pairs, load_pair, usable_pairs
    from helpers.images import ImageError
    from helpers.pairs import PairError, find_pairs, one_per_scene, report, scan, split_by_scene
    from helpers.runs import has_settings
    from helpers.training import fit, is_chief
    from helpers.weights import RunError, is_finished

    def say(*words):
        if strategy is None or is_chief(strategy):
            print(*words, flush=True)

    skipped = []

    def find(folder):
        if not options.skip_bad:
            return find_pairs(folder, options.hazy_on)
        found = scan(folder, options.hazy_on)
        lonely = [f"{path}: no clear image for it." for path in found.hazy_orphans]
        good, problems = usable_pairs(tqdm(found.pairs, "reading", unit="pair"))
        skipped.extend(lonely + problems)
        if not good:
            raise PairError(f"{folder}: no pair in it can be used; mend some of these files.")
        return good

    if options.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    strategy = _strategy(options.strategy)
    settings = _settings(options)
    if is_finished(options.out):
        say(f"{options.out}: this run is finished; name another folder for a new one.")
        return 0
    if (options.out / "settings.json").exists() and not has_settings(options.out, settings):
        problem = "started with other settings, see its settings.json; give the same"
        print(f"{options.out}: {problem}.", file=sys.stderr)
        return 2
    try:
        if not options.resume and (strategy is None or is_chief(strategy)):
            print(survey(options.data, options.hazy_on, checked=50), flush=True)
        pairs = find(options.data)
        if options.validation:
            watched = find(options.validation)
        else:
            pairs, watched = split_by_scene(pairs, seed=options.seed)
        scenes = [(pair.scene, *load_pair(pair)) for pair in one_per_scene(watched)[:6]]
        say(f"training: {report(pairs)}; held back: {report(watched)}; watched: {len(scenes)} "
            "scenes")
        if options.copies:
            pairs = copied_pairs(pairs, options.copies, settings.size)
        say(f"{settings}\nTo see the curves: tensorboard --logdir {options.out}")

        def panel(_history, status, _done, _pictures):
            say(status)

        reports = options.reports or max(20, settings.steps // 250)
        run = fit(settings, pairs, scenes, panel, None, options.out, strategy, reports)
    except (ImageError, PairError, RunError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if skipped:
            print("left out:", *skipped, sep="\n  ", file=sys.stderr)
    say(f"{run.folder}: done.")
    return 0


def main(arguments=None):
    """The command line (see ``--help``); returns the exit status."""
    options = _options(arguments)
    try:
        env.import_tensorflow()
        return _run(options)
    except KeyboardInterrupt:
        print("interrupted; --resume continues from the last checkpoint.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
