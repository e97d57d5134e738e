"""Scores of a dehazed image against the clear one: PSNR, SSIM and the scoreboard.

Images are float RGB in [0, 1], shape (height, width, 3). Taught in notebook 04.
"""

import numpy as np
import tensorflow as tf


def psnr(image, truth):
    """Peak signal-to-noise ratio in decibels, 10 log10(1 / mean squared error).

    ``image`` and ``truth`` are arrays of one shape with values in [0, 1]; equal ones give
    infinity. Score image by image and average the scores: the PSNR of a whole batch is another
    number. Notebook 04.
    """
    error = np.mean((np.asarray(image, "float64") - np.asarray(truth, "float64")) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(1 / error))


def ssim(image, truth):
    """Structural similarity, at most 1: luminance, contrast and structure compared in windows.

    ``image`` and ``truth`` are RGB in [0, 1], at least 11 pixels a side. Gaussian window of 11
    pixels, sigma 1.5, mean over pixels and channels, as ``tf.image.ssim`` has it. Wang, Bovik,
    Sheikh and Simoncelli 2004; notebook 04.
    """
    if np.shape(image) != np.shape(truth) or min(np.shape(image)[:2]) < 11:
        sizes = f"{np.shape(image)} and {np.shape(truth)}"
        raise ValueError(f"SSIM compares two images of one size, 11 pixels or more, not {sizes}.")
    image, truth = (np.asarray(x, "float32") for x in (image, truth))
    maps = np.concatenate([image, truth, image**2 + truth**2, image * truth], axis=-1)
    mean_i, mean_t, squares, product = np.split(_gaussian_means(maps), 4, axis=-1)
    c1, c2 = 0.01**2, 0.03**2  # Wang et al., for a peak of 1
    means, power = 2 * mean_i * mean_t, mean_i**2 + mean_t**2
    luminance = (means + c1) / (power + c1)
    structure = (2 * product - means + c2) / (squares - power + c2)
    return float(np.mean(luminance * structure))


def _gaussian_means(maps):
    """Gaussian-weighted means of each channel of (height, width, channels) in every 11×11 window.

    The window is the product of a column and a row, so two short passes do what one of 11×11
    would: half the time of ``tf.image.ssim``, which matters while a slider moves.
    """
    kernel = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    kernel = np.tile((kernel / kernel.sum()).astype("float32")[:, None], (1, maps.shape[-1]))
    column, row = kernel[:, None, :, None], kernel[None, :, :, None]
    maps = tf.nn.depthwise_conv2d(maps[None], column, [1, 1, 1, 1], "VALID")
    return tf.nn.depthwise_conv2d(maps, row, [1, 1, 1, 1], "VALID").numpy()[0]


def score(image, truth):
    """The pair (PSNR in dB, SSIM) of one image, clipped to [0, 1] before."""
    image = np.clip(image, 0, 1)
    return psnr(image, truth), ssim(image, truth)


def scoreboard(methods, scenes):
    """Score every method on every scene; returns {method: array (scenes, 2) of (PSNR, SSIM)}.

    ``methods`` maps a name to a function from a hazy to a dehazed image, ``scenes`` is a list of
    (hazy, clear). All images are RGB in [0, 1]. Notebook 04.
    """
    return {
        name: np.array([score(method(hazy), clear) for hazy, clear in scenes])
        for name, method in methods.items()
    }
