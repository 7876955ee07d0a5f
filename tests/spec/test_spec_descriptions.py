"""Fields are described by the text below them, as pydantic itself would find it."""

from pydantic import BaseModel, ConfigDict, create_model

from service.spec.base import SpecModel
from service.spec.descriptions import descriptions
from service.spec.optimizers import Adam


class _Pydantics(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    plain: int
    """One line."""
    bare: int
    long: int = 3
    """Two lines,

        the second deeper.
    """
    named: str = "a"
    both: str = ""
    """Below."""

    def method(self) -> None:
        """No field."""


class _Ours(SpecModel):
    plain: int
    """One line."""
    bare: int
    long: int = 3
    """Two lines,

        the second deeper.
    """
    named: str = "a"
    both: str = ""
    """Below."""

    def method(self) -> None:
        """No field."""

    class Inner(SpecModel):
        deep: int
        """Within a class."""


def described(model: type[BaseModel]) -> dict[str, str | None]:
    return {name: field.description for name, field in model.model_fields.items()}


def test_descriptions_are_those_that_pydantic_finds() -> None:
    assert described(_Ours) == described(_Pydantics)
    assert described(_Ours)["plain"] == "One line."
    assert described(_Ours.Inner) == {"deep": "Within a class."}


def test_a_class_within_a_function_is_found_and_what_it_inherits_stays() -> None:
    class Local(_Ours):
        own: int = 0
        """Within a function."""

    assert described(Local) == described(_Ours) | {"own": "Within a function."}


def test_the_schema_carries_them() -> None:
    properties = _Ours.model_json_schema()["properties"]
    assert properties["plain"]["description"] == "One line."
    assert "description" not in properties["bare"]


def test_a_class_that_is_written_nowhere_has_none() -> None:
    made = create_model("Made", __base__=SpecModel, number=(int, 0))
    assert not descriptions(made)
    made.__module__ = "of no file"
    assert not descriptions(made)


def test_optimizers_that_are_made_by_a_function_keep_theirs() -> None:
    fields = described(Adam)
    assert fields["lr"]
    assert fields["groups"]
