"""What is wrong with a batch, or with a run: measured, and said in words. Taught in notebook 06."""

from dataclasses import dataclass, replace

import numpy as np

from helpers.haze import box_mean, resize
from helpers.images import central

LOG2 = float(np.log(2))
EXTRA = 7  # updates a step, in make_ill
BELONGS = 0.22  # correlation of fine structure; less is another scene: see pair_problem


@dataclass(frozen=True)
class Finding:
    """Something found: its ``kind``, a word, and what it means and where to go, in sentences."""

    kind: str
    text: str

    def __str__(self):
        return f"{self.kind}: {self.text}"


def fine_structure(image, side=64):
    """Edges of an RGB image (height, width, 3), float32 (side, side): haze hardly changes them.

    Grey, made small, less its blurred self, and divided by the local contrast.
    """
    grey = resize(np.asarray(image, "float32").mean(axis=-1), (side, side))
    detail = grey - box_mean(grey, 2)
    return (detail / np.sqrt(box_mean(detail**2, 6) + 1e-7)).astype("float32")


def correlations(one, other):
    """Correlation, -1..1, of two arrays of one shape at every shift (cyclic), by Fourier transform.

    Entry [0, 0] is the one without a shift; Kuglin and Hines 1975 use the same for registration.
    """
    one, other = (x - x.mean() for x in (one, other))
    product = np.fft.ifft2(np.fft.fft2(one) * np.conj(np.fft.fft2(other))).real
    return product / np.sqrt((one**2).sum() * (other**2).sum() + 1e-12)


def phase_shift(hazy, clear):
    """By how many (rows, columns) ``hazy`` lies below and to the right of ``clear``, RGB of one
    shape.

    Phase correlation, Kuglin and Hines 1975, of the grey images behind a Hann window, without the
    finest detail, which haze and JPEG take away.
    """
    height, width = hazy.shape[:2]
    window = np.hanning(height)[:, None] * np.hanning(width)
    one, other = (np.fft.fft2((x - x.mean()) * window) for x in (hazy.mean(-1), clear.mean(-1)))
    cross = one * np.conj(other)
    y, x = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
    return _peak(np.fft.ifft2(cross / (np.abs(cross) + 1e-9) * np.exp(-50 * (y**2 + x**2))).real)


