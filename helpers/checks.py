"""Check cells of the exercises: they say right, not yet, or wrong with a hint, and never raise."""

import copy
import functools

import numpy as np


def _check(judge):
    """Make a check of ``judge(answer, …)``, which returns what to say of an answer.

    Whatever a strange answer raises, inside an array's own comparison for one, is said as well.
    """

    @functools.wraps(judge)
    def check(exercise, answer, *arguments, **options):
        try:
            verdict = judge(answer, *arguments, **options)
        except Exception as error:
            verdict = f"this answer cannot be checked ({type(error).__name__}: {error})."
        print(f"Exercise {exercise}: {verdict}")

    return check


def _untouched(answer):
    return answer is None or answer is ...


@_check
def check_value(answer, expected, hints=(), tolerance=0.01, measure=None, limits=()):
    """Compare a number with the expected one, within ``tolerance`` (relative).

    Called with the exercise's number before these. An untouched answer is ``None`` or ``...``; an
    array of one element is a number. ``hints`` lists (wrong value, what it tells). With ``measure``
    the number is ``measure(answer)``; ``limits`` lists (condition on the answer, what to say if it
    does not hold).
    """
    if _untouched(answer):
        return "not yet: replace ... by your answer."
    value = measure(answer) if measure else answer
    try:
        value = float(value if isinstance(value, str) else np.asarray(value).item())
    except Exception:
        return f"a number is asked for, not {type(value).__name__}."
    if not np.isfinite(value):
        return f"a number is asked for, not {value}."
    for holds, hint in limits:
        if not holds(answer):
            return f"not quite. {hint}"
    if np.isclose(value, expected, rtol=tolerance):
        return "right."
    for wrong, hint in hints:
        if np.isclose(value, wrong, rtol=tolerance):
            return f"not quite. {hint}"
    return f"not quite: it should be {'larger' if value < expected else 'smaller'}."


@_check
def check_function(function, cases, hint, tolerance=1e-4):
    """Call a function on every case, a list of (arguments, expected), and compare.

    Called with the exercise's number before these. A function that returns ``None`` or ``...``
    counts as untouched. The first case that fails is told apart as wrong shape, wrong values or an
    error; ``hint`` follows. Each call has copies of the arguments, for it may change them.
    """
    if _untouched(function):
        return "not yet: write the function."
    for arguments, expected in cases:
        try:
            result = function(*copy.deepcopy(arguments))
        except Exception as error:
            return f"it stops with {type(error).__name__}: {error}. {hint}"
        if _untouched(result):
            return "not yet: write the function's body."
        expected = np.asarray(expected, "float64")
        try:
            result = np.asarray(result, "float64")
        except Exception:
            return f"the result is a {type(result).__name__}, not a number or an array. {hint}"
        if result.size == expected.size == 1:  # a number, whatever it is wrapped in
            result, expected = result.ravel(), expected.ravel()
        if result.shape != expected.shape:
            return f"the result has shape {result.shape}, not {expected.shape}. {hint}"
        right = np.isclose(result, expected, rtol=tolerance, atol=tolerance)
        if not right.all():
            # How far off is not said: an answer of 0 would then be told the right one.
            return f"not quite: {1 - right.mean():.0%} of the values are wrong. {hint}"
    return "right."


@_check
def check_choices(answers, expected, choices, hint):
    """Compare a dictionary of words with the expected one; ``choices`` are the words to take.

    Called with the exercise's number before these. Says how many are right, never which.
    """
    try:
        given = {key: answers[key] for key in expected}
    except Exception:
        return f"an answer for each of {', '.join(expected)} is asked for."
    if any(map(_untouched, given.values())):
        return "not yet: replace each ... by one of: " + ", ".join(choices) + "."
    for answer in given.values():
        if not isinstance(answer, str) or answer not in choices:
            return f"{answer!r} is none of: " + ", ".join(choices) + "."
    right = sum(given[key] == expected[key] for key in expected)
    return "right." if right == len(expected) else f"{right} of {len(expected)} right. {hint}"


# One entry for the check cells: answers, cases and hints of each exercise live below.

