"""`python -m tests.chaos`: the loops at full length on both databases, and the table of what held."""

import argparse
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.chaos.loops import LOOPS, Finding
from tests.chaos.stage import DATABASES, on_stage
from tests.postgres import what_is_missing


def main() -> int:
    """Run the loops that are asked for; exit 1 if a promise did not hold."""
    parser = argparse.ArgumentParser(description="Kill parts of the service again and again.")
    parser.add_argument("--kills", type=int, default=200, help="kills of each loop")
    parser.add_argument("--database", choices=DATABASES, action="append", help="only this one")
    parser.add_argument(
        "--loop", choices=[loop.__name__ for loop in LOOPS], action="append", help="only this"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the dice")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    held = True
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, torch {version('torch')}, ",
        end="",
    )
    print(f"{platform.system()} on {platform.machine()}, seed {options.seed}\n")
    print("| promise | database | figures | held | seconds |\n| --- | --- | --- | --- | --- |")
    for database in options.database or DATABASES:
        if database == "postgresql" and (missing := what_is_missing()):
            print(f"| all | {database} | left out: {missing} | | |")
            continue
        for loop in LOOPS:
            if not options.loop or loop.__name__ in options.loop:
                started = time.monotonic()
                with (
                    tempfile.TemporaryDirectory() as folder,
                    on_stage(Path(folder), database, seed=options.seed) as stage,
                ):
                    found = loop(stage, options.kills)
                held = held and found.held
                print(_line(found, database, time.monotonic() - started))
    return 0 if held else 1


def _line(found: Finding, database: str, seconds: float) -> str:
    held = "yes" if found.held else "NO"
    return f"| {found.promise} | {database} | {found.figures} | {held} | {seconds:.0f} |"


if __name__ == "__main__":
    sys.exit(main())
