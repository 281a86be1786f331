"""Carries out the plan through the client: publish the data, make, evaluate, benchmark, approve, fetch, verify."""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from zoo_client import Client
from zoo_client.datasets import describe_dataset
from zoo_client.describing import collect_files
from zoo_client.publishing import Draft, publish
from zoo_client.pulling import verify_folder
from zoo_client.records import Job, JobEvent, Version
from zoo_demo.data import SampleData
from zoo_demo.plan import TEAM, Making
from zoo_demo.report import Row, row_of

BENCHMARK_SECONDS = 2.0
ALIAS = "production"


@dataclass
class Demo:
    """One run.  ``jobs`` and ``versions`` hold what was made, by the keys of the plan."""

    zoo: Client
    console: Console
    jobs: dict[str, Job] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def register(self, data: SampleData) -> None:
        """Publish the data set as a new version; bytes that the registry has already are not sent again."""
        files = collect_files(list(data.files))
        draft = Draft(
            files=files,
            dataset=describe_dataset(files, format_name=data.format, classes=list(data.classes)),
            seal=True,
            repository={"title": data.title, "licence": data.licence, "task": "image-classification"},
        )
        with self._step(f"register {data.name}") as say:
            version = publish(self.zoo, "datasets", f"{TEAM}/{data.name}", draft)
            self.versions["data"] = version["reference"]
            say(f"{version['reference']}, {version['size'] / 2**20:.1f} MiB")

    def make(self, plan: Sequence[Making]) -> None:
        """Run the jobs that make versions, each from the results of the former ones."""
        for making in plan:
            inputs = {port: self.versions[key] for port, key in making.inputs.items()}
            job = self._run(making.title, making.operation, inputs, making.params, {"model": making.output})
            self.jobs[making.key] = job
            self.versions[making.key] = job["result"] or ""

    def measure(self, plan: Sequence[Making]) -> None:
        """Evaluate every artifact in its own runtime, then benchmark one after the other on the quiet machine."""
        for making in plan:
            if making.evaluate:
                inputs = {"model": self.versions[making.key], "data": self.versions["data"]}
                self._run(f"evaluate {self.versions[making.key]}", making.evaluate, inputs)
        for making in plan:
            if making.benchmark:
                inputs = {"model": self.versions[making.key]}
                title = f"benchmark {self.versions[making.key]}"
                self._run(title, making.benchmark, inputs, {"seconds": BENCHMARK_SECONDS})

    def release(self, key: str) -> Version:
        """Approve the version and point ``@production`` to it."""
        reference = self.versions[key]
        with self._step(f"approve {reference}") as say:
            versions = self.zoo.models.versions
            version = versions.approve(reference, comment="The demo's evidence: evaluated and benchmarked here.")
            self.zoo.models.aliases.set(f"{version['team']}/{version['name']}", ALIAS, version["number"])
            say(f"{version['state']}, @{ALIAS} -> {reference}")
        return version

    def fetch(self, version: Version) -> bool:
        """Pull the released version into an empty folder by its alias and check every digest again from disk."""
        reference = f"{version['team']}/{version['name']}@{ALIAS}"
        with self._step(f"pull {reference}") as say, tempfile.TemporaryDirectory(prefix="zoo-demo-") as folder:
            target = Path(folder) / "pulled"
            self.zoo.pull(reference, target)
            manifest, faults = verify_folder(target)
            expected = {file["path"]: file["sha256"] for file in version["files"]}
            found = {file.path: file.sha256 for file in manifest.files}
            say(f"{len(found)} files, {len(faults)} faults")
        return not faults and found == expected

    def audit(self) -> bool:
        """Verify the audit log's hash chain."""
        with self._step("verify the audit chain") as say:
            answer = self.zoo.audit.verify()
            say(f"{answer['checked']} events, {'whole' if answer['ok'] else answer['first_broken']}")
        return answer["ok"]

    def rows(self, plan: Sequence[Making]) -> list[Row]:
        """What the registry now says about every version made."""
        show = self.zoo.models.versions.show
        return [
            row_of(show(self.versions[making.key]), self.zoo.jobs.show(self.jobs[making.key]["id"])) for making in plan
        ]

    def _run(
        self,
        title: str,
        operation: str,
        inputs: dict[str, str],
        params: Mapping[str, Any] | None = None,
        outputs: dict[str, str] | None = None,
    ) -> Job:
        with self._step(title) as say:
            job = self.zoo.jobs.submit(
                operation,
                inputs=inputs,
                params=dict(params or {}),
                outputs=outputs,
                team=TEAM,
                cache="off",  # a second demo shows the work again
            )
            job = self.zoo.jobs.wait(job["id"], on_event=say.hear)
            say(f"{operation} -> {job['result']}" if job["result"] else operation)
        return job

    @contextmanager
    def _step(self, title: str) -> "Iterator[StepLine]":
        line = StepLine(self.console, title)
        with line.live():
            yield line
        line.finish()


class StepLine:
    """One line of the demo: a live bar while it runs (on a terminal), then a tick with the result and the seconds."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._result = ""
        self._start = time.monotonic()
        self._progress = Progress(
            TextColumn("  {task.description:<34}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=None, note="")

    def __call__(self, result: str) -> None:
        """Say how it ended."""
        self._result = result

    def live(self) -> Progress:
        """The bar, as a context manager."""
        return self._progress

    def hear(self, event: JobEvent) -> None:
        """Follow a job's progress events."""
        if event["kind"] == "progress":
            body = event["body"]
            self._progress.update(self._task, completed=body["done"], total=body["total"], note=body.get("message", ""))

    def finish(self) -> None:
        """Replace the bar by the line that stays."""
        seconds = time.monotonic() - self._start
        self._console.print(f"[green]✔[/] {self._title:<34} [dim]{seconds:6.1f} s[/]  {self._result}", highlight=False)
