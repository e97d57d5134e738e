"""Haze as physics, in NumPy: the scattering model, its inverse and the dark channel prior.

Images are float32 RGB in [0, 1], shape (height, width, 3). Depth and transmission have the shape
(height, width). Taught in notebook 01.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image


def check_image(image, name="image"):
    """The image as float32, if it is what the project calls one; a sentence on its fault if not.

    An image is an array of floats, RGB, (height, width, 3), not empty, in [0, 1]; a hundredth
    beyond is allowed, since resizing overshoots. ``name`` is what the message calls it. Raises
    ValueError for another shape or type, for values out of range and for NaN. The range takes one
    pass for the minimum and one for the maximum: a NaN shows in both.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3 or image.size == 0:
        raise ValueError(f"{name}: an array {image.shape} is no RGB image, (height, width, 3).")
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"{name}: {image.dtype} is no image of floats in [0, 1]; divide the "
                         "values of an 8-bit image by 255.")
    low, high = image.min(), image.max()
    if not (low >= -0.01 and high <= 1.01):  # also if one of them is NaN
        found = f"from {low:.3g} to {high:.3g}" if np.isfinite(low + high) else "with NaN or inf"
        raise ValueError(f"{name}: values {found}; an image has values in [0, 1].")
    return image.astype("float32", copy=False)


def transmission(depth, beta):
    """Part of the scene's light that reaches the camera, t = exp(-beta * depth), in 0..1.

    ``depth`` is an array (height, width) of distances >= 0 in any unit, ``beta`` the scattering
    coefficient >= 0 per that unit. Koschmieder 1924; notebook 01.
    """
    return np.exp(-beta * depth)


def add_haze(clear, t, airlight):
    """Hazy image I = J t + A (1 - t), the atmospheric scattering model.

    ``clear`` is J, float RGB in [0, 1]; ``t`` the transmission (height, width) in 0..1;
    ``airlight`` is A, a number or three numbers (RGB) in 0..1. The model is linear in light; like
    the data sets of the field we apply it to gamma-coded values. Narasimhan and Nayar 2002, eq. 4;
    notebook 01.
    """
    t = t[..., None]
    return (clear * t + np.asarray(airlight) * (1 - t)).astype("float32")


def remove_haze(hazy, t, airlight, t_min=0.1):
    """Clear image J = (I - A) / max(t, t_min) + A: the scattering model, inverted.

    Arguments as in :func:`add_haze`. ``t_min`` keeps the division from blowing up noise where
    nearly no light of the scene is left. The result is clipped to [0, 1]. Raises ValueError as
    :func:`check_image`. He, Sun and Tang 2009, eq. 16; notebook 01.
    """
    hazy, airlight = check_image(hazy, "hazy"), np.asarray(airlight)
    clear = (hazy - airlight) / np.maximum(t, t_min)[..., None] + airlight
    return np.clip(clear, 0, 1).astype("float32")


def slide(image, radius, axis, reduce):
    """Reduce every window of 2 * radius + 1 entries along ``axis``; the border repeats its edge.

    ``reduce`` is ``np.min`` for the dark channel; the shape stays. Notebook 01.
    """
    pad = [(0, 0)] * image.ndim
    pad[axis] = (radius, radius)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(image, pad, mode="edge"), 2 * radius + 1, axis=axis
    )
    return reduce(windows, axis=-1)


def box_mean(image, radius):
    """Mean over the square of 2 * radius + 1 pixels around each pixel of an array (height, width).

    Windows at the border hold only the pixels inside the image. Running sums: the time does not
    depend on the radius. Notebook 01.
    """

    def summed(a, axis):
        total = np.insert(np.cumsum(a, axis=axis, dtype="float64"), 0, 0, axis=axis)
        n = a.shape[axis]
        low = np.clip(np.arange(n) - radius, 0, n)
        high = np.clip(np.arange(n) + radius + 1, 0, n)
        return np.take(total, high, axis=axis) - np.take(total, low, axis=axis)

    height, width = (summed(np.ones(n), 0) for n in image.shape)  # of the windows
    return summed(summed(image, 0), 1) / (height[:, None] * width)


def guided_filter(guide, image, radius, eps):
    """Smooth ``image`` while its edges follow those of ``guide``; both (height, width), float.

    In each square of 2 * radius + 1 pixels the output is a linear function of the guide; ``eps``
    (squared units of the guide) says how much contrast counts as an edge. He, Sun and Tang 2010,
    algorithm 1; notebook 01.
    """
    a, b = guided_lines(guide, image, radius, eps)
    return a * guide + b


