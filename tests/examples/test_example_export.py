"""The example `export`."""

from collections.abc import Callable

import pytest

from tests.examples.walks import Walk


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("export")


def test_the_coefficients_are_those_of_the_formula_nearly(walked: Walk) -> None:
    assert walked.number(r"^y = ([\d.]+) \* x") == pytest.approx(5, abs=0.5)


def test_the_script_is_a_tutorial_s_loop_and_comes_to_the_same_bits(walked: Walk) -> None:
    assert "model = nn.Linear(1, 1)\nloss_fn = nn.MSELoss()\n" in walked.text
    assert walked.text.splitlines()[-1] == "The largest difference of all parameters is 0: the same bits."
