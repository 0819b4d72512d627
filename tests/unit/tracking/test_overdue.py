"""When a stream is stuck, on a clock of the test's own: limits, looks, and an hour of traffic."""

import random
from collections.abc import Iterator

import pytest

from litellm_cancel_otel._contract.records import Reason
from litellm_cancel_otel._tracking.overdue import Agenda, Due, Look, Patience, Seen, look

LIMITS = Patience(after_disconnect=5, no_chunk=60, first_chunk=600)
TICK = 1.0


class Thing(Due):
    pass


def found(seen: Seen, until: float, *, tick: float = TICK) -> tuple[float, Look] | None:
    """Look at a stream that never changes, whenever it is due; return what is found and when."""
    now, due, waited = 0.0, 0.0, None
    while now <= until:
        if now >= due:
            verdict = look(seen, LIMITS, waited, now)
            if verdict.reason is not None:
                return now, verdict
            due, waited = verdict.due, verdict.waited
            assert due > now
        now += tick
    return None


class TestSilence:
    @pytest.mark.parametrize("tick", [0.05, 1.0, 7.0])
    def test_after_the_last_chunk(self, tick: float) -> None:
        at, verdict = found(
            Seen(start=0, chunks=3, last_chunk=10.5, waiting=True), 200, tick=tick
        ) or (0.0, None)

        assert verdict is not None
        assert (verdict.reason, verdict.since) == (Reason.NO_CHUNK, 10.5)
        assert 70.5 <= at < 70.5 + tick + 1e-6

    def test_before_the_first_chunk_its_own_limit(self) -> None:
        at, verdict = found(Seen(start=0.5, waiting=True), 1000) or (0.0, None)

        assert verdict is not None
        assert (verdict.reason, verdict.since) == (Reason.NO_CHUNK, 0.5)
        assert 600.5 <= at <= 601.5

    @pytest.mark.parametrize("looked", [0.5, 30.0, 500.0])
    def test_after_a_first_chunk_that_came_after_a_look(self, looked: float) -> None:
        """That look waits for the long limit of a first chunk, and must not wait it out."""
        verdict = look(Seen(start=0, waiting=True), LIMITS, None, looked)
        came = Seen(start=0, chunks=1, last_chunk=looked + 0.1, waiting=True)
        while verdict.reason is None:
            now = verdict.due
            verdict = look(came, LIMITS, verdict.waited, now)

        assert verdict.since == looked + 0.1
        assert now < looked + 61

    def test_nobody_waits(self) -> None:
        assert found(Seen(start=0, chunks=3, last_chunk=1, waiting=False), 10_000) is None

    def test_somebody_has_only_just_begun_to_wait(self) -> None:
        slow = Seen(start=0, chunks=3, last_chunk=0, waiting=False)
        before = look(slow, LIMITS, None, 40)
        assert before.reason is None

        now_waiting = look(slow._replace(waiting=True), LIMITS, before.waited, 61)

        assert now_waiting.reason is None
        assert now_waiting.due == 61 + 10

    def test_waited_for_another_chunk(self) -> None:
        waited = look(Seen(0, chunks=3, last_chunk=0, waiting=True), LIMITS, None, 40).waited
        assert waited == 3

        verdict = look(Seen(0, chunks=4, last_chunk=15, waiting=True), LIMITS, waited, 61)

        assert verdict == Look(due=75, waited=4)

    def test_moves_again(self) -> None:
        stuck = Seen(start=0, chunks=3, last_chunk=0, waiting=True)
        assert look(stuck, LIMITS, 3, 60).reason is Reason.NO_CHUNK

        assert look(stuck._replace(chunks=4, last_chunk=65), LIMITS, 3, 66).reason is None


class TestDisconnect:
    def test_finally_has_not_run(self) -> None:
        seen = Seen(start=0, chunks=3, last_chunk=9, waiting=True, disconnect=10)
        seen = seen._replace(chunks_at_disconnect=3)

        assert look(seen, LIMITS, None, 14.9) == Look(due=15, waited=None)
        assert look(seen, LIMITS, None, 15) == Look(15, None, Reason.AFTER_DISCONNECT, 10)

    def test_draining_is_as_patient_as_any_stream(self) -> None:
        seen = Seen(start=0, chunks=9, last_chunk=20, waiting=True, disconnect=10)
        seen = seen._replace(chunks_at_disconnect=3)

        assert look(seen, LIMITS, None, 79).reason is None
        assert look(seen, LIMITS, None, 80) == Look(80, None, Reason.AFTER_DISCONNECT, 20)

    def test_held_after_a_last_chunk_is_not_draining(self) -> None:
        seen = Seen(start=0, chunks=4, last_chunk=11, waiting=False, disconnect=10)
        seen = seen._replace(chunks_at_disconnect=3)

        assert look(seen, LIMITS, None, 15.9).due == 16
        assert look(seen, LIMITS, None, 16).reason is Reason.AFTER_DISCONNECT


class TestOrphan:
    def test_driver_failed(self) -> None:
        seen = Seen(start=0, chunks=3, last_chunk=9, driver_done=10, driver_failed=True)

        assert look(seen, LIMITS, None, 14.9).due == 15
        assert look(seen, LIMITS, None, 15) == Look(15, None, Reason.ORPHANED, 10)

    def test_driver_returned_in_peace(self) -> None:
        seen = Seen(start=0, chunks=3, last_chunk=9, driver_done=10)

        assert look(seen, LIMITS, None, 69).reason is None
        assert look(seen, LIMITS, None, 70).reason is Reason.ORPHANED

    def test_comes_before_the_disconnect(self) -> None:
        seen = Seen(start=0, disconnect=9, driver_done=10, driver_failed=True)

        assert look(seen, LIMITS, None, 15).reason is Reason.ORPHANED


