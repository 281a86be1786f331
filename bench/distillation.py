"""Is a distilled student better than the same student trained alone?

``torch.distill`` against ``torch.train``: same architecture, first weights (same seed), order of the pictures, epochs,
optimiser and augmentation; the only difference is the loss.  One teacher, trained once with the same budget.  The first
student is the demo's, with the demo's temperature and weight; other students and other settings are listed beside it,
also those that do worse.  The claim holds where the difference of the means exceeds the larger standard deviation.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.figures import Figure, Goal, Sample, number_text
from bench.machine import usable_threads
from bench.operations import Outcome, dataset_item, perform
from bench.reporting import RESULTS, SAMPLES, Findings, say, write_report
from zoo_demo.data import sample_data
from zoo_demo.plan import makings
from zoo_sdk.context import InputItem

ALONE = "alone"
OTHER_STUDENTS = ("zoo:conv_tiny",)
VARIANTS = ((2.0, 0.9), (4.0, 0.9), (2.0, 0.5))
"""Temperature and weight, tried on one student beside the demo's own setting."""
TRIED_ON = "zoo:conv_tiny"
"""It trains fastest, and the smaller the student, the more a teacher could help it."""
TEACHER_SEED = 1000
FIRST_SEED = 100
"""The students' seeds begin far from 0, where settings are usually tried out."""


@dataclass(frozen=True)
class Budget:
    """The training that all share, and the demo's way to distil."""

    training: Mapping[str, Any]
    teacher: str
    student: str
    temperature: float
    kd_weight: float

    @property
    def setting(self) -> tuple[float, float]:
        return self.temperature, self.kd_weight


def demo_budget(*, small: bool) -> Budget:
    """The networks and the training of ``make demo``."""
    plan = {making.key: making for making in makings(small=small)}
    training = {key: value for key, value in plan["student"].params.items() if key != "architecture"}
    distilling = plan["distilled"].params
    return Budget(
        training=training,
        teacher=plan["teacher"].params["architecture"],
        student=plan["student"].params["architecture"],
        temperature=distilling["temperature"],
        kd_weight=distilling["kd_weight"],
    )


@dataclass(frozen=True)
class Arm:
    """One way to make a student; ``setting`` is (temperature, weight), None: alone."""

    student: str
    setting: tuple[float, float] | None

    @property
    def label(self) -> str:
        return ALONE if self.setting is None else f"distilled, T = {self.setting[0]:g}, w = {self.setting[1]:g}"


def arms_of(budget: Budget, others: Sequence[str], variants: Sequence[tuple[float, float]]) -> list[Arm]:
    """For each student alone and as the demo distils; for :data:`TRIED_ON` the variants too."""
    arms = []
    for student in dict.fromkeys((budget.student, *others)):
        settings = dict.fromkeys((None, budget.setting, *(variants if student == TRIED_ON else ())))
        arms += [Arm(student, setting) for setting in settings]
    return arms


@dataclass
class School:
    """Trains on one data set below one folder."""

    data: InputItem
    budget: Budget
    folder: Path
    threads: int

    def teacher(self) -> Outcome:
        """The teacher, once."""
        return self._run("torch.train", {"architecture": self.budget.teacher}, {}, "teacher", TEACHER_SEED)

    def alone(self, student: str, seed: int) -> Outcome:
        """A student trained alone."""
        return self._run("torch.train", {"architecture": student}, {}, f"{student[4:]}-alone-{seed}", seed)

    def distilled(self, setting: tuple[float, float], base: InputItem, teacher: InputItem, seed: int) -> Outcome:
        """A student with the architecture of ``base`` (which gives nothing else), taught by ``teacher``."""
        temperature, weight = setting
        name = f"{base.reference.partition('/')[2].partition('@')[0]}-{temperature:g}-{weight:g}"
        params = {"temperature": temperature, "kd_weight": weight, "initialise": "scratch"}
        return self._run("torch.distill", params, {"student": base, "teacher": teacher}, name, seed)

    def _run(
        self, operation: str, params: Mapping[str, Any], inputs: Mapping[str, InputItem], name: str, seed: int
    ) -> Outcome:
        return perform(
            operation,
            {**self.budget.training, **params},
            {**inputs, "data": self.data},
            folder=self.folder / name,
            seed=seed,
            threads=self.threads,
        )


