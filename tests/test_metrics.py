"""helpers.metrics against scikit-image and against numbers worked out by hand."""

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from helpers import metrics


@pytest.fixture(params=[(11, 11), (24, 37), (64, 48)], ids=str)
def images(request):
    rng = np.random.default_rng(1)
    truth = rng.random((*request.param, 3)).astype("float32")
    return np.clip(truth + rng.normal(0, 0.08, truth.shape), 0, 1).astype("float32"), truth


@pytest.mark.parametrize("error, expected", [(0.1, 20), (0.01, 40), (1, 0)])
def test_psnr_by_hand(error, expected):
    truth = np.zeros((4, 4, 3))
    assert metrics.psnr(truth + error, truth) == pytest.approx(expected, abs=1e-9)


def test_psnr_of_equal_images():
    assert metrics.psnr(np.ones((2, 2, 3)), np.ones((2, 2, 3))) == math.inf


def test_psnr_agrees_with_skimage(images):
    image, truth = images
    expected = peak_signal_noise_ratio(truth.astype(float), image.astype(float), data_range=1)
    assert metrics.psnr(image, truth) == pytest.approx(expected, abs=1e-9)


def test_psnr_does_not_wrap_around_in_bytes():
    assert metrics.psnr(np.zeros((2, 2), "uint8"), np.ones((2, 2), "uint8")) == 0


def test_mean_of_psnrs_is_not_the_psnr_of_the_batch():
    truth = np.zeros((2, 8, 8, 3))
    batch = truth + np.array([0.01, 0.1]).reshape(2, 1, 1, 1)
    mean = np.mean([metrics.psnr(a, b) for a, b in zip(batch, truth, strict=True)])
    assert mean == pytest.approx(30)
    assert metrics.psnr(batch, truth) == pytest.approx(10 * math.log10(2 / 0.0101))
    assert metrics.psnr(batch, truth) < mean - 6


def test_ssim_agrees_with_skimage(images):
    """Within 1e-4: the same window and constants, in float32 here and in float64 there.

    skimage filters with padding and then crops 5 pixels, which leaves what TensorFlow's valid
    convolution gives; its window is cut at 3.5 sigma, 11 pixels here too.
    """
    image, truth = images
    expected = structural_similarity(
        truth.astype(float), image.astype(float), data_range=1, channel_axis=-1,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )
    assert metrics.ssim(image, truth) == pytest.approx(expected, abs=1e-4)


def test_ssim_of_equal_images(images):
    assert metrics.ssim(images[1], images[1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("one, other", [((10, 30, 3), (10, 30, 3)), ((20, 20, 3), (20, 21, 3))],
                         ids=["too-small", "two-sizes"])
def test_ssim_refuses_in_one_sentence(one, other):
    with pytest.raises(ValueError, match="one size, 11 pixels") as error:
        metrics.ssim(np.zeros(one), np.zeros(other))
    assert "\n" not in str(error.value)


def test_score_clips_first():
    truth = np.ones((16, 16, 3))
    assert metrics.score(truth + 3, truth) == (math.inf, pytest.approx(1))


def test_scoreboard():
    rng = np.random.default_rng(2)
    scenes = [(rng.random((16, 20, 3)), rng.random((16, 20, 3))) for _ in range(3)]
    board = metrics.scoreboard({"same": lambda x: x, "black": np.zeros_like}, scenes)
    assert list(board) == ["same", "black"]
    assert board["same"].shape == (3, 2)
    for row, (hazy, clear) in zip(board["same"], scenes, strict=True):
        assert row.tolist() == list(metrics.score(hazy, clear))
    hazy, clear = scenes[1]
    assert board["black"][1, 0] == metrics.psnr(np.zeros_like(clear), clear)
