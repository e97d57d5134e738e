"""The exercises of notebook 06."""

import numpy as np

from helpers.checks import NotYet, Wrong, exercise, letter, plain, words


@exercise("06.1")
def _patients(answer):
    """What each of the four patients is ill of; the hints name instruments."""
    right = dict(zip("ABCD", ("strangers", "dead discriminator", "strong discriminator", "range"),
                     strict=True))
    given = words(answer, right, sorted(right.values()))
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
        brightness = np.linspace(-0.5, 0.5, count)[:, None, None, None]
        contrast = np.linspace(0.9, 0.2, count)[:, None, None, None]  # the brightest is pale:
        clear = random.permutation(contrast * clear + brightness)  # it is near to all haze
        clear = np.clip(clear, -1, 1).astype("float32")
        airlight = random.uniform(0.4, 0.9, (count, 1, 1, 3))
        t = random.uniform(0.2, 0.4, (count, 1, 1, 1)) + np.linspace(
            0, random.uniform(0.1, 0.4, (count, 1, 1)), 96, axis=1)  # thinner below
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
            given = np.array([int(plain(n)) for n in np.asarray(result).reshape(-1)])
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
        apart = hazy[:, None] - clear[order]  # (count, count, height, width, 3)
        if any((given == measure(apart).mean(axis=(2, 3, 4)).argmin(axis=1)).all()
               for measure in (np.abs, np.square)):
            raise Wrong(f"{np.mean(given == right):.0%} are right. These are the nearest by the "
                        "pixels themselves. Haze makes every pixel paler, so a pale photograph is "
                        "near to all of them. What does haze leave as it was?")
        raise Wrong(f"{np.mean(given == right):.0%} are right. Haze changes colours and contrast "
                    "but leaves edges where they are: which two fine structures are most alike, "
                    "by correlation?")


@exercise("06.3")
def _strong_at_100(answer):
    """What to do about a strong discriminator beside an L1 loss that leads."""
    letter(answer, {
        "b": "With λ = 100 the L1 loss leads the generator, whatever the discriminator says; "
             "here the L1 loss falls and the PSNR rises. Nothing is ruined yet.",
        "c": "The PSNR says that the L1 loss is doing its work. What the discriminator teaches, "
             "it does not show.",
        "d": "Then two things change at once, and half right is no aim in itself: a discriminator "
             "that has learned nothing is right on half of them, too.",
    }, "a")
