"""helpers.checks: one way to check, and what the checks of all notebooks share."""

import re
from collections import Counter

import nbformat
import numpy as np
import pytest
import tensorflow as tf

from helpers import checks, env
from helpers.checks import NotYet, Wrong, call, compare, letter, number, words


class Unwilling:
    def __float__(self):
        raise RuntimeError("no")

    __array__ = __eq__ = __getitem__ = __float__
    __hash__ = None


def told(judge, *arguments, **options):
    """What a check would say: "right." or its hint, or "not yet"."""
    try:
        judge(*arguments, **options)
    except Wrong as error:
        return str(error)
    except NotYet as error:
        return f"not yet: {error}"
    return "right."


def test_an_unknown_exercise_names_those_there_are(verdict):
    said = verdict("05.9", 1)
    assert said.startswith("there is no such exercise; there are 00.1, 01.1, 01.2")
    assert verdict("nonsense", 1) == said


@pytest.mark.parametrize("answer", [1.5, np.float32(1.5), np.array(1.5), np.array([[1.5]]), [1.5],
                                    tf.constant([1.5]), "1.5", " 1.5 "], ids=repr)
def test_a_number_in_any_dress(answer):
    assert number(answer) == 1.5


@pytest.mark.parametrize("answer", ["about two", [1, 2], np.zeros((2, 2)), len, int, 1j, 10**400,
                                    {}, [], float("nan"), float("inf"), tf.zeros((2, 2)), True],
                         ids=lambda a: type(a).__name__)
def test_what_is_no_number(answer):
    assert told(number, answer).startswith("A number is asked for, not ")


@pytest.mark.parametrize("answer, verdict", [
    ({"A": "left", "B": "right", "C": 1}, "right."), ({"A": " LEFT", "B": ["right"]}, "right."),
    ({"A": "left", "B": np.array("right")}, "right."),
    ({"A": "left", "B": ...}, "not yet: replace each ..."), ({"A": None, "B": "up"}, "not yet"),
    ({"A": "left", "B": "up"}, "B: one of left, right"), ({"A": 3, "B": "left"}, "A: one of"),
    *[(odd, "Keep the dictionary") for odd in ({"A": "left"}, "left", 3, Unwilling())],
])
def test_words(answer, verdict):
    assert told(words, answer, ["A", "B"], ["left", "right"]).startswith(verdict)


@pytest.mark.parametrize("answer, verdict", [
    ("b", "right."), ("(B)", "right."), ([" b. "], "right."), (np.array("b"), "right."),
    ("a", "Because."), ("c", "Choose one of: a, b"), (2, "Choose one of"), (..., "not yet"),
    ([None], "not yet"),
])
def test_letters(answer, verdict):
    assert told(letter, answer, {"a": "Because."}, "b").startswith(verdict)


ARRAY = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize("result, verdict", [
    (ARRAY, "right."), (ARRAY.tolist(), "right."), (tf.constant(ARRAY), "right."),
    (ARRAY.astype("float32"), "right."), (ARRAY + 1, "100% of the values are wrong. Look."),
    (ARRAY + (ARRAY == 3), "8% of the values are wrong"), (ARRAY * np.nan, "100% of the values"),
    (ARRAY[0], "The result has shape (4,), not (3, 4). Look."), (3, "The result has shape ()"),
    ("abc", "The result is a str"), ([[1], [1, 2]], "The result is a list"),
    (Unwilling(), "The result is a Unwilling"), ((x for x in ARRAY), "The result is a generator"),
])
def test_arrays(result, verdict):
    assert told(compare, result, ARRAY, "Look.").startswith(verdict)


@pytest.mark.parametrize("guess", [0.0, 1.0, [[-3.0]]])
def test_a_guess_does_not_get_the_answer_told(guess):
    """"Off by 22.5" for a guess of 0 would tell that it is 22.5."""
    said = told(compare, guess, 22.5, "Look.")
    assert said.startswith("100%") and not [n for n in ("22.5", "21.5", "25.5") if n in said]


def test_a_function_gets_copies_and_must_answer():
    given = ARRAY.copy()

    def in_place(a):
        a *= 2
        return a

    assert np.array_equal(call(in_place, given), 2 * ARRAY) and np.array_equal(given, ARRAY)
    assert told(call, 3).startswith("A function is asked for, not int")
    for nothing in (lambda: None, lambda: ...):
        assert told(call, nothing).startswith("not yet")


# What holds for every exercise.

ODD = [1j, "", "abc", [], {}, [[1], [2, 3]], np.zeros((2, 2)), float("nan"), len, object, True,
       Unwilling()]


@pytest.mark.parametrize("name", checks.names())
def test_untouched(verdict, name):
    assert all(verdict(name, answer).startswith("not yet") for answer in (None, ...))


@pytest.mark.parametrize("name", checks.names())
def test_odd_answers_never_raise_and_are_never_right(verdict, name):
    for answer in ODD:
        assert not verdict(name, answer).startswith("right"), answer


# The check cells of the notebooks.


def check_cells(folder):
    """(exercise, source of its cell) of every check cell in a folder of notebooks."""
    for path in sorted((env.ROOT / "notebooks" / folder).glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code" and "checks.check(" in cell.source:
                name, = re.findall(r'checks\.check\("([\d.]+)"', cell.source)
                assert name.startswith(path.name[:2])
                yield name, cell.source


@pytest.mark.parametrize("folder", ["", "solutions"])
def test_every_exercise_is_asked_and_solved_once(folder):
    found = Counter(name for name, _ in check_cells(folder))
    assert sorted(found) == checks.names() and set(found.values()) == {1}
    assert len(found) == 27


@pytest.mark.parametrize("name, source", [*check_cells(""), *check_cells("solutions")])
def test_a_check_cell_needs_no_other_exercise(name, source):
    """Who skips the first exercise can still check the second."""
    assert source.startswith("from helpers import checks\n")
