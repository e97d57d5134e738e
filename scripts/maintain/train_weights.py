"""Train the shipped weights: pix2pix and the same generator with the L1 loss alone, in two tasks.

    python scripts/maintain/train_weights.py    (make weights; half an hour on two CPU cores)

Data: sample_data/train only, so the weights are as free as the photographs. The recipes are those
of notebook 05: ordinary haze with 1,200 steps, thick fog with 2,400. An interrupted run goes on
where it stopped, and a finished one is not repeated; their folder is build/runs/weights/. What is
shipped of a run lies in sample_data/weights/<name>/: the generator in half precision, the history
and the settings; of pix2pix also the pictures of three validation scenes through training and the
PatchGAN's verdicts.
"""

import argparse
import shutil

from helpers import env
from helpers.data import load_pair
from helpers.experiments import fog_batches, fog_settings, watched_fog
from helpers.pairs import find_pairs, one_per_scene
from helpers.runs import has_settings
from helpers.training import Settings, fit
from helpers.weights import find_runs

WIDTH, SIZE, BATCH, STEPS, FOG_STEPS = 16, 256, 4, 1200, 2400
SHIPPED = ("generator.safetensors", "history.json", "settings.json")


def recipes():
    """What :func:`helpers.training.fit` takes, by name: (settings, pairs, scenes, options)."""
    precision = env.profile().precision
    pairs = find_pairs(env.SAMPLE_DATA / "train")
    watched = one_per_scene(find_pairs(env.SAMPLE_DATA / "validation"))
    scenes = [(pair.scene, *load_pair(pair)) for pair in watched]
    found = {}
    for name, adversarial in (("pix2pix", True), ("l1-only", False)):
        settings = Settings(name, WIDTH, SIZE, BATCH, STEPS, precision, adversarial=adversarial)
        found[name] = settings, pairs, scenes, {}
    for name, adversarial in (("fog-pix2pix", True), ("fog-l1", False)):
        settings = fog_settings(name, FOG_STEPS, precision, adversarial=adversarial)
        found[name] = settings, [], watched_fog(), {"batches": fog_batches(settings)}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the networks; all without")
    names = parser.parse_args().names
    runs = env.ROOT / "build" / "runs" / "weights"
    for name, (settings, pairs, scenes, options) in recipes().items():
        if names and name not in names:
            continue
        if any(has_settings(folder, settings) for folder in find_runs(name, runs, finished=True)):
            print(f"{name}: trained before; remove {runs} to train it again.")
            continue
        run = fit(settings, pairs, scenes, lambda report: print(report.status, flush=True), runs,
                  **options)
        target = env.SAMPLE_DATA / "weights" / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for part in SHIPPED:
            shutil.copy(run.folder / part, target / part)
        if name == "pix2pix":  # notebook 07 shows how it learned
            shutil.copytree(run.folder / "frames", target / "frames")
        print(f"{name}: {run.history[-1]['psnr']:.2f} dB on the validation scenes")


if __name__ == "__main__":
    main()
