"""helpers.checks: right, not yet, or wrong with a hint; never raises, never tells the answer."""

import re

import nbformat
import numpy as np
import pytest
import tensorflow as tf

from helpers import env
from helpers.checks import check_choices, check_function, check_value
from helpers.models import receptive_field

EXPECTED = 1.9188


def said(capsys):
    output = capsys.readouterr()
    assert output.err == ""
    (line,) = output.out.splitlines()
    assert line.startswith("Exercise 4: ")
    return line.removeprefix("Exercise 4: ")


def value(capsys, answer, **options):
    check_value(4, answer, EXPECTED, hints=[(0.0878, "There 90 % are left.")], **options)
    return said(capsys)


class Unwilling:
    def __float__(self):
        raise RuntimeError("no")

    __array__ = __eq__ = __float__
    __hash__ = None


VALUES = {
    "right.": (1.9188, 1.92, np.float32(1.9188), np.array(1.9188), np.array([1.9188]),
               np.array([[1.9188]]), [1.9188], tf.constant([1.9188]), "1.9188"),
    "not yet": (None, ...),
    "not quite. There 90 % are left.": (0.0878, np.array([0.0878])),
    "not quite: it should be larger": (1.5, -1, True),
    "not quite: it should be smaller": (2.5, 1e9),
    "a number is asked for, not ": (
        "about two", [1, 2], np.zeros((2, 2)), len, int, 1j, 10**400, Unwilling(), {}, [],
        float("nan"), float("inf"), tf.zeros((2, 2))),
}


@pytest.mark.parametrize("verdict, answer", [(v, a) for v, answers in VALUES.items()
                                             for a in answers])
def test_values(capsys, verdict, answer):
    told = value(capsys, answer)
    assert told.startswith(verdict)
    assert verdict == "right." or "1.9" not in told, "the expected value is never told"


def test_tolerance(capsys):
    assert value(capsys, 1.92, tolerance=1e-4).startswith("not quite")
    assert value(capsys, 2.1, tolerance=0.1) == "right."


@pytest.mark.parametrize("answer, verdict", [
    ([(4, 2), (4, 2), (4, 1), (4, 1)], "right."), (((4, 2), (4, 2), (4, 1), (4, 1)), "right."),
    ([(34, 1)], "not quite. Five layers"), ([(4, 1)] * 11, "not quite. Five layers"),
    ([(4, 2)] * 3 + [(4, 1)] * 2, "not quite: it should be smaller."), (..., "not yet"),
    (34, "this answer cannot be checked (TypeError"), ([4, 2], "this answer cannot be checked"),
    ("four", "this answer cannot be checked"),
])
def test_the_exercise_on_receptive_fields(capsys, answer, verdict):
    """What is measured of the answer decides, and its limits; 34 once raised, [(34, 1)] passed."""
    limits = [(lambda layers: len(layers) <= 5 and all(k <= 4 and s <= 2 for k, s in layers),
               "Five layers at most.")]
    check_value(4, answer, 34, tolerance=1e-6, measure=receptive_field, limits=limits)
    assert said(capsys).startswith(verdict)


ARRAY = np.arange(12.0).reshape(3, 4)
CASES = [((ARRAY, 2), ARRAY * 2 + 0.5), ((ARRAY + 1, 3), ARRAY * 3 + 3.5)]
HINT = "Twice is not thrice."


def function(capsys, answer, cases=CASES, **options):
    check_function(4, answer, cases, HINT, **options)
    return said(capsys)


def stub(a, n):
    ...  # as an untouched exercise stands in a notebook


def fails(a, n):
    raise KeyError("x")


def in_place(a, n):
    a *= n
    return a + 0.5


