"""Write readings of many sensors beside the true temperatures: each sensor has a scale and an offset of its own.

Usage: write_sensors.py FILE
"""

import csv
import random
import sys
from pathlib import Path

SENSORS = 1000
READINGS = 40
NOISE = 0.2
"""Standard deviation of a reading, in degrees."""
DEAD = "s-0666"
"""It gave a single reading."""


def line_of(number: int) -> tuple[float, float]:
    """Give the scale and the offset of a sensor."""
    return 1 + (number % 21 - 10) / 100, (number % 13 - 6) / 2


def rows() -> list[list[str]]:
    """Draw the readings, in no order."""
    draw = random.Random(0)  # noqa: S311 - a table, no secret
    found = []
    for number in range(SENSORS):
        sensor, (scale, offset) = f"s-{number:04}", line_of(number)
        for _ in range(1 if sensor == DEAD else READINGS):
            reading = draw.uniform(-20, 40)
            true = scale * reading + offset + draw.gauss(0, NOISE)
            found.append([sensor, f"{reading:.2f}", f"{true:.2f}"])
    draw.shuffle(found)
    return found


if __name__ == "__main__":
    with Path(sys.argv[1]).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["sensor", "reading", "celsius"])
        table.writerows(rows())
