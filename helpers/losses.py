"""What each network is told to do better. Taught in notebook 05."""

import keras
from keras import ops


def cross_entropy(truth, logits):
    """Mean binary cross-entropy of logits; ``truth`` is 0 or 1, of the same shape. Notebook 05."""
    # Not the class BinaryCrossentropy: on several devices it divides by their number.
    return ops.mean(keras.losses.binary_crossentropy(truth, logits, from_logits=True))


def discriminator_loss(real_logits, fake_logits):
    """Mean of the cross-entropies of "real is real" and "fake is fake"; log 2 when guessing.

    Logits have shape (batch, h, w, 1). The mean, as the paper's halving, keeps the discriminator
    from learning twice as fast. Goodfellow et al. 2014, Isola et al. 2017, section 3; notebook 05.
    """
    real = cross_entropy(ops.ones_like(real_logits), real_logits)
    fake = cross_entropy(ops.zeros_like(fake_logits), fake_logits)
    return (real + fake) / 2


def adversarial_loss(fake_logits):
    """Cross-entropy of "fake is real": small when the discriminator is fooled, log 2 at a draw.

    The non-saturating form of Goodfellow et al. 2014, section 3; notebook 05.
    """
    return cross_entropy(ops.ones_like(fake_logits), fake_logits)


def l1_loss(clear, fake):
    """Mean absolute difference of two images in [-1, 1]. Isola et al. 2017, eq. 3; notebook 05."""
    return ops.mean(ops.abs(clear - fake))


def ssim_loss(clear, fake):
    """1 - SSIM of two batches in [-1, 1], each (batch, h, w, 3): 0 for equal images.

    It answers to local contrast, where the L1 loss answers to the level of each pixel. Uniform
    windows of 8×8 pixels in place of the metric's Gaussian ones, which are slower to
    differentiate. Wang et al. 2004; Zhao et al. 2017; notebook 08.
    """
    x, y = (clear + 1) / 2, (fake + 1) / 2

    def mean(image):
        return ops.average_pool(image, 8, strides=2)

    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    covariance = mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
    structure = (2 * covariance + 9e-4) / (variances + 9e-4)
    return 1 - ops.mean(luminance * structure)


def perceptual_loss(features, clear, fake, eps=1e-3):
    """How far two batches in [-1, 1] are for a network that has seen the world: 0 for equal ones.

    ``features`` is a network that gives a list of feature maps, (batch, h, w, c) each, such as some
    of :func:`helpers.encoder.efficientnet_lite0`. At each place their vector is scaled to length 1;
    the squared distance, at most 4, is averaged over places and maps. LPIPS of Zhang et al. 2018,
    eq. 1, without its learned weights; notebook 08.
    """
    def directions(image):
        maps = [ops.cast(x, "float32") for x in features(image, training=False)]
        return [x * ops.rsqrt(ops.sum(x * x, axis=-1, keepdims=True) + eps) for x in maps]

    far = [ops.mean(ops.sum((a - b) ** 2, axis=-1))
           for a, b in zip(directions(clear), directions(fake), strict=True)]
    return sum(far) / len(far)
