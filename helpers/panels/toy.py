"""The toy of notebook 03: one input, two plausible answers; and the panel that shows it learning.

An input x in [-1, 1] has the answer ``branch(x)`` or ``-branch(x)``, each as often as the other,
plus a little noise. The functions down to :func:`train_gan` stand in notebook 03 as well, word for
word; what follows measures and shows what they trained.
"""

from functools import lru_cache, partial

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from helpers.images import load_image
from helpers.panels import widgets
from helpers.panels.drawing import VERDICT_MAP, numbers
from helpers.viz import DISCRIMINATOR, GENERATOR, INK, LOG2

# The data

def branch(x):
    """The upper answer to an input x: 0.75 to 1.25. The lower one is its negative."""
    return 1 + 0.25 * np.sin(3 * x)


def draw_pairs(random, count):
    """Pairs (x, y) of float32 (count, 1): each x has one of its two answers, by a fair coin.

    ``random`` is a NumPy generator.
    """
    x = random.uniform(-1, 1, (count, 1))  # (count, 1)
    side = random.choice([-1, 1], (count, 1))
    y = side * branch(x) + 0.1 * random.standard_normal((count, 1))
    return x.astype("float32"), y.astype("float32")


# The networks

def make_generator(noise=0):
    """Generator: x (count, 1) to an answer (count, 1). ``noise`` random numbers enter beside x."""
    x = h = keras.Input((1,))
    if noise:
        zeros = ops.repeat(0 * x, noise, axis=1)  # (count, noise)
        z = layers.GaussianNoise(1.0)(zeros)  # normal random numbers, in training mode only
        h = layers.Concatenate()([x, z])
    h = layers.Dense(64, "tanh")(h)
    h = layers.Dense(64, "tanh")(h)
    return keras.Model(x, layers.Dense(1)(h))


def make_discriminator(conditional=True):
    """Discriminator: (x, y) to one logit, above 0 for "real". Unconditional, it sees y alone."""
    x, y = keras.Input((1,)), keras.Input((1,))
    h = layers.Concatenate()([x, y]) if conditional else y + 0 * x  # Keras wants every input used
    h = layers.Dense(64, "leaky_relu")(h)
    h = layers.Dense(64, "leaky_relu")(h)
    return keras.Model([x, y], layers.Dense(1)(h))


# The two steps

def should_be_real(logits):
    """What logits cost where "real" is the right answer: the mean of log(1 + exp(-logit))."""
    return ops.mean(ops.softplus(-logits))


def should_be_fake(logits):
    """What logits cost where "fake" is the right answer: the mean of log(1 + exp(logit))."""
    return ops.mean(ops.softplus(logits))


def discriminator_step(generator, discriminator, optimizer, x, y):
    """One update of the discriminator; returns its loss. Goodfellow et al. 2014, algorithm 1."""
    fake = generator(x, training=True)
    with tf.GradientTape() as tape:
        real_logits = discriminator([x, y])
        fake_logits = discriminator([x, fake])
        loss = (should_be_real(real_logits) + should_be_fake(fake_logits)) / 2
    gradients = tape.gradient(loss, discriminator.trainable_variables)
    optimizer.apply(gradients, discriminator.trainable_variables)
    return loss


def generator_step(generator, discriminator, optimizer, x, y, l1=0.0):
    """One update of the generator; returns its adversarial loss. ``l1`` weighs the L1 loss."""
    with tf.GradientTape() as tape:
        fake = generator(x, training=True)
        loss = should_be_real(discriminator([x, fake]))
        total = loss + l1 * ops.mean(ops.abs(y - fake))
    gradients = tape.gradient(total, generator.trainable_variables)
    optimizer.apply(gradients, generator.trainable_variables)
    return loss


# The two ways to train

def falling_adam(rate, steps, network):
    """Adam whose rate falls in a straight line to 0 over ``steps``."""
    schedule = keras.optimizers.schedules.PolynomialDecay(rate, steps, 0.0)
    optimizer = keras.optimizers.Adam(schedule, beta_1=0.5)
    optimizer.build(network.trainable_variables)
    return optimizer


