"""helpers.metrics against scikit-image and against numbers worked out by hand."""

import io
import math

import numpy as np
import pytest
from skimage import color
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from helpers import metrics


@pytest.fixture(params=[(11, 11), (24, 37)], ids=str)
def images(request):
    rng = np.random.default_rng(1)
    truth = rng.random((*request.param, 3)).astype("float32")
    return np.clip(truth + rng.normal(0, 0.08, truth.shape), 0, 1).astype("float32"), truth


@pytest.mark.parametrize("error, expected", [(0.1, 20), (0.01, 40), (1, 0), (0, math.inf)])
def test_psnr_by_hand(error, expected):
    truth = np.zeros((4, 4, 3))
    assert metrics.psnr(truth + error, truth) == pytest.approx(expected, abs=1e-9)


def test_scores_agree_with_skimage(images):
    """SSIM within 1e-4: the same window and constants, in float32 here and in float64 there.

    skimage filters with padding and then crops 5 pixels, which leaves what TensorFlow's valid
    convolution gives; its window is cut at 3.5 sigma, 11 pixels here too.
    """
    image, truth = (x.astype(float) for x in images)
    assert metrics.psnr(*images) == pytest.approx(
        peak_signal_noise_ratio(truth, image, data_range=1), abs=1e-9)
    expected = structural_similarity(
        truth, image, data_range=1, channel_axis=-1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )
    assert metrics.ssim(*images) == pytest.approx(expected, abs=1e-4)
    assert metrics.ssim(truth, truth) == pytest.approx(1, abs=1e-6)


def test_mean_of_psnrs_is_not_the_psnr_of_the_batch():
    truth = np.zeros((2, 8, 8, 3))
    batch = truth + np.array([0.01, 0.1]).reshape(2, 1, 1, 1)
    assert np.mean([metrics.psnr(a, b) for a, b in zip(batch, truth, strict=True)]) == 30
    assert metrics.psnr(batch, truth) == pytest.approx(10 * math.log10(2 / 0.0101))


@pytest.mark.parametrize("one, other, problem", [
    (np.zeros((10, 30, 3)), np.zeros((10, 30, 3)), "one size, 11 pixels"),
    (np.zeros((20, 20, 3)), np.zeros((20, 21, 3)), "one size, 11 pixels"),
    (np.zeros((20, 20, 3), "uint8"), np.zeros((20, 20, 3)), "image: uint8"),
    (np.zeros((20, 20, 3)), np.full((20, 20, 3), np.nan), "truth: values with NaN"),
], ids=["too-small", "two-sizes", "8-bits", "NaN"])
def test_ssim_and_score_refuse_in_one_sentence(one, other, problem):
    for function in (metrics.ssim, metrics.score):
        with pytest.raises(ValueError, match=problem) as error:
            function(one, other)
        assert "\n" not in str(error.value)


def test_sharpness_by_hand():
    """A ramp across: steps of 0.1 in one direction, of none in the other; and what counts."""
    ramp = np.repeat(np.tile(np.arange(6) / 10, (4, 1))[..., None], 3, axis=-1)
    flat = np.full_like(ramp, 0.5)
    assert metrics.sharpness(ramp, ramp) == 1
    assert metrics.sharpness(ramp / 2 + 0.3, ramp) == pytest.approx(0.5)
    assert metrics.sharpness(flat, ramp) == 0
    both = ramp + np.arange(4).reshape(4, 1, 1) / 10  # as steep down as across: twice the mean
    assert metrics.sharpness(both, ramp) == pytest.approx(2)
    assert metrics.sharpness(ramp, flat) == math.inf and math.isnan(metrics.sharpness(flat, flat))
    red = np.zeros_like(ramp)
    red[..., 0] = ramp[..., 0]
    assert metrics.sharpness(red, ramp) == pytest.approx(1 / 3)  # grey is the mean of the channels


def test_sharpness_falls_with_blur_and_rises_with_noise(images):
    noisy, truth = images  # the first is the second with noise
    blurred = (truth + np.roll(truth, 1, axis=0) + np.roll(truth, 1, axis=1)) / 3
    assert metrics.sharpness(blurred, truth) < 0.8
    ramp = np.linspace(0, 1, truth.size).reshape(truth.shape)
    assert metrics.sharpness(np.clip(ramp + noisy - truth, 0, 1), ramp) > 1.2


@pytest.mark.parametrize("one, other", [
    ((4, 4, 3), (4, 5, 3)), ((1, 4, 3), (1, 4, 3)), ((2, 4, 4, 3), (2, 4, 4, 3)),
], ids=["two-sizes", "too-small", "a-batch"])
def test_sharpness_refuses_in_one_sentence(one, other):
    with pytest.raises(ValueError, match="one size, 2 pixels or more"):
        metrics.sharpness(np.zeros(one), np.zeros(other))


