"""The objective is torch's own loss, weights rows as written out by hand, and says what outputs mean."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor, nn

from service.exceptions import TrainingFailed
from service.spec.losses import LossSpec
from service.training.objective import Objective

ADAPTER: TypeAdapter[LossSpec] = TypeAdapter(LossSpec)

Case = tuple[dict[str, Any], int, Callable[[int, torch.Generator], Tensor], nn.Module | None]
TARGETS, CLASSES, STEPS = 3, 4, 6


def loss(name: str, **fields: object) -> LossSpec:
    return ADAPTER.validate_python({"type": name, **fields})


def numbers(rows: int, generator: torch.Generator) -> Tensor:
    return torch.randn(rows, TARGETS, generator=generator)


def counts(rows: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 9, (rows, TARGETS), generator=generator).float()


def codes(rows: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, CLASSES, (rows,), generator=generator)


def bits(rows: int, generator: torch.Generator) -> Tensor:
    return torch.randint(0, 2, (rows, TARGETS), generator=generator).float()


def signs(rows: int, generator: torch.Generator) -> Tensor:
    return 2 * bits(rows, generator) - 1


def one_sign(rows: int, generator: torch.Generator) -> Tensor:
    return signs(rows, generator)[:, :1]


def distribution(rows: int, generator: torch.Generator) -> Tensor:
    return numbers(rows, generator).softmax(1)


def log_distribution(rows: int, generator: torch.Generator) -> Tensor:
    return numbers(rows, generator).log_softmax(1)


def label_indices(rows: int, generator: torch.Generator) -> Tensor:
    marked = bits(rows, generator).bool()
    table = torch.where(marked, torch.arange(TARGETS), TARGETS).sort(1).values
    return torch.where(table == TARGETS, -1, table)


def nothing(rows: int, generator: torch.Generator) -> Tensor:
    return torch.empty(rows, 0)


def sequences(rows: int, generator: torch.Generator) -> Tensor:
    labels = torch.randint(1, CLASSES, (rows, 3), generator=generator)
    lengths = torch.randint(0, 3, (rows, 1), generator=generator)
    return torch.cat([torch.full((rows, 1), STEPS), lengths, labels], 1)


WEIGHTS = tuple(0.5 + code for code in range(CLASSES))
LABEL_WEIGHTS = tuple(0.5 + code for code in range(TARGETS))
LOG = nn.LogSoftmax(1)
CASES: list[Case] = [
    ({"type": "MSELoss"}, 3, numbers, None),
    ({"type": "L1Loss"}, 3, numbers, None),
    ({"type": "SmoothL1Loss", "beta": 0.5}, 3, numbers, None),
    ({"type": "HuberLoss", "delta": 0.3}, 3, numbers, None),
    ({"type": "PoissonNLLLoss"}, 3, counts, None),
    ({"type": "PoissonNLLLoss", "log_input": False, "full": True}, 3, counts, nn.Softplus()),
    ({"type": "CrossEntropyLoss"}, 4, codes, None),
    (
        {"type": "CrossEntropyLoss", "weight": WEIGHTS, "ignore_index": 2, "label_smoothing": 0.1},
        4,
        codes,
        None,
    ),
    ({"type": "NLLLoss"}, 4, codes, LOG),
    ({"type": "NLLLoss", "weight": WEIGHTS, "ignore_index": 0}, 4, codes, LOG),
    ({"type": "MultiMarginLoss"}, 4, codes, None),
    ({"type": "MultiMarginLoss", "p": 2, "margin": 0.5, "weight": WEIGHTS}, 4, codes, None),
    ({"type": "KLDivLoss"}, 3, distribution, LOG),
    ({"type": "KLDivLoss", "log_target": True}, 3, log_distribution, LOG),
    ({"type": "BCELoss"}, 3, bits, nn.Sigmoid()),
    ({"type": "BCELoss", "weight": LABEL_WEIGHTS}, 3, bits, nn.Sigmoid()),
    ({"type": "BCEWithLogitsLoss"}, 3, bits, None),
    ({"type": "BCEWithLogitsLoss", "weight": LABEL_WEIGHTS, "pos_weight": (2.0, 1.0, 3.0)}, 3, bits, None),
    ({"type": "MultiLabelSoftMarginLoss"}, 3, bits, None),
    ({"type": "MultiLabelSoftMarginLoss", "weight": LABEL_WEIGHTS}, 3, bits, None),
    ({"type": "SoftMarginLoss"}, 3, signs, None),
    ({"type": "HingeEmbeddingLoss", "margin": 0.7}, 3, signs, nn.Softplus()),
    ({"type": "MultiLabelMarginLoss"}, 3, label_indices, None),
]
"""Losses that take the outputs as they are: spec, outputs, target, last activation."""
OWN_CALLS: list[Case] = [
    ({"type": "GaussianNLLLoss", "full": True}, 6, numbers, None),
    ({"type": "MarginRankingLoss", "margin": 0.2}, 1, one_sign, None),
    ({"type": "CosineEmbeddingLoss", "margin": 0.2}, 5, one_sign, None),
    ({"type": "TripletMarginLoss", "margin": 0.5, "swap": True}, 5, nothing, None),
    (
        {"type": "CTCLoss"},
        STEPS * CLASSES,
        sequences,
        nn.Sequential(nn.Unflatten(1, (6, 4)), nn.LogSoftmax(2)),
    ),
]
ALL = CASES + OWN_CALLS


def named(case: Case) -> str:
    return "-".join(str(value) for value in case[0].values())


def rows_of(case: Case, *, rows: int, seed: int, dtype: torch.dtype) -> tuple[nn.Module, Tensor, Tensor]:
    """A small network, features and a target for a case."""
    spec, outputs, target, activation = case
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    network: nn.Module = nn.Linear(2, outputs)
    network = network if activation is None else nn.Sequential(network, activation)
    roles = len(ADAPTER.validate_python(spec).roles)
    features = torch.randn(*((rows, roles, 2) if roles else (rows, 2)), generator=generator)
    drawn = target(rows, generator)
    return network.to(dtype), features.to(dtype), drawn.to(dtype) if drawn.is_floating_point() else drawn


def torchs_own(spec: LossSpec, dtype: torch.dtype, **changes: object) -> nn.Module:
    fields = spec.model_dump(exclude={"type"}) | changes
    tensors = {
        name: torch.tensor(value, dtype=dtype) if isinstance(value, tuple) else value
        for name, value in fields.items()
    }
    if spec.type == "KLDivLoss":
        tensors = {"reduction": "batchmean", **tensors}
    module: nn.Module = getattr(nn, spec.type)(**tensors)
    return module


def gradients(value: Tensor, network: nn.Module) -> list[Tensor]:
    network.zero_grad()
    value.backward()
    return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]


SEEDS = st.integers(0, 2**31 - 1)
DTYPES = st.sampled_from([torch.float32, torch.float64])


@pytest.mark.parametrize("case", CASES, ids=named)
@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 40), seed=SEEDS, dtype=DTYPES)
def test_value_and_gradients_are_torchs_to_the_last_bit(
    case: Case, rows: int, seed: int, dtype: torch.dtype
) -> None:
    network, features, target = rows_of(case, rows=rows, seed=seed, dtype=dtype)
    spec = ADAPTER.validate_python(case[0])
    ours = Objective(spec, dtype=dtype)(network, features, target)
    our_gradients = gradients(ours, network)
    theirs = torchs_own(spec, dtype)(network(features), target)
    assert torch.equal(ours, theirs) or (ours.isnan() and theirs.isnan())
    pairs = zip(our_gradients, gradients(theirs, network), strict=True)
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def called_by_hand(spec: LossSpec, network: nn.Module, features: Tensor, target: Tensor) -> Tensor:
    module = torchs_own(spec, features.dtype)
    value: Tensor
    match spec.type:
        case "GaussianNLLLoss":
            outputs = network(features)
            value = module(outputs[:, :3], target, outputs[:, 3:].exp())
        case "MarginRankingLoss":
            value = module(network(features[:, 0]), network(features[:, 1]), target)
        case "CosineEmbeddingLoss":
            value = module(network(features[:, 0]), network(features[:, 1]), target[:, 0])
        case "TripletMarginLoss":
            value = module(network(features[:, 0]), network(features[:, 1]), network(features[:, 2]))
        case "CTCLoss":
            steps_first = network(features).permute(1, 0, 2)
            value = module(steps_first, target[:, 2:], target[:, 0], target[:, 1])
    return value


@pytest.mark.parametrize("case", OWN_CALLS, ids=named)
@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 40), seed=SEEDS, dtype=DTYPES)
def test_losses_of_another_call_are_torchs_too(case: Case, rows: int, seed: int, dtype: torch.dtype) -> None:
    network, features, target = rows_of(case, rows=rows, seed=seed, dtype=dtype)
    spec = ADAPTER.validate_python(case[0])
    ours = Objective(spec, dtype=dtype)(network, features, target)
    our_gradients = gradients(ours, network)
    theirs = called_by_hand(spec, network, features, target)
    assert torch.equal(ours, theirs)
    assert all(torch.equal(a, b) for a, b in zip(our_gradients, gradients(theirs, network), strict=True))


@pytest.mark.parametrize("case", ALL, ids=named)
def test_equal_weights_change_nothing(case: Case) -> None:
    network, features, target = rows_of(case, rows=31, seed=3, dtype=torch.float64)
    objective = Objective(ADAPTER.validate_python(case[0]), dtype=torch.float64)
    plain = objective(network, features, target)
    weighted = objective(network, features, target, torch.full((31,), 0.25, dtype=torch.float64))
    torch.testing.assert_close(weighted, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ALL, ids=named)
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, repeats=st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_a_whole_weight_counts_a_row_so_often(case: Case, seed: int, repeats: list[int]) -> None:
    network, features, target = rows_of(case, rows=len(repeats), seed=seed, dtype=torch.float64)
    objective = Objective(ADAPTER.validate_python(case[0]), dtype=torch.float64)
    weighted = objective(network, features, target, torch.tensor(repeats, dtype=torch.float64))
    if sum(repeats) == 0:
        assert weighted.item() == 0
        return
    times = torch.tensor(repeats)
    repeated = objective(network, features.repeat_interleave(times, 0), target.repeat_interleave(times, 0))
    if repeated.isnan():  # Torch's mean over ignored rows alone.
        assert weighted.item() == 0
    else:
        torch.testing.assert_close(weighted, repeated, rtol=1e-10, atol=1e-12)


def test_weights_by_hand() -> None:
    outputs = torch.tensor([[1.0, 3.0], [0.0, 0.0], [2.0, 2.0]])
    target = torch.tensor([[0.0, 0.0], [1.0, 3.0], [9.0, 9.0]])
    weight = torch.tensor([1.0, 3.0, 0.0])
    value = Objective(loss("MSELoss")).loss(outputs, target, weight)
    assert value.item() == (1 * (1 + 9) / 2 + 3 * (1 + 9) / 2) / 4


def test_class_and_row_weights_multiply_and_divide_together() -> None:
    outputs = torch.randn(4, 2, dtype=torch.float64)
    target = torch.tensor([0, 1, 1, 0])
    of_class, of_row = (2.0, 5.0), [1.0, 0.5, 3.0, 2.0]
    objective = Objective(loss("CrossEntropyLoss", weight=of_class), dtype=torch.float64)
    surprise = -outputs.log_softmax(1)
    products = [row * of_class[code] for row, code in zip(of_row, target.tolist(), strict=True)]
    total = sum(product * surprise[i, target[i]] for i, product in enumerate(products))
    value = objective.loss(outputs, target, torch.tensor(of_row, dtype=torch.float64))
    torch.testing.assert_close(value, total / sum(products))


@pytest.mark.parametrize("case", ALL, ids=named)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_sums_of_batches_give_the_loss_of_all_rows(case: Case, *, weighted: bool) -> None:
    network, features, target = rows_of(case, rows=30, seed=5, dtype=torch.float64)
    weight = torch.rand(30, dtype=torch.float64) if weighted else None
    objective = Objective(ADAPTER.validate_python(case[0]), dtype=torch.float64)
    parts = [slice(0, 7), slice(7, 8), slice(8, 30)]
    sums = [
        objective.sums(
            objective.outputs(network, features[part]),
            target[part],
            None if weight is None else weight[part],
        )
        for part in parts
    ]
    total, mass = (sum(one[i] for one in sums) for i in range(2))
    whole = objective(network, features, target, weight)
    torch.testing.assert_close(total / mass, whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", ALL, ids=named)
def test_the_loss_of_a_row_is_that_of_a_batch_of_it(case: Case) -> None:
    network, features, target = rows_of(case, rows=6, seed=7, dtype=torch.float64)
    plain = case[0] | ({"weight": None} if "weight" in case[0] and case[1] == CLASSES else {})
    objective = Objective(ADAPTER.validate_python(plain), dtype=torch.float64)
    rows = objective.rows(objective.outputs(network, features), target)
    assert rows.shape == (6,)
    alone = [objective(network, features[i : i + 1], target[i : i + 1]) for i in range(6)]
    torch.testing.assert_close(rows, torch.stack(alone).nan_to_num(0.0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "outputs", "values", "probabilities"),
    [
        ("MSELoss", [[1.5], [2.0]], [[1.5], [2.0]], None),
        ("PoissonNLLLoss", [[0.0], [1.0]], [[1.0], [2.718282]], None),
        ("CrossEntropyLoss", [[0.0, 0.0, 10.0]], [2], [[0.0000454, 0.0000454, 0.9999092]]),
        ("NLLLoss", [[-0.105361, -2.302585]], [0], [[0.9, 0.1]]),
        ("MultiMarginLoss", [[0.1, 0.3, 0.2]], [1], None),
        ("KLDivLoss", [[-0.693147, -0.693147]], [[0.5, 0.5]], [[0.5, 0.5]]),
        ("BCELoss", [[0.4, 0.5]], [[0, 1]], [[0.4, 0.5]]),
        ("BCEWithLogitsLoss", [[-1.0, 0.0]], [[0, 1]], [[0.268941, 0.5]]),
        ("MultiLabelSoftMarginLoss", [[-1.0, 0.0]], [[0, 1]], [[0.268941, 0.5]]),
        ("SoftMarginLoss", [[-1.0], [3.0]], [[0], [1]], [[0.268941], [0.952574]]),
        ("HingeEmbeddingLoss", [[0.4], [0.6]], [[1], [0]], None),
        ("MultiLabelMarginLoss", [[5.0, 6.0, 5.1]], [[0, 1, 0]], None),
        ("MarginRankingLoss", [[5.0]], [[5.0]], None),
        ("TripletMarginLoss", [[5.0, 1.0]], [[5.0, 1.0]], None),
        ("CosineEmbeddingLoss", [[5.0, 1.0]], [[5.0, 1.0]], None),
    ],
)
def test_predictions_say_what_outputs_mean(
    name: str, outputs: list[Any], values: list[Any], probabilities: list[Any] | None
) -> None:
    found = Objective(loss(name)).predictions(torch.tensor(outputs))
    torch.testing.assert_close(found.values, torch.tensor(values), rtol=1e-5, atol=1e-6)
    if probabilities is None:
        assert found.probabilities is None
    else:
        assert found.probabilities is not None
        torch.testing.assert_close(found.probabilities, torch.tensor(probabilities), rtol=1e-3, atol=1e-6)


def test_counts_need_no_exponential_where_the_network_gives_them() -> None:
    found = Objective(loss("PoissonNLLLoss", log_input=False)).predictions(torch.tensor([[3.0]]))
    assert found.values.tolist() == [[3.0]]


def test_a_gaussian_prediction_has_a_width() -> None:
    outputs = torch.tensor([[1.0, 2.0, 0.0, 2 * 1.0986123]])
    found = Objective(loss("GaussianNLLLoss")).predictions(outputs)
    assert found.std is not None
    torch.testing.assert_close(found.values, torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(found.std, torch.tensor([[1.0, 3.0]]))


def test_a_sequence_is_read_along_its_best_path() -> None:
    path = torch.tensor([[1, 1, 0, 1, 2, 2], [0, 0, 0, 0, 0, 3]])
    outputs = nn.functional.one_hot(path, 4).float().log()
    found = Objective(loss("CTCLoss")).predictions(outputs)
    assert found.values.tolist() == [[1, 1, 2, -1, -1, -1], [3, -1, -1, -1, -1, -1]]


def test_truth_has_the_form_of_predictions() -> None:
    assert Objective(loss("SoftMarginLoss")).truth(torch.tensor([[-1.0, 1.0]])).tolist() == [[0, 1]]
    assert Objective(loss("BCELoss")).truth(torch.tensor([[0.0, 1.0]])).tolist() == [[0, 1]]
    marked = Objective(loss("MultiLabelMarginLoss")).truth(torch.tensor([[2, 0, -1], [-1, -1, -1]]))
    assert marked.tolist() == [[1, 0, 1], [0, 0, 0]]
    logs = torch.tensor([[0.5, 0.5]]).log()
    torch.testing.assert_close(Objective(loss("KLDivLoss", log_target=True)).truth(logs), logs.exp())
    assert Objective(loss("CrossEntropyLoss")).truth(torch.tensor([3])).tolist() == [3]


@pytest.mark.parametrize("case", ALL, ids=named)
def test_targets_as_they_should_be_are_let_through(case: Case) -> None:
    network, features, target = rows_of(case, rows=20, seed=11, dtype=torch.float32)
    first = features[:1, 0] if ADAPTER.validate_python(case[0]).roles else features[:1]
    shape = network(first).shape[1:]
    Objective(ADAPTER.validate_python(case[0])).require(target, output_shape=shape)


@pytest.mark.parametrize(
    ("name", "target", "shape"),
    [
        ("PoissonNLLLoss", [[1.0], [-1.0]], (1,)),
        ("CrossEntropyLoss", [0, 4], (4,)),
        ("CrossEntropyLoss", [0, -1], (4,)),
        ("BCELoss", [[0.0], [2.0]], (1,)),
        ("SoftMarginLoss", [[1.0], [0.0]], (1,)),
        ("MultiLabelMarginLoss", [[0, -1], [5, -1]], (2,)),
        ("KLDivLoss", [[0.5, 0.5], [0.5, 0.6]], (2,)),
        ("KLDivLoss", [[0.5, 0.5], [1.5, -0.5]], (2,)),
        ("CTCLoss", [[6, 2, 1, 2], [6, 2, 1, 4]], (6, 4)),
        ("CTCLoss", [[6, 2, 1, 2], [6, 2, 1, 0]], (6, 4)),
        ("CTCLoss", [[6, 2, 1, 2], [7, 2, 1, 2]], (6, 4)),
        ("CTCLoss", [[6, 2, 1, 2], [6, 3, 1, 2]], (6, 4)),
        ("CTCLoss", [[6, 2, 1, 2], [6, -1, 1, 2]], (6, 4)),
    ],
)
def test_targets_that_torch_cannot_take_are_refused_by_their_row(
    name: str, target: list[Any], shape: tuple[int, ...]
) -> None:
    with pytest.raises(TrainingFailed, match="row 1") as caught:
        Objective(loss(name)).require(torch.tensor(target), output_shape=shape)
    assert caught.value.code == "target_out_of_range"
    assert caught.value.hint


def test_a_blank_beyond_the_outputs_is_refused() -> None:
    with pytest.raises(TrainingFailed, match="row 0"):
        Objective(loss("CTCLoss", blank=9)).require(torch.tensor([[6, 1, 1]]), output_shape=(6, 4))


@pytest.mark.parametrize(
    ("name", "target", "shape"),
    [
        ("MSELoss", [[1.0]], ()),
        ("MSELoss", [[1.0]], (2,)),
        ("GaussianNLLLoss", [[1.0]], (1,)),
        ("CrossEntropyLoss", [1], (2, 2)),
        ("CTCLoss", [[6, 1, 1]], (4,)),
    ],
)
def test_outputs_of_another_shape_are_refused(name: str, target: list[Any], shape: tuple[int, ...]) -> None:
    with pytest.raises(TrainingFailed) as caught:
        Objective(loss(name)).require(torch.tensor(target), output_shape=shape)
    assert caught.value.code == "wrong_output_shape"


def test_the_usual_loss_adds_no_operation() -> None:
    network = nn.Linear(2, 1)
    features, target = torch.randn(5, 2), torch.randn(5, 1)
    objective, plain = Objective(loss("MSELoss")), nn.MSELoss()
    with torch.profiler.profile() as ours:
        objective(network, features, target)
    with torch.profiler.profile() as theirs:
        plain(network(features), target)
    assert [event.name for event in ours.events()] == [event.name for event in theirs.events()]


def test_predictions_hold_no_graph() -> None:
    network = nn.Linear(2, 3)
    found = Objective(loss("CrossEntropyLoss")).predictions(network(torch.randn(4, 2)))
    assert found.probabilities is not None
    assert not found.probabilities.requires_grad


def test_an_input_that_is_no_probability_is_refused_and_one_that_is_no_number_gives_none() -> None:
    objective, target = Objective(loss("BCELoss")), torch.tensor([[1.0], [0.0]])
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        objective.loss(torch.tensor([[2.0], [0.5]]), target)
    broken = torch.tensor([[math.nan], [0.5]], requires_grad=True)
    whole = objective.loss(broken, target)
    whole.backward()  # type: ignore[no-untyped-call]
    assert whole.isnan()
    assert objective.rows(broken, target).isnan().all()
