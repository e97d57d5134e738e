"""Check cells of the exercises: they say right, not yet, or wrong with a hint, and never raise."""

import numpy as np


def _say(exercise, verdict):
    print(f"Exercise {exercise}: {verdict}")


def check_value(exercise, answer, expected, hints=(), tolerance=0.01):
    """Compare a number with the expected one, within ``tolerance`` (relative).

    ``hints`` lists (wrong value, what it tells); an untouched answer is ``None`` or ``...``.
    """
    if answer is None or answer is ...:
        return _say(exercise, "not yet: replace ... by your answer.")
    try:
        answer = float(answer)
    except Exception:
        return _say(exercise, f"a number is asked for, not {type(answer).__name__}.")
    if not np.isfinite(answer):
        return _say(exercise, f"a number is asked for, not {answer}.")
    if np.isclose(answer, expected, rtol=tolerance):
        return _say(exercise, "right.")
    for wrong, hint in hints:
        if np.isclose(answer, wrong, rtol=tolerance):
            return _say(exercise, f"not quite. {hint}")
    direction = "larger" if answer < expected else "smaller"
    return _say(exercise, f"not quite: it should be {direction}.")


def check_function(exercise, function, cases, hint, tolerance=1e-4):
    """Call a function on every case, a list of (arguments, expected), and compare.

    A function that returns ``None`` or ``...`` counts as untouched. The first case that fails is
    told apart as wrong shape, wrong values or an error; ``hint`` follows.
    """
    if function is None or function is ...:
        return _say(exercise, "not yet: write the function.")
    for arguments, expected in cases:
        try:
            result = function(*arguments)
        except Exception as error:
            return _say(exercise, f"it stops with {type(error).__name__}: {error}. {hint}")
        if result is None or result is ...:
            return _say(exercise, "not yet: write the function's body.")
        expected = np.asarray(expected, "float64")
        try:
            result = np.asarray(result, "float64")
        except Exception:
            text = f"the result is a {type(result).__name__}, not a number or an array. {hint}"
            return _say(exercise, text)
        if result.shape != expected.shape:
            text = f"the result has shape {result.shape}, not {expected.shape}. {hint}"
            return _say(exercise, text)
        if not np.allclose(result, expected, rtol=tolerance, atol=tolerance):
            # How far off is not said: an answer of 0 would then be told the right one.
            wrong = np.mean(~np.isclose(result, expected, rtol=tolerance, atol=tolerance))
            return _say(exercise, f"not quite: {wrong:.0%} of the values are wrong. {hint}")
    return _say(exercise, "right.")


def check_choices(exercise, answers, expected, choices, hint):
    """Compare a dictionary of words with the expected one; ``choices`` are the words to take.

    Says how many are right, never which.
    """
    try:
        given = {key: answers[key] for key in expected}
    except Exception:
        return _say(exercise, f"an answer for each of {', '.join(expected)} is asked for.")
    if any(answer is None or answer is ... for answer in given.values()):
        return _say(exercise, "not yet: replace each ... by one of: " + ", ".join(choices) + ".")
    strange = [answer for answer in given.values() if answer not in list(choices)]
    if strange:
        return _say(exercise, f"{strange[0]!r} is none of: " + ", ".join(choices) + ".")
    right = sum(given[key] == expected[key] for key in expected)
    if right == len(expected):
        return _say(exercise, "right.")
    return _say(exercise, f"{right} of {len(expected)} right. {hint}")
