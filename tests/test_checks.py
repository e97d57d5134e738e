"""helpers.checks: right, not yet, or wrong with a hint; never raises, never tells the answer."""

import numpy as np
import pytest
import tensorflow as tf

from helpers.checks import check_choices, check_function, check_value

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


@pytest.mark.parametrize(
    "answer", [1.9188, 1.92, np.float32(1.9188), np.array(1.9188), tf.constant(1.9188), "1.9188"],
    ids=["float", "rounded", "float32", "array", "tensor", "text"],
)
def test_right_value(capsys, answer):
    assert value(capsys, answer) == "right."


@pytest.mark.parametrize("answer", [None, ...], ids=str)
def test_untouched_value(capsys, answer):
    assert value(capsys, answer).startswith("not yet")


@pytest.mark.parametrize("answer, hint", [(0.0878, "There 90 % are left."), (1.5, "larger"),
                                          (-1, "larger"), (2.5, "smaller"), (True, "larger")])
def test_wrong_value(capsys, answer, hint):
    verdict = value(capsys, answer)
    assert verdict.startswith("not quite") and hint in verdict


def test_tolerance(capsys):
    assert value(capsys, 1.92, tolerance=1e-4).startswith("not quite")
    assert value(capsys, 2.1, tolerance=0.1) == "right."


class Unwilling:
    def __float__(self):
        raise RuntimeError("no")

    def __array__(self, *args, **options):
        raise RuntimeError("no")


ODD = {
    "text": "about two", "list": [1, 2], "array": np.zeros((2, 2)), "function": len,
    "complex": 1j, "huge": 10**400, "unwilling": Unwilling(), "dict": {}, "nan": float("nan"),
    "infinity": float("inf"), "tensor": tf.zeros((2, 2)), "type": int,
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_odd_values(capsys, answer):
    assert value(capsys, answer).startswith("a number is asked for, not ")


@pytest.mark.parametrize("answer", [0, 1, -5, 1e9, 1.5, "x", None], ids=str)
def test_the_expected_value_is_never_told(capsys, answer):
    verdict = value(capsys, answer)
    assert "1.9" not in verdict


ARRAY = np.arange(12.0).reshape(3, 4)
CASES = [((ARRAY, 2), ARRAY * 2 + 0.5), ((ARRAY + 1, 3), ARRAY * 3 + 3.5)]
HINT = "Twice is not thrice."


def function(capsys, answer, cases=CASES, **options):
    check_function(4, answer, cases, HINT, **options)
    return said(capsys)


@pytest.mark.parametrize(
    "answer",
    [lambda a, n: a * n + 0.5, lambda a, n: (a * n + 0.5).astype("float32"),
     lambda a, n: (a * n + 0.5).tolist(), lambda a, n: tf.constant(a * n + 0.5)],
    ids=["array", "float32", "list", "tensor"],
)
def test_right_function(capsys, answer):
    assert function(capsys, answer) == "right."


def stub(a, n):
    ...  # as an untouched exercise stands in a notebook


@pytest.mark.parametrize("answer", [stub, lambda a, n: ..., None, ...],
                         ids=["body-untouched", "ellipsis-returned", "none", "ellipsis"])
def test_untouched_function(capsys, answer):
    assert function(capsys, answer).startswith("not yet")


def fails(a, n):
    raise KeyError("x")


WRONG = {
    "values": (lambda a, n: a * n, "100% of the values are wrong"),
    "one-value": (lambda a, n: a * n + 0.5 + (a == 3), "8% of the values are wrong"),
    "second-case": (lambda a, n: a * 2 + 0.5, "of the values are wrong"),
    "nan": (lambda a, n: a * np.nan, "100% of the values are wrong"),
    "shape": (lambda a, n: a[0] * n, "has shape (4,), not (3, 4)"),
    "scalar": (lambda a, n: 3, "has shape (), not (3, 4)"),
    "raises": (fails, "it stops with KeyError: 'x'"),
    "arguments": (lambda a: a, "it stops with TypeError"),
    "no-function": (3, "it stops with TypeError"),
    "text": (lambda a, n: "abc", "the result is a str"),
    "ragged": (lambda a, n: [[1], [1, 2]], "the result is a list"),
    "dict": (lambda a, n: {}, "the result is a dict"),
    "unwilling": (lambda a, n: Unwilling(), "the result is a Unwilling"),
    "generator": (lambda a, n: (x for x in a), "the result is a generator"),
}


@pytest.mark.parametrize("answer, verdict", WRONG.values(), ids=WRONG)
def test_wrong_function(capsys, answer, verdict):
    told = function(capsys, answer)
    assert verdict in told and told.endswith(HINT)


@pytest.mark.parametrize("guess", [0.0, 1.0, -3.0])
def test_a_guess_does_not_get_the_answer_told(capsys, guess):
    """«off by 22.5» for a guess of 0 would tell that it is 22.5."""
    told = function(capsys, lambda: guess, cases=[((), 22.5)])
    assert not [n for n in ("22.5", "21.5", "25.5") if n in told]


def test_function_tolerance(capsys):
    near = lambda a, n: a * n + 0.501  # noqa: E731
    assert function(capsys, near).startswith("not quite")
    assert function(capsys, near, tolerance=0.01) == "right."


def choices(capsys, answers):
    check_choices(4, answers, {"A": "range", "B": "strangers"},
                  ("range", "strangers", "swapped"), "Look at the batch.")
    return said(capsys)


def test_right_choices(capsys):
    assert choices(capsys, {"A": "range", "B": "strangers", "more": 1}) == "right."


@pytest.mark.parametrize("answer", [None, ...], ids=str)
def test_untouched_choice(capsys, answer):
    assert choices(capsys, {"A": "range", "B": answer}).startswith("not yet: replace each ...")


@pytest.mark.parametrize("answers, verdict", [
    ({"A": "strangers", "B": "strangers"}, "1 of 2 right. Look at the batch."),
    ({"A": "swapped", "B": "range"}, "0 of 2 right. Look at the batch."),
    ({"A": "rnage", "B": "strangers"}, "'rnage' is none of: range, strangers, swapped."),
    ({"A": [1], "B": "strangers"}, "[1] is none of: range, strangers, swapped."),
    ({"A": "range"}, "an answer for each of A, B is asked for."),
    (None, "an answer for each of A, B is asked for."),
    ("range", "an answer for each of A, B is asked for."),
], ids=["half", "none", "mistyped", "list", "missing", "nothing", "text"])
def test_wrong_choices(capsys, answers, verdict):
    assert choices(capsys, answers) == verdict
