"""scripts/bench_training.py on tiny networks."""

import json

import bench_training as bench
import numpy as np
import pytest

from helpers import env

tf = env.import_tensorflow()

from helpers.losses import discriminator_loss
from helpers.models import patchgan, unet


def row(step, width=16, batch=4, seconds=0.5):
    parts = {"Adam": 0.01} if step == bench.OURS else None
    return {"step": step, "width": width, "batch": batch, "precision": "float32",
            "seconds": seconds, "images_s": batch / seconds, "pipeline": 0.02, "of_peak": 0.5,
            "flops": 2e10, "peak": 1e11, "parts": parts}


def test_macs_are_those_of_the_paper_s_networks():
    assert round(bench.macs(unet(64, classic=True)) / 1e9, 2) == 6.05
    assert round(bench.macs(patchgan(64)) / 1e9, 1) == 3.2


def test_alternating_costs_one_more_look_of_the_discriminator():
    networks = unet(4), patchgan(4)
    more = bench.flops_of_step(*networks, 3) - bench.flops_of_step(*networks, 3, classic=True)
    assert more == 2 * 3 * bench.macs(networks[1])


def test_the_classic_step_updates_both_against_the_networks_as_they_were():
    """Simultaneous: what the generator is told does not depend on the discriminator's update."""
    hazy, clear = (tf.random.stateless_uniform((1, 256, 256, 3), (n, 0), -1, 1) for n in (0, 1))

    def after_a_step(d_rate):
        tf.keras.utils.set_random_seed(0)
        networks = unet(4), patchgan(4)
        adams = [tf.keras.optimizers.SGD(rate) for rate in (1e-2, d_rate)]
        seen = bench.classic_step(*networks, *adams)(hazy, clear)
        return seen, *([w.numpy() for w in n.trainable_variables] for n in networks)

    seen, generator, discriminator = after_a_step(0.0)
    _, same, moved = after_a_step(1.0)
    for a, b in zip(generator, same, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(discriminator, moved, strict=True))
    assert 0.5 < float(seen["discriminator"]) / (2 * np.log(2)) < 2, "a sum, not a mean"


# Of the classic ones, one: they differ in the variables that their processes are started with.
@pytest.mark.parametrize("name", [bench.OURS, "ours, float32", "classic, oneDNN on"])
def test_every_step_takes_a_batch(name):
    step, settings, networks, _ = bench.build_step(name, 4, 1, None)
    assert settings.precision == ("float32" if name != bench.OURS else env.best_precision())
    batch = tf.zeros((1, 256, 256, 3))
    before = networks[1].get_weights()
    seen = step(batch, batch + 0.5)
    assert all(np.isfinite(float(value)) for value in seen.values())
    assert {"l1", "adversarial", "discriminator"} <= set(seen)
    assert any(np.any(a != b) for a, b in zip(before, networks[1].get_weights(), strict=True))


def test_parts_of_the_step_are_timed():
    _, _, networks, optimizers = bench.build_step(bench.OURS, 4, 1, "float32")
    batch = tf.zeros((1, 256, 256, 3))
    parts = bench.parts_of_step(networks, optimizers, batch, batch + 0.5, times=1)
    assert len(parts) == 5 and min(parts.values()) > 0
    assert float(discriminator_loss(tf.zeros((1, 1)), tf.zeros((1, 1)))) == pytest.approx(np.log(2))


def test_a_child_answers_and_ends():
    child = bench.Child(bench.OURS, 4, 1, "float32")
    try:
        times = child.ask("steps", 2)
        assert len(times) == 2 and all(0 <= waited < whole for whole, waited in times)
        assert child.ask("pipeline") > 0
    finally:
        child.close()
    assert child.process.returncode == 0


def test_tables():
    rows = [row(bench.OURS, seconds=0.4), row("classic, oneDNN on", seconds=0.5),
            row(bench.OURS, 64, 1, 2.0), row("classic, oneDNN on", 64, 1, 1.0)]
    lines = bench.table(rows).splitlines()
    assert lines[2] == "| 16, 4 | ours | float32 | 400 | 10.00 | 1.25 | 2.0% | 50% |"
    assert lines[4] == "| 64, 1 | ours | float32 | 2000 | 0.50 | 0.50 | 2.0% | 50% |"
    assert bench.parts_table(rows).splitlines()[-1] == "| Adam | 10 ms | 10 ms |"


def test_the_report(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "measure", lambda width, batch, names, *rest: [
        row(name, width, batch) for name in names])
    monkeypatch.setattr(bench, "psnr_differences", lambda *rest: [(0, 17.5, 17.25)])
    path = tmp_path / "new" / "bench.json"
    bench.main(["--precision", "mixed_bfloat16", "--json", str(path)])
    said = capsys.readouterr().out
    assert "by a matrix product: 100 GFLOP/s (float32)." in said
    assert "| 16, 4 | ours | float32 | 500 | 8.00 | 1.00 | 2.0% | 40% |" in said
    assert "float32 17.50 dB, mixed_bfloat16 17.25 dB, -0.25 dB" in said
    found = json.loads(path.read_text())
    assert len(found["rows"]) == 2 * len(bench.STEPS)
    bench.main(["--precision", "float32", "--json", str(path)])
    assert "no precisions to compare" in capsys.readouterr().out
    assert "ours, float32" not in {r["step"] for r in json.loads(path.read_text())["rows"]}
