"""Commands that begin a training: `fit`, `submit`, `validate`, `sweep`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from fitd_client import answers
from fitd_client.cli.composing import asked_of
from fitd_client.cli.plain import plain
from fitd_client.cli.reading import changes_of, pairs_of, read_spec, read_table
from fitd_client.cli.screen import figure
from fitd_client.cli.session import Session, command
from fitd_client.cli.shown import TRIALS, sweep_facts, trial_row
from fitd_client.cli.waiting import end_as, finish_job, wait_for
from fitd_client.errors import UnreadableData
from fitd_client.fitting import Rows, merged, rows_of
from fitd_client.jobs import Job
from fitd_client.sweeps import Sweep

__all__ = ["Metadata", "Set", "Timeout", "Wait", "Watch", "add_to", "begun", "show_sweep"]

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show the losses as a curve until the end.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", help="Seconds to wait; the job goes on after them.", min=0)
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PLACE=VALUE", help="A field of the spec, as in `model.hidden=[64,64]`."),
]
Metadata = Annotated[
    list[str] | None, typer.Option("--metadata", metavar="NAME=VALUE", help="A text to find the job by.")
]
Key = Annotated[
    str | None,
    typer.Option("--key", help="Idempotency key: the same key and the same spec are the same job."),
]
SpecFile = Annotated[str, typer.Argument(metavar="SPEC", help="A file of JSON; `-` is standard input.")]


def _fit(  # noqa: PLR0913 - one option for each thing that one may say
    session: Session,
    *,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="CSV, JSON Lines, Parquet or Arrow; `-`: stdin.")
    ],
    target: Annotated[list[str] | None, typer.Option("--target", "-t", help="Column to predict.")] = None,
    feature: Annotated[
        list[str] | None, typer.Option("--feature", help="Column to fit from; all others.")
    ] = None,
    weight: Annotated[
        str | None, typer.Option("--weight", help="Column with the weight of each row.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option("--category", help="Column of names, not numbers.")
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="csv, jsonl, parquet or arrow.")] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="As in `mlp`.")] = None,
    loss: Annotated[str | None, typer.Option("--loss", help="As in `HuberLoss`.")] = None,
    optimizer: Annotated[str | None, typer.Option("--optimizer", help="As in `Adam`.")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", "-e", help="Passes over the rows.")] = None,
    batch_size: Annotated[str | None, typer.Option("--batch-size", help="Rows of a step, or `full`.")] = None,
    scaling: Annotated[str | None, typer.Option("--scaling", help="standardize, min_max or none.")] = None,
    dev: Annotated[float | None, typer.Option("--dev", help="Share of rows to watch the fit on.")] = None,
    test: Annotated[float | None, typer.Option("--test", help="Share of rows to look at once.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of the initial parameters and the order.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="regression or classification.")] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="For people.")] = None,
    metadata: Metadata = None,
    spec: Annotated[
        str | None, typer.Option("--spec", help="File with parts of a spec; options win.")
    ] = None,
    changes: Set = None,
    key: Key = None,
    watch: Watch = False,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Fit a model to the rows of a file. What is left out is chosen by the target.

    Writes the id of the job; with --wait or --watch, what came out.
    """
    _check_sources(data, spec)
    base = read_spec(spec) if spec else {}
    rows = _rows(
        read_table(data, form=form, category=category or ()),
        base,
        target=target,
        features=feature,
        weight=weight,
    )
    options = {
        "model": model,
        "loss": loss,
        "optimizer": optimizer,
        "lr": lr,
        "epochs": epochs,
        "batch_size": _batch_size(batch_size),
        "scaling": scaling,
        "dev": dev,
        "test": test,
        "seed": seed,
        "task": task,
        "name": name,
        "metadata": pairs_of(metadata or (), what="--metadata") or None,
    }
    asked = asked_of(rows, options=options, base=base, changes=changes_of(changes or ()))
    job = session.client.fit(
        rows.table, target=rows.targets, features=rows.features, weight=rows.weight, key=key, **asked
    )
    begun(session, job, watch=watch, wait=wait, timeout=timeout)