_CHECKS = {}


class Wrong(Exception):
    """An answer is wrong; the message is the hint."""


class NotYet(Exception):
    """An answer has not been given yet; the message says what to do."""


def exercise(name):
    """Register a function as the check of an exercise, "03.1": it returns, or raises one of the
    two above.
    """
    def register(function):
        _CHECKS[name] = function
        return function
    return register


def check(name, answer):
    """Check the answer to an exercise: prints right, wrong with a hint, or not yet; never raises.

    ``name`` is the exercise's, such as "03.1"; ``answer`` what its cell asks for.
    """
    try:
        if name not in _CHECKS:
            verdict = f"there is no such exercise; there are {', '.join(_CHECKS)}."
        elif _untouched(answer):
            verdict = "not yet: replace ... by your answer."
        else:
            _CHECKS[name](answer)
            verdict = "right."
    except NotYet as error:
        verdict = f"not yet: {error}"
    except Wrong as error:
        verdict = f"not quite. {error}"
    except Exception as error:
        verdict = f"it stops with {type(error).__name__}: {str(error)[:200]}"
    print(f"Exercise {name}: {verdict}")


def _plain(value):
    """A Python value of what may be a NumPy or TensorFlow scalar or an array of one element."""
    if isinstance(value, (str, bytes)):
        return value.strip() if isinstance(value, str) else value.decode()
    if hasattr(value, "shape"):
        value = np.asarray(value)
        return value.reshape(-1)[0].item() if value.size == 1 else value.tolist()
    if isinstance(value, (list, tuple, set)) and len(value) == 1:
        return _plain(next(iter(value)))
    return value


def _letter(answer, reasons, right):
    """Check a choice among letters; ``reasons`` maps each wrong one to why it is wrong."""
    letter = _plain(answer)
    if letter is ... or letter is None:
        raise NotYet("replace ... by a letter.")
    letter = letter.strip("() .").lower() if isinstance(letter, str) else letter
    if letter == right:
        return
    if not isinstance(letter, str) or letter not in reasons:
        raise Wrong(f"Choose one of: {', '.join(sorted([*reasons, right]))}.")
    raise Wrong(reasons[letter])


