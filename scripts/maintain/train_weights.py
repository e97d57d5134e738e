"""Train the shipped weights: pix2pix and the same generator with the L1 loss alone.

    python scripts/maintain/train_weights.py    (make weights; about 16 minutes on two CPU cores)

Data: sample_data/train only, so the weights are as free as the photographs. The recipe is that of
notebook 05 with 1,200 steps. An interrupted run goes on where it stopped, and a finished one is not
repeated; their folder is build/runs/weights/. What is shipped of a run lies in
sample_data/weights/<name>/: the generator in half precision, the history and the settings; of
pix2pix also the pictures of three validation scenes through training and the PatchGAN's verdicts.
"""

import argparse
import shutil

from helpers import env
from helpers.data import load_pair
from helpers.pairs import find_pairs, one_per_scene
from helpers.runs import has_settings
from helpers.training import Settings, fit
from helpers.weights import find_runs

WIDTH, SIZE, BATCH, STEPS = 16, 256, 4, 1200
SHIPPED = ("generator.safetensors", "history.json", "settings.json")


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    pairs = find_pairs(env.SAMPLE_DATA / "train")
    watched = one_per_scene(find_pairs(env.SAMPLE_DATA / "validation"))
    scenes = [(pair.scene, *load_pair(pair)) for pair in watched]
    runs = env.ROOT / "build" / "runs" / "weights"
    for name, adversarial in (("pix2pix", True), ("l1-only", False)):
        settings = Settings(name, WIDTH, SIZE, BATCH, STEPS, env.profile().precision,
                            adversarial=adversarial)
        if any(has_settings(folder, settings) for folder in find_runs(name, runs, finished=True)):
            print(f"{name}: trained before; remove {runs} to train it again.")
            continue
        run = fit(settings, pairs, scenes, lambda report: print(report.status, flush=True), runs)
        target = env.SAMPLE_DATA / "weights" / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for part in SHIPPED:
            shutil.copy(run.folder / part, target / part)
        if adversarial:  # notebook 07 shows how pix2pix learned
            shutil.copytree(run.folder / "frames", target / "frames")
        print(f"{name}: {run.history[-1]['psnr']:.2f} dB on the validation scenes")


if __name__ == "__main__":
    main()