def train_by_loss(loss, seed=0, steps=800):
    """The generator alone, trained by ``loss(y, output)``; returns it."""
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    network = make_generator()
    optimizer = falling_adam(3e-3, steps, network)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, network(x))
        gradients = tape.gradient(value, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)

    for _ in range(steps):
        step(*draw_pairs(random, 128))
    return network


def train_gan(seed=0, steps=800, g_rate=1.5e-3, d_rate=5e-3, d_steps=1,
              conditional=True, noise=0, l1=0.0):
    """Both networks, one against the other; returns 21 frames, see :func:`take_frame`.

    Before each step of the generator come ``d_steps`` of the discriminator. ``steps`` is a
    multiple of 20.
    """
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    networks = make_generator(noise), make_discriminator(conditional)
    g_optimizer = falling_adam(g_rate, steps, networks[0])
    d_optimizer = falling_adam(d_rate, max(1, d_steps) * steps, networks[1])  # over its own steps
    update_d = tf.function(partial(discriminator_step, *networks, d_optimizer))
    update_g = tf.function(partial(generator_step, *networks, g_optimizer, l1=l1))
    frames = [take_frame(0, *networks)]
    for step in range(1, steps + 1):
        for _ in range(d_steps):
            update_d(*draw_pairs(random, 128))
        update_g(*draw_pairs(random, 128))
        if step % (steps // 20) == 0:
            frames.append(take_frame(step, *networks))
    return frames


# What is kept of a training, and what is measured

GRID = np.linspace(-1, 1, 81, dtype="float32")[:, None]  # (81, 1) inputs
HEIGHTS = np.linspace(-2, 2, 81, dtype="float32")  # of the plane, in y
DRAWS = 8  # outputs for each input: they differ only if noise enters the generator
PAIRS = 1024  # fresh ones, on which the losses of a frame are measured


def take_frame(step, generator, discriminator):
    """A frame: what both networks do at a step, and what it costs them.

    A dictionary of ``step``, ``outputs`` (8, 81) for the inputs :data:`GRID`, ``belief`` (81, 81),
    the discriminator's probability of "real" over the plane, ``d_loss`` and ``g_loss``.
    """
    outputs = generator(np.tile(GRID, (DRAWS, 1)), training=True)
    ys, xs = np.meshgrid(HEIGHTS, GRID[:, 0], indexing="ij")
    logits = discriminator([xs.reshape(-1, 1), ys.reshape(-1, 1)])
    x, y = map(ops.convert_to_tensor, draw_pairs(np.random.default_rng(12345), PAIRS))
    real_logits = discriminator([x, y])
    fake_logits = discriminator([x, generator(x, training=True)])
    return {
        "step": step,
        "outputs": ops.convert_to_numpy(outputs).reshape(DRAWS, -1),
        "belief": ops.convert_to_numpy(ops.sigmoid(logits)).reshape(ys.shape),
        "d_loss": float((should_be_real(real_logits) + should_be_fake(fake_logits)) / 2),
        "g_loss": float(should_be_real(fake_logits)),
    }


def curve(network):
    """What a generator answers to :data:`GRID`: (81,)."""
    return ops.convert_to_numpy(network(GRID, training=True))[:, 0]


def shares(outputs):
    """Which part of the outputs lies on the upper and on the lower branch: two numbers in 0..1.

    ``outputs`` ends in an axis of 81, the inputs :data:`GRID`. On a branch means: nearer to it
    than a quarter of the gap between the two, which is 2 * branch(x).
    """
    target = branch(GRID[:, 0])
    return tuple(float(np.mean(np.abs(outputs - side * target) < target / 2)) for side in (1, -1))


def commits(outputs):
    """True if at nine inputs in ten or more the output lies on one branch, everywhere the same."""
    return max(shares(outputs)) >= 0.9


def miss(outputs):
    """How far the outputs lie from the nearer branch of their x, on average. The data's noise
    alone is 0.08 away.
    """
    target = branch(GRID[:, 0])
    return float(np.minimum(np.abs(outputs - target), np.abs(outputs + target)).mean())


def squared_error_of(curve):
    """Mean squared error of a curve (81,) against fresh pairs."""
    x, y = draw_pairs(np.random.default_rng(54321), 4096)
    return float(np.mean((np.interp(x[:, 0], GRID[:, 0], curve) - y[:, 0]) ** 2))


def spread(frame):
    """How far a frame's 8 outputs for one x lie apart: standard deviation, mean over the inputs."""
    return float(frame["outputs"].std(axis=0).mean())


def movement(frames):
    """How far the outputs move from one frame to the next, on average over the later half."""
    late = np.stack([frame["outputs"][0] for frame in frames[len(frames) // 2:]])
    return float(np.abs(np.diff(late, axis=0)).mean())


# Figures

def draw_pairs_on(axis, count=300, size=7):
    """Dots of real pairs, always the same ones, and the labels of the plane."""
    x, y = draw_pairs(np.random.default_rng(1), count)
    axis.scatter(x, y, s=size, color=INK, alpha=0.45, lw=0, label="real pairs", zorder=2)
    axis.set(xlim=(-1, 1), ylim=(HEIGHTS[0], HEIGHTS[-1]), xticks=[-1, 0, 1],
             xlabel="input x", ylabel="answer y")


def draw_outputs(axis, outputs, colour=GENERATOR, label="generator"):
    """What a generator answers, (…, 81): a curve, or dots where its answers to one x differ."""
    outputs = np.atleast_2d(outputs)
    if np.ptp(outputs, axis=0).max() > 0.01:  # noise has entered
        axis.scatter(np.tile(GRID[:, 0], len(outputs)), outputs, s=9, color=colour, ec="white",
                     lw=0.4, zorder=4, label=label)
        return
    axis.plot(GRID[:, 0], outputs[0], color="white", lw=4, zorder=3)
    axis.plot(GRID[:, 0], outputs[0], color=colour, lw=2.2, zorder=4, label=label)


def draw_belief(axis, belief):
    """The discriminator's belief as a coloured plane; returns the image."""
    return axis.imshow(
        belief, cmap=VERDICT_MAP, vmin=0, vmax=1, origin="lower", aspect="auto", alpha=0.75,
        extent=(-1, 1, HEIGHTS[0], HEIGHTS[-1]), interpolation="bilinear", zorder=1,
    )


def draw_losses(axis, frames):
    """Both losses over the steps, against the log 2 line."""
    steps = [frame["step"] for frame in frames]
    for key, colour, label in (("g_loss", GENERATOR, "generator's loss"),
                               ("d_loss", DISCRIMINATOR, "discriminator's loss")):
        axis.plot(steps, [frame[key] for frame in frames], color=colour, lw=1.6, label=label)
    axis.axhline(LOG2, color=INK, ls=":", lw=1.2, label="log 2")
    top = max(max(frame["g_loss"], frame["d_loss"]) for frame in frames)
    axis.set(xlim=(0, steps[-1]), ylim=(0, max(2, 1.1 * top)), xlabel="step")
    axis.spines[["top", "right"]].set_visible(False)


def planes_figure(frames, titles, losses=None):
    """Figure of several frames beside each other, each a plane with pairs and outputs.

    ``losses`` lists, for a second row, all frames of the training that each one belongs to.
    """
    rows = 2 if losses else 1
    figure = Figure(figsize=(12, 3.5 + 2.0 * (rows - 1)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, len(frames), squeeze=False, height_ratios=[3.5, 2.0][:rows])
    for i, (frame, title) in enumerate(zip(frames, titles, strict=True)):
        image = draw_belief(axes[0, i], frame["belief"])
        draw_pairs_on(axes[0, i], size=4)
        draw_outputs(axes[0, i], frame["outputs"])
        axes[0, i].set_title(title)
        if losses:
            draw_losses(axes[1, i], losses[i])
        for row in range(rows if i else 0):
            axes[row, i].set_ylabel("")
    entries = [axes[row, 0].get_legend_handles_labels() for row in range(rows)]
    if losses:
        axes[1, 0].set_ylabel("loss")
    figure.legend(*map(sum, zip(*entries, strict=True), ([], [])), ncols=5,
                  loc="outside lower center")
    figure.colorbar(image, ax=axes[0], pad=0.01, aspect=25, label="probability of real")
    return figure


# The panel

class Film:
    """Trainings of the toy, frame by frame: the plane, and the losses with a cursor.

    ``trainings`` maps a name to the frames of :func:`train_gan`. Called with a name and the number
    of a frame, it returns (image, HTML of numbers). Notebook 03.
    """

    def __init__(self, trainings):
        self.trainings = trainings
        self.draw = lru_cache(256)(self._draw)

    def _draw(self, name, number):
        frame, frames = self.trainings[name][number], self.trainings[name]
        figure = Figure(figsize=(7.4, 6.6), facecolor="white")
        canvas = FigureCanvasAgg(figure)
        # Fixed margins: a constrained layout would take half of the time that a move may take.
        margins = {"left": 0.11, "right": 0.97, "top": 0.98, "bottom": 0.09, "hspace": 0.3}
        plane, below = figure.subplots(2, 1, height_ratios=[3.4, 1.5], gridspec_kw=margins)
        image = draw_belief(plane, frame["belief"])
        draw_pairs_on(plane, size=6)
        draw_outputs(plane, frame["outputs"])
        plane.legend(loc="upper left", ncols=2, frameon=True, framealpha=0.9)
        figure.colorbar(image, ax=plane, pad=0.01, aspect=25, label="probability of real")
        draw_losses(below, frames)
        below.axvline(frame["step"], color="#555555", lw=1.5)
        below.legend(loc="upper right", ncols=3)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].astype("float32") / 255

    def __call__(self, name, number):
        frame = self.trainings[name][number]
        up, down = shares(frame["outputs"])
        rows = [
            ("step", f"{frame['step']}"),
            ("discriminator's loss", f"{frame['d_loss']:.2f}"),
            ("generator's loss", f"{frame['g_loss']:.2f}"),
            ("on the upper branch", f"{up:.0%}"),
            ("on the lower branch", f"{down:.0%}"),
            ("on neither", f"{1 - up - down:.0%}"),
        ]
        return self.draw(name, number), numbers(rows, notes=[verdict(up, down)])


def verdict(up, down):
    """In words, where a generator's outputs lie: the shares are those of :func:`shares`."""
    if max(up, down) >= 0.9:
        return f"It commits to the {'upper' if up > down else 'lower'} branch."
    if up + down >= 0.9:
        return "It is on both branches, on each for some of the inputs."
    return "Part of what it says lies on no branch."


def panel(film):
    """Panel of a :class:`Film`: a slider through the steps, and the training where there are more.

    Notebook 03.
    """
    names = list(film.trainings)
    first = film.trainings[names[0]]
    if len(names) == 1:
        step = widgets.steps_slider("step", [(str(f["step"]), n) for n, f in enumerate(first)])
        return widgets.panel(lambda step: film(names[0], step), step=step)
    number = widgets.steps_slider("frame", [(str(n), n) for n in range(len(first))])
    return widgets.panel(film, name=widgets.choice("training", names), number=number)


# The bridge to photographs

def alike_patches(paths, colour, size=32, near=0.03, contrast=0.15):
    """Clear patches of nearly one mean colour, at most one of each photograph: (n, size, size, 3).

    From each file the patch whose mean is nearest to ``colour`` (RGB in 0..1), if it is within
    ``near`` in each channel; only patches whose brightness varies by ``contrast`` count (standard
    deviation). Images are float32 RGB in [0, 1].
    """
    found = []
    for path in paths:
        image = load_image(path)
        squares = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))
        squares = squares[::8, ::8].reshape(-1, 3, size, size)
        far = np.abs(squares.mean(axis=(2, 3)) - np.asarray(colour)).max(axis=1)
        far[squares.mean(axis=1).std(axis=(1, 2)) < contrast] = np.inf
        if far.min() <= near:
            found.append(squares[far.argmin()].transpose(1, 2, 0))
    return np.stack(found)
