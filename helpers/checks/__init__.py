"""Check cells of the exercises: right, wrong with a hint, or not yet; they never raise.

One module a notebook holds its answers, cases and hints: exercise 03.1 is judged in
``exercises_03``. What these modules share is here.
"""

import contextlib
import copy
import importlib
from pathlib import Path

import numpy as np

_CHECKS = {}


class Wrong(Exception):
    """An answer is wrong; the message is the hint."""


class NotYet(Exception):
    """An answer has not been given yet; the message says what to do."""


def exercise(name):
    """Register a function as the check of an exercise, "03.1".

    It takes the answer, and returns if that is right, else raises :class:`Wrong` or
    :class:`NotYet`.
    """
    def register(function):
        _CHECKS[name] = function
        return function
    return register


def names():
    """Of all exercises, in order: "01.1", "01.2", …"""
    for path in sorted(Path(__file__).parent.glob("exercises_*.py")):
        importlib.import_module(f"helpers.checks.{path.stem}")
    return sorted(_CHECKS)


def check(name, answer):
    """Check the answer to an exercise: prints right, wrong with a hint, or not yet; never raises.

    ``name`` is the exercise's, such as "03.1"; ``answer`` what its cell asks for.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module(f"helpers.checks.exercises_{name[:2]}")
    try:
        if name not in _CHECKS:
            verdict = f"there is no such exercise; there are {', '.join(names())}."
        elif untouched(answer):
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


def untouched(answer):
    """True for what stands in an exercise before anybody answers: ``...`` or ``None``."""
    return answer is None or answer is ...


def plain(value):
    """A Python value of what may be a NumPy or TensorFlow scalar or an array of one element."""
    if isinstance(value, (str, bytes)):
        return value.strip() if isinstance(value, str) else value.decode()
    if hasattr(value, "shape"):
        value = np.asarray(value)
        return value.reshape(-1)[0].item() if value.size == 1 else value.tolist()
    if isinstance(value, (list, tuple, set)) and len(value) == 1:
        return plain(next(iter(value)))
    return value


def number(answer):
    """A finite number as a float, whatever it is wrapped in; anything else is :class:`Wrong`."""
    value = plain(answer)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if not isinstance(value, bool) and np.isfinite(float(value)):
            return float(value)
    raise Wrong(f"A number is asked for, not {str(value)[:40]}.")


def words(answer, keys, choices):
    """A dictionary with one of ``choices`` for each of ``keys``, in small letters."""
    try:
        given = {key: plain(answer[key]) for key in keys}
    except Exception:
        raise Wrong(f"Keep the dictionary, with an answer for each of {', '.join(keys)}.") from None
    if any(map(untouched, given.values())):
        raise NotYet(f"replace each ... by one of: {', '.join(choices)}.")
    for key, value in given.items():
        given[key] = " ".join(value.lower().split()) if isinstance(value, str) else value
        if not isinstance(value, str) or given[key] not in choices:
            raise Wrong(f"{key}: one of {', '.join(choices)}, please.")
    return given


def letter(answer, reasons, right):
    """Check a choice among letters; ``reasons`` maps each wrong one to why it is wrong."""
    choice = plain(answer)
    if untouched(choice):
        raise NotYet("replace ... by a letter.")
    choice = choice.strip("() .").lower() if isinstance(choice, str) else choice
    if choice == right:
        return
    if not isinstance(choice, str) or choice not in reasons:
        raise Wrong(f"Choose one of: {', '.join(sorted([*reasons, right]))}.")
    raise Wrong(reasons[choice])


def call(function, *arguments):
    """What a learner's function returns for copies of ``arguments``, for it may change them.

    Raises :class:`Wrong` for what is no function and :class:`NotYet` if it returns nothing.
    """
    if not callable(function):
        raise Wrong(f"A function is asked for, not {type(function).__name__}.")
    result = function(*copy.deepcopy(arguments))
    if untouched(result):
        raise NotYet("write the function's body, and return its result.")
    return result


def compare(result, expected, hint, tolerance=1e-4):
    """Compare numbers or arrays of any type; says what is wrong of shape or values, and ``hint``.

    How far off a value is is not said: an answer of 0 would then be told the right one.
    """
    expected = np.asarray(expected, "float64")
    try:
        result = np.asarray(result, "float64")
    except Exception:
        raise Wrong(f"The result is a {type(result).__name__}, not a number or an array. "
                    f"{hint}") from None
    if result.size == expected.size == 1:  # a number, whatever it is wrapped in
        result, expected = result.ravel(), expected.ravel()
    if result.shape != expected.shape:
        raise Wrong(f"The result has shape {result.shape}, not {expected.shape}. {hint}")
    right = np.isclose(result, expected, rtol=tolerance, atol=tolerance)
    if not right.all():
        raise Wrong(f"{1 - right.mean():.0%} of the values are wrong. {hint}")
