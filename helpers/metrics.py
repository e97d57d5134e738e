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


def to_lab(image):
    """sRGB in [0, 1], (..., 3), as CIE L*a*b* under the white D65: L in 0..100. Notebook 08."""
    rgb = np.clip(np.asarray(image, "float64"), 0, 1)
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ np.array([[0.412453, 0.212671, 0.019334], [0.357580, 0.715160, 0.119193],
                             [0.180423, 0.072169, 0.950227]])  # of IEC 61966-2-1
    x, y, z = np.moveaxis(xyz / [0.95047, 1, 1.08883], -1, 0)
    x, y, z = (np.where(v > 0.008856, np.cbrt(v), 7.787 * v + 16 / 116) for v in (x, y, z))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def chroma_ratio(image, truth):
    """How colourful an image is beside the truth: its mean chroma in L*a*b* over the truth's.

    Both are RGB in [0, 1], (height, width, 3). 1 is as colourful, 0 is grey; it does not say
    whether the hues are right. A grey truth gives inf, or NaN. Notebook 08.
    """
    mean, wanted = (np.hypot(*np.moveaxis(to_lab(x)[..., 1:], -1, 0)).mean()
                    for x in (image, truth))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(mean / wanted)


def colour_difference(image, truth):
    """Mean CIEDE2000 of two RGB images in [0, 1]: 1 is what an eye can just tell apart.

    Sharma, Wu and Dalal 2005, whose test pairs :func:`ciede2000` reproduces; notebook 08.
    """
    return float(ciede2000(to_lab(image), to_lab(truth)).mean())


def ciede2000(one, other):
    """CIEDE2000 of colours in L*a*b*, (..., 3) each: (...). Sharma et al. 2005, eq. 2 to 22."""
    (l_1, a_1, b_1), (l_2, a_2, b_2) = (np.moveaxis(np.asarray(x, "float64"), -1, 0)
                                        for x in (one, other))
    mean_c = (np.hypot(a_1, b_1) + np.hypot(a_2, b_2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
    c_1, c_2 = np.hypot(stretch * a_1, b_1), np.hypot(stretch * a_2, b_2)
    h_1, h_2 = (np.arctan2(b, stretch * a) % (2 * np.pi) for a, b in ((a_1, b_1), (a_2, b_2)))
    turn = h_2 - h_1
    turn = turn - 2 * np.pi * np.sign(turn) * (np.abs(turn) > np.pi)
    grey = c_1 * c_2 == 0
    turn = np.where(grey, 0, turn)
    hue = 2 * np.sqrt(c_1 * c_2) * np.sin(turn / 2)
    mean_h = np.where(grey, h_1 + h_2, h_1 + turn / 2)
    mean_l, mean_c = (l_1 + l_2) / 2, (c_1 + c_2) / 2
    t = (1 - 0.17 * np.cos(mean_h - np.pi / 6) + 0.24 * np.cos(2 * mean_h)
         + 0.32 * np.cos(3 * mean_h + np.pi / 30) - 0.2 * np.cos(4 * mean_h - np.radians(63)))
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    blue = np.exp(-((np.degrees(mean_h) % 360 - 275) / 25) ** 2)
    turned = -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7)) * np.sin(np.pi / 3 * blue)
    light, chroma, hue = (l_2 - l_1) / s_l, (c_2 - c_1) / s_c, hue / s_h
    return np.sqrt(light**2 + chroma**2 + hue**2 + turned * chroma * hue)
