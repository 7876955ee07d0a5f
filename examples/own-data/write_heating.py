"""Write a table as an office has it: the daily heating energy of buildings, with words, dates and gaps.

Usage: write_heating.py FILE
"""

import csv
import datetime as dt
import random
import sys
from pathlib import Path

DISTRICTS = {"harbour": 60.0, "north": 25.0, "south": 0.0}
"""Further energy that the wind takes, in kWh a day."""
INSULATION = {"old": 90.0, "new": 0.0}
"""Further energy that poor walls let out, in kWh a day."""
PER_SQUARE_METRE = 0.15
PER_DEGREE = -12.0
NOISE = 15.0
"""Standard deviation in kWh a day."""
ROWS = 600
GAPS = 0.04
"""Share of the readings that are missing."""


def rows() -> list[list[str]]:
    """Draw the rows, in no order of time."""
    draw = random.Random(0)  # noqa: S311 - a table, no secret
    first = dt.date(2024, 10, 1)
    found = []
    for _ in range(ROWS):
        day = first + dt.timedelta(days=draw.randrange(180))
        district, insulation = draw.choice(list(DISTRICTS)), draw.choice(list(INSULATION))
        area, outside = draw.randrange(400, 3000, 10), round(draw.gauss(4, 6), 1)
        energy = 150 + DISTRICTS[district] + INSULATION[insulation]
        energy += PER_SQUARE_METRE * area + PER_DEGREE * outside + draw.gauss(0, NOISE)
        readings = ["" if draw.random() < GAPS else str(one) for one in (area, outside)]
        found.append([day.isoformat(), district, insulation, *readings, f"{energy:.1f}"])
    return found


with Path(sys.argv[1]).open("w", newline="", encoding="utf-8") as file:
    table = csv.writer(file)
    table.writerow(["day", "district", "insulation", "area", "outside", "energy"])
    table.writerows(rows())
