"""helpers.losses against values worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from helpers.losses import (
    adversarial_loss,
    discriminator_loss,
    l1_loss,
    perceptual_loss,
    ssim_loss,
)


def logits(*values):
    return np.array(values, "float32").reshape(1, -1, 1, 1)


def softplus(x):
    return math.log1p(math.exp(x))


def test_guessing_costs_log_2():
    zero = np.zeros((2, 30, 30, 1), "float32")
    assert float(discriminator_loss(zero, zero)) == pytest.approx(math.log(2), abs=1e-6)
    assert float(adversarial_loss(zero)) == pytest.approx(math.log(2), abs=1e-6)


def test_adversarial_losses_by_hand():
    real, fake = (1.0, -2.0), (0.5, 3.0)
    expected = np.mean([softplus(-x) for x in real]) / 2 + np.mean([softplus(x) for x in fake]) / 2
    assert float(discriminator_loss(logits(*real), logits(*fake))) == pytest.approx(expected, 1e-5)
    expected = np.mean([softplus(-x) for x in fake])
    assert float(adversarial_loss(logits(*fake))) == pytest.approx(expected, 1e-5)
    assert float(adversarial_loss(logits(-1000))) == pytest.approx(1000, 1e-4), "finite"


def test_l1_by_hand():
    one = np.array([[-1.0, 0.5], [0.0, 1.0]], "float32")
    other = np.array([[1.0, 0.5], [0.25, 0.0]], "float32")
    assert float(l1_loss(one, other)) == pytest.approx((2 + 0 + 0.25 + 1) / 4)


def clouds(seed, sigma=2.0, size=64):
    """A batch of one smooth random picture in [-1, 1]."""
    noise = np.random.default_rng(seed).standard_normal((1, size, size, 3))
    soft = ndimage.gaussian_filter(noise, (0, sigma, sigma, 0))
    return np.clip(soft / soft.std() * 0.4, -1, 1).astype("float32")


def test_ssim_loss_by_its_definition():
    """Wang 2004, equation 13, in windows of 8×8 pixels, every second row and column."""
    clear, fake = clouds(0, size=20), clouds(1, size=20)
    values = []
    for y in range(0, 13, 2):
        for x in range(0, 13, 2):
            for c in range(3):
                p, q = ((i[0, y:y + 8, x:x + 8, c] + 1.0) / 2 for i in (clear, fake))
                covariance = ((p - p.mean()) * (q - q.mean())).mean()
                values.append(
                    (2 * p.mean() * q.mean() + 0.01**2) * (2 * covariance + 0.03**2)
                    / (p.mean()**2 + q.mean()**2 + 0.01**2) / (p.var() + q.var() + 0.03**2))
    assert float(ssim_loss(clear, fake)) == pytest.approx(1 - np.mean(values), abs=1e-4)


def test_ssim_loss_pulls_back_to_the_clear_image():
    clear = clouds(0)
    fake = tf.constant(clear * 0.3 + 0.5)
    with tf.GradientTape() as tape:
        tape.watch(fake)
        loss = ssim_loss(clear, fake)
    gradient = tape.gradient(loss, fake).numpy()
    assert np.isfinite(gradient).all()
    assert float(ssim_loss(clear, fake - 20 * gradient)) < float(loss)
    flat = tf.zeros((1, 16, 16, 3))
    with tf.GradientTape() as tape:
        tape.watch(flat)
        loss = ssim_loss(tf.zeros((1, 16, 16, 3)), flat)
    assert np.isfinite(tape.gradient(loss, flat)).all(), "an even picture is no trap"


def test_perceptual_loss_by_hand():
    """Only the direction of a place's features counts: 1 - cos, twice."""
    def features(image, training):
        return [image, image[:, ::2]]

    one = np.zeros((1, 2, 1, 3), "float32")
    other = one.copy()
    one[..., 0], other[..., 1] = 100, 50
    assert float(perceptual_loss(features, one, other)) == pytest.approx(2, abs=1e-3)
    assert float(perceptual_loss(features, one, one * 3)) == pytest.approx(0, abs=1e-3)
    assert float(perceptual_loss(features, one, -one)) == pytest.approx(4, abs=1e-3)
    half = np.concatenate([one[:, :1], other[:, :1]], axis=1)  # the first map half, the second not
    assert float(perceptual_loss(features, one, half)) == pytest.approx(0.5, abs=1e-3)