class TestAgenda:
    def test_due_ones_first_and_once(self) -> None:
        agenda: Agenda[Thing] = Agenda()
        late, early, never = Thing(), Thing(), Thing()
        agenda.put(late, 2)
        agenda.put(early, 1)
        agenda.put(never, 3)

        assert agenda.take(2) == [early, late]
        assert agenda.take(2) == []

    def test_any_number_at_one_moment(self) -> None:
        agenda: Agenda[Thing] = Agenda()
        things = {Thing() for _ in range(9)}
        for thing in things:
            agenda.put(thing, 1)

        assert set(agenda.take(1)) == things

    def test_put_off(self) -> None:
        agenda: Agenda[Thing] = Agenda()
        thing = Thing()
        agenda.put(thing, 1)
        agenda.put(thing, 5)

        assert agenda.take(4) == []
        assert agenda.take(5) == [thing]

    def test_keep(self) -> None:
        agenda: Agenda[Thing] = Agenda()
        things = [Thing() for _ in range(100)]
        for due, thing in enumerate(things):
            agenda.put(thing, due)
            agenda.put(thing, due + 1)

        agenda.keep(lambda thing: thing is things[7])

        assert len(agenda) == 1
        assert agenda.take(1_000) == [things[7]]


# An hour of traffic


Moments = Iterator[tuple[float, str]]
"""When what happens to a stream: ``ask``, ``chunk``, ``disconnect`` or ``end``."""


def fast(chance: random.Random, now: float) -> Moments:
    yield from _read(chance, now, chunks=200, first=(0.3, 3), gap=(0.005, 0.2), rest=(0, 0.01))


def slow(chance: random.Random, now: float) -> Moments:
    """The consumer takes its time over each chunk, for longer than a stream may be silent."""
    yield from _read(chance, now, chunks=8, first=(1, 50), gap=(0.5, 40), rest=(20, 300))


def reasoning(chance: random.Random, now: float) -> Moments:
    """Minutes of thought, then an answer with pauses."""
    yield from _read(chance, now, chunks=100, first=(120, 590), gap=(0.01, 55), rest=(0, 0.1))


def draining(chance: random.Random, now: float) -> Moments:
    """The client goes in the middle, and the answer is read to its end all the same."""
    moments = list(_read(chance, now, chunks=60, first=(0.5, 5), gap=(0.01, 55), rest=(0, 0.01)))
    gone = next(at for at, what in moments[40:] if what == "chunk") - 1e-3
    yield from sorted([*moments, (gone, "disconnect")], key=lambda moment: moment[0])


def _read(
    chance: random.Random,
    now: float,
    *,
    chunks: int,
    first: tuple[float, float],
    gap: tuple[float, float],
    rest: tuple[float, float],
) -> Moments:
    arrives = now + chance.uniform(*first)
    for _ in range(chunks):
        yield now, "ask"
        now = max(now, arrives)
        yield now, "chunk"
        arrives += chance.uniform(*gap)
        now += chance.uniform(*rest)
    yield now, "ask"
    yield max(now, arrives), "end"


class Stream(Due):
    """One stream of the simulation, and what a look at it sees."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.seen = Seen(start)
        self.waited: int | None = None
        self.ended = False

    def happens(self, what: str, now: float) -> None:
        seen = self.seen
        match what:
            case "ask":
                self.seen = seen._replace(waiting=True)
            case "chunk":
                self.seen = seen._replace(waiting=False, chunks=seen.chunks + 1, last_chunk=now)
            case "disconnect":
                self.seen = seen._replace(disconnect=now, chunks_at_disconnect=seen.chunks)
            case "end":
                self.ended = True


@pytest.mark.parametrize("seed", range(3))
def test_an_hour_of_traffic_raises_no_false_alarm(seed: int) -> None:
    chance = random.Random(seed)
    kinds = (fast, fast, fast, slow, reasoning, draining)
    happenings: list[tuple[float, int, str, Stream]] = []
    for number in range(600):
        start = chance.uniform(0, 3_600)
        stream = Stream(start)
        for at, what in kinds[number % len(kinds)](chance, start):
            happenings.append((at, len(happenings), what, stream))
    happenings.sort(key=lambda one: one[:2])

    agenda: Agenda[Stream] = Agenda()
    alarms: list[Look] = []
    looks, now, known = 0, 0.0, set[Stream]()

    def look_at(stream: Stream) -> None:
        verdict = look(stream.seen, LIMITS, stream.waited, now)
        stream.waited = verdict.waited
        agenda.put(stream, verdict.due)
        if verdict.reason is not None:
            alarms.append(verdict)

    position = 0
    while position < len(happenings):
        now += TICK
        while position < len(happenings) and happenings[position][0] <= now:
            at, _, what, stream = happenings[position]
            position += 1
            stream.happens(what, at)
            if stream not in known or what == "disconnect":
                known.add(stream)
                look_at(stream)
        for stream in agenda.take(now):
            if not stream.ended:
                looks += 1
                look_at(stream)

    assert alarms == []
    assert looks > 1_000


def test_the_same_hour_with_one_that_hangs_raises_one() -> None:
    chance = random.Random(0)
    hanging = [moment for moment in fast(chance, 100.0) if moment[1] != "end"][:51]
    stream = Stream(100.0)
    for at, what in hanging:
        stream.happens(what, at)
    last = hanging[-1][0]
    assert hanging[-1][1] == "ask"

    at, verdict = found(stream.seen, 1_000) or (0.0, None)

    assert verdict is not None
    assert verdict.reason is Reason.NO_CHUNK
    assert last + 59 < at < last + 62