@exercise("03.1")
def _smooth_step(step):
    """The discriminator's step with ``smooth``, run on tiny random networks.

    The gradient is not compared but what the step did: the loss, the discriminator's new weights
    after plain gradient descent, and that the generator's stayed.
    """
    import keras
    import tensorflow as tf

    if not callable(step):
        raise Wrong(f"A function is asked for, not {type(step).__name__}.")

    def networks(seed):
        keras.utils.set_random_seed(seed)
        one, two = keras.Input((1,)), keras.Input((1,))
        generator = keras.Model(one, keras.layers.Dense(1)(one))
        pair = keras.layers.Concatenate()([one, two])
        large = keras.initializers.RandomNormal(stddev=1.0)  # so that real and fake cost differ
        hidden = keras.layers.Dense(4, "tanh", kernel_initializer=large)(pair)
        logit = keras.layers.Dense(1, kernel_initializer=large)(hidden)
        return generator, keras.Model([one, two], logit)

    def numbers_of(network):
        return np.concatenate([w.numpy().ravel() for w in network.trainable_variables])

    def expected(seed, x, y, smooth, weights=(0.5, 0.5), swap=False):
        generator, discriminator = networks(seed)
        fake = generator(x)
        with tf.GradientTape() as tape:
            real_logits, fake_logits = discriminator([x, y]), discriminator([x, fake])
            if swap:
                real_logits, fake_logits = fake_logits, real_logits
            real = tf.nn.softplus(-real_logits) + smooth * real_logits  # as (1 - s) real + s fake
            terms = tf.reduce_mean(real), tf.reduce_mean(tf.nn.softplus(fake_logits))
            loss = weights[0] * terms[0] + weights[1] * terms[1]
        gradients = tape.gradient(loss, discriminator.trainable_variables)
        for w, g in zip(discriminator.trainable_variables, gradients, strict=True):
            w.assign_sub(0.5 * g)
        return float(loss), numbers_of(discriminator)

    random = np.random.default_rng()
    for case, smooth in enumerate((0.0, float(random.uniform(0.2, 0.4)))):
        seed = int(random.integers(1, 10**6))
        x, y = (tf.constant(random.normal(size=(16, 1)), "float32") for _ in range(2))
        generator, discriminator = networks(seed)
        optimizer = keras.optimizers.SGD(0.5)
        before = numbers_of(generator), numbers_of(discriminator)
        result = step(generator, discriminator, optimizer, x, y, smooth)
        after = numbers_of(generator), numbers_of(discriminator)
        moved = not np.array_equal(before[1], after[1])
        if result is None or result is ...:
            if not moved and np.array_equal(before[0], after[0]):
                raise NotYet("fill in the lines with ... and return the loss.")
            raise Wrong("The step should return its loss.")
        loss = _plain(result)
        if isinstance(loss, bool) or not isinstance(loss, (int, float)):
            raise Wrong("The step should return its loss, one number: the mean over the batch.")
        if not np.array_equal(before[0], after[0]):
            raise Wrong("The generator moved. In this step only the discriminator's weights may.")
        right_loss, right_weights = expected(seed, x, y, smooth)
        if not np.isclose(loss, right_loss, rtol=1e-4):
            if case:
                raise Wrong("For smooth = 0 it is right. With smooth, only the real pairs' term "
                            "changes: 1 - smooth parts should be real, smooth parts fake.")
            for weights, swap, hint in (
                ((1.0, 1.0), False, "The loss is the mean of the two terms, not their sum."),
                ((0.5, 0.5), True, 'Which pairs should be called "real"? The two are swapped.'),
                ((0.5, 0.0), False, "The fake pairs are missing from the loss."),
                ((0.0, 0.5), False, "The real pairs are missing from the loss."),
                ((1.0, 0.0), False, "The fake pairs are missing from the loss."),
                ((0.0, 1.0), False, "The real pairs are missing from the loss."),
            ):
                if np.isclose(loss, expected(seed, x, y, smooth, weights, swap)[0], rtol=1e-4):
                    raise Wrong(hint)
            raise Wrong("The loss is wrong already for smooth = 0, where it is the notebook's.")
        if not moved:
            raise Wrong("The loss is right, but the discriminator's weights did not move: are the "
                        "gradients applied?")
        if not np.allclose(after[1], right_weights, rtol=1e-3, atol=1e-5):
            raise Wrong("The loss is right, but the weights moved wrongly. Of what, and with "
                        "respect to which weights, is the gradient? One update a step.")


@exercise("03.2")
def _l1_weights(answer):
    """Which of the weights 0, 1 and 1000 holds steadiest, and which is seen through."""
    keys = ("steadiest", "seen through")
    try:
        given = {key: _plain(answer[key]) for key in keys}
    except Exception:
        raise Wrong(f'Keep the dictionary, with a weight for each of {", ".join(keys)}.') from None
    if any(value is ... or value is None for value in given.values()):
        raise NotYet("replace each ... by one of the weights 0, 1 and 1000.")
    for key, value in given.items():
        try:
            given[key] = float(value)
        except Exception:
            raise Wrong(f"{key}: one of the weights 0, 1 and 1000, please.") from None
        if isinstance(value, bool) or given[key] not in (0, 1, 1000):
            raise Wrong(f"{key}: one of the weights 0, 1 and 1000, please.")
    if given["steadiest"] == 0:
        raise Wrong("Without L1 nothing holds the output in place: compare the movements.")
    if given["steadiest"] == 1000:
        raise Wrong("Is it on a branch at all? Compare the distance to the nearer branch first.")
    if given["seen through"] != 1000:
        raise Wrong("The better a discriminator tells real from fake, the lower its loss: compare "
                    "the last discriminator losses.")


@exercise("03.3")
def _log2_says(answer):
    """What a discriminator's loss near log 2 says about the answers."""
    _letter(answer, {
        "a": "The unconditional discriminator of section 5 was at log 2, and half of the answers "
             "under its eyes did not belong to their x.",
        "b": "With noise and no L1, section 7, the loss came close to log 2 too, and the answers "
             "were good: both branches, each where it belongs.",
        "d": "It can stay there from the first step to the last, as under the high rate of "
             "section 6, where the generator ran through the plane all the time.",
    }, "c")


