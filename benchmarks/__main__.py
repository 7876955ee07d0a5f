"""Measure fitd and write `docs/reference/benchmarks.md`: `python -m benchmarks --help`."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks import ROOT, bodies, engines, h2o_server, page, peers, picture, profiles, served, serving
from service.plots.svg import render_svg
from service.spec import estimates
from service.training.warmup import warm_up

PAGE = ROOT / "docs" / "reference" / "benchmarks.md"


def main() -> None:
    """Measure the parts that are asked for; print what they give, and write it to the page."""
    options = _options()
    # Rows are in memory, as the loop has them: of so many as J7 has, the service would read blocks.
    estimates.RESIDENT_BYTES = 2**30
    warm_up(threads=1)
    if options.quick:
        print("These jobs are tiny, whatever the tables call them: the figures mean nothing.\n")
    for name in options.only or _PARTS:
        section = f"{page.machine()}\n{_PARTS[name](options)}"
        print(f"{name}\n\n{section}", flush=True)
        if not (options.quick or options.jobs):
            page.write(options.page, {name: section})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="Measure fitd, and write a page about it."
    )
    parser.add_argument("--only", nargs="+", choices=list(_PARTS), help="parts to measure; all when left out")
    parser.add_argument(
        "--jobs", nargs="+", default=(), metavar="J1", help="jobs of the part `engines`; nothing is written"
    )
    parser.add_argument(
        "--rounds", type=int, default=7, help="how often each time is taken; the median counts"
    )
    parser.add_argument("--many", type=int, default=1000, help="jobs that the service is sent at once")
    parser.add_argument(
        "--quick", action="store_true", help="tiny jobs, to see that all works; nothing is written"
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="the page; a picture is written beside it")
    parser.add_argument("--h2o-python", metavar="PYTHON", help="the Python that has the package h2o")
    return parser.parse_args()


def _measured(options: argparse.Namespace, device: str) -> list[engines.Measured]:
    """Measure the jobs, and tell of each as soon as it is done."""
    found = []
    for one in engines.measure(rounds=options.rounds, quick=options.quick, only=options.jobs, device=device):
        print(f"{one.job.name}: {page.times(one.speedup('auto'))}", file=sys.stderr, flush=True)
        found.append(one)
    return found


def _engines(options: argparse.Namespace) -> str:
    measured = _measured(options, "cpu")
    if not (options.quick or options.jobs):
        options.page.with_suffix(".svg").write_bytes(render_svg(picture.speedups(measured)))
    return engines.report(measured)


def _gpu(options: argparse.Namespace) -> str:
    if not torch.cuda.is_available():
        return "Skipped: torch finds no CUDA device here.\n"
    return f"{torch.cuda.get_device_name()}\n\n{engines.report(_measured(options, 'cuda'))}"


def _service(options: argparse.Namespace) -> str:
    seconds, count = (0.5, 20) if options.quick else (5.0, options.many)
    # A 95th percentile needs more of them.
    return served.section(rounds=3 * options.rounds, seconds=seconds, count=count)


_PARTS: dict[str, Callable[[argparse.Namespace], str]] = {
    "engines": _engines,
    "profiles": lambda options: profiles.section(only=options.jobs, quick=options.quick),
    "gpu": _gpu,
    "service": _service,
    "serving": lambda options: serving.section(
        rounds=1 if options.quick else 3, seconds=1 if options.quick else 2
    ),
    "bodies": lambda options: bodies.section(rounds=options.rounds, quick=options.quick),
    "peers": lambda options: peers.section(rounds=options.rounds, quick=options.quick),
    "h2o": lambda options: h2o_server.section(
        rounds=options.rounds, quick=options.quick, python=options.h2o_python
    ),
}

main()
