"""Measures the data pipeline on large photographs (make bench does it).

    python scripts/bench_data.py            24 pairs of 4,000×3,000 pixels, a minute or two
    python scripts/bench_data.py --quick    4 small pairs, to see that it works

The pairs are sample photographs, enlarged, with fine grain, as JPEG of quality 92. A pair counts
when both of its 256×256 crops have been delivered, in batches of 4:

    first pass            everything is read and shrunk once, nothing is kept: pairs a second
    first pass, copies    the same, and small copies are written to disk
    from the originals    later passes, when neither memory nor copies keep anything
    from copies           later passes from the copies on disk, read anew each time
    from memory           later passes from memory, with 600 pairs there: as many as it keeps
    training step         what the step of notebook 03 uses on this machine

Each has a process of its own, whose peak of resident memory (TensorFlow with it) is told too.
Prints a Markdown table and writes build/bench_data.json. Reads come from the system's page cache.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib import metadata
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
BATCH = 4
COPIES, MEMORY, STEP = "from copies", "from memory", "training step"
TASKS = ("first pass", "first pass, copies", "from the originals", COPIES, MEMORY, STEP)
PROMISED_RATIO, PROMISED_MB = 5, 2000  # copies against the step; the peak of all but the step


def write_pairs(folder, count, size):
    """``count`` pairs of sample photographs enlarged to ``size`` (width, height), with grain."""
    import numpy as np
    from PIL import Image

    from helpers import env
    from helpers.pairs import find_pairs, one_per_scene

    pairs = one_per_scene(find_pairs(env.SAMPLE_DATA / "train"))
    for n in range(count):
        pair = pairs[n % len(pairs)]
        grain = np.random.default_rng(n).integers(-6, 7, (size[1], size[0], 1), "int16")
        for side in ("hazy", "clear"):
            with Image.open(getattr(pair, side)) as image:
                pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
            (folder / side).mkdir(parents=True, exist_ok=True)
            path = folder / side / f"{pair.scene}-{n:03}.jpg"
            Image.fromarray(np.clip(pixels + grain, 0, 255).astype("uint8")).save(path, quality=92)


def run(task, folder, batches):
    """Pairs a second of one task, in this process."""
    from helpers import env

    env.import_tensorflow()
    from helpers.data import training_batches
    from helpers.pairs import find_pairs

    if task == STEP:
        return steps_per_second(batches) * env.profile().batch
    pairs = find_pairs(folder)
    copies, memory = folder / "copies" if "copies" in task else None, {"memory": 0}
    if task == MEMORY:  # from copies, to be there soon
        pairs, copies, memory = pairs * 25, folder / "copies", {}
    start = time.perf_counter()
    data = training_batches(pairs, BATCH, copies=copies, **memory)
    if task.startswith("first"):
        return len(pairs) / (time.perf_counter() - start)
    iterator = iter(data)
    for _ in range(4):
        next(iterator)
    rates = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(batches):
            next(iterator)
        rates.append(batches * BATCH / (time.perf_counter() - start))
    return median(rates)


def steps_per_second(steps):
    """Steps a second of notebook 03 on this machine, its batches on hand."""
    import tensorflow as tf

    from helpers import env
    from helpers.data import training_batches
    from helpers.pairs import find_pairs
    from helpers.training import Settings, build, compile_step, pix2pix_step

    machine = env.profile()
    settings = Settings("bench", machine.width, machine.size, machine.batch, 1000,
                        machine.precision)
    networks, optimizers = build(settings)
    step = compile_step(pix2pix_step, networks, optimizers, settings, tf.distribute.get_strategy())
    pairs = find_pairs(env.SAMPLE_DATA / "train")[:8]
    hazy, clear = next(iter(training_batches(pairs, machine.batch, machine.size)))
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        for value in step(hazy, clear).values():
            float(value)
        times.append(time.perf_counter() - start)
    return 1 / median(times[2:])


def child(task, folder, batches):
    """Measure one task and print {"rate", "peak_mb"} as JSON."""
    rate = run(task, folder, batches)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak = peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
    print(json.dumps({"rate": round(rate, 2), "peak_mb": round(peak)}))


def in_another_process(*arguments):
    """What another process of this script prints as JSON, if anything."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout) if done.stdout else None


def table(rows):
    """{task: {"rate", "peak_mb"}} as a Markdown table; the step's need is the unit."""
    need = rows[STEP]["rate"]
    lines = ["| | pairs a second | of the training step's need | peak memory |",
             "|---|--:|--:|--:|"]
    for task, row in rows.items():
        lines.append(f"| {task} | {row['rate']:.1f} | {row['rate'] / need:.1f} × | "
                     f"{row['peak_mb']:,} MB |")
    return "\n".join(lines)


def promises(rows):
    """[(sentence, whether it is kept)] on the rate from copies and on memory."""
    ratio = rows[COPIES]["rate"] / rows[STEP]["rate"]
    peak = max(row["peak_mb"] for task, row in rows.items() if task != STEP)
    return [
        (f"from copies, {ratio:.1f} times as many pairs as the step uses; promised are "
         f"{PROMISED_RATIO}", ratio >= PROMISED_RATIO),
        (f"the pipeline's peak is {peak:,} MB; promised is less than {PROMISED_MB:,} MB",
         peak < PROMISED_MB),
    ]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few small pairs")
    parser.add_argument("--pairs", type=int, default=24, help="default: 24")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench_data.json")
    # What the processes that this one starts are asked for.
    parser.add_argument("--write", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--task", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.write:
        folder, *numbers = options.write
        count, width, height = map(int, numbers)
        return write_pairs(Path(folder), count, (width, height))
    if options.task:
        task, folder, batches = options.task
        return child(task, Path(folder), int(batches))
    count, size = (4, (640, 480)) if options.quick else (options.pairs, (4000, 3000))
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        print(f"writing {count} pairs of {size[0]}×{size[1]} …", file=sys.stderr, flush=True)
        in_another_process("--write", folder, count, *size)
        for task in TASKS:
            print(f"measuring: {task} …", file=sys.stderr, flush=True)
            batches = 2 if options.quick else 10 if task in (STEP, TASKS[2]) else 100
            rows[task] = in_another_process("--task", task, folder, batches)
    packages = ("tensorflow", "keras", "numpy", "pillow")
    versions = {"python": platform.python_version(),
                **{name: metadata.version(name) for name in packages}}
    print(f"{count} pairs of {size[0]}×{size[1]} pixels, {os.cpu_count()} cores, "
          + ", ".join(f"{name} {number}" for name, number in versions.items()) + "\n")
    print(table(rows))
    for sentence, kept in promises(rows):
        print(f"\n{sentence}: {'kept' if kept else 'NOT kept'}.")
    result = {"date": date.today().isoformat(), "cores": os.cpu_count(), "versions": versions,
              "pairs": count, "size": size, "rows": rows}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
