"""A small encoder, and files of weights for it, as tests need them."""

import numpy as np
import safetensors.numpy

from helpers import encoder

TINY = ((1, 3, 1, 1, 4), (2, 3, 2, 2, 4), (1, 5, 2, 2, 4), (1, 3, 2, 2, 4), (1, 5, 1, 2, 6),
        (1, 5, 2, 2, 6))
TINY_LAST = (0, 2, 3, 5, 6)


def shrink_encoder(monkeypatch):
    """Let EfficientNet-Lite0 have a few channels and blocks only."""
    monkeypatch.setattr(encoder, "STAGES", TINY)
    monkeypatch.setattr(encoder, "LAST", TINY_LAST)


def write_encoder(path, seed=0):
    """A file of random weights with PyTorch's names for the encoder as it stands; returns it."""
    rng, tensors = np.random.default_rng(seed), {}

    def add(convolution, norm, out, inside, side):
        scale = np.sqrt(2 / (inside * side**2))
        parts = {f"{convolution}.weight": rng.normal(0, scale, (out, inside, side, side)),
                 f"{norm}.weight": rng.uniform(0.5, 1.5, out),
                 f"{norm}.bias": rng.normal(0, 1, out),
                 f"{norm}.running_mean": rng.normal(0, 1, out),
                 f"{norm}.running_var": rng.uniform(0.5, 2, out)}
        tensors.update({name: array.astype("float32") for name, array in parts.items()})

    add("_conv_stem", "_bn0", 32, 3, 3)
    number, before = 0, 32
    for repeats, side, _, expansion, filters in encoder.STAGES:
        for _ in range(repeats):
            block, inside = f"_blocks.{number}.", before * expansion
            if expansion > 1:
                add(f"{block}_expand_conv", f"{block}_bn0", inside, before, 1)
            add(f"{block}_depthwise_conv", f"{block}_bn1", inside, 1, side)
            add(f"{block}_project_conv", f"{block}_bn2", filters, inside, 1)
            number, before = number + 1, filters
    safetensors.numpy.save_file(tensors, path)
    return path
