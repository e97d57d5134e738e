"""The train step, the loop, and what they need: settings, optimizers, several devices.

Taught in notebook 03.
"""

from dataclasses import dataclass

import keras
import tensorflow as tf
from keras import ops

from helpers import env
from helpers.data import training_batches
from helpers.inference import dehaze
from helpers.losses import adversarial_loss, discriminator_loss, l1_loss
from helpers.models import patchgan, unet
from helpers.runs import open_run, watch
from helpers.weights import RunError


@dataclass(frozen=True)
class Settings:
    """All that decides a run. Two runs with equal settings and pairs train the same network.

    ``width``, ``size``, ``batch``, ``steps`` and ``precision`` as in :class:`helpers.env.Profile`;
    ``batch`` is that of all devices together. ``learning_rate`` is the generator's, ``decay`` that
    of the average of its weights (:func:`update_average`).
    The switches: ``adversarial`` (train against a discriminator), ``l1`` (the weight lambda of the
    L1 loss), ``conditional`` (the discriminator sees the hazy image), ``skips`` and ``dropout``
    (the U-Net's).
    """

    name: str
    width: int
    size: int
    batch: int
    steps: int
    precision: str
    seed: int = 0
    learning_rate: float = 2e-3
    discriminator_rate: float = 1e-4
    decay: float = 0.99
    adversarial: bool = True
    l1: float = 100.0
    conditional: bool = True
    skips: bool = True
    dropout: float = 0.5

    @property
    def architecture(self):
        """How :func:`helpers.inference.load_generator` builds the generator again."""
        return {"network": "unet", "width": self.width, "skips": self.skips}


