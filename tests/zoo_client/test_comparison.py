"""Metrics of two versions side by side."""

from typing import Any

from zoo_client.comparison import compare


def metric(name: str, value: float, direction: str = "higher", **more: Any) -> Any:
    fields: dict[str, Any] = dict.fromkeys(("dataset", "split", "artifact", "runtime", "device", "job"))
    return {
        **fields,
        "name": name,
        "value": value,
        "direction": direction,
        "unit": "",
        "source": "measured",
        "created_at": "1",
        **more,
    }


def verdicts(mine: list[Any], others: list[Any]) -> list[tuple[str, float | None, str]]:
    return [(row.metric["name"], row.difference, row.verdict) for row in compare(mine, others)]


def test_the_direction_decides_what_is_better() -> None:
    mine = [metric("latency_ms", 2, "lower"), metric("macs", 5, "none"), metric("top1", 90)]
    others = [metric("latency_ms", 4, "lower"), metric("macs", 4, "none"), metric("top1", 91)]
    assert verdicts(mine, others) == [("latency_ms", -2, "better"), ("macs", 1, "unknown"), ("top1", -1, "worse")]


def test_metrics_of_different_data_are_never_compared() -> None:
    assert verdicts([metric("top1", 90, dataset="a/x@1")], [metric("top1", 91, dataset="a/y@1")]) == [
        ("top1", None, "unknown")
    ]


def test_the_same_runtime_is_preferred_and_the_newest_counts() -> None:
    mine = [metric("top1", 1, created_at="1"), metric("top1", 90, created_at="2")]
    others = [
        metric("top1", 80, runtime="onnxruntime", created_at="9"),
        metric("top1", 85),
        metric("top1", 90, created_at="3"),
    ]
    assert verdicts(mine, others) == [("top1", 0, "same")]


def timed(value: float, fingerprint: str | None = "a", batch: int = 1) -> Any:
    details = {"fingerprint": fingerprint, "batch": batch, "threads": 2} if fingerprint else {"batch": batch}
    return metric("latency_ms", value, "lower", details=details)


def test_latencies_are_compared_within_one_hardware_batch_and_number_of_threads() -> None:
    others = [timed(4), timed(1, "b"), timed(40, batch=8), timed(2, None)]
    assert verdicts([timed(3)], others) == [("latency_ms", -1, "better")]
    assert verdicts([timed(50, batch=8), timed(3)], others) == [
        ("latency_ms", 10, "worse"),
        ("latency_ms", -1, "better"),
    ]
    assert verdicts([timed(3, "c")], others) == [("latency_ms", None, "unknown")]
    assert verdicts([timed(3, None)], others) == [("latency_ms", 1, "worse")]