# --- 05


@exercise("05.1")
def _discriminator_half(half):
    """The discriminator's half of the step, run on tiny random networks with images.

    What it did is compared: the loss, both logits, the discriminator's new weights after plain
    gradient descent, and that the generator's stayed.
    """
    import keras
    import tensorflow as tf

    from helpers.losses import discriminator_loss

    if not callable(half):
        raise Wrong(f"A function is asked for, not {type(half).__name__}.")

    def networks(seed):
        keras.utils.set_random_seed(seed)
        one, two = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
        generator = keras.Model(one, keras.layers.Conv2D(3, 3, padding="same")(one))
        large = keras.initializers.RandomNormal(stddev=0.7)
        pair = keras.layers.Concatenate()([one, two])
        logits = keras.layers.Conv2D(1, 3, kernel_initializer=large)(pair)
        return generator, keras.Model([one, two], logits)

    def numbers_of(network):
        return np.concatenate([w.numpy().ravel() for w in network.trainable_variables])

    random = np.random.default_rng()
    for _ in range(2):
        seed = int(random.integers(1, 10**6))
        hazy, clear = (tf.constant(random.uniform(-1, 1, (2, 8, 8, 3)), "float32")
                       for _ in range(2))
        generator, discriminator = networks(seed)
        before = numbers_of(generator), numbers_of(discriminator)
        result = half(generator, discriminator, keras.optimizers.SGD(0.5), hazy, clear)
        after = numbers_of(generator), numbers_of(discriminator)
        moved = not np.array_equal(before[1], after[1])
        if result is None or result is ...:
            if not moved and np.array_equal(before[0], after[0]):
                raise NotYet("fill in the lines with ... and return the loss and the logits.")
            raise Wrong("Return the loss and both logits.")
        if not np.array_equal(before[0], after[0]):
            raise Wrong("The generator moved. In this half only the discriminator's weights may.")
        try:
            loss, (real, fake) = result
            real, fake = (np.asarray(x, "float64") for x in (real, fake))
        except Exception:
            raise Wrong("Return two things: the loss, and the pair (real_logits, "
                        "fake_logits).") from None
        loss = _plain(loss)
        if isinstance(loss, bool) or not isinstance(loss, (int, float)):
            raise Wrong("The loss should be one number, the mean over all patches.")

        generator, discriminator = networks(seed)
        made = generator(hazy)
        with tf.GradientTape() as tape:
            logits = discriminator([hazy, clear]), discriminator([hazy, made])
            right = discriminator_loss(*logits)
        for w, g in zip(discriminator.trainable_variables,
                        tape.gradient(right, discriminator.trainable_variables), strict=True):
            w.assign_sub(0.5 * g)
        logits = [x.numpy() for x in logits]

        def same(one, other):
            return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-4)

        if same(real, logits[1]) and same(fake, logits[0]):
            raise Wrong("The logits of the real and of the generated images are swapped.")
        if not (same(real, logits[0]) and same(fake, logits[1])):
            raise Wrong("The logits are others. The discriminator sees a list of two images, "
                        "first the hazy one; the logits are those before the update.")
        if np.isclose(loss, 2 * right, rtol=1e-4):
            raise Wrong("The loss is the mean of the two terms, not their sum.")
        if np.isclose(loss, discriminator_loss(*logits[::-1]), rtol=1e-4):
            raise Wrong('Which images should be called "real"? The two are swapped in the loss.')
        if not np.isclose(loss, right, rtol=1e-4):
            raise Wrong("The logits are right, the loss is not: it is discriminator_loss of both.")
        if not moved:
            raise Wrong("The loss is right, but the discriminator's weights did not move.")
        if not np.allclose(after[1], numbers_of(discriminator), rtol=1e-3, atol=1e-5):
            raise Wrong("The loss is right, but the weights moved wrongly. One update, downhill, "
                        "with the gradient of this loss.")


