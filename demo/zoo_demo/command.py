"""The command ``zoo demo``."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.tree import Tree

from zoo_client import Client
from zoo_demo.data import SampleData, sample_data
from zoo_demo.plan import makings
from zoo_demo.report import Row, print_notes, table_of, write_report
from zoo_demo.running import Demo
from zoo_demo.service import Service, running_service
from zoo_sdk.errors import ZooError

RELEASED = "int8"
WIDTH_WITHOUT_TERMINAL = 160


def demo(
    *,
    home: Annotated[Path, typer.Option("--home", envvar="ZOO_HOME", help="Home of the Zoo.")] = Path(".zoo"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port, if the Zoo is started; 0: any.")] = 8080,
    mlflow_port: Annotated[int, typer.Option(min=0, max=65535, help="MLflow's port; 0: any.")] = 5000,
    report: Annotated[Path, typer.Option(help="Where the facts go as JSON.")] = Path("demo-report.json"),
) -> None:
    """Train, distil, convert, quantize, evaluate, approve and fetch a real model through a running Zoo.

    Starts the Zoo of this machine if it does not run, and leaves it running, so that you can look at what was made.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    started = time.monotonic()
    try:
        data = sample_data(home.absolute() / "samples")
        service = running_service(home, port=port, mlflow_port=mlflow_port)
        began = time.monotonic()
        with Client(service.url, service.token) as zoo:
            ok = _run(zoo, console, service, data, report, began)
    except ZooError as error:
        console.print(f"[bold red]✘ {error.detail}[/]", highlight=False)
        if error.hint:
            console.print(error.hint, highlight=False)
        raise typer.Exit(1) from error
    console.print(f"[dim]{time.monotonic() - started:.0f} s in all, the start of the services included.[/]")
    raise typer.Exit(0 if ok else 1)


def _run(zoo: Client, console: Console, service: Service, data: SampleData, report: Path, began: float) -> bool:
    plan = makings(small=bool(data.note))
    run = Demo(zoo, console)
    if data.note:
        console.print(f"[bold yellow]NOTE[/] {data.note}")
    run.register(data)
    run.make(plan)
    run.measure(plan)
    version = run.release(RELEASED)
    pulled_ok = run.fetch(version)
    audit_ok = run.audit()
    rows = run.rows(plan)
    facts = {
        "audit_ok": audit_ok,
        "pulled_sha256_ok": pulled_ok,
        "seconds": round(time.monotonic() - began, 1),
        "dataset": run.versions["data"],
        "note": data.note,
        "url": service.url,
        "released": version["reference"],
    }
    write_report(report, rows, facts)
    console.print()
    console.print(table_of(rows, base=rows[0]))
    print_notes(console, rows)
    console.print()
    console.print(_tree(rows, run.versions["data"]))
    console.print()
    mlflow = zoo.jobs.show(run.jobs[RELEASED]["id"])["mlflow_url"]
    for name, value in (
        ("Registry", f"{service.url}/  (zoo models, zoo lineage {version['reference']}, {service.url}/admin/)"),
        ("MLflow run", str(mlflow)),
        ("Report", str(report)),
        ("Stop the Zoo", "make down"),
    ):
        console.print(f"{name:<14}{value}", highlight=False, soft_wrap=True)
    return audit_ok and pulled_ok


def _tree(rows: list[Row], data: str) -> Tree:
    """Children below the parent that they were made from; the data set is the root's note."""
    tree = Tree(f"[bold]{data}[/]")
    branches: dict[str, Tree] = {}
    for row in rows:
        makers = [parent for parent in row.parents if parent in branches]
        branch = branches[makers[0]] if makers else tree
        others = f"  [dim]with {', '.join(makers[1:])}[/]" if len(makers) > 1 else ""
        branches[row.version] = branch.add(f"{row.version}  [dim]{row.operation}[/]{others}")
    return tree