class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate: constant for the first half of ``steps``, then falling to 0 in a line.

    As in the code of Isola et al. 2017. Notebook 03.
    """

    def __init__(self, rate, steps):
        self.rate, self.steps = rate, steps

    def __call__(self, step):
        done = keras.ops.cast(step, "float32") / self.steps
        return self.rate * keras.ops.clip(2 - 2 * done, 0, 1)

    def get_config(self):
        return {"rate": self.rate, "steps": self.steps}


class Adam(keras.optimizers.Adam):
    """Keras' Adam, computed by TensorFlow's one fused operation instead of a dozen.

    The same numbers, a quarter of the time: each of the dozen would pass over all weights again.
    Kingma and Ba 2015; notebook 03.
    """

    def update_step(self, gradient, variable, learning_rate):
        i = self._get_variable_index(variable)
        beta_1, beta_2 = (tf.constant(b, variable.dtype) for b in (self.beta_1, self.beta_2))
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[i].value.handle,
            v=self._velocities[i].value.handle, beta1_power=beta_1**step,
            beta2_power=beta_2**step, lr=tf.cast(learning_rate, variable.dtype), beta1=beta_1,
            beta2=beta_2, epsilon=tf.constant(self.epsilon, variable.dtype), grad=gradient,
        )


def build(settings):
    """Networks and optimizers: ((average, generator, discriminator), (Adam, Adam)).

    The first is the average of the generator's weights (:func:`update_average`), for evaluation.
    Sets Keras' precision policy and random seed. Adam with beta_1 = 0.5, as Isola et al. 2017,
    section 3.3. On several devices batch normalisation is over the whole batch. Notebook 03.
    """
    keras.config.set_dtype_policy(settings.precision)
    env.seed_everything(settings.seed)
    generator, average = (unet(settings.width, skips=settings.skips, dropout=settings.dropout)
                          for _ in range(2))
    discriminator = patchgan(settings.width, settings.conditional)
    average.set_weights(generator.get_weights())
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    for layer in (*generator.layers, *discriminator.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = several
    optimizers = []
    rates = (settings.learning_rate, generator), (settings.discriminator_rate, discriminator)
    for rate, network in rates:
        adam = Adam(LinearDecay(rate, settings.steps), beta_1=0.5)
        if settings.precision == "mixed_float16":  # small gradients would round to zero
            adam = keras.optimizers.LossScaleOptimizer(adam)
        adam.build(network.trainable_variables)
        optimizers.append(adam)
    keras.config.set_dtype_policy("float32")
    return (average, generator, discriminator), tuple(optimizers)


def train_step(networks, optimizers, hazy, clear, adversarial=True, l1=100.0):
    """One alternating update: the discriminator, then the generator against the updated one.

    ``networks`` are (generator, discriminator), ``hazy`` and ``clear`` batches in [-1, 1]. The
    generator runs once: its tape records again, after the discriminator's update, what the
    generator is told. Returns, by name, the losses, the parts of the real and of the generated
    patches that the discriminator judged rightly, and the lengths of the gradients. Isola et al.
    2017, section 3.3; notebook 03.
    """
    (generator, discriminator), (g_optimizer, d_optimizer) = networks, optimizers
    share = 1 / tf.distribute.get_strategy().num_replicas_in_sync  # Keras sums over replicas
    seen = {}
    with tf.GradientTape() as g_tape:
        fake = generator(hazy, training=True)
    if adversarial:
        with tf.GradientTape() as d_tape:
            real_logits = discriminator([hazy, clear], training=True)
            fake_logits = discriminator([hazy, fake], training=True)
            seen["discriminator"] = discriminator_loss(real_logits, fake_logits)
            scaled = d_optimizer.scale_loss(seen["discriminator"] * share)
        gradients = d_tape.gradient(scaled, discriminator.trainable_variables)
        d_optimizer.apply(gradients, discriminator.trainable_variables)
        seen["d_gradient"] = tf.linalg.global_norm(gradients) / d_optimizer.scale_loss(share)
        seen["real_right"] = ops.mean(ops.cast(real_logits > 0, "float32"))
        seen["fake_right"] = ops.mean(ops.cast(fake_logits < 0, "float32"))
    with g_tape:
        seen["l1"] = l1_loss(clear, fake)
        total = l1 * seen["l1"]
        if adversarial:
            seen["adversarial"] = adversarial_loss(discriminator([hazy, fake], training=True))
            total += seen["adversarial"]
        scaled = g_optimizer.scale_loss(total * share)
    gradients = g_tape.gradient(scaled, generator.trainable_variables)
    g_optimizer.apply(gradients, generator.trainable_variables)
    seen["g_gradient"] = tf.linalg.global_norm(gradients) / g_optimizer.scale_loss(share)
    return seen


def compile_step(train_step, networks, optimizers, settings, strategy):
    """The step that :func:`train` takes: ``train_step`` on every device, then the average.

    ``networks`` are (average, generator, discriminator), built in the scope of ``strategy``. What
    the devices return is averaged. Notebook 03.
    """
    average, *trained = networks

    def one_device(hazy, clear):
        return train_step(trained, optimizers, hazy, clear, settings.adversarial, settings.l1)

    @tf.function
    def step(hazy, clear):
        seen = strategy.run(one_device, (hazy, clear))
        update_average(average, trained[0], settings.decay, optimizers[0].iterations)
        return {name: strategy.reduce("mean", value, axis=None) for name, value in seen.items()}

    return step


def distribute_batches(strategy, pairs, settings, start=0):
    """:func:`helpers.data.training_batches` shared out over the devices of a strategy.

    The devices together get batch n of ``settings.batch`` pairs at step n, as one device alone
    would. Raises :class:`helpers.runs.RunError` if they cannot share a batch evenly. Notebook 03.
    """
    devices = strategy.num_replicas_in_sync
    if settings.batch % devices:
        raise RunError(f"batch {settings.batch}: {devices} devices cannot share it evenly.")

    def batches(context):
        shard = context.num_input_pipelines, context.input_pipeline_id
        return training_batches(pairs, settings.batch // devices, settings.size, settings.seed,
                                start=start * devices, shard=shard)

    return strategy.distribute_datasets_from_function(batches)


def train(step, batches, first, last, after_step):
    """Take steps ``first`` + 1 to ``last``, one batch each, and call ``after_step(n, seen)``.

    ``step(hazy, clear)`` returns numbers by name, ``batches`` yields (hazy, clear). Notebook 03.
    """
    numbers = range(first + 1, last + 1)
    for n, (hazy, clear) in zip(numbers, batches, strict=False):
        seen = step(hazy, clear)
        after_step(n, {name: float(value) for name, value in seen.items()})


def update_average(average, generator, decay, step):
    """Move the weights of ``average`` towards those of ``generator``: a running mean of them.

    It remembers about 1 / (1 - ``decay``) steps, fewer at the start: ``step`` counts them. Its
    validation scores usually jump less than those of the last step's weights. Polyak and Juditsky
    1992; Yazıcı et al. 2019 for GANs; notebook 05.
    """
    step = tf.cast(step, tf.float32)
    decay = tf.minimum(decay, (1 + step) / (10 + step))
    # Not .variables: among them are the seeds of dropout, which are whole numbers.
    for mean, value in zip(average.weights, generator.weights, strict=True):
        mean.assign(decay * mean + (1 - decay) * value)


def is_chief(strategy):
    """True for the process that writes: of several workers the first, otherwise the only one."""
    resolver = strategy.cluster_resolver
    return not (resolver and resolver.task_type == "worker" and resolver.task_id)


def fit(settings, pairs, scenes, panel, runs=None, folder=None, strategy=None, reports=20):
    """Train a run, or continue it, to its end; returns the :class:`helpers.runs.Run`.

    ``pairs`` are trained on and ``scenes``, a list of (name, hazy, clear), watched; ``panel`` and
    ``reports`` as in :func:`watch`; ``runs`` and ``folder`` as in :func:`helpers.runs.open_run`.
    ``strategy`` is a ``tf.distribute`` strategy for several devices. Notebook 03.
    """
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        networks, optimizers = build(settings)
    run = open_run(settings, networks, optimizers, runs, folder, is_chief(strategy))
    batches = distribute_batches(strategy, pairs, settings, run.step)
    step = compile_step(train_step, networks, optimizers, settings, strategy)
    after_step = watch(run, scenes, dehaze, panel, pairs, reports)
    train(step, batches, run.step, settings.steps, after_step)
    if run.writes:
        run.finish()
    return run
