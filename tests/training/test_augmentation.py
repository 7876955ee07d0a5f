"""Augmentations change the rows of a batch as they say, and equally for equal seeds."""

import json
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from service.spec.augmentation import Augmentation
from service.training.augmentation import Augmenter
from service.training.rows import Batch
from tests.training.jobs import inline, inline_job, job, trained

ADAPTER: TypeAdapter[Augmentation] = TypeAdapter(Augmentation)
IMAGES = torch.arange(6 * 2 * 4 * 5, dtype=torch.float32).reshape(6, 2, 4, 5) + 1
STEPS: list[dict[str, Any]] = [
    {"type": "noise", "std": 0.1},
    {"type": "flip"},
    {"type": "flip", "axis": "vertical", "p": 0.3},
    {"type": "shift", "pixels": 2},
    {"type": "rotation", "degrees": 20},
]


def applied(*steps: dict[str, Any], images: torch.Tensor = IMAGES, seed: int = 0) -> torch.Tensor:
    augment = Augmenter.build([ADAPTER.validate_json(json.dumps(one)) for one in steps], seed=seed)
    assert augment is not None
    return augment(Batch(images, torch.zeros(len(images)))).features


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("shape", [(6, 2, 4, 5), (6, 4, 5), (6, 1, 3, 3)])
def test_shapes_and_number_formats_stay(step: dict[str, Any], shape: tuple[int, ...]) -> None:
    for dtype in (torch.float32, torch.float64):
        images = torch.ones(shape, dtype=dtype)
        given = applied(step, images=images)
        assert (given.shape, given.dtype) == (images.shape, dtype)


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_the_seed_decides_and_the_rows_themselves_stay(step: dict[str, Any]) -> None:
    before = IMAGES.clone()
    assert torch.equal(applied(step), applied(step))
    assert any(not torch.equal(applied(step), applied(step, seed=seed)) for seed in range(1, 5))
    assert torch.equal(IMAGES, before)


@pytest.mark.parametrize(("axis", "dim"), [("horizontal", -1), ("vertical", -2)])
def test_a_flip_turns_some_images_around_and_leaves_the_others(axis: str, dim: int) -> None:
    given = applied({"type": "flip", "axis": axis, "p": 0.5})
    flipped = [torch.equal(one, image.flip(dim)) for one, image in zip(given, IMAGES, strict=True)]
    left = [torch.equal(one, image) for one, image in zip(given, IMAGES, strict=True)]
    assert all(a != b for a, b in zip(flipped, left, strict=True))
    assert any(flipped)
    assert any(left)


def test_a_flip_of_probability_one_turns_all() -> None:
    assert torch.equal(applied({"type": "flip", "p": 1.0}), IMAGES.flip(-1))


def test_a_shift_moves_each_image_and_fills_the_edge_with_zeros() -> None:
    images = torch.arange(1.0, 26.0).reshape(1, 1, 5, 5).repeat(30, 1, 1, 1)
    moves = set()
    for one in applied({"type": "shift", "pixels": 2}, images=images)[:, 0]:
        found = [
            (down, along)
            for down in range(-2, 3)
            for along in range(-2, 3)
            if torch.equal(one, shifted(images[0, 0], down, along))
        ]
        assert len(found) == 1
        moves.add(found[0])
    assert len(moves) > 10


def shifted(image: torch.Tensor, down: int, along: int) -> torch.Tensor:
    """An image moved by hand, pixel by pixel."""
    height, width = image.shape
    moved = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - along < width:
                moved[row, column] = image[row - down, column - along]
    return moved


def test_a_rotation_keeps_the_middle_and_a_ring_as_they_are() -> None:
    image = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(21.0) - 10, torch.arange(21.0) - 10, indexing="ij")
    image[0, 0] = torch.exp(-(((x**2 + y**2).sqrt() - 6).double() ** 2) / 8)
    given = applied({"type": "rotation", "degrees": 180}, images=image.repeat(5, 1, 1, 1))
    inner = (x**2 + y**2) < 64
    assert float((given - image)[:, 0][:, inner].abs().max()) < 0.05


def test_a_rotation_turns_by_at_most_so_many_degrees() -> None:
    image = torch.zeros(40, 1, 31, 31, dtype=torch.float64)
    image[:, 0, 15, 25] = 1.0  # Ten pixels right of the middle.
    given = applied({"type": "rotation", "degrees": 30}, images=image)[:, 0]
    y, x = torch.meshgrid(torch.arange(31.0) - 15, torch.arange(31.0) - 15, indexing="ij")
    mass = given.sum((1, 2))
    angles = torch.atan2((given * y).sum((1, 2)) / mass, (given * x).sum((1, 2)) / mass).rad2deg()
    assert float(angles.abs().max()) <= 31
    assert float(angles.max()) > 10
    assert float(angles.min()) < -10


def test_noise_has_its_spread() -> None:
    zeros = torch.zeros(1000, 20, dtype=torch.float64)
    given = applied({"type": "noise", "std": 0.5}, images=zeros)
    assert float(given.std()) == pytest.approx(0.5, rel=0.05)
    assert float(given.mean()) == pytest.approx(0.0, abs=0.02)


def test_steps_are_applied_one_after_the_other() -> None:
    both = applied({"type": "flip", "p": 1.0}, {"type": "flip", "p": 1.0})
    assert torch.equal(both, IMAGES)


def test_augmentation_draws_from_a_generator_of_its_own() -> None:
    # Rows come in the same order and dropout drops the same numbers with it as without: noise so small
    # that it is lost in rounding leaves the training as it was, to the last bit.
    plain, _ = trained(inline_job(batch_size=3))
    noisy, _ = trained(inline_job(batch_size=3, augmentation=[{"type": "noise", "std": 1e-30}]))
    assert noisy["train_loss"] == plain["train_loss"]


def test_a_training_with_augmentation_repeats_itself_and_differs_from_one_without() -> None:
    images = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    data = inline({"x": images.tolist(), "y": [0.0, 1.0, 3.0, 1.0, 2.0, 2.0, 0.0, 4.0]})

    def losses(steps: list[dict[str, Any]]) -> list[float]:
        model = {"type": "cnn", "blocks": [{"channels": 2}]}
        return trained(job(data, model=model, training={"augmentation": steps, "batch_size": 4}))[0][
            "train_loss"
        ]

    assert losses(STEPS[:4]) == losses(STEPS[:4]) != losses([])


def test_the_dev_set_is_never_augmented() -> None:
    columns = {"x": [1.0, 2.0, 3.0, 4.0], "y": [1.0, 3.0, 2.0, 5.0]}

    def dev_losses(std: float) -> list[float]:
        training = {"augmentation": [{"type": "noise", "std": std}], "epochs": 1}
        evaluation = {"split": {"type": "order", "dev": 0.25}}
        return trained(
            job(
                inline(columns),
                training=training,
                evaluation=evaluation,
                optimizer={"type": "SGD", "lr": 1e-30},
            )
        )[0]["dev_loss"]

    assert dev_losses(5.0) == dev_losses(1e-30)
