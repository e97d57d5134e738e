"""Train the shipped weights: pix2pix and the same generator with the L1 loss alone.

    python scripts/train_weights.py            (make weights; about 5 minutes on two CPU cores)

Data: sample_data/train only, so the weights are as free as the photographs. The recipe is that of
notebook 03 with 1,200 steps instead of 1,000. An interrupted run goes on where it stopped, and a
finished one is not repeated; their folder is build/runs/weights/. What is shipped of a run lies in
sample_data/weights/<name>/: the generator in half precision, the history and the settings; of
pix2pix also the pictures of three validation scenes through training.
"""

import shutil
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from helpers import env  # noqa: E402

tf = env.import_tensorflow()

from tqdm import tqdm  # noqa: E402

from helpers.data import load_pair, training_batches  # noqa: E402
from helpers.inference import dehaze  # noqa: E402
from helpers.pairs import find_pairs, one_per_scene  # noqa: E402
from helpers.runs import find_runs, has_settings, open_run  # noqa: E402
from helpers.training import Settings, build, train, train_step, watch  # noqa: E402

WIDTH, SIZE, BATCH, STEPS = 16, 256, 4, 1200  # the CPU profile, a few more steps
PRECISION = "mixed_bfloat16" if env.has_bfloat16() else "float32"
SHIPPED = ("generator.safetensors", "history.json", "settings.json")


def main():
    pairs = find_pairs(env.SAMPLE_DATA / "train")
    watched = one_per_scene(find_pairs(env.SAMPLE_DATA / "validation"))
    scenes = [(pair.scene, *load_pair(pair)) for pair in watched]
    runs = ROOT / "build" / "runs" / "weights"
    for name, adversarial in (("pix2pix", True), ("l1-only", False)):
        settings = Settings(name, WIDTH, SIZE, BATCH, STEPS, PRECISION, adversarial=adversarial)
        if any(has_settings(folder, settings) for folder in find_runs(name, runs, finished=True)):
            print(f"{name}: trained before; remove {runs} to train it again.")
            continue
        parts = build(settings)
        run = open_run(settings, *parts, runs)
        batches = training_batches(pairs, BATCH, SIZE, settings.seed, start=run.step)
        step = tf.function(partial(train_step, *parts, adversarial=adversarial, l1=settings.l1))
        with tqdm(total=STEPS, initial=run.step, desc=name) as bar:

            def panel(_history, status, _done, _pictures, bar=bar):
                bar.set_postfix_str(status.rsplit(",", 1)[-1].strip())

            after = watch(run, scenes, dehaze, panel)

            def after_step(n, losses, bar=bar, after=after):
                after(n, losses)
                bar.update()

            train(step, batches, run.step, STEPS, after_step)
        run.finish()
        target = env.SAMPLE_DATA / "weights" / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for part in SHIPPED:
            shutil.copy(run.folder / part, target / part)
        if adversarial:  # notebook 04 shows how pix2pix learned
            shutil.copytree(run.folder / "frames", target / "frames")
        print(f"{name}: {run.history[-1]['psnr']:.2f} dB on the validation scenes")


if __name__ == "__main__":
    main()
