"""What does it cost to run work as a job?

Latency: from just before the client's submit call to the moment when the worker starts the child process (the attempt's
event ``running``); client, registry and worker share this machine's clock.  One job after the other on a worker that
has been idle for a second; then again without the second, where the worker is still putting the former job away.
Overhead: ``torch.train`` as a job (submit call to ``finished_at``: queue, claim, inputs, child, upload, version, audit)
against the same operation with the same parameters, seed and threads as a bare function in a fresh process (start of
the interpreter to its end).  Both take turns, and both must make the same bytes.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from bench.bare import Order
from bench.distillation import demo_budget
from bench.figures import Figure, percentile, ratios
from bench.machine import usable_threads
from bench.operations import dataset_item
from bench.reporting import RESULTS, SAMPLES, Findings, say, write_report
from bench.service import TEAM, running_zoo
from zoo_client import Client
from zoo_client.describing import collect_files
from zoo_client.publishing import Draft, publish
from zoo_client.records import Job
from zoo_demo.data import SampleData, sample_data
from zoo_sdk.context import InputItem

STUDENT = "zoo:conv_tiny"
IDLE_SECONDS = 1.0
"""Between two jobs, so that the worker has put the former one away (MLflow's journal, its folders)."""
TRAINING_SECONDS = 900
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
DISTRIBUTIONS = ("celery", "gunicorn", "Django", "torch", "zoo-server", "zoo-worker", "zoo-torch")


@dataclass(frozen=True)
class Life:
    """Seconds after the submit call began at which a job reached each point; ``spoke``: the operation's first word."""

    answered: float
    claimed: float
    started: float
    spoke: float
    uploading: float
    finished: float


def run_job(client: Client, operation: str, **options: Any) -> tuple[Life, Job]:
    """Submit, wait, and read from the job's own record when it was where."""
    begin = time.time()
    job = client.jobs.submit(operation, team=TEAM, cache="off", **options)  # a result from the cache takes no time
    answered = time.time()
    job = client.jobs.wait(job["id"])
    events = list(client.jobs.events(job["id"]))
    return life_of(begin, answered, job, events), job


def life_of(begin: float, answered: float, job: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Life:
    """The points of a job's life from its record and its events."""
    states = {event["body"]["state"]: _seconds(event["time"]) for event in events if event["kind"] == "state"}
    words = [_seconds(event["time"]) for event in events if event["kind"] in {"progress", "metric", "log"}]
    return Life(
        answered=answered - begin,
        claimed=_seconds(job["started_at"]) - begin,
        started=states["running"] - begin,
        spoke=min((word for word in words if word >= states["running"]), default=states["uploading"]) - begin,
        uploading=states["uploading"] - begin,
        finished=_seconds(job["finished_at"]) - begin,
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@dataclass
class Overhead:
    """The same training as a job and as a bare function."""

    client: Client
    folder: Path
    data: InputItem
    published: str
    params: Mapping[str, Any]
    threads: int
    jobs: list[Life] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)
    """Seconds of the function itself within the bare process."""
    same_bytes: list[bool] = field(default_factory=list)

    def first_job(self) -> Life:
        """The first one also fetches the data set and fills the worker's cache; it is told apart."""
        return self._job()[0]

    def round(self, turn: int) -> None:
        """Both ways, each first every other time."""
        if turn % 2:
            digest = self._bare(turn)
            life, made = self._job()
        else:
            life, made = self._job()
            digest = self._bare(turn)
        self.jobs.append(life)
        same = made == digest
        self.same_bytes.append(same)
        say(f"training, round {turn + 1}: job {life.finished:.2f} s, bare {self.bare[-1]:.2f} s, same bytes: {same}")

    def _job(self) -> tuple[Life, str]:
        life, job = run_job(
            self.client,
            "torch.train",
            inputs={"data": self.published},
            params=dict(self.params),
            outputs={"model": f"{TEAM}/bench-train"},
            seed=0,
        )
        version = self.client.models.versions.show(job["result"] or "")
        return life, version["files"][0]["sha256"]

    def _bare(self, turn: int) -> str:
        order = Order(
            operation="torch.train",
            params=dict(self.params),
            inputs={"data": self.data},
            seed=0,
            threads=self.threads,
            folder=self.folder / f"bare-{turn}",
        )
        path = self.folder / "order.json"
        path.write_text(order.model_dump_json(), encoding="utf-8")
        environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(self.threads))}
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "bench.bare", str(path)],
            check=True, stdout=subprocess.PIPE, text=True, env=environment, timeout=TRAINING_SECONDS,
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        self.bare.append(time.perf_counter() - started)
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        self.inside.append(answer["seconds"])
        return str(answer["sha256"])


def measure_latency(client: Client, count: int, pause: float) -> list[Life]:
    """Jobs that do nothing, one after the other, ``pause`` seconds apart, after one that warms everything up."""
    options = {"inputs": {}, "params": {"steps": 1, "seconds": 0}, "outputs": {"model": f"{TEAM}/bench-wait"}}
    run_job(client, "example.wait", **options)
    lives = []
    for number in range(count):
        time.sleep(pause)
        lives.append(run_job(client, "example.wait", **options)[0])
        if (number + 1) % 10 == 0:
            say(f"{number + 1} of {count} jobs; the last child started after {lives[-1].started * 1000:.0f} ms")
    return lives


