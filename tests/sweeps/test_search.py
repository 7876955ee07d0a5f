"""Which trials come next follows from the spec and the records alone."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from service.sweeps import space, tpe
from service.sweeps.search import Draw, Known, best_first, next_draws, planned
from service.sweeps.spec import SweepSpec
from tests.sweeps.bodies import GRID, HALVING, LR, OPTIMIZERS, RANDOM, TPE, sweep_spec

EVERY_KIND = {
    "/a": LR,
    "/b": {"type": "uniform", "low": -1.0, "high": 3.0},
    "/c": {"type": "int_uniform", "low": 2, "high": 9, "step": 3},
    "/d": {"type": "int_log_uniform", "low": 1, "high": 512},
    "/e": OPTIMIZERS,
}


def distance(point: space.Point) -> float:
    """An objective whose best is a learning rate of 0.01."""
    return abs(math.log(point["/optimizer/lr"] / 0.01))


def walked(
    spec: SweepSpec,
    objective: Callable[[space.Point], float | None] = distance,
    *,
    at_once: int = 1000,
    backwards: bool = False,
) -> list[Known]:
    """Run a search to its end: so many trials are added and end at a time, in their order or the other way round."""
    known: list[Known] = []
    while True:
        for draw in next_draws(spec, known)[:at_once]:
            known.append(Known(len(known), draw.point, draw.rung))
        open_ones = [one for one in known if not one.ended]
        if not open_ones:
            return known
        one = open_ones[-1 if backwards else 0]
        known[one.number] = replace(one, ended=True, objective=objective(one.point))


def points(known: list[Known]) -> list[space.Point]:
    return [one.point for one in known]


@pytest.mark.parametrize("search", [GRID, RANDOM, TPE, HALVING], ids=lambda search: search["type"])
def test_a_search_ends_with_the_trials_that_it_planned(search: dict[str, Any]) -> None:
    spec = sweep_spec(search, parameters={"/optimizer/lr": {**LR, "points": 4}})
    known = walked(spec)
    assert len(known) == planned(spec)
    assert next_draws(spec, known) == []


@pytest.mark.parametrize("search", [RANDOM, TPE, HALVING], ids=lambda search: search["type"])
def test_the_seed_decides_and_not_what_ends_first(search: dict[str, Any]) -> None:
    spec = sweep_spec(search)
    first = points(walked(spec))
    assert points(walked(spec, backwards=True)) == first
    assert points(walked(spec, at_once=1, backwards=True)) == first
    assert points(walked(sweep_spec({**search, "seed": 4}))) != first


def test_more_random_trials_begin_with_the_same_ones() -> None:
    few, many = (walked(sweep_spec({**RANDOM, "trials": count})) for count in (3, 9))
    assert points(many)[:3] == points(few)


def test_a_grid_has_every_combination_the_last_changing_fastest() -> None:
    parameters = {
        "/x": {"type": "choice", "values": ["a", {"b": 1}]},
        "/n": {"type": "int_uniform", "low": 1, "high": 5, "step": 2},
        "/lr": {"type": "log_uniform", "low": 0.01, "high": 1.0, "points": 3},
    }
    spec = sweep_spec(GRID, parameters=parameters)
    found = [space.values_at(spec, point) for point in space.grid(spec)]
    rows = [(one["/x"], one["/n"], round(one["/lr"], 12)) for one in found]
    assert rows == list(itertools.product(["a", {"b": 1}], [1, 3, 5], [0.01, 0.1, 1.0]))
    assert space.grid_size(spec) == 18


def test_whole_numbers_of_a_grid_come_once_each() -> None:
    parameters = {"/n": {"type": "int_log_uniform", "low": 1, "high": 4, "points": 9}}
    spec = sweep_spec(GRID, parameters=parameters)
    assert [point["/n"] for point in space.grid(spec)] == [1, 2, 3, 4]
    assert planned(spec) == 4


def test_draws_stay_within_the_ranges_and_reach_every_value() -> None:
    spec = sweep_spec({"type": "random", "trials": 1, "seed": 0}, parameters=EVERY_KIND)
    drawn = [space.drawn(spec, number) for number in range(400)]
    assert all(0.001 <= one["/a"] <= 0.1 and -1 <= one["/b"] <= 3 for one in drawn)
    assert {one["/c"] for one in drawn} == {2, 5, 8}
    assert {one["/e"] for one in drawn} == {0, 1}
    assert min(one["/d"] for one in drawn) == 1
    assert max(one["/d"] for one in drawn) > 400
    # Of a logarithm that is uniform, a half lies below the geometric mean.
    assert 150 < sum(one["/a"] < 0.01 for one in drawn) < 250
    assert 150 < sum(one["/d"] < 23 for one in drawn) < 250


def test_the_widest_and_the_narrowest_ranges_can_be_searched() -> None:
    parameters = {
        "/a": {"type": "uniform", "low": -1e300, "high": 1e300, "points": 5},
        "/b": {"type": "log_uniform", "low": 1e-300, "high": 1e300, "points": 5},
        "/c": {"type": "int_uniform", "low": 2**53 - 1, "high": 2**53, "step": 7},
        "/d": {"type": "int_log_uniform", "low": 1, "high": 2**53, "points": 2},
        "/e": {"type": "choice", "values": [None]},
    }
    for search in (GRID, {**RANDOM, "trials": 30}, {**TPE, "trials": 14}):
        for one in walked(sweep_spec(search, parameters=parameters), lambda point: float(point["/a"])):
            assert -1e300 <= one.point["/a"] <= 1e300
            assert 1e-300 <= one.point["/b"] <= 1e300
            assert one.point["/c"] == 2**53 - 1
            assert 1 <= one.point["/d"] <= 2**53


def test_proposals_of_every_kind_stay_within_the_ranges() -> None:
    spec = sweep_spec({**TPE, "trials": 24, "parallel": 4}, parameters=EVERY_KIND)
    known = walked(spec, lambda point: float(point["/b"]))
    for one in known:
        assert 0.001 <= one.point["/a"] <= 0.1
        assert one.point["/c"] in {2, 5, 8}
        assert one.point["/e"] in {0, 1}
        assert all(isinstance(one.point[name], int) for name in ("/c", "/d", "/e"))


def test_tpe_closes_in_on_what_is_good() -> None:
    spec = sweep_spec({**TPE, "trials": 32})
    losses = [one.objective or 0.0 for one in walked(spec)]
    assert sum(losses[22:]) < sum(losses[:10]) / 2


def test_tpe_can_look_for_the_highest() -> None:
    spec = sweep_spec({**TPE, "trials": 32}, objective={"monitor": "dev.r2", "mode": "max"})
    losses = [-(one.objective or 0.0) for one in walked(spec, lambda point: -distance(point))]
    assert sum(losses[22:]) < sum(losses[:10]) / 2


def test_tpe_avoids_where_trials_fail() -> None:
    spec = sweep_spec({**TPE, "trials": 30})
    known = walked(spec, lambda point: None if point["/optimizer/lr"] > 0.02 else distance(point))
    assert sum(one.objective is None for one in known[20:]) < sum(one.objective is None for one in known[:10])


def test_trials_of_a_generation_differ_although_no_result_is_known() -> None:
    spec = sweep_spec({**TPE, "trials": 30, "parallel": 10})
    known = walked(spec)
    for first in range(0, 30, 10):
        assert len({one.point["/optimizer/lr"] for one in known[first : first + 10]}) == 10


def test_what_is_being_tried_is_not_proposed_again() -> None:
    spec = sweep_spec(TPE)
    told = walked(sweep_spec({**TPE, "trials": 12}))
    alone = [tpe.proposed(spec, told, beside=(), number=number) for number in range(12, 22)]
    beside = [tpe.proposed(spec, told, beside=[point] * 5, number=12 + k) for k, point in enumerate(alone)]
    moved = [
        abs(math.log(a["/optimizer/lr"] / b["/optimizer/lr"])) for a, b in zip(alone, beside, strict=True)
    ]
    assert sum(moved) / len(moved) > 0.2


def test_a_generation_waits_for_the_one_before() -> None:
    spec = sweep_spec(TPE)
    known = [Known(number, draw.point) for number, draw in enumerate(next_draws(spec, ()))]
    assert len(known) == 2
    assert next_draws(spec, known) == []
    known[1] = replace(known[1], ended=True, objective=1.0)
    assert next_draws(spec, known) == []
    known[0] = replace(known[0], ended=True, objective=1.0)
    assert len(next_draws(spec, known)) == 2


def test_the_best_of_a_rung_go_on_for_longer() -> None:
    spec = sweep_spec(HALVING)
    known = walked(spec)
    rungs = [[one for one in known if one.rung == rung] for rung in range(3)]
    assert [len(rung) for rung in rungs] == [9, 3, 1]
    assert points(rungs[1]) == points(best_first(spec, rungs[0])[:3])
    assert points(rungs[2]) == points(best_first(spec, rungs[1])[:1])
    assert {draw.epochs for draw in next_draws(spec, ())} == {2}
    (last,) = next_draws(spec, known[:-1])
    assert (last.epochs, last.repeats) == (18, best_first(spec, rungs[1])[0].number)


@pytest.mark.parametrize(
    ("changes", "rungs"),
    [
        ({"trials": 27, "min_epochs": 1, "max_epochs": 27}, [(27, 1), (9, 3), (3, 9), (1, 27)]),
        ({"trials": 10, "min_epochs": 3, "max_epochs": 20}, [(10, 3), (3, 9), (1, 20)]),
        ({"trials": 3, "min_epochs": 1, "max_epochs": 100}, [(3, 1), (1, 100)]),
        ({"trials": 8, "factor": 2, "min_epochs": 5, "max_epochs": 10}, [(8, 5), (4, 10)]),
        ({"trials": 4, "min_epochs": 7, "max_epochs": 7}, [(4, 7)]),
    ],
)
def test_the_rungs_of_successive_halving(changes: dict[str, int], rungs: list[tuple[int, int]]) -> None:
    search: Any = sweep_spec({**HALVING, **changes}).search
    assert search.rungs() == rungs


def test_what_came_to_nothing_is_not_promoted() -> None:
    spec = sweep_spec(HALVING)
    known = walked(spec, lambda point: None if point["/optimizer/lr"] > 0.0015 else 1.0)
    fit = [one.number for one in known if one.rung == 0 and one.objective is not None]
    assert 0 < len(fit) < 3
    assert [one.point for one in known if one.rung == 1] == [known[number].point for number in fit]


def test_a_sweep_whose_first_rung_fails_is_over() -> None:
    assert len(walked(sweep_spec(HALVING), lambda _: None)) == 9


def test_of_equal_trials_the_earlier_is_the_better() -> None:
    trials = [Known(number, {}, ended=True, objective=value) for number, value in enumerate([2.0, 1.0, 1.0])]
    trials += [Known(3, {}, ended=True), Known(4, {}, ended=True, objective=math.inf)]
    assert [one.number for one in best_first(sweep_spec(), trials)] == [1, 2, 0]
    highest = sweep_spec(objective={"monitor": "dev.r2", "mode": "max"})
    assert [one.number for one in best_first(highest, trials)] == [0, 1, 2]


def test_draws_are_what_is_missing_of_the_recorded() -> None:
    spec = sweep_spec()
    draws = next_draws(spec, ())
    known = [Known(number, draw.point) for number, draw in enumerate(draws[:2])]
    assert next_draws(spec, known) == draws[2:]
    assert all(isinstance(draw, Draw) for draw in draws)
