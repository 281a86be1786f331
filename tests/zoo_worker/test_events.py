"""The event sender: numbered, in batches, bounded, patient."""

import time
from collections.abc import Iterator

import pytest

from zoo_sdk.errors import InvalidInput, LeaseLost, Unavailable, ZooError
from zoo_sdk.messages import Event, EventBatch, LogEvent, MetricEvent
from zoo_worker.events import EventSender


class Sink:
    """Takes batches, or raises what ``faults`` holds first."""

    def __init__(self) -> None:
        self.batches: list[EventBatch] = []
        self.faults: list[ZooError] = []

    def take(self, batch: EventBatch) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.batches.append(batch)

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch.events]

    @property
    def messages(self) -> list[str]:
        return [event.body.message for event in self.events if isinstance(event.body, LogEvent)]


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def sender(sink: Sink) -> Iterator[EventSender]:
    sender = EventSender(sink.take)
    yield sender
    sender.close()


def test_events_are_numbered_from_one_and_sent_within_a_second_in_few_batches(sink: Sink, sender: EventSender) -> None:
    sender.start()
    for number in range(50):
        sender.add(MetricEvent(name="loss", value=number))
    time.sleep(1)
    assert [event.number for event in sink.events] == list(range(1, 51))
    assert len(sink.batches) <= 2


def test_a_flush_does_not_wait_for_the_batch_to_fill(sink: Sink, sender: EventSender) -> None:
    sender.start()
    sender.add(LogEvent(message="last words"))
    started = time.monotonic()
    assert sender.flush(5)
    assert time.monotonic() - started < 0.4
    assert sink.messages == ["last words"]


def test_events_wait_in_order_while_the_registry_is_away(sink: Sink, sender: EventSender) -> None:
    sink.faults = [Unavailable("away"), Unavailable("away")]
    sender.start()
    for number in range(3):
        sender.add(LogEvent(message=str(number)))
    assert sender.flush(10)
    assert sink.messages == ["0", "1", "2"]


def test_a_full_buffer_drops_the_oldest_and_says_how_many(
    sink: Sink, sender: EventSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo_worker.events.BUFFER_EVENTS", 10)
    for number in range(25):
        sender.add(LogEvent(message=str(number)))
    sender.start()
    assert sender.flush(5)
    assert sink.messages[0] == "(16 events left out: the buffer was full)"
    assert sink.messages[1:] == [str(number) for number in range(16, 25)]


def test_the_buffer_is_bounded_in_characters_too(
    sink: Sink, sender: EventSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo_worker.events.BUFFER_CHARACTERS", 20_000)
    for _ in range(25):
        sender.add(LogEvent(message="x" * 8000))
    sender.start()
    assert sender.flush(5)
    assert len(sink.events) <= 3


def test_a_batch_that_the_registry_refuses_does_not_stop_the_next(sink: Sink, sender: EventSender) -> None:
    sink.faults = [InvalidInput("no")]
    sender.start()
    sender.add(LogEvent(message="refused"))
    assert sender.flush(5)
    sender.add(LogEvent(message="taken"))
    assert sender.flush(5)
    assert sink.messages == ["taken"]


def test_nothing_more_is_sent_once_the_lease_is_lost(sink: Sink, sender: EventSender) -> None:
    sink.faults = [LeaseLost("gone")]
    sender.start()
    sender.add(LogEvent(message="late"))
    assert sender.flush(5)
    sender.add(LogEvent(message="later"))
    assert sender.flush(5)
    assert sink.batches == []
