"""The estimators, against scikit-learn's own rules and within its own tools."""

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fitd_client import Client, FitdWarning, sklearn
from fitd_client.sklearn import FitdClassifier, FitdRegressor
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.conftest import Service

NOT_YET = {
    "check_sample_weight_equivalence_on_dense_data": "The service scales columns by their rows, each of which counts "
    "once whatever its weight: a weight of two is not two rows there."
}
"""What the estimators do not do as scikit-learn wants it, and why."""
DRAWN = np.random.default_rng(0)
X = DRAWN.normal(size=(120, 3))
Y = 2 * X[:, 0] - X[:, 1] + 0.5


@pytest.fixture(scope="module", autouse=True)
def _found(service: Service) -> Iterator[None]:
    """The estimators find the service as their users' do: by the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FITD_URL", service.url)
        yield
    sklearn._shared_client.cache_clear()


@pytest.mark.filterwarnings("ignore::fitd_client.FitdWarning")
@parametrize_with_checks(
    [FitdRegressor(epochs=150), FitdClassifier(epochs=150)], expected_failed_checks=lambda _: NOT_YET
)
def test_it_is_an_estimator_as_scikit_learn_has_them(estimator: Any, check: Callable[[Any], None]) -> None:  # noqa: ANN401
    check(estimator)


def test_it_fits_a_line() -> None:
    fitted = FitdRegressor("linear", random_state=0).fit(X, Y)
    assert fitted.score(X, Y) > 0.99
    assert fitted.result_.coefficients == pytest.approx({"x0": 2, "x1": -1, "x2": 0}, abs=0.1)


def test_the_same_random_state_gives_the_same_fit() -> None:
    one, other = (FitdRegressor(epochs=20, random_state=3).fit(X, Y) for _ in range(2))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert one.job_id_ != other.job_id_


def test_classes_are_those_that_were_given() -> None:
    flowers = load_iris(as_frame=True)
    names = flowers.target_names[flowers.target]
    fitted = FitdClassifier(random_state=0).fit(flowers.data, names)
    assert fitted.score(flowers.data, names) > 0.95
    assert list(fitted.classes_) == ["setosa", "versicolor", "virginica"]
    assert list(fitted.feature_names_in_) == list(flowers.data.columns)
    np.testing.assert_allclose(fitted.predict_proba(flowers.data).sum(axis=1), 1)


def test_several_targets_are_predicted_together() -> None:
    both = np.column_stack([Y, -Y])
    fitted = FitdRegressor("linear", random_state=0).fit(X, both)
    assert fitted.predict(X).shape == (120, 2)
    assert fitted.score(X, both) > 0.99


def test_a_frame_may_hold_texts() -> None:
    frame = pd.DataFrame({"load": X[:, 0], "town": np.where(X[:, 1] > 0, "Bern", "Oslo")})
    target = frame["load"] + 3 * (frame["town"] == "Bern")
    fitted = FitdRegressor("linear", random_state=0).fit(frame, target)
    assert fitted.score(frame, target) > 0.99
    assert list(fitted.feature_names_in_) == ["load", "town"]


def test_texts_of_older_pandas_are_told_from_other_objects() -> None:
    frame = pd.DataFrame({"load": X[:, 0], "town": ["Bern", "Oslo"] * 60}).astype(object)
    assert sklearn._has_texts(frame)
    assert not sklearn._has_texts(frame[["load"]])


def test_weights_say_which_rows_count() -> None:
    wrong = Y.copy()
    wrong[:20] += 50
    weight = np.ones(120)
    weight[:20] = 0
    fitted = FitdRegressor("linear", epochs=1000, random_state=0).fit(X, wrong, sample_weight=weight)
    assert fitted.score(X[20:], Y[20:]) > 0.99


def test_what_else_the_spec_can_say_goes_in() -> None:
    stopping = {"early_stopping": {"monitor": "train_loss", "patience": 3, "min_delta": 1}}
    fitted = FitdRegressor(alpha=0.01, spec={"training": stopping}, random_state=0).fit(X, Y)
    spec = fitted._job.spec
    assert spec["regularization"]["l2"] == 0.01
    assert spec["training"]["dtype"] == "float64"
    assert fitted.n_iter_ < 300


def test_a_pickled_estimator_predicts_as_long_as_the_service_is_there() -> None:
    fitted = FitdRegressor(epochs=20, random_state=0).fit(X, Y)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - our own
    assert "_job" not in vars(again)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_a_client_of_ones_own_is_used_cloned_and_pickled_without_its_key(service: Service) -> None:
    with Client(service.url, api_key="a-secret") as client:
        fitted = FitdRegressor(epochs=20, client=client).fit(X, Y)
        assert clone(fitted).client is client
        pickled = pickle.dumps(fitted)
    assert b"a-secret" not in pickled
    again = pickle.loads(pickled)  # noqa: S301 - our own
    assert again.predict(X).shape == (120,)


def test_a_search_and_a_pipeline_take_it() -> None:
    line = make_pipeline(PolynomialFeatures(2), FitdRegressor("linear", epochs=200, random_state=0))
    assert cross_val_score(line, X, Y, cv=3).min() > 0.95
    search = GridSearchCV(FitdRegressor(random_state=0), {"epochs": [2, 100], "hidden": [(4,), (16,)]}, cv=2)
    search.fit(X, Y)
    assert search.best_params_["epochs"] == 100
    assert len(search.cv_results_["params"]) == 4


def test_a_column_that_never_changes_is_left_out() -> None:
    wider = np.column_stack([X, np.ones(120)])
    fitted = FitdRegressor("linear", random_state=0).fit(wider, Y)
    assert fitted.n_features_in_ == 4
    wider[:, 3] = 5
    assert fitted.score(wider, Y) > 0.99


@pytest.mark.parametrize("estimator", [FitdRegressor(), FitdClassifier()], ids=lambda it: type(it).__name__)
def test_before_it_is_fitted_it_says_so(estimator: Any) -> None:  # noqa: ANN401
    with pytest.raises(NotFittedError):
        estimator.predict(X)
    with pytest.raises(NotFittedError):
        _ = estimator.result_


def test_one_class_is_nothing_to_tell_apart() -> None:
    with pytest.raises(ValueError, match="one class"):
        FitdClassifier().fit(X, np.zeros(120))


def test_doubts_of_the_service_are_warnings() -> None:
    with pytest.warns(FitdWarning, match="nothing_learnt"):
        FitdRegressor(lr=1e-30, epochs=2, spec={"training": {"engine": "eager"}}).fit(X, Y)
