"""Threads that read pages: one of each namespace, in turn."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from scaler.errors import SourceUnavailableError
from scaler.signals import Observation
from scaler.sources.look_threads import LookThreads

SEEN = Observation(at_seconds=0, readings={})


@pytest.fixture
def threads() -> Iterator[LookThreads]:
    made = LookThreads(2)
    yield made
    made.close()


class Held:
    """Work that goes on until it is released."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.released = threading.Event()

    def __call__(self) -> Observation:
        self.begun.set()
        assert self.released.wait(60)
        return SEEN


def test_a_namespace_whose_work_does_not_end_leaves_threads_to_others(
    threads: LookThreads,
) -> None:
    slow = [Held() for _ in range(3)]
    waiting = [threads.submit("hostile", one) for one in slow]
    assert slow[0].begun.wait(60)

    assert threads.submit("honest", lambda: SEEN).result(60) is SEEN

    assert not slow[1].begun.is_set()
    for one in slow:
        one.released.set()
    assert [one.result(60) for one in waiting] == [SEEN] * 3


def test_namespaces_that_wait_get_a_thread_in_turn() -> None:
    threads = LookThreads(1)
    first = Held()
    done: list[str] = []

    def noted(name: str) -> Callable[[], Observation]:
        def make() -> Observation:
            done.append(name)
            return SEEN

        return make

    made: list[Future[Observation]] = [threads.submit("a", first)]
    assert first.begun.wait(60)
    made += [threads.submit(name, noted(name)) for name in ("b", "b", "b", "a", "c")]
    first.released.set()
    for one in made:
        one.result(60)
    threads.close()

    assert done == ["b", "a", "c", "b", "b"]


def test_an_error_is_of_its_work_alone(threads: LookThreads) -> None:
    def fails() -> Observation:
        raise SourceUnavailableError("no page")

    failed = threads.submit("a", fails)

    assert isinstance(failed.exception(60), SourceUnavailableError)
    assert threads.submit("a", lambda: SEEN).result(60) is SEEN


def test_what_waits_is_cancelled_when_the_source_closes(threads: LookThreads) -> None:
    slow = Held()
    begun = threads.submit("a", slow)
    assert slow.begun.wait(60)
    waits = threads.submit("a", lambda: SEEN)

    threads.close()
    slow.released.set()

    assert waits.cancelled()
    assert begun.result(60) is SEEN
    with pytest.raises(SourceUnavailableError, match="closed"):
        threads.submit("b", lambda: SEEN)


def test_an_error_keeps_nothing_of_what_was_read(threads: LookThreads) -> None:
    class Pages:
        pass

    read: list[weakref.ref[Pages]] = []

    def fails() -> Observation:
        pages = Pages()
        read.append(weakref.ref(pages))
        try:
            int(str(pages))
        except ValueError as error:
            raise SourceUnavailableError(f"{pages} are too many") from error

    failed = threads.submit("a", fails)

    assert isinstance(failed.exception(60), SourceUnavailableError)
    gc.collect()
    assert read[0]() is None
