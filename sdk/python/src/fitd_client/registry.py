"""Handles of registered models and their versions."""

from typing import Any

from fitd_client import answers, notebook
from fitd_client.asking import Asking, in_path
from fitd_client.errors import ApiError
from fitd_client.exports import Exporting
from fitd_client.operations import Async, Sync, iteration, operation, own_operation
from fitd_client.predicting import Predicting
from fitd_client.wire import Items, Parameters, Steps

__all__ = ["AsyncModel", "Model"]

CHAMPION = "champion"


class _Model(Predicting, Exporting, Asking):
    """A registered name with its versions.

    Predictions and exports are those of one version: the one that `at` chose; else that of the alias `champion`, where
    there is one, and the newest where there is none.

    Attributes:
        answer: The whole answer, with fields that this client does not know.
        version: What `at` chose: a number, an alias or `latest`; None for the service's choice.
    """

    def __init__(
        self,
        connection: Any,  # noqa: ANN401 - of either way
        answer: answers.Model,
        *,
        version: int | str | None = None,
    ) -> None:
        self._connection = connection
        self.answer = answer
        self.version = version

    @property
    def name(self) -> str:
        """Its name."""
        return self.answer.name

    @property
    def aliases(self) -> dict[str, int]:
        """Numbers of versions by their other names."""
        return self.answer.aliases

    @property
    def latest_version(self) -> int | None:
        """Number of the newest version."""
        return self.answer.latest_version

    @property
    def path(self) -> str:
        """Its path beneath the service's address."""
        return f"/v1/models/{in_path(self.name)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} of {self.answer.versions} versions>"

    def _repr_html_(self) -> str:
        return notebook.model(self.answer)

    def at(self, version: int | str) -> Any:  # noqa: ANN401 - its own kind
        """Give a handle whose predictions and exports are those of a version: a number, an alias or `latest`."""
        return type(self)(self._connection, self.answer, version=version)

    @own_operation
    def refresh(self) -> Steps[Any]:
        """Ask for it again, and give the handle itself."""
        self.answer = yield from self._read(answers.Model, self.path)
        return self

    @iteration
    def versions(self) -> Items[answers.ModelVersion]:
        """Go through its versions, the newest first."""
        yield from self._pages(answers.ModelVersion.model_validate, f"{self.path}/versions")

    @operation
    def describe(self, version: int | str | None = None) -> Steps[answers.ModelVersion]:
        """Describe a version: what goes in and comes out, what it reached, where it comes from.

        Args:
            version: A number, an alias or `latest`; left out, the one that predicts.
        """
        return (yield from self._described(version))

    def _described(self, version: int | str | None = None) -> Steps[answers.ModelVersion]:
        asked = version or self.version or (CHAMPION if CHAMPION in self.aliases else "latest")
        return (yield from self._read(answers.ModelVersion, f"{self.path}/versions/{in_path(str(asked))}"))

    @own_operation
    def alias(self, alias: str, version: int | str) -> Steps[Any]:
        """Give a version another name, or move the name to it.

        Args:
            alias: As in `champion`.
            version: Its number, an alias of it, or `latest`.
        """
        yield from self._pointed(alias, version)
        return self

    @own_operation
    def promote(self, version: int | str = "latest") -> Steps[Any]:
        """Make a version the champion: the one that predicts where no other is asked for.

        Args:
            version: Its number, an alias of it, or `latest`.
        """
        yield from self._pointed(CHAMPION, version)
        return self

    def _pointed(self, alias: str, version: int | str) -> Steps[None]:
        place, content = f"{self.path}/aliases/{in_path(alias)}", {"version": version}
        self.answer = yield from self._send(answers.Model, place, content, method="PUT", repeatable=True)

    @own_operation
    def remove_alias(self, alias: str) -> Steps[Any]:
        """Take a name away from the version that has it."""
        yield from self._delete(f"{self.path}/aliases/{in_path(alias)}")
        self.answer = yield from self._read(answers.Model, self.path)
        return self

    @operation
    def delete(self, version: int | str | None = None) -> Steps[None]:
        """Remove a version; or, where none is named, the model with all of them.

        Raises:
            Conflict: An alias points to it.
        """
        place = self.path if version is None else f"{self.path}/versions/{in_path(str(version))}"
        yield from self._delete(place)

    @operation
    def predict(self, X: Any) -> Steps[Any]:  # noqa: ANN401, N803 - tables of all kinds, and their usual name
        """Predict rows, in raw units: what comes back is of the kind of `X`, as of `Job.predict`."""
        found, table = yield from self._predict(X)
        return found.in_kind(table)

    @operation
    def predict_proba(self, X: Any) -> Steps[Any]:  # noqa: ANN401, N803 - as above
        """Give the probability of each class, as `Job.predict_proba` does."""
        found, table = yield from self._predict(X)
        if not found.probabilities:
            detail = f"{self.name} gives no probabilities: its loss has none."
            raise ApiError(409, "no_probabilities", detail, "CrossEntropyLoss and BCEWithLogitsLoss do.")
        return found.probabilities_in_kind(table)

    def _predict(self, X: Any) -> Steps[Any]:  # noqa: ANN401, N803 - as above
        version = yield from self._described()
        return (
            yield from self._predicted(
                f"{self.path}/predict",
                X,
                features=[one.name for one in version.inputs],
                targets=_targets(version),
                params={"version": str(version.version)},
            )
        )

    def _export_params(self) -> Parameters:
        return {} if self.version is None else {"version": str(self.version)}


def _targets(version: answers.ModelVersion) -> list[str]:
    target = version.spec["data"].get("target") if version.spec.get("data") else None
    named: Any = target["name"] if isinstance(target, dict) else target
    return [named] if isinstance(named, str) else list(named or [one.name for one in version.outputs])


class Model(Sync, _Model):
    """A registered model of a `Client`."""


class AsyncModel(Async, _Model):
    """A registered model of an `AsyncClient`."""
