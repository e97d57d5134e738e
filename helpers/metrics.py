"""Scores of a dehazed image against the clear one: PSNR, SSIM and sharpness.

Images are float RGB in [0, 1], shape (height, width, 3). Taught in notebook 07.
"""

import numpy as np
import tensorflow as tf

from helpers.haze import check_image
from helpers.images import central


def psnr(image, truth):
    """Peak signal-to-noise ratio in decibels, 10 log10(1 / mean squared error).

    ``image`` and ``truth`` are arrays of one shape with values in [0, 1]; equal ones give
    infinity. Score image by image and average the scores: the PSNR of a whole batch is another
    number. Notebook 07.
    """
    error = np.mean((np.asarray(image, "float64") - np.asarray(truth, "float64")) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(1 / error))


def ssim(image, truth):
    """Structural similarity, at most 1: luminance, contrast and structure compared in windows.

    ``image`` and ``truth`` are RGB in [0, 1], at least 11 pixels a side. Gaussian window of 11
    pixels, sigma 1.5, mean over pixels and channels: ``tf.image.ssim``. Raises ValueError for two
    sizes, for smaller images and as :func:`helpers.haze.check_image`. Wang, Bovik, Sheikh and
    Simoncelli 2004; notebook 07.
    """
    image, truth = check_image(image), check_image(truth, "truth")
    if image.shape != truth.shape or min(image.shape[:2]) < 11:
        sizes = f"{image.shape} and {truth.shape}"
        raise ValueError(f"SSIM compares two images of one size, 11 pixels or more, not {sizes}.")
    return float(_ssim(image, truth))


@tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.float32)] * 2)
def _ssim(image, truth):  # as a graph, twice as quick while a slider moves
    return tf.image.ssim(image, truth, max_val=1.0)


def sharpness(image, truth):
    """How sharp an image is beside the truth: 1 is as sharp, a blurred one is below, a number.

    It is the mean absolute difference between neighbouring pixels of the grey image (the mean of
    the channels), across and down, over the same of ``truth``. Both are RGB, (height, width, 3), of
    one shape, at least 2 pixels a side. It cannot tell detail from noise or from the lattice of a
    transposed convolution: both count as sharp. A truth without any difference gives inf, or NaN if
    the image has none either. Raises ValueError for two shapes and for smaller images. Notebook 07.
    """
    def slope(x):
        grey = np.asarray(x, "float64").mean(axis=-1)  # (height, width)
        return np.mean([np.abs(np.diff(grey, axis=axis)).mean() for axis in (0, 1)])

    sizes = np.shape(image), np.shape(truth)
    if sizes[0] != sizes[1] or len(sizes[0]) != 3 or min(sizes[0][:2]) < 2:
        raise ValueError(f"sharpness compares images of one size, 2 pixels or more, not {sizes}.")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(slope(image) / slope(truth))


def halved(image):
    """The image at half its size: each pixel is the mean of 2×2; an odd row or column is cut off.

    ``image`` is (height, width, channels) or (height, width). What has the period of two pixels,
    such as the lattice of a transposed convolution of stride 2, is averaged away. Notebook 05.
    """
    image = np.asarray(image)
    high, wide = image.shape[0] // 2, image.shape[1] // 2
    image = image[:2 * high, :2 * wide]
    return image.reshape(high, 2, wide, 2, *image.shape[2:]).mean(axis=(1, 3))


def spectrum(image):
    """Power of an RGB image (height, width, 3) at each frequency across and down, a 1-D array.

    Entry k belongs to k waves over the 256 pixels at the image's centre, k = 0 to 128, the finest,
    which changes with every pixel. It is the squared amplitude along rows and along columns of the
    grey image, averaged; a Hann window fades the borders out. A photograph falls smoothly;
    what repeats every 2 pixels is a spike at 128, every 4 at 64. Raises ValueError below 256 pixels
    a side. Notebook 05.
    """
    if min(np.shape(image)[:2]) < 256:
        raise ValueError(f"spectrum needs 256 pixels a side or more, not {np.shape(image)[:2]}.")
    grey = central(np.asarray(image, "float64")).mean(axis=-1)
    window = np.hanning(256)
    lines = [np.abs(np.fft.rfft((x - x.mean(axis=1, keepdims=True)) * window)) ** 2
             for x in (grey, grey.T)]
    return np.mean([x.mean(axis=0) for x in lines], axis=0)


def score(image, truth):
    """The pair (PSNR in dB, SSIM) of one image, clipped to [0, 1] before; raises as ssim()."""
    image = np.clip(check_image(image), 0, 1)
    similarity = ssim(image, truth)  # first: it checks the sizes
    return psnr(image, truth), similarity
