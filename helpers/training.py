"""The train steps, the loop, and what they need: settings, optimizers, several devices.

Taught in notebook 05.
"""

import contextlib
import re
from dataclasses import dataclass
from functools import partial

import keras
import tensorflow as tf
from keras import ops

from helpers import env
from helpers.data import plain_errors, training_batches
from helpers.inference import dehaze
from helpers.losses import adversarial_loss, discriminator_loss, l1_loss
from helpers.models import patchgan, unet
from helpers.runs import fingerprint, open_run, watch
from helpers.weights import RunError


class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate: constant for the first half of ``steps``, then falling to 0 in a line.

    As in the code of Isola et al. 2017. Notebook 05.
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

    The same numbers, in a quarter of the time: each of the dozen passes over all weights again.
    Kingma and Ba 2015; notebook 05.
    """

    def update_step(self, gradient, variable, learning_rate):
        i, kind = self._get_variable_index(variable), variable.dtype
        beta_1, beta_2 = (tf.constant(beta, kind) for beta in (self.beta_1, self.beta_2))
        step = tf.cast(self.iterations + 1, kind)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[i].value.handle,
            v=self._velocities[i].value.handle, beta1_power=beta_1**step,
            beta2_power=beta_2**step, lr=tf.cast(learning_rate, kind), beta1=beta_1, beta2=beta_2,
            epsilon=tf.constant(self.epsilon, kind), grad=gradient)


SCHEDULES = {"linear": LinearDecay, "cosine": keras.optimizers.schedules.CosineDecay}
LEVELS = 8  # of the U-Net: each halves height and width


@dataclass(frozen=True)
class Settings:
    """All that decides a run. Two runs with equal settings and pairs train the same network.

    ``width``, ``size``, ``batch``, ``steps`` and ``precision`` as in :class:`helpers.env.Profile`;
    ``batch`` is that of all devices together. ``learning_rate`` is the generator's, ``schedule``
    one of :data:`SCHEDULES`, ``decay`` that of the average of its weights
    (:func:`update_average`). The switches: ``adversarial`` (train against a discriminator), ``l1``
    (the weight lambda of the L1 loss beside it), ``conditional`` (the discriminator sees the hazy
    image), ``skips``, ``dropout`` and ``classic`` (the U-Net's). ``discriminator_width`` is the
    PatchGAN's, if it differs from the generator's. Raises ValueError, in one
    sentence, for a value that no run can have.
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
    classic: bool = False
    schedule: str = "linear"
    discriminator_width: int | None = None

    def __post_init__(self):
        wrong = {
            "name": not re.fullmatch(r"[\w-]+", self.name) and "letters, digits, - and _ only",
            "size": (not 1 <= self.size < 2**31 or self.size % 2**LEVELS)
            and f"a multiple of {2**LEVELS}, which the U-Net halves {LEVELS} times",
            "seed": not 0 <= self.seed < 2**32 and "a whole number from 0 to 4294967295",
            "dropout": not 0 <= self.dropout < 1 and "at least 0 and less than 1",
            "schedule": self.schedule not in SCHEDULES and " or ".join(SCHEDULES),
            "precision": self.precision not in ("float32", "mixed_bfloat16")
            and "float32 or mixed_bfloat16",
        }
        for key in ("width", "batch", "steps"):
            value = getattr(self, key)
            wrong[key] = (value < 1 and "at least 1") or (value >= 2**31 and "less than 2**31")
        for key, needed in wrong.items():
            if needed:
                raise ValueError(f"{key} {getattr(self, key)}: it must be {needed}.")

    @property
    def architecture(self):
        """How :func:`helpers.weights.load_generator` builds the generator again."""
        switches = {"skips": self.skips} | ({"classic": True} if self.classic else {})
        return {"network": "unet", "width": self.width, **switches}


@contextlib.contextmanager
def computing_in(precision):
    """Build what is built inside with this Keras dtype policy; the former one comes back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def build(settings):
    """Networks and optimizers: ((average, generator, discriminator), (Adam, Adam)).

    The first is the average of the generator's weights (:func:`update_average`), for evaluation.
    Sets the random seed. Adam with beta_1 = 0.5, as Isola et al. 2017, section 3.3. On several
    devices batch normalisation is over the whole batch. Notebook 05.
    """
    env.seed_everything(settings.seed)
    with computing_in(settings.precision):
        generator, average = (
            unet(settings.width, LEVELS, settings.skips, settings.classic, settings.dropout)
            for _ in range(2))
        width = settings.discriminator_width or settings.width
        discriminator = patchgan(width, settings.conditional)
    average.set_weights(generator.get_weights())
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    for layer in (*generator.layers, *discriminator.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = several
    optimizers = []
    rates = (settings.learning_rate, generator), (settings.discriminator_rate, discriminator)
    for rate, network in rates:
        adam = Adam(SCHEDULES[settings.schedule](rate, settings.steps), beta_1=0.5)
        adam.build(network.trainable_variables)
        optimizers.append(adam)
    return (average, generator, discriminator), tuple(optimizers)


def update(network, optimizer, tape, loss):
    """Move a network's weights so that a loss, which ``tape`` has recorded, gets smaller."""
    weights = network.trainable_variables
    optimizer.apply(tape.gradient(loss, weights), weights)


def pix2pix_step(networks, optimizers, hazy, clear, l1=100.0):
    """One alternating update: the discriminator, then the generator against the updated one.

    ``networks`` are (generator, discriminator), ``hazy`` and ``clear`` batches in [-1, 1]. The
    generator runs once: its tape records again, after the discriminator's update, what the
    generator is told. Returns the losses by name, and the logits of the real and of the generated
    images. Isola et al. 2017, section 3.3; notebook 05.
    """
    (generator, discriminator), (g_adam, d_adam) = networks, optimizers
    with tf.GradientTape() as g_tape:
        fake = generator(hazy, training=True)
    with tf.GradientTape() as d_tape:
        real_logits = discriminator([hazy, clear], training=True)
        fake_logits = discriminator([hazy, fake], training=True)
        d_loss = discriminator_loss(real_logits, fake_logits)
    update(discriminator, d_adam, d_tape, d_loss)
    with g_tape:
        fooled = adversarial_loss(discriminator([hazy, fake], training=True))
        far = l1_loss(clear, fake)
        total = fooled + l1 * far
    update(generator, g_adam, g_tape, total)
    return {"discriminator": d_loss, "adversarial": fooled, "l1": far}, (real_logits, fake_logits)


def l1_step(networks, optimizers, hazy, clear):
    """The same without an adversary: the generator alone, told to come near the clear image.

    Arguments and result as of :func:`pix2pix_step`; there are no logits. Notebook 05.
    """
    with tf.GradientTape() as tape:
        far = l1_loss(clear, networks[0](hazy, training=True))
    update(networks[0], optimizers[0], tape, far)
    return {"l1": far}, ()


def compile_step(step, networks, optimizers, settings, strategy, every=10):
    """The step that :func:`train` takes: ``step`` on every device, and the average of the weights.

    ``step`` is :func:`pix2pix_step` or another function of (networks, optimizers, hazy, clear),
    ``networks`` are (average, generator, discriminator), built in the scope of ``strategy``. What
    the devices return is averaged; of the logits it is the part that was judged rightly. The
    average of the weights takes every tenth step, which saves most of its time. Notebook 05.
    """
    average, *trained = networks

    def one_device(hazy, clear):
        numbers, logits = step(trained, optimizers, hazy, clear)
        if logits:
            numbers["real_right"] = ops.mean(ops.cast(logits[0] > 0, "float32"))
            numbers["fake_right"] = ops.mean(ops.cast(logits[1] < 0, "float32"))
        return numbers

    @tf.function
    def compiled(hazy, clear):
        numbers = strategy.run(one_device, (hazy, clear))
        taken = optimizers[0].iterations
        if taken < every or taken % every == 0:
            update_average(average, trained[0], settings.decay**every, taken / every)
        return {name: strategy.reduce("mean", value, axis=None) for name, value in numbers.items()}

    return compiled


def distribute_batches(strategy, pairs, settings, start=0):
    """:func:`helpers.data.training_batches` shared out over the devices of a strategy.

    The devices together get batch n of ``settings.batch`` pairs at step n, as one device alone
    would. Raises :class:`helpers.weights.RunError` if they cannot share a batch evenly, and
    :class:`helpers.images.ImageError` for a file that cannot be read. Notebook 09.
    """
    devices = strategy.num_replicas_in_sync
    if settings.batch % devices:
        raise RunError(f"batch {settings.batch}: {devices} devices cannot share it evenly.")

    def batches(context):
        shard = context.num_input_pipelines, context.input_pipeline_id
        return training_batches(pairs, settings.batch // devices, settings.size, settings.seed,
                                start=start * devices, shard=shard)

    return readable(strategy.distribute_datasets_from_function(batches))


def readable(batches):
    """Yield the batches; a file that cannot be read raises its own ImageError, not TensorFlow's."""
    with plain_errors():
        yield from batches


def train(step, batches, first, last, after_step):
    """Take steps ``first`` + 1 to ``last``, one batch each, and call ``after_step(n, seen)``.

    ``step(hazy, clear)`` returns numbers by name, ``batches`` yields (hazy, clear). Notebook 05.
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


def fit(settings, pairs, scenes, callback, runs=None, folder=None, strategy=None, reports=20,
        make=build, step=None, batches=None):
    """Train a run, or continue it, to its end; returns the :class:`helpers.runs.Run`.

    ``pairs`` are trained on and ``scenes``, a list of (name, hazy, clear), watched; ``callback``
    and ``reports`` as in :func:`helpers.runs.watch`; ``runs`` and ``folder`` as in
    :func:`helpers.runs.open_run`. ``strategy`` is a ``tf.distribute`` strategy for several
    devices. An experiment replaces parts: ``make(settings)`` returns the networks and optimizers as
    :func:`build` does, ``step`` is another one than ``settings`` asks for, and ``batches(start)``
    yields other batches than those of ``pairs``. Notebooks 05 and 06.
    """
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        networks, optimizers = make(settings)
    plain = partial(pix2pix_step, l1=settings.l1) if settings.adversarial else l1_step
    step = compile_step(step or plain, networks, optimizers, settings, strategy)
    batches = batches or partial(distribute_batches, strategy, pairs, settings)
    data = fingerprint(pairs, scenes)
    with open_run(settings, networks, optimizers, runs, folder, is_chief(strategy), data) as run:
        after_step = watch(run, scenes, dehaze, callback, pairs, reports)
        train(step, batches(run.step), run.step, settings.steps, after_step)
        run.finish()
    return run