def top1_by_arm(
    school: School, teacher: InputItem, arms: Sequence[Arm], seeds: Sequence[int]
) -> dict[Arm, list[float]]:
    """Test accuracy in percent: for each seed all arms, one after the other."""
    found: dict[Arm, list[float]] = {arm: [] for arm in arms}
    for seed in seeds:
        for arm, outcome in _one_seed(school, teacher, arms, seed):
            found[arm].append(outcome.measured["top1"])
            say(f"seed {seed}  {arm.student} {arm.label}: {outcome.measured['top1']:.2f} %, {outcome.seconds:.0f} s")
    return found


def _one_seed(school: School, teacher: InputItem, arms: Sequence[Arm], seed: int) -> Iterator[tuple[Arm, Outcome]]:
    bases: dict[str, InputItem] = {}
    for arm in arms:
        if arm.setting is None:
            outcome = school.alone(arm.student, seed)
            assert outcome.made is not None
            bases[arm.student] = outcome.made
        else:
            outcome = school.distilled(arm.setting, bases[arm.student], teacher, seed)
        yield arm, outcome


@dataclass(frozen=True)
class Comparison:
    """A way to distil against training alone."""

    alone: Sample
    distilled: Sample

    @property
    def difference(self) -> float:
        """Of the means, in points."""
        return self.distilled.mean - self.alone.mean

    @property
    def spread(self) -> float:
        """The larger of the two standard deviations."""
        return max(self.alone.deviation, self.distilled.deviation)

    @property
    def exceeds(self) -> bool:
        return self.difference > self.spread

    @property
    def wins(self) -> int:
        """Seeds whose distilled student is better."""
        return sum(b > a for a, b in zip(self.alone.values, self.distilled.values, strict=True))


def comparisons_of(top1: Mapping[Arm, Sequence[float]]) -> dict[Arm, Comparison]:
    """Each distilled arm against its student alone."""
    alone = {arm.student: Sample(values=tuple(values)) for arm, values in top1.items() if arm.setting is None}
    return {
        arm: Comparison(alone[arm.student], Sample(values=tuple(values)))
        for arm, values in top1.items()
        if arm.setting is not None
    }


def _rows(top1: Mapping[Arm, Sequence[float]], parameters: Mapping[str, float]) -> Iterator[list[str]]:
    comparisons = comparisons_of(top1)
    for arm, values in top1.items():
        sample = Sample(values=tuple(values))
        row = [arm.student, f"{parameters[arm.student]:,.0f}", arm.label, *(f"{value:.2f}" for value in values)]
        row += [f"{sample.mean:.3f}", f"{sample.deviation:.3f}"]
        if arm in comparisons:
            found = comparisons[arm]
            row += [f"{found.difference:+.3f}", f"{found.wins} of {len(values)}", "yes" if found.exceeds else "no"]
        else:
            row += ["", "", ""]
        yield row


def measure(
    data: InputItem,
    budget: Budget,
    *,
    seeds: Sequence[int],
    others: Sequence[str] = OTHER_STUDENTS,
    variants: Sequence[tuple[float, float]] = VARIANTS,
    threads: int,
) -> Findings:
    """Train everything and compare."""
    arms = arms_of(budget, others, variants)
    options = {"data": data.reference, "seeds": list(seeds), "threads": threads, "teacher_seed": TEACHER_SEED}
    findings = Findings(
        "distillation",
        __doc__ or "",
        {**options, **budget.training},
        ("torch", "numpy", "zoo-torch", "zoo-sdk"),
        load_matters=False,
    )
    with tempfile.TemporaryDirectory(prefix="zoo-bench-") as folder:
        school = School(data, budget, Path(folder), threads)
        say(f"training the teacher {budget.teacher}, then {len(arms)} ways x {len(seeds)} seeds")
        teacher = school.teacher()
        assert teacher.made is not None
        say(f"teacher {budget.teacher}: {teacher.measured['top1']:.2f} %, {teacher.seconds:.0f} s")
        top1 = top1_by_arm(school, teacher.made, arms, seeds)
        parameters = {arm.student: _parameters(school.folder, arm.student) for arm in arms}
    findings.figures += [Figure(name=f"teacher {budget.teacher}, top-1", value=teacher.measured["top1"], unit="%")]
    findings.figures += _figures(top1, budget)
    columns = ("student", "parameters", "how", *(f"seed {seed}" for seed in seeds))
    columns += ("mean", "standard deviation", "difference", "better in", "exceeds the spread")
    findings.table("Top-1 in % of every seed", columns, _rows(top1, parameters))
    findings.notes += _notes(top1, budget)
    findings.raw = {
        "teacher": dict(teacher.measured),
        "top1": [{"student": arm.student, "how": arm.label, "values": values} for arm, values in top1.items()],
    }
    return findings


