#!/usr/bin/env python3
"""What Fisher's iris measurements say: the means of each species, and a line through two columns.

Usage: iris.py X Y, two columns of datasets/iris.csv; the line is Y = slope * X + intercept.
"""

import csv
import json
import os
import sys
from collections import defaultdict
from pathlib import Path
from statistics import correlation, fmean, linear_regression

DATASET = Path(os.environ["CHRONOVISOR_DATASETS"], "iris.csv")
RESULTS = Path(os.environ["CHRONOVISOR_RESULTS"])
DECIMALS = 5


def main(x: str, y: str) -> None:
    """Read, compute, write; say how far it is."""
    tell(0.0, "reading the measurements")
    rows = measurements()
    tell(0.3, f"{len(rows)} flowers read")
    means = means_by_species(rows)
    tell(0.6, f"means of {len(means)} species computed")
    line = fitted_line(rows, x, y)
    summary = {"flowers": len(rows), "means": means, "line": line}
    RESULTS.joinpath("summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    text = report(means, line)
    RESULTS.joinpath("report.txt").write_text(text)
    print(text, end="")
    tell(1.0, "done")


def measurements() -> list[dict[str, str]]:
    """One row for each flower."""
    with DATASET.open(newline="") as file:
        return list(csv.DictReader(file))


def means_by_species(rows: list[dict[str, str]]) -> dict[str, dict[str, float]]:
    """The mean of every column, in centimetres."""
    columns = [name for name in rows[0] if name != "species"]
    by_species = defaultdict(list)
    for row in rows:
        by_species[row["species"]].append(row)
    return {
        species: {name: rounded(fmean(float(row[name]) for row in some)) for name in columns}
        for species, some in by_species.items()
    }


def fitted_line(rows: list[dict[str, str]], x: str, y: str) -> dict[str, float | str]:
    """The least-squares line of y on x, and how well it fits."""
    xs, ys = ([float(row[name]) for row in rows] for name in (x, y))
    slope, intercept = linear_regression(xs, ys)
    r = rounded(correlation(xs, ys))
    return {"x": x, "y": y, "slope": rounded(slope), "intercept": rounded(intercept), "r": r}


def report(means: dict[str, dict[str, float]], line: dict[str, float | str]) -> str:
    """The findings as a table and an equation."""
    columns = list(next(iter(means.values())))
    heading = "".join(f"{name.replace('_', ' '):>14}" for name in columns)
    table = [
        f"{species:12}" + "".join(f"{mean[name]:14.3f}" for name in columns)
        for species, mean in means.items()
    ]
    equation = "{y} = {slope:.5f} * {x} + {intercept:.5f}   (r = {r:.5f})".format(**line)
    return "\n".join([f"{'means in cm':12}{heading}", *table, "", equation, ""])


def rounded(number: float) -> float:
    """As precise as the data deserve."""
    return round(number, DECIMALS)


def tell(fraction: float, message: str) -> None:
    """Report progress to whoever watches."""
    with open(os.environ["CHRONOVISOR_PROGRESS"], "w") as progress:
        progress.write(f"{fraction} {message}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
