"""The pictures of sweeps: parallel coordinates, and the best until each trial."""

import numpy as np
import pytest

from service.plots import Dimension, parallel_figure, search_figure

LR = Dimension("optimizer/lr", np.array([0.001, 0.1, 1.0, 0.01]), logarithmic=True)
KIND = Dimension("optimizer", np.array([0.0, 1.0, 1.0, 0.0]), ["SGD", "Adam"])
LOSS = Dimension("dev_loss", np.array([3.0, 1.0, np.nan, 2.0]))
ORDER = [1, 3, 0]


def test_each_parameter_has_an_axis_and_the_objective_the_last(seen: type) -> None:
    found = seen(parallel_figure([LR, KIND], LOSS, ORDER, title="Trials of it"))
    found.assert_sound()
    places = {text: found.texts.index(text) for text in ("optimizer/lr", "optimizer", "dev_loss")}
    assert sorted(places, key=places.__getitem__) == ["optimizer/lr", "optimizer", "dev_loss"]
    assert {"SGD", "Adam", "0.01", "best", "the other 2"} <= set(found.texts)


def test_the_best_stands_out_and_what_has_no_value_is_left_out(seen: type) -> None:
    with_all = seen(parallel_figure([LR, KIND], LOSS, ORDER, title="t"))
    without = seen(parallel_figure([LR, KIND], LOSS, [], title="t"))
    legend = with_all.where("accent")[:120].sum()
    assert with_all.where("accent").sum() > 5 * legend
    assert not without.where("accent").any()
    assert "no trial has a result yet" in without.texts
    # The third trial, which has no value, would be at the top of the first axis.
    assert "The best one: optimizer/lr 0.1; optimizer Adam; dev_loss 1." in with_all.svg.decode()


def test_the_best_tenth_is_told_apart_from_the_rest(seen: type) -> None:
    values = np.linspace(1, 2, 50)
    figure = parallel_figure([Dimension("a", values)], Dimension("loss", values), list(range(50)), title="t")
    assert {"best", "best 5", "the other 45"} <= set(seen(figure).texts)


def test_of_many_parameters_the_first_are_drawn(seen: type) -> None:
    many = [Dimension(f"section/field_{number}", LR.values) for number in range(12)]
    found = seen(parallel_figure(many, LOSS, ORDER, title="t"))
    found.assert_sound()
    assert "parameters that are not shown: 4" in found.texts
    assert "field_0" in found.texts
    assert not any("field_8" in text for text in found.texts)


@pytest.mark.parametrize("values", [[5.0], [1e-300, 1e300], [-1e308, 1e308], [2.0, 2.0]])
def test_extreme_values_have_a_place(seen: type, values: list[float]) -> None:
    column = np.array(values)
    order = list(range(len(values)))
    seen(parallel_figure([Dimension("a", column)], Dimension("b", column), order, title="t")).assert_sound()
    seen(search_figure(values, label="b", title="t")).assert_sound()


def test_a_search_shows_the_best_until_each_trial(seen: type) -> None:
    figure = search_figure([3.0, None, 1.0, 2.0, float("inf"), 4.0], label="dev_loss", title="Search of it")
    assert figure.description == "The dev_loss of 4 trials; the best is 1, of trial 2."
    found = seen(figure)
    found.assert_sound()
    assert {"trial", "best until then", "dev_loss"} <= set(found.texts)
    highest = search_figure([3.0, 1.0, 4.0], label="dev.r2", highest=True, title="t")
    assert highest.description == "The dev.r2 of 3 trials; the best is 4, of trial 2."


def test_the_staircase_never_rises_and_reaches_the_last_trial() -> None:
    figure = search_figure([3.0, 1.0, 2.0, 2.0], label="loss", title="t")
    (stairs,) = [
        item.points for item in figure.items if getattr(item, "role", "") == "accent" and len(item.points) > 2
    ]
    # Pixels count downwards: what falls has a larger y.
    assert (np.diff(stairs[:, 1]) >= 0).all()
    (dots,) = [item.centres for item in figure.items if hasattr(item, "centres") and len(item.centres) > 1]
    assert stairs[-1, 0] == dots[:, 0].max()
    assert stairs[-1, 1] == dots[:, 1].max()


@pytest.mark.parametrize("values", [[], [None, None]])
def test_a_search_without_results_says_so(seen: type, values: list[None]) -> None:
    assert "no trial has a result yet" in seen(search_figure(values, label="loss", title="t")).texts