def _parameters(folder: Path, student: str) -> float:
    """Read from a made file: what the table says about the network is what was trained."""
    from safetensors import safe_open

    path = next(folder.glob(f"{student[4:]}-alone-*/outputs/model/*.safetensors"))
    with safe_open(path, framework="np") as file:
        names = [name for name in file.keys() if "running_" not in name and "num_batches" not in name]  # noqa: SIM118
        sizes = [file.get_tensor(name).size for name in names]
    return float(sum(sizes))


def _figures(top1: Mapping[Arm, Sequence[float]], budget: Budget) -> Iterator[Figure]:
    for arm, found in comparisons_of(top1).items():
        if arm.setting != budget.setting:
            continue
        for how, sample in ((ALONE, found.alone), ("distilled", found.distilled)):
            yield Figure(
                name=f"{arm.student} {how}, mean top-1",
                value=sample.mean,
                unit="%",
                low=min(sample.values),
                high=max(sample.values),
            )
        goal = Goal(relation="above", bound=found.spread) if arm.student == budget.student else None
        yield Figure(
            name=f"{arm.student}: distilled above alone (goal: the spread)",
            value=found.difference,
            unit="points",
            goal=goal,
        )


def _notes(top1: Mapping[Arm, Sequence[float]], budget: Budget) -> Iterator[str]:
    comparisons = comparisons_of(top1)
    chosen = comparisons[Arm(budget.student, budget.setting)]
    verb = "exceeds" if chosen.exceeds else "does not exceed"
    yield (
        f"The demo's student {budget.student}, T = {budget.temperature:g}, w = {budget.kd_weight:g}: the difference "
        f"{chosen.difference:+.3f} {verb} the spread {number_text(chosen.spread)}."
    )
    better = sum(item.exceeds for item in comparisons.values())
    yield (
        f"{better} of the {len(comparisons)} ways to distil that were tried exceed the spread; with so many, some can "
        "by chance, so the demo's own setting, fixed before this run, is the one to judge by."
    )


def main(
    *,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many seeds of the students.")] = 5,
    epochs: Annotated[int, typer.Option(min=0, help="Epochs; 0: the demo's.")] = 0,
    limit_samples: Annotated[int, typer.Option(min=0, help="Train on so many pictures; 0: on all.")] = 0,
    few: Annotated[bool, typer.Option("--few", help="The demo's student and setting only.")] = False,
    samples: Annotated[Path, typer.Option(help="Where the data set is kept.")] = SAMPLES,
    results: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """Distilled students against the same students alone."""
    data = sample_data(samples.absolute())
    budget = demo_budget(small=bool(data.note))
    training = dict(budget.training)
    if epochs:
        training["epochs"] = epochs
    if limit_samples:
        training |= {"limit_samples": limit_samples, "limit_test_samples": limit_samples}
    budget = Budget(training, budget.teacher, budget.student, budget.temperature, budget.kd_weight)
    findings = measure(
        dataset_item(data),
        budget,
        seeds=range(FIRST_SEED, FIRST_SEED + seeds),
        others=() if few else OTHER_STUDENTS,
        variants=() if few else VARIANTS,
        threads=usable_threads(),
    )
    if data.note:
        findings.notes.append(data.note)
    write_report(findings.report(), results)


if __name__ == "__main__":
    typer.run(main)