# --- 06


@exercise("06.1")
def _patients(answer):
    """What each of the four patients is ill of; the hints name instruments."""
    right = dict(zip("ABCD", ("strangers", "dead discriminator", "strong discriminator", "range"),
                     strict=True))
    words = sorted(right.values())
    try:
        given = {key: _plain(answer[key]) for key in right}
    except Exception:
        raise Wrong("Keep the dictionary, with a diagnosis for each of A, B, C, D.") from None
    if any(value is ... or value is None for value in given.values()):
        raise NotYet(f"replace each ... by one of: {', '.join(words)}.")
    for key, value in given.items():
        given[key] = " ".join(value.lower().split()) if isinstance(value, str) else value
        if not isinstance(value, str) or given[key] not in words:
            raise Wrong(f"{key}: one of {', '.join(words)}, please.")
    if len(set(given.values())) < 4:
        raise Wrong("Each illness occurs once.")
    wrong = [key for key in right if given[key] != right[key]]
    if not wrong:
        return
    count = f"{4 - len(wrong)} of 4 right."
    if any(right[key] in ("range", "strangers") for key in wrong):
        raise Wrong(f"{count} Start with check_batch on a batch of each patient: it takes no "
                    "training, and two of the illnesses are in the data.")
    raise Wrong(f"{count} The data are sound in these two. Compare the discriminator's loss with "
                "log 2, from the first steps on, and which part of the patches it judges rightly.")


@exercise("06.2")
def _pair_up(pair_up):
    """For each hazy image the number of its clear one, on made-up scenes in uneven haze."""
    if not callable(pair_up):
        raise Wrong(f"A function is asked for, not {type(pair_up).__name__}.")
    random = np.random.default_rng()
    for count in (5, 8):
        layers = [random.uniform(-0.5, 0.5, (count, n, n, 3)) for n in (6, 24, 48)]
        clear = sum(x.repeat(96 // x.shape[1], 1).repeat(96 // x.shape[1], 2) for x in layers)
        clear = np.clip(clear, -1, 1).astype("float32")
        airlight = random.uniform(0.4, 0.9, (count, 1, 1, 1))
        t = random.uniform(0.3, 0.7, (count, 1, 1, 1))  # so that mean colours mislead
        hazy = (t * clear + (1 - t) * airlight).astype("float32")
        order = random.permutation(count)
        if (order == np.arange(count)).all() or (order == np.argsort(order)).all():
            order = np.roll(np.arange(count), 1)
        result = pair_up(hazy.copy(), clear[order].copy())
        if result is None or result is ...:
            raise NotYet("write the function's body.")
        if isinstance(result, dict):
            result = [result[i] for i in range(count)]
        try:
            given = np.array([int(_plain(n)) for n in np.asarray(result).reshape(-1)])
        except Exception:
            raise Wrong("Return a list of numbers, one for each hazy image.") from None
        if len(given) != count:
            raise Wrong(f"{count} hazy images, so {count} numbers; these are {len(given)}.")
        right = np.argsort(order)
        if (given == right).all():
            continue
        if (given == order).all():
            raise Wrong("You have it the other way round: for each hazy image the number of the "
                        "clear one, not for each clear image that of the hazy one.")
        if given.min() < 0 or given.max() >= count:
            raise Wrong(f"The numbers go from 0 to {count - 1}.")
        raise Wrong(f"{np.mean(given == right):.0%} are right. Haze changes colours and contrast "
                    "but leaves edges where they are: which two fine structures are most alike, "
                    "by correlation?")


@exercise("06.3")
def _strong_at_100(answer):
    """What to do about a strong discriminator beside an L1 loss that leads."""
    _letter(answer, {
        "a": "With λ = 100 the L1 loss leads the generator, whatever the discriminator says; "
             "here the L1 loss falls and the PSNR rises. Nothing is ruined yet.",
        "b": "The PSNR says that the L1 loss is doing its work. What the discriminator teaches, "
             "it does not show.",
        "d": "Then two things change at once, and half right is no aim in itself: a discriminator "
             "that has learned nothing is right on half of them, too.",
    }, "c")
