"""helpers.metrics against scikit-image and against numbers worked out by hand."""

import math

import numpy as np
import pytest
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
