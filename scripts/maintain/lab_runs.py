"""The laboratory's runs: what ships in sample_data/laboratory, for notebook 06.

    python scripts/maintain/lab_runs.py [NAME …]    (all: about an hour and a half on two CPU cores)

Trains every variant of helpers.experiments.VARIANTS, each seed, for 700 steps: L1 alone
and pix2pix then differ clearly, for three seeds. Runs lie in
build/runs/laboratory/; an interrupted one goes on where it stopped, and one whose record is there
with the same settings is not repeated. results.json holds scores, losses, seeds, minutes and
versions; pictures are those of the first seed. The brief trainings of notebook 06, healthy and ill,
are in patients.json; NAME "patients" means these.
"""

import argparse
import json
import os
import platform
import shutil
import time
from dataclasses import asdict
from importlib.metadata import version

import numpy as np
from PIL import Image
from tqdm import tqdm

from helpers import env
from helpers.experiments import (
    SHOWN,
    STEPS,
    STORED,
    VARIANTS,
    measure,
    parts_of,
    patient,
    settings_of,
    train_briefly,
)
from helpers.images import central, to_uint8
from helpers.inference import dehaze
from helpers.runs import load_frames
from helpers.training import fit
from helpers.weights import write_whole

QUALITY = 85
KEPT = "step", "discriminator", "adversarial", "l1", "squared", "psnr", "real_right", "fake_right"
# Of the brief trainings: its name, the patient, λ. (C has a strong discriminator.)
PATIENTS = [("healthy", "healthy", 0.3), *((name, name, 0.3) for name in "ABCD"),
            ("healthy-100", "healthy", 100.0), ("strong-100", "C", 100.0)]


def processor():
    """The processor's name, as Linux tells it."""
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def save_picture(image, path):
    """The central 256×256 pixels of an RGB image in [0, 1], as JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_uint8(central(image))).save(path, quality=QUALITY)


def trained(name, seed, records):
    """Train a variant; its record, and its pictures if this is the first seed."""
    settings = settings_of(name, seed)
    pairs, scenes, options = parts_of(name, settings)
    folder = env.ROOT / "build" / "runs" / "laboratory" / settings.name
    start = time.monotonic()
    with tqdm(total=STEPS, desc=settings.name, mininterval=10) as bar:
        def callback(report):
            bar.update(report.history[-1]["step"] - bar.n)

        run = fit(settings, pairs, scenes, callback, folder=folder, reports=STEPS // SHOWN[0],
                  **options)
    minutes = (time.monotonic() - start) / 60
    if not seed:
        pictures = STORED / f"{name}-seed-{seed}"
        shutil.rmtree(pictures, ignore_errors=True)
        for scene, frames in load_frames(run.folder).items():
            for step in SHOWN:
                save_picture(frames[step], pictures / "frames" / f"{step:06}_{scene}.jpg")
        for scene, hazy, clear in scenes[:3]:
            task = STORED / VARIANTS[name].task
            save_picture(hazy, task / "hazy" / f"{scene}.jpg")
            save_picture(clear, task / "clear" / f"{scene}.jpg")
    results = [dehaze(run.networks[0], hazy) for _, hazy, _ in scenes]
    history = kept(run.history)
    records["truth"][VARIANTS[name].task] = measure([clear for *_, clear in scenes], scenes)
    del records["truth"][VARIANTS[name].task]["psnr"]  # infinite, which JSON does not know
    records["hazy"][VARIANTS[name].task] = measure([hazy for _, hazy, _ in scenes], scenes)
    return {"name": name, "seed": seed, "minutes": round(minutes, 2), "settings": asdict(settings),
            "history": history, "scores": measure(results, scenes)}


def kept(history):
    """What ships of a history: the numbers that notebook 06 shows, with four decimals."""
    return [{key: round(h[key], 4) for key in KEPT if h.get(key) is not None} for h in history]


def brief_trainings():
    """Train those of notebook 06, healthy and ill: patients.json and a picture of each."""
    histories = {}
    for name, who, l1 in tqdm(PATIENTS, desc="patients"):
        history, picture = train_briefly(*patient(who, l1))
        histories[name] = kept(history)
        save_picture(picture, STORED / "patients" / f"{name}.jpg")
    write_whole(STORED / "patients.json", json.dumps(histories, separators=(",", ":")))


def rounded(value):
    """Numbers with five significant digits, wherever they are."""
    if isinstance(value, dict):
        return {key: rounded(x) for key, x in value.items()}
    if isinstance(value, list):
        return [rounded(x) for x in value]
    return float(np.format_float_positional(value, 5, fractional=False)) \
        if isinstance(value, float) and np.isfinite(value) else value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="variants; all without")
    known_names = ["patients", *VARIANTS]
    chosen = parser.parse_args().names or known_names
    if unknown := [name for name in chosen if name not in known_names]:
        parser.error(f"{', '.join(unknown)}: no such variant; there are {', '.join(known_names)}.")
    if "patients" in chosen:
        brief_trainings()
    path = STORED / "results.json"
    records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {
        "truth": {}, "hazy": {}, "runs": []}
    # First seeds first, so that an interrupted laboratory has every row.
    for name, seed in sorted(((n, s) for n in chosen if n in VARIANTS for s in VARIANTS[n].seeds),
                             key=lambda both: both[1]):
        known = [r for r in records["runs"] if (r["name"], r["seed"]) == (name, seed)]
        if known and known[0]["settings"] == asdict(settings_of(name, seed)):
            continue
        record = trained(name, seed, records)
        records["runs"] = [r for r in records["runs"] if r not in known] + [record]
        records |= {"steps": STEPS, "machine": processor(), "versions": {
            package: version(package) for package in ("tensorflow", "keras", "numpy")}}
        STORED.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(rounded(records), indent=None, separators=(",", ":")))
        scores = record["scores"]
        tqdm.write("{} seed {}: {:.2f} dB, SSIM {:.3f}, sharpness {:.2f} (halved {:.2f})".format(
            name, seed, *(scores[k] for k in ("psnr", "ssim", "sharpness", "sharpness_halved"))))


if __name__ == "__main__":
    main()
