"""helpers.losses against values worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from helpers.losses import adversarial_loss, discriminator_loss, l1_loss


def logits(*values):
    return np.array(values, "float32").reshape(1, -1, 1, 1)


def softplus(x):
    return math.log1p(math.exp(x))


def test_guessing_costs_log_2():
    zero = np.zeros((2, 30, 30, 1), "float32")
    assert float(discriminator_loss(zero, zero)) == pytest.approx(math.log(2), abs=1e-6)
    assert float(adversarial_loss(zero)) == pytest.approx(math.log(2), abs=1e-6)


def test_discriminator_loss_by_hand():
    real, fake = (1.0, -2.0), (0.5, 3.0)
    expected = np.mean([softplus(-x) for x in real]) / 2 + np.mean([softplus(x) for x in fake]) / 2
    assert float(discriminator_loss(logits(*real), logits(*fake))) == pytest.approx(expected, 1e-5)


def test_adversarial_loss_by_hand():
    expected = np.mean([softplus(-x) for x in (0.5, 3.0, -1.0)])
    assert float(adversarial_loss(logits(0.5, 3, -1))) == pytest.approx(expected, 1e-5)


def test_sure_and_right_is_nearly_free():
    assert float(discriminator_loss(logits(20), logits(-20))) < 1e-6
    assert float(adversarial_loss(logits(20))) < 1e-6


@pytest.mark.parametrize("sure", [10, 40, 1000])
def test_sure_and_wrong_costs_the_logit_and_stays_finite(sure):
    assert float(discriminator_loss(logits(-sure), logits(sure))) == pytest.approx(sure, 1e-4)
    assert float(adversarial_loss(logits(-sure))) == pytest.approx(sure, 1e-4)


def test_real_and_fake_are_not_swapped():
    right = discriminator_loss(logits(2), logits(-2))
    wrong = discriminator_loss(logits(-2), logits(2))
    assert float(right) == pytest.approx(softplus(-2), 1e-5)
    assert float(wrong) == pytest.approx(softplus(2), 1e-5)


def test_the_losses_pull_against_each_other():
    """What raises the fake's logit pleases the generator and costs the discriminator."""
    low, high = logits(-1), logits(1)
    assert adversarial_loss(high) < adversarial_loss(low)
    assert discriminator_loss(low, high) > discriminator_loss(low, low)


def test_l1_by_hand():
    one = np.array([[-1.0, 0.5], [0.0, 1.0]], "float32")
    other = np.array([[1.0, 0.5], [0.25, 0.0]], "float32")
    assert float(l1_loss(one, other)) == pytest.approx((2 + 0 + 0.25 + 1) / 4)
    assert float(l1_loss(other, one)) == float(l1_loss(one, other))
    assert float(l1_loss(one, one)) == 0


def test_the_number_of_replicas_is_left_to_the_train_step(monkeypatch):
    """Keras' loss classes divide by it; the step would then divide the adversarial part twice."""
    class Two:
        num_replicas_in_sync = 2

    losses = [
        lambda: adversarial_loss(logits(0.5, 3)),
        lambda: discriminator_loss(logits(1), logits(2)),
        lambda: l1_loss(logits(1), logits(2)),
    ]
    alone = [float(loss()) for loss in losses]
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: Two())
    assert [float(loss()) for loss in losses] == alone
