"""How many SQL queries does each route make?

Nothing is run here: ``tests/zoo_server/query_counts.json`` holds the number of every route that the tests pin, and the
tests fail when a route makes more or fewer.  For lists they also compare the number at few and at many rows.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from bench.figures import Figure
from bench.reporting import RESULTS, Findings, write_report

PINNED = Path(__file__).parents[1] / "tests" / "zoo_server" / "query_counts.json"


def measure(pinned: Path = PINNED) -> Findings:
    """The pinned numbers as a table, most queries first."""
    counts: dict[str, int] = json.loads(pinned.read_text(encoding="utf-8"))
    findings = Findings("queries", __doc__ or "", {}, ("Django", "djangorestframework"), load_matters=False)
    findings.figures = [
        Figure(name="routes with a pinned number of queries", value=len(counts)),
        Figure.of("queries of a route", list(counts.values())),
    ]
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    findings.table("Queries by route", ("route", "queries"), ([name, str(count)] for name, count in order))
    findings.raw = {"counts": counts}
    return findings


def main(
    pinned: Annotated[Path, typer.Option(help="The pinned numbers.")] = PINNED,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """The pinned numbers of SQL queries."""
    write_report(measure(pinned).report(), results)


if __name__ == "__main__":
    typer.run(main)
