"""The check of notebook 00's exercise: right answers in several dresses, wrong ones, odd ones."""

import numpy as np
import pytest


@pytest.mark.parametrize("answer", ["c", "C", "(c)", " c ", "c.", ["c"], np.array(["c"])], ids=str)
def test_right_choice(verdict, answer):
    assert verdict("00.1", answer) == "right."


@pytest.mark.parametrize("answer, reason", [
    ("a", "no colour"), ("B", "what is there to strengthen"), ("(d)", "sand"),
    ("e", "Choose one of: a, b, c, d"), (3, "Choose one of"), (["a", "c"], "Choose one of"),
], ids=str)
def test_wrong_choice(verdict, answer, reason):
    said = verdict("00.1", answer)
    assert said.startswith("not quite") and reason in said
    assert "(c)" not in said, "the answer is never told"