def _check_sources(data: str, spec: str | None) -> None:
    if data == spec == "-":
        raise UnreadableData("Standard input can be the rows or the spec, but not both.")


def _rows(
    table: Any,  # noqa: ANN401 - tables of all kinds
    base: Mapping[str, Any],
    *,
    target: Sequence[str] | None,
    features: Sequence[str] | None,
    weight: str | None,
) -> Rows:
    """Tell the columns apart: by the options, else by the spec."""
    data = base.get("data") or {}
    wanted = list(target) if target else data.get("target")
    if not wanted:
        raise UnreadableData("There is no target: name its column with --target.")
    return rows_of(
        table, target=wanted, features=features or data.get("features"), weight=weight or data.get("weight")
    )


def _batch_size(given: str | None) -> int | str | None:
    return int(given) if given is not None and given.isdecimal() else given


def begun(session: Session, job: Job, *, watch: bool, wait: bool, timeout: float | None) -> None:
    """Write the id of a job, or wait for its end where that is wanted."""
    if watch or wait or session.is_passing:
        finish_job(session, job, watch=watch, timeout=timeout)
    elif session.screen.json:
        session.screen.document(job.answer)
    else:
        session.screen.line(job.id)
        session.screen.say(f"It is {job.status}. fitctl watch {job.id} follows it.")


def _submit(
    session: Session,
    *,
    spec: SpecFile,
    changes: Set = None,
    key: Key = None,
    watch: Watch = False,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Submit a whole spec."""
    whole = merged(read_spec(spec), changes_of(changes or ()))
    job = session.client.submit(whole, key=key)
    begun(session, job, watch=watch, wait=wait, timeout=timeout)


def _validate(session: Session, *, spec: SpecFile, changes: Set = None) -> None:
    """Check a spec without running it."""
    found = session.client.validate(merged(read_spec(spec), changes_of(changes or ())))
    if session.screen.json:
        session.screen.document(found)
        return
    session.screen.facts(
        {
            "valid": "yes",
            "parameters": f"{found.parameters:,}",
            "memory": f"{found.peak_bytes / 2**20:,.1f} MiB",
            "estimated time": f"{figure(found.estimated_seconds)} s",
            "warnings": "\n".join(f"{one.pointer}: {one.message} ({one.code})" for one in found.warnings),
        }
    )


def _sweep(
    session: Session,
    *,
    spec: SpecFile,
    key: Key = None,
    watch: Watch = False,
    wait: Wait = False,
    timeout: Timeout = None,
) -> None:
    """Train one spec many times, as a body of POST /v1/sweeps says."""
    sweep = session.client.sweep(read_spec(spec), key=key)
    if watch or wait or session.is_passing:
        wait_for(session, sweep, timeout=timeout)
        show_sweep(session, sweep)
        end_as(sweep)
    elif session.screen.json:
        session.screen.document(sweep.answer)
    else:
        session.screen.line(sweep.id)
        session.screen.say(f"It is {plain(sweep.status)}. fitctl watch {sweep.id} follows it.")


def show_sweep(session: Session, sweep: Sweep) -> None:
    """Write a sweep and its trials, the best first."""
    screen = session.screen
    if screen.quiet:
        screen.line(sweep.id)
        return
    trials: list[answers.Trial] = sweep.trials(sort="objective")
    if screen.json:
        screen.document(
            sweep.answer.model_dump(mode="json")
            | {"trial_list": [one.model_dump(mode="json") for one in trials]}
        )
        return
    screen.facts(sweep_facts(sweep.answer))
    screen.out.print()
    screen.table(TRIALS, [trial_row(one) for one in trials])


_COMMANDS: dict[str, Callable[..., None]] = {
    "fit": _fit,
    "submit": _submit,
    "validate": _validate,
    "sweep": _sweep,
}


def add_to(app: typer.Typer) -> None:
    """Add these commands to an app."""
    for name, function in _COMMANDS.items():
        command(app, name)(function)
