"""``zoo reports``: what evaluations and benchmarks found that is more than a number."""

from typing import Annotated, Any

import typer
from rich.console import RenderableType

from zoo_client.cli.commands import command, group
from zoo_client.cli.options import RefArgument
from zoo_client.cli.output import fields, table
from zoo_client.cli.repositories import AllOption, CursorOption, LimitOption, given, listed, more_note
from zoo_client.cli.session import session_of
from zoo_client.cli.text import bytes_text, number_text, time_text
from zoo_sdk.errors import NotFound

SHOWN_CLASSES = 20
SHOWN_CONFUSIONS = 20

reports = group("Show figures per class, confusions, calibration and sweeps.")


@command(reports, "list", "zoo reports list vision/resnet50@3", "zoo reports list vision/resnet50@3 --kind benchmark")
def list_command(
    context: typer.Context,
    ref: RefArgument,
    *,
    kind: Annotated[str | None, typer.Option(help="classification or benchmark.")] = None,
    limit: LimitOption = 50,
    cursor: CursorOption = None,
    everything: AllOption = False,
) -> None:
    """List what jobs found about a version, newest first."""
    session = session_of(context)
    filters = given(kind=kind, limit=limit, cursor=cursor)
    with session.client() as client:
        source = client.models.versions
        page = source.reports(ref, **filters)
        page = listed(page, source.iterate_reports(ref, **filters) if everything else (), everything=everything)
    rows = [
        (
            item["id"],
            item["kind"],
            f"{item['dataset'] or ''} {item['split'] or ''}".strip(),
            item["runtime"],
            bytes_text(item["size"]),
            time_text(item["created_at"]),
        )
        for item in page["results"]
    ]
    session.show(page, lambda: table(("report", "kind", "data set", "runtime", "size", "made"), rows, right=("size",)))
    if not session.as_json and more_note(page):
        session.note(more_note(page))


@command(reports, "show", "zoo reports show vision/resnet50@3", "zoo reports show vision/resnet50@3 --kind benchmark")
def show_command(
    context: typer.Context,
    ref: RefArgument,
    report: Annotated[str | None, typer.Argument(metavar="[REPORT]", help="Its id; default: the newest.")] = None,
    *,
    kind: Annotated[str | None, typer.Option(help="The newest of this kind.")] = None,
) -> None:
    """Show a report: the worst classes, the commonest confusions and the calibration, or a sweep; --json has all."""
    session = session_of(context)
    with session.client() as client:
        source = client.models.versions
        if report is None:
            newest = source.reports(ref, **given(kind=kind, limit=1))["results"]
            if not newest:
                raise NotFound(
                    f"{ref} has no {f'{kind} ' if kind else ''}report.",
                    hint="An evaluate or benchmark operation makes one (`zoo operations`).",
                )
            report = str(newest[0]["id"])
        found = source.report(ref, report)
    session.show(found, *_sections(found))


def _sections(found: dict[str, Any]) -> list[RenderableType]:
    where = f"{found['dataset'] or ''} {found['split'] or ''}".strip()
    head = [("kind", found["kind"]), ("on", where), ("runtime", found["runtime"]), ("device", found["device"])]
    sections: dict[str, Any] = {"classification": _classification, "benchmark": _benchmark}
    show = sections.get(found["kind"])
    return [fields(head), *(show(found["content"]) if show else ["", "Its content is shown with --json."])]


def _classification(content: dict[str, Any]) -> list[RenderableType]:
    facts = [
        ("samples", content["samples"]),
        ("top1", f"{content['top1']:.2f} %"),
        ("calibration error", f"{100 * content['calibration']['error']:.2f} %"),
    ]
    if "agreement" in content:
        agreed = content["agreement"]
        facts.append(("same as", f"{agreed['reference']}: {agreed['same']} of {agreed['samples']}"))
    names = {row["class"]: row["name"] for row in content["per_class"]}
    worst = sorted(content["per_class"], key=lambda row: (row["f1"] is not None, row["f1"]))[:SHOWN_CLASSES]
    confused = sorted((row for row in content["confusion"] if row[0] != row[1]), key=lambda row: -row[2])
    bins = [row for row in content["calibration"]["bins"] if row["samples"]]
    return [
        fields(facts),
        "",
        table(
            ("worst classes", "samples", "precision", "recall", "F1"),
            [
                (row["name"], row["support"], *(_share(row[name]) for name in ("precision", "recall", "f1")))
                for row in worst
            ],
            right=("samples", "precision", "recall", "F1"),
        ),
        "",
        table(
            ("is", "was taken for", "samples"),
            [
                (names.get(true, true), names.get(taken, taken), count)
                for true, taken, count in confused[:SHOWN_CONFUSIONS]
            ],
            right=("samples",),
        ),
        "",
        table(
            ("confidence", "samples", "mean", "right"),
            [
                (
                    f"{row['low']:.2f} to {row['high']:.2f}",
                    row["samples"],
                    _share(row["confidence"]),
                    _share(row["accuracy"]),
                )
                for row in bins
            ],
            right=("samples", "mean", "right"),
        ),
    ]


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"


def _benchmark(content: dict[str, Any]) -> list[RenderableType]:
    hardware = content["hardware"]
    reasons = sorted({reason for row in content["points"] for reason in row["noise_reasons"]})
    facts = [
        ("hardware", f"{hardware.get('processor', '')}, {hardware.get('processors', '')} processors"),
        ("fingerprint", content["fingerprint"]),
        ("load time", f"{content['load_ms']:.1f} ms"),
        ("first point again", f"{content['baseline_ms']:.3f} ms, {content['baseline_drift']:.1%} apart"),
        ("too noisy", "; ".join(reasons)),
    ]
    columns = ("batch", "threads", "p50 ms", "p95 ms", "p99 ms", "samples/s", "runs")
    rows = [
        (
            row["batch"],
            row["threads"],
            *(f"{row[name]:.3f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
            number_text(row["throughput"]),
            row["repeats"],
        )
        for row in content["points"]
    ]
    return [fields(facts), "", table(columns, rows, right=columns)]