FUNCTIONS = [
    (lambda a, n: a * n + 0.5, "right."), (in_place, "right."),
    (lambda a, n: (a * n + 0.5).astype("float32"), "right."),
    (lambda a, n: (a * n + 0.5).tolist(), "right."),
    (lambda a, n: tf.constant(a * n + 0.5), "right."),
    *[(answer, "not yet") for answer in (stub, lambda a, n: ..., None, ...)],
    (lambda a, n: a * n, "not quite: 100% of the values are wrong"),
    (lambda a, n: a * n + 0.5 + (a == 3), "not quite: 8% of the values are wrong"),
    (lambda a, n: a * 2 + 0.5, "not quite: 100% of the values are wrong"),
    (lambda a, n: a * np.nan, "not quite: 100% of the values are wrong"),
    (lambda a, n: a[0] * n, "the result has shape (4,), not (3, 4)"),
    (lambda a, n: 3, "the result has shape (), not (3, 4)"),
    (fails, "it stops with KeyError: 'x'"), (lambda a: a, "it stops with TypeError"),
    (3, "it stops with TypeError"), (lambda a, n: "abc", "the result is a str"),
    (lambda a, n: [[1], [1, 2]], "the result is a list"), (lambda a, n: {}, "the result is a dict"),
    (lambda a, n: Unwilling(), "the result is a Unwilling"),
    (lambda a, n: (x for x in a), "the result is a generator"),
]


@pytest.mark.parametrize("answer, verdict", FUNCTIONS)
def test_functions(capsys, answer, verdict):
    told = function(capsys, answer)
    assert told.startswith(verdict)
    assert verdict in ("right.", "not yet") or told.endswith(HINT)


@pytest.mark.parametrize("result", [22.5, np.array([22.5]), [[22.5]], tf.constant([22.5])], ids=str)
def test_one_number_may_be_wrapped(capsys, result):
    assert function(capsys, lambda: result, cases=[((), 22.5)]) == "right."


@pytest.mark.parametrize("guess", [0.0, 1.0, -3.0])
def test_a_guess_does_not_get_the_answer_told(capsys, guess):
    """"Off by 22.5" for a guess of 0 would tell that it is 22.5."""
    told = function(capsys, lambda: guess, cases=[((), 22.5)])
    assert not [n for n in ("22.5", "21.5", "25.5") if n in told]


def test_function_tolerance(capsys):
    near = lambda a, n: a * n + 0.501  # noqa: E731
    assert function(capsys, near).startswith("not quite")
    assert function(capsys, near, tolerance=0.01) == "right."


@pytest.mark.parametrize("answers, verdict", [
    ({"A": "range", "B": "strangers", "more": 1}, "right."),
    ({"A": "range", "B": None}, "not yet: replace each ..."),
    ({"A": "range", "B": ...}, "not yet: replace each ..."),
    ({"A": "strangers", "B": "strangers"}, "1 of 2 right. Look at the batch."),
    ({"A": "swapped", "B": "range"}, "0 of 2 right. Look at the batch."),
    ({"A": "rnage", "B": "strangers"}, "'rnage' is none of: range, strangers, swapped."),
    ({"A": np.zeros(2), "B": "strangers"}, "array([0., 0.]) is none of: range, strangers"),
    ({"A": Unwilling(), "B": "strangers"}, "<"),
    *[(odd, "an answer for each of A, B is asked for.")
      for odd in ({"A": "range"}, None, "range", 3)],
])
def test_choices(capsys, answers, verdict):
    check_choices(4, answers, {"A": "range", "B": "strangers"},
                  ("range", "strangers", "swapped"), "Look at the batch.")
    assert said(capsys).startswith(verdict)


def check_cells():
    for path in sorted((env.ROOT / "notebooks").rglob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if re.search(r"\bchecks\.check", cell.source) and cell.cell_type == "code":
                yield pytest.param(cell.source, id=f"{path.parent.name}/{path.stem}:{cell.id}")


@pytest.mark.parametrize("source", check_cells())
def test_a_check_cell_needs_no_other_exercise(source):
    """Who skips the first exercise can still check the second."""
    assert "from helpers import checks\n" in source