def _peak(cyclic):
    """The shift, (rows, columns), at which a cyclic correlation is largest."""
    place, size = np.unravel_index(cyclic.argmax(), cyclic.shape), np.array(cyclic.shape)
    return (place + size // 2) % size - size // 2


def pair_problem(hazy, clear):
    """(kind, what is wrong) with a pair, RGB in [0, 1] of one shape, or None.

    The kind is "identical", "one-sided" (one image is mirrored or moved, by more than a pixel) or
    "strangers". Decided by the correlation of their fine structure at the shift where it is
    largest. In 90 real pairs and the 160 of sample_data it was at least 0.40, in random crops of
    them at least 0.26 (one that is nearly all sky), in strangers at most 0.19. Shifts from 2 pixels
    on, and mirrored images, were all found. Notebook 06.
    """
    if np.abs(hazy - clear).max() < 1 / 255:
        return "identical", "hazy and clear are the same picture"
    if min(hazy.std(), clear.std()) < 0.004 or min(hazy.shape[:2]) < 16:
        return None  # flat or tiny: there is nothing to compare
    ours, theirs = fine_structure(hazy), fine_structure(clear)
    straight, mirrored = (correlations(ours, other) for other in (theirs, theirs[:, ::-1]))
    if max(straight.max(), mirrored.max()) < BELONGS:
        return "strangers", f"they do not show the same scene (correlation {straight.max():.2f})"
    if mirrored.max() > straight.max():
        return "one-sided", "one of the two is mirrored"
    cell = np.array(hazy.shape[:2]) / len(ours)
    coarse, exact = _peak(straight) * cell, phase_shift(hazy, clear)
    move = exact if (np.abs(exact - coarse) <= 2 * cell).all() else coarse
    if np.abs(move).max() <= 1:
        return None
    words = ("rows above", "rows below"), ("columns left of", "columns right of")
    where = " and ".join(f"{abs(n):.0f} {word[int(n > 0)]}"
                         for n, word in zip(move, words, strict=True) if abs(n) >= 0.5)
    return "one-sided", f"the same scene, but hazy lies {where} clear"


def excess_contrast(hazy, clear):
    """How much more the rows of ``hazy`` differ than those of ``clear``: haze makes it negative."""
    ours, theirs = (float(np.abs(np.diff(x, axis=0)).sum()) / x.size for x in (hazy, clear))
    return ours - theirs


def check_batch(hazy, clear, names=None):
    """What would ruin the training on a batch: a list of :class:`Finding`, empty if nothing.

    ``hazy`` and ``clear`` are arrays (batch, height, width, 3), meant to be in [-1, 1]; ``names``
    of the pairs are used in the texts. Found by measurement: NaN and infinite values, values
    outside the range, pairs that are identical, swapped, mirrored or cropped on one side only, or
    strangers to each other. Not found: a wrong colour space, or haze that is not like the one to be
    removed. Notebook 06.
    """
    hazy, clear = np.asarray(hazy, "float32"), np.asarray(clear, "float32")
    if hazy.shape != clear.shape or hazy.ndim != 4 or hazy.shape[-1] != 3:
        return [Finding("shape", f"{hazy.shape} and {clear.shape} are not batches of RGB pairs: "
                        "(batch, height, width, 3). See paired_jitter in notebook 02.")]
    wrong = [_range_problem(side, images) for side, images in (("hazy", hazy), ("clear", clear))]
    if any(wrong):
        return [Finding("range", text) for text in wrong if text]
    pairs = list(zip((hazy + 1) / 2, (clear + 1) / 2, strict=True))
    problems = {}
    for name, pair in zip(names or [f"pair {i}" for i in range(len(pairs))], pairs, strict=True):
        kind, text = pair_problem(*pair) or (None, None)
        problems.setdefault(kind, []).append(f"{name}: {text}")
    problems.pop(None, None)
    found = [Finding(kind, "; ".join(texts) + ". See find_pairs and paired_jitter in notebook 02.")
             for kind, texts in problems.items()]
    if np.median([excess_contrast(*pair) for pair in pairs]) > 5e-5 and "strangers" not in problems:
        found.append(Finding("swapped", "the hazy images have more contrast than the clear ones: "
                             "the two seem to be swapped. See find_pairs in notebook 02."))
    return found


def _range_problem(side, images):
    """A sentence on the values of a batch that is not in [-1, 1], or None."""
    if not np.isfinite(images).all():
        return (f"the {side} images hold NaN or infinite values. See load_image and normalise in "
                "notebook 02.")
    low, high = float(images.min()), float(images.max())
    if low < -1.01 or high > 1.01:
        return (f"the {side} images go from {low:.2f} to {high:.2f}, not from -1 to 1. See "
                "normalise in notebook 02.")
    if low >= 0 and len(images) > 1:  # no value under mid-grey, in a whole batch
        return (f"no value of the {side} images is below 0: they seem to be in [0, 1]. See "
                "normalise in notebook 02.")
    return None


def output_spread(outputs, truths):
    """How much outputs for different inputs differ, as a part of how much the true ones do.

    Lists of RGB images; their central squares are compared. About 1 is healthy, 0 is one picture
    for every input. Of a single image it says nothing.
    """
    def spread(images):
        side = min(min(image.shape[:2]) for image in images)
        return np.std([central(image, side) for image in images], axis=0).mean()

    return float(spread(outputs) / max(spread(truths), 1e-6))


def diagnose(history):
    """What the numbers of a run say: a list of :class:`Finding`, the last on what they cannot say.

    ``history`` is a run's: dictionaries with ``step``, the means since the last one of what
    :func:`helpers.training.compile_step` returns, and the scores of the validation scenes at that
    step. Fewer than three entries are too few to tell. Notebook 06.
    """
    limits = Finding("limits", "no number here says whether the pictures look right: a generator "
                     "may paint skies that were never there, and validation scenes like the "
                     "training's own do not foretell other haze. Look at them (notebook 07).")
    if len(history) < 3:
        return [Finding("early", "fewer than three reports; train on."), limits]

    def mean(name, part):
        values = [h[name] for h in part if name in h]
        return float(np.mean(values)) if values else None

    late = history[-max(1, len(history) // 4):]
    first = mean("l1", history[:max(1, len(history) // 10)])
    last = {name: mean(name, late) for name in (
        "discriminator", "real_right", "fake_right", "d_gradient", "g_gradient", "l1", "spread")}
    progress = _of_progress(first, last["l1"])
    contest = _of_discriminator(last)
    if contest and contest.kind == "balanced" and progress and progress.kind == "range":
        contest = None  # a contest over pictures that cannot be right
    found = [contest, progress, _of_gradient(last["g_gradient"]), _of_scores(history),
             _of_spread(last["spread"])]
    return [*filter(None, found), limits]


def _of_discriminator(last):
    loss, real, fake = last["discriminator"], last["real_right"], last["fake_right"]
    if loss is None or real is None or fake is None:
        return None
    numbers = (f"it judges {real:.0%} of the real and {fake:.0%} of the generated patches rightly, "
               f"its loss is {loss:.2f} (log 2 = {LOG2:.2f})")
    if (real + fake) / 2 > 0.95:
        return Finding("strong discriminator", f"{numbers}. It wins with ease, and may tell the "
                       "generator little. Lower discriminator_rate, or update it less often.")
    if max(real, fake) > 0.9 and min(real, fake) < 0.2:
        return Finding("blind discriminator", f"{numbers}. It says nearly the same to everything. "
                       "See the order of the updates: notebook 05, \"One step\".")
    if loss > LOG2 + 0.05 and real + fake < 0.9:
        return Finding("losing discriminator", f"{numbers}. It does worse than a coin: it does "
                       "not learn, or the generator outruns it. Does its loss ever fall?")
    if abs(loss - LOG2) < 0.02 and abs(real + fake - 1) < 0.1:
        gradient = last["d_gradient"]
        learnt = gradient is None or gradient > 1e-4
        return Finding("undecided discriminator", f"{numbers}. It "
                       f"{'is at a draw' if learnt else 'has learnt nothing'}; only pictures tell "
                       'whether the generator is that good: notebook 03.')
    return Finding("balanced", f"{numbers}. Neither of the two wins, as it should be.")


def _of_progress(first, last):
    if first is None or last is None:
        return None
    if last > 2:
        return Finding("range", f"an L1 loss of {last:.1f}: images in [-1, 1] cannot differ by "
                       'more than 2. Look at a batch with check_batch.')
    if last > 0.8 * first:
        return Finding("no progress", f"the L1 loss went from {first:.3f} to {last:.3f}. Pairs "
                       "that do not belong together, an adversary that leads astray, or a learning "
                       "rate that is far off. Look at a batch with check_batch.")
    return None


def _of_gradient(length):
    if length is None or 1e-3 <= length <= 1e4:
        return None
    return Finding("gradient", f"the generator's gradient has length {length:.2g}: too small or "
                   'too large to learn from. Values or losses are off by a factor.')


def _of_scores(history):
    scores = [(h["psnr"], h["step"]) for h in history if "psnr" in h]
    if not scores or scores[-1][0] >= max(scores)[0] - 1:
        return None
    best, step = max(scores)
    return Finding("past its best", f"validation was {best:.1f} dB at step {step} and is "
                   f"{scores[-1][0]:.1f} dB now. More data, or fewer steps.")


def _of_spread(spread):
    if spread is None or spread >= 0.3:
        return None
    return Finding("one picture for all", "outputs for different scenes differ by only "
                   f"{spread:.0%} of what the true ones do. Are the skips in place? Notebook 04.")


def make_ill(patient, settings, batches, step):
    """Spoil a training on purpose: (settings, batches, step) of patient "A", "B", "C" or "D".

    Each is changed in one thing. ``settings`` are a dataclass like
    :class:`helpers.training.Settings`, ``batches`` a data set of (hazy, clear) in [-1, 1], two
    pairs a batch or more, ``step`` is :func:`helpers.training.pix2pix_step` or one like it. Find
    out what each of them has before you read the code. Notebook 06.
    """
    def more(networks, optimizers, hazy, clear, **options):
        import tensorflow as tf

        from helpers.losses import discriminator_loss

        (generator, judge), (_, adam) = networks, optimizers
        fake = generator(hazy, training=True)
        for _ in tf.range(EXTRA):
            with tf.GradientTape() as tape:
                verdicts = [judge([hazy, x], training=True) for x in (clear, fake)]
                loss = discriminator_loss(*verdicts)
            weights = judge.trainable_variables
            adam.apply(tape.gradient(loss, weights), weights)
        return step(networks, optimizers, hazy, clear, **options)

    if patient == "A":
        return settings, batches.map(lambda hazy, clear: (hazy, clear[::-1])), step
    if patient == "B":
        return replace(settings, discriminator_rate=0.0), batches, step
    if patient == "C":
        return settings, batches, more
    return settings, batches.map(lambda *pair: tuple(127.5 * (x + 1) for x in pair)), step
