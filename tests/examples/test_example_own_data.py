"""The example `own-data`."""

from collections.abc import Callable

import pytest

from tests.examples.walks import Walk


@pytest.fixture(scope="module")
def walked(walk: Callable[..., Walk]) -> Walk:
    return walk("own-data")


def _metrics(walked: Walk) -> dict[tuple[str, str], list[float]]:
    return {(job, part): [float(one) for one in rest] for job, part, *rest in walked.rows("job ")}


def test_the_coefficients_are_those_of_the_table_in_its_units(walked: Walk) -> None:
    found = {name: value for name, (value,) in walked.table("coefficient ").items()}
    assert found["area"] == pytest.approx(0.15, abs=0.01)
    assert found["outside"] == pytest.approx(-12, abs=0.6)
    assert found["insulation=old"] - found["insulation=new"] == pytest.approx(90, abs=7)
    assert found["district=harbour"] - found["district=south"] == pytest.approx(60, abs=9)
    assert found["district=north"] - found["district=south"] == pytest.approx(25, abs=9)


def test_rows_with_gaps_are_kept_or_dropped(walked: Walk) -> None:
    found = _metrics(walked)
    filled = [found["gaps-filled", part][0] for part in ("train", "dev", "test")]
    dropped = [found["gaps-dropped", part][0] for part in ("train", "dev", "test")]
    gaps = walked.number(r"missing in (\d+),") + walked.number(r"outside in (\d+)")
    assert filled == [360, 120, 120]
    assert sum(filled) - gaps <= sum(dropped) < sum(filled)


def test_only_the_noise_is_left_where_rows_with_gaps_are_dropped(walked: Walk) -> None:
    found = _metrics(walked)
    for part in ("train", "dev", "test"):
        _, r2, mae, rmse = found["gaps-dropped", part]
        assert r2 > 0.96
        assert mae < rmse
        assert rmse == pytest.approx(15, abs=5)
        assert found["gaps-filled", part][3] > 1.2 * rmse


def test_a_gap_can_be_predicted_with(walked: Walk) -> None:
    assert walked.number(r"in the north: (\d+) kWh at 0 degrees") == pytest.approx(
        150 + 25 + 90 + 150, abs=15
    )
    assert walked.number(r"(\d+) kWh if nobody knows") == pytest.approx(415 - 12 * 4, abs=20)


def test_the_pictures_are_saved(walked: Walk) -> None:
    pictures = ("loss", "predicted", "residuals", "residual_histogram")
    assert walked.pictures() == {f"gaps-{how}-{one}" for how in ("filled", "dropped") for one in pictures}