def guided_lines(guide, image, radius, eps):
    """Slope and offset (a, b) of the guided filter for every pixel: its output is a * guide + b.

    He, Sun and Tang 2010, eq. 5 and 6; arguments as in :func:`guided_filter`. Notebook 01.
    """
    mean_g, mean_i = box_mean(guide, radius), box_mean(image, radius)
    variance = box_mean(guide * guide, radius) - mean_g**2
    covariance = box_mean(guide * image, radius) - mean_g * mean_i
    a = covariance / (variance + eps)
    b = mean_i - a * mean_g
    return box_mean(a, radius), box_mean(b, radius)


def resize(image, shape, box=None):
    """Bilinear resize of an array (height, width[, channels]) to ``shape``, (height, width).

    Returns float32, with the same channels. ``box`` is the part to take, (left, top, right,
    bottom) in pixels, fractions allowed.
    """
    if np.ndim(image) == 3:
        with ThreadPoolExecutor() as threads:  # Pillow lets the other cores work
            channels = threads.map(lambda c: resize(c, shape, box), np.moveaxis(image, -1, 0))
            return np.stack(list(channels), axis=-1)
    picture = Image.fromarray(np.asarray(image, "float32"))
    return np.asarray(picture.resize(shape[::-1], Image.Resampling.BILINEAR, box=box))


def guided_upsample(guide, image, radius, eps):
    """Enlarge ``image`` to the size of ``guide`` so that its edges follow the guide's.

    Both are float (height, width), ``image`` the smaller one. The linear functions of
    :func:`guided_filter` are found at the small size, where ``radius`` counts, and applied to the
    full guide: hardly more work than the enlargement. He and Sun 2015, "Fast Guided Filter"; the
    filter itself: notebook 01.
    """
    a, b = guided_lines(resize(guide, image.shape), image, radius, eps)
    return resize(a, guide.shape) * guide + resize(b, guide.shape)


def dark_channel(image, radius=7):
    """Smallest of the RGB values in the square of 2 * radius + 1 pixels around each pixel.

    Returns (height, width). In clear outdoor pictures it is near 0 almost everywhere except the
    sky; haze lifts it. He, Sun and Tang 2009, eq. 5; notebook 01.
    """
    dark = image.min(axis=-1)
    return slide(slide(dark, radius, 0, np.min), radius, 1, np.min)


def estimate_airlight(hazy, dark=None, fraction=0.001):
    """Airlight A, RGB in [0, 1]: the mean colour of the pixels with the brightest dark channel.

    ``fraction`` of the pixels take part, at least one. He, Sun and Tang 2009, section 4.4 (which
    takes the brightest of them; the mean is less moved by a single bright pixel); notebook 01.
    """
    dark = dark_channel(hazy) if dark is None else dark
    count = max(1, int(dark.size * fraction))
    brightest = np.argpartition(dark.ravel(), -count)[-count:]
    return hazy.reshape(-1, 3)[brightest].mean(axis=0)


def dark_channel_prior(hazy, radius=7, omega=0.95, t_min=0.1):
    """Dehaze with the dark channel prior; returns (clear image, transmission, airlight).

    t = 1 - omega * dark channel of I / A, refined by a guided filter on the grey image, then the
    scattering model inverted. ``omega`` < 1 leaves a little haze in the distance. Raises
    ValueError as :func:`check_image`. He, Sun and Tang 2009; notebook 01.
    """
    hazy = check_image(hazy, "hazy")
    airlight = estimate_airlight(hazy, dark_channel(hazy, radius))
    t = 1 - omega * dark_channel(hazy / np.maximum(airlight, 1e-3), radius)
    t = guided_filter(hazy.mean(axis=-1), t, radius=4 * radius, eps=1e-3)
    t = np.clip(t, 0, 1)
    return remove_haze(hazy, t, airlight, t_min), t.astype("float32"), airlight


def autocontrast(image, clipped=0.01):
    """Stretch each channel so that its ``clipped`` darkest and brightest parts become 0 and 1.

    The simplest remedy for lost contrast, and a baseline: it knows nothing of depth. Raises
    ValueError as :func:`check_image`. Notebook 07.
    """
    image = check_image(image)
    low, high = np.quantile(image, [clipped, 1 - clipped], axis=(0, 1))
    return np.clip((image - low) / np.maximum(high - low, 1e-3), 0, 1).astype("float32")
