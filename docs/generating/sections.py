"""How the reference of the spec is cut into pages: which kinds of the catalog are on which, and what is said first."""

from dataclasses import dataclass

__all__ = ["PAGES", "Kind", "Page"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of the catalog.

    Attributes:
        name: In the catalog.
        place: Where it is in a spec.
        heading: Of its part of the page; None where the page is about nothing else.
        sentence: What is said first.
        is_section: Whether the spec has one such object, and not a choice of several.
    """

    name: str
    place: str
    heading: str | None
    sentence: str
    is_section: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its file, its title, and the kinds on it."""

    file: str
    title: str
    kinds: tuple[Kind, ...]


_CHOICE = "Choose one of these by `type`."

PAGES = (
    Page(
        "data.md",
        "Data",
        (
            Kind("data", "data", None, f"`data` says where the rows come from. {_CHOICE}"),
            Kind(
                "distributions",
                "data.features.<name>",
                "Distributions of a synthetic feature",
                "Each feature of synthetic data has one, chosen by `distribution`.",
            ),
            Kind(
                "noise",
                "data.noise",
                "Noise of a synthetic target",
                "Left out, or null: no noise. Chosen by `distribution`.",
            ),
        ),
    ),
    Page(
        "preprocessing.md",
        "Preprocessing",
        (
            Kind(
                "preprocessing",
                "preprocessing",
                None,
                "`preprocessing` says how columns become numbers. [How rows become numbers]"
                "(../../explanation/how-rows-become-numbers.md) explains it.",
                is_section=True,
            ),
        ),
    ),
    Page(
        "models.md",
        "Models",
        (
            Kind(
                "models",
                "model",
                None,
                f"`model` names what is fitted. {_CHOICE} The shapes of inputs and outputs follow from data and "
                "loss: no model is told them. Models that are installed as "
                "[plugins](../../how-to/bring-your-own-module.md) come on top; "
                "`GET /v1/capabilities` lists them too.",
            ),
        ),
    ),
    Page(
        "layers.md",
        "Layers",
        (
            Kind(
                "layers",
                "model.layers",
                None,
                "The layers of a [`sequential`](models.md#sequential) model, by torch's names and with torch's "
                "parameters; the sizes of what comes in are worked out. At most 1,000, residual branches included. "
                "Where an activation stands alone, as in `model.activation`, its name as text will do: "
                '`"Tanh"` is `{"type": "Tanh"}`. Shapes are those of one row, the rows of the batch left out.',
            ),
        ),
    ),
    Page(
        "initializers.md",
        "Initializers",
        (
            Kind(
                "initializers",
                "model.init",
                None,
                "`model.init` says how the parameters start: `torch.nn.init.<type>`. An initializer without "
                'parameters may be its name as text: `"init": {"weight": "xavier_uniform_"}`. Left out, the layers '
                "start as torch's do.",
            ),
        ),
    ),
    Page(
        "losses.md",
        "Losses",
        (
            Kind(
                "losses",
                "loss",
                None,
                "`loss` names what is made small: `torch.nn.<type>`, with torch's parameters, averaged over the rows "
                f"of a step. {_CHOICE} [How losses and targets pair](../../explanation/losses-and-targets.md).",
            ),
        ),
    ),
    Page(
        "optimizers.md",
        "Optimizers",
        (
            Kind(
                "optimizers",
                "optimizer",
                None,
                f"`optimizer` names how: `torch.optim.<type>`, with torch's own parameters and defaults. {_CHOICE} "
                "`groups` is a list of objects: `parameters`, a list of names or patterns such as `*.bias`, and any "
                "numeric fields of the optimizer that these parameters shall have values of their own for.",
            ),
        ),
    ),
    Page(
        "schedulers.md",
        "Schedulers",
        (
            Kind(
                "schedulers",
                "scheduler",
                None,
                "`scheduler` changes the learning rate: `torch.optim.lr_scheduler.<type>`. Left out, the learning "
                f"rate stays. {_CHOICE} Lengths that are left out follow from the training.",
            ),
        ),
    ),
    Page(
        "regularization.md",
        "Regularization",
        (
            Kind(
                "regularization",
                "regularization",
                None,
                "`regularization` keeps parameters and gradients small. [What else does]"
                "(../../how-to/regularize.md).",
                is_section=True,
            ),
        ),
    ),
    Page(
        "training.md",
        "Training",
        (
            Kind(
                "training",
                "training",
                None,
                "`training` says how long, in which portions and on what.",
                is_section=True,
            ),
            Kind(
                "augmentation",
                "training.augmentation",
                "Augmentation",
                "Random changes of each batch, in the order of the list; on training rows only. Chosen by `type`.",
            ),
        ),
    ),
    Page(
        "evaluation.md",
        "Evaluation",
        (
            Kind(
                "evaluation",
                "evaluation",
                None,
                "`evaluation` says how the fit is judged. [How to](../../how-to/split-and-evaluate.md).",
                is_section=True,
            ),
            Kind(
                "splits",
                "evaluation.split",
                "Splits",
                "Rows held back. Left out, all rows are for training. Chosen by `type`.",
            ),
            Kind(
                "metrics",
                "evaluation.metrics",
                "Metrics",
                "In raw units, of each part. [Their definitions](../../explanation/metrics.md).",
            ),
        ),
    ),
)
"""All pages, in the order of the overview."""
