"""The former checks, until every exercise has its own."""

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


def untouched(answer):
    return answer is None or answer is ...


@_check
def check_value(answer, expected, hints=(), tolerance=0.01, measure=None, limits=()):
    """Compare a number with the expected one, within ``tolerance`` (relative).

    Called with the exercise's number before these. An untouched answer is ``None`` or ``...``; an
    array of one element is a number. ``hints`` lists (wrong value, what it tells). With ``measure``
    the number is ``measure(answer)``; ``limits`` lists (condition on the answer, what to say if it
    does not hold).
    """
    if untouched(answer):
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
    if untouched(function):
        return "not yet: write the function."
    for arguments, expected in cases:
        try:
            result = function(*copy.deepcopy(arguments))
        except Exception as error:
            return f"it stops with {type(error).__name__}: {error}. {hint}"
        if untouched(result):
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
    if any(map(untouched, given.values())):
        return "not yet: replace each ... by one of: " + ", ".join(choices) + "."
    for answer in given.values():
        if not isinstance(answer, str) or answer not in choices:
            return f"{answer!r} is none of: " + ", ".join(choices) + "."
    right = sum(given[key] == expected[key] for key in expected)
    return "right." if right == len(expected) else f"{right} of {len(expected)} right. {hint}"