@pytest.mark.parametrize("shape", [(6, 8, 3), (7, 9, 3), (7, 8)], ids=str)
def test_halved(shape):
    image = np.random.default_rng(3).random(shape).astype("float32")
    half = metrics.halved(image)
    assert half.shape == (3, 4, *shape[2:]) and half.dtype == image.dtype
    assert half[1, 2] == pytest.approx(image[2:4, 4:6].mean(axis=(0, 1)))


def test_halved_removes_a_lattice_of_two_pixels():
    lattice = np.indices((8, 8)).sum(axis=0) % 2 * 0.1
    assert np.ptp(metrics.halved(0.5 + lattice)) == pytest.approx(0)


def test_no_new_graph_for_each_size():
    for side in (12, 13, 14):
        metrics.ssim(np.zeros((side, 20, 3)), np.zeros((side, 20, 3)))
    assert metrics._ssim.experimental_get_tracing_count() == 1


# The power spectrum.


def waves(period, axis=1):
    x = np.arange(300) / period
    wave = np.broadcast_to(0.5 + 0.2 * np.cos(2 * np.pi * x), (300, 300))
    return np.repeat((wave if axis else wave.T)[..., None], 3, axis=-1)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("period, k", [(2, 128), (4, 64), (16, 16)])
def test_what_repeats_is_a_spike(period, k, axis):
    power = metrics.spectrum(waves(period, axis))
    assert power.shape == (129,) and power.argmax() == k
    assert power[k] > 100 * np.delete(power, range(k - 2, min(k + 3, 129))).max()


def test_a_flat_picture_has_no_power_and_a_small_one_no_spectrum():
    assert np.allclose(metrics.spectrum(np.full((256, 400, 3), 0.3)), 0)
    with pytest.raises(ValueError, match=r"256 pixels a side or more, not \(200, 400\)"):
        metrics.spectrum(np.zeros((200, 400, 3)))


# Sharma, Wu and Dalal 2005, table 1: L, a, b of two colours, and their CIEDE2000.
SHARMA = np.loadtxt(io.StringIO("""
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.02 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1
50 -1.1848 -84.8006 50 0 -82.7485 1
50 -0.9009 -85.5211 50 0 -82.7485 1
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.49 -0.001 50 -2.49 0.0009 7.1792
50 2.49 -0.001 50 -2.49 0.001 7.1792
50 2.49 -0.001 50 -2.49 0.0011 7.2195
50 2.49 -0.001 50 -2.49 0.0012 7.2195
50 -0.001 2.49 50 0.0009 -2.49 4.8045
50 -0.001 2.49 50 0.001 -2.49 4.8045
50 -0.001 2.49 50 0.0011 -2.49 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.903
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1
50 2.5 0 50 3.2972 0 1
50 2.5 0 50 1.8634 0.5757 1
50 2.5 0 50 3.2592 0.335 1
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.263
61.2901 3.7196 -5.3901 61.4292 2.248 -4.962 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.694 23.0331 14.973 -42.5619 2.0373
36.4612 47.858 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.441 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.135 0.9033 -0.0636 -0.5514 0.9082
"""))


def test_ciede2000_of_the_published_pairs():
    one, other, expected = SHARMA[:, :3], SHARMA[:, 3:6], SHARMA[:, 6]
    assert np.abs(metrics.ciede2000(one, other) - expected).max() < 1e-4
    assert np.abs(metrics.ciede2000(other, one) - expected).max() < 1e-4


def test_colours_agree_with_skimage(images):
    lab = [color.rgb2lab(x.astype(float)) for x in images]
    assert np.allclose(metrics.to_lab(images[0]), lab[0], atol=1e-6)
    expected = color.deltaE_ciede2000(*lab).mean()
    assert metrics.colour_difference(*images) == pytest.approx(expected, abs=1e-6)


def test_chroma_ratio_by_hand(images):
    image, truth = images
    grey = np.repeat(truth.mean(axis=-1, keepdims=True), 3, axis=-1)
    assert metrics.chroma_ratio(truth, truth) == 1
    assert metrics.chroma_ratio(grey, truth) == pytest.approx(0, abs=1e-3)
    assert 0.3 < metrics.chroma_ratio((truth + grey) / 2, truth) < 0.7
    flat = np.zeros((8, 8, 3))
    assert metrics.chroma_ratio(truth, flat) == math.inf
    assert math.isnan(metrics.chroma_ratio(flat, flat))