def measure(folder: Path, data: SampleData, *, jobs: int, repeats: int, training: Mapping[str, Any]) -> Findings:
    """Start a Zoo with workers below ``folder``; ``jobs`` for the latency, ``repeats`` trainings each way."""
    threads = usable_threads()
    options = {"jobs": jobs, "repeats": repeats, "data": data.name, "threads": threads, "seed": 0, **training}
    findings = Findings("jobs", __doc__ or "", options, DISTRIBUTIONS)
    with running_zoo(folder, workers=True) as zoo, zoo.client() as client:
        lives = measure_latency(client, jobs, IDLE_SECONDS)
        hasty = measure_latency(client, jobs, 0)
        item = dataset_item(data)
        draft = Draft(files=collect_files(list(data.files)), dataset=item.dataset, seal=True)
        published = publish(client, "datasets", f"{TEAM}/bench-data", draft)["reference"]
        overhead = Overhead(client, folder, item, published, training, threads)
        first = overhead.first_job()
        say(f"training, first job (fetches the data set): {first.finished:.2f} s")
        for turn in range(repeats):
            overhead.round(turn)
    findings.figures += [*_latency_figures(lives, ""), *_latency_figures(hasty, ", without a pause")]
    findings.figures += _overhead_figures(overhead)
    _latency_table(findings, lives, "an idle worker")
    _latency_table(findings, hasty, "a worker that has just finished another")
    _overhead_tables(findings, overhead, first)
    findings.raw |= {
        "latency": [vars(life) for life in lives],
        "latency without a pause": [vars(life) for life in hasty],
    }
    return findings


def _latency_figures(lives: Sequence[Life], suffix: str) -> list[Figure]:
    started = [life.started * 1000 for life in lives]
    low, high = min(started), max(started)
    return [
        Figure(
            name=f"submit to child start{suffix}, p{rank}",
            value=percentile(started, rank),
            unit="ms",
            low=low,
            high=high,
        )
        for rank in (50, 95)
    ]


def _overhead_figures(overhead: Overhead) -> list[Figure]:
    finished = [life.finished for life in overhead.jobs]
    extra = [job - bare for job, bare in zip(finished, overhead.bare, strict=True)]
    return [
        Figure.of("training: job / bare function, time", ratios(finished, overhead.bare)),
        Figure.of("training: job - bare function", extra, "s"),
        Figure(
            name="rounds in which both made the same bytes", value=sum(overhead.same_bytes), unit=f"of {len(extra)}"
        ),
    ]


POINTS = (
    ("answered", "submit call answered (job and outbox committed)"),
    ("claimed", "claimed by the worker"),
    ("started", "child process started"),
    ("spoke", "operation's first word (interpreter and imports done)"),
    ("uploading", "operation returned, outputs go up"),
    ("finished", "version sealed, job succeeded"),
)


def _latency_table(findings: Findings, lives: Sequence[Life], where: str) -> None:
    rows = []
    for name, title in POINTS:
        values = [getattr(life, name) * 1000 for life in lives]
        points = (percentile(values, 50), percentile(values, 95), min(values), max(values))
        rows.append([title, *(f"{value:.0f}" for value in points)])
    title = f"{len(lives)} jobs that do nothing, on {where}: ms after submit"
    findings.table(title, ("point", "p50", "p95", "min", "max"), rows)


def _overhead_tables(findings: Findings, overhead: Overhead, first: Life) -> None:
    ways: dict[str, list[float]] = {
        "job": [life.finished for life in overhead.jobs],
        "bare function, fresh process": overhead.bare,
        "the function itself in it": overhead.inside,
    }
    rows = []
    for name, values in ways.items():
        cells = [*(f"{value:.2f}" for value in values), f"{median(values):.2f}"]
        rows.append([name, *cells, f"{min(values):.2f} to {max(values):.2f}"])
    rounds = [f"round {number}" for number in range(1, len(overhead.bare) + 1)]
    findings.table("The same training, seconds", ("way", *rounds, "median", "range"), rows)
    middle = [[title, f"{median(getattr(life, name) for life in overhead.jobs):.2f}"] for name, title in POINTS]
    findings.table("Where a training job's time goes: median seconds after submit", ("point", "s"), middle)
    findings.notes.append(f"The first training job, which fetched the data set as well, took {first.finished:.2f} s.")
    findings.raw = {
        "training_jobs": [vars(life) for life in overhead.jobs],
        **ways,
    }


def main(
    *,
    jobs: Annotated[int, typer.Option(min=1, max=1000, help="Jobs for the latency.")] = 30,
    repeats: Annotated[int, typer.Option(min=1, max=50, help="Trainings each way.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of the training.")] = 1,
    limit_samples: Annotated[int, typer.Option(min=0, help="Train and test on so many pictures; 0: on all.")] = 0,
    samples: Annotated[Path, typer.Option(help="Where the data set is kept.")] = SAMPLES,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """Submit to child start, and a job's overhead over a function call."""
    data = sample_data(samples.absolute())
    training = {**demo_budget(small=False).training, "architecture": STUDENT, "epochs": epochs}
    if limit_samples:
        training |= {"limit_samples": limit_samples, "limit_test_samples": limit_samples}
    with tempfile.TemporaryDirectory(prefix="zoo-bench-", ignore_cleanup_errors=True) as folder:
        findings = measure(Path(folder), data, jobs=jobs, repeats=repeats, training=training)
    if data.note:
        findings.notes.append(data.note)
    write_report(findings.report(), results)


if __name__ == "__main__":
    typer.run(main)
