"""Large answers of namespaces are read in turn."""

import threading

from scaler.sources.turns import Turns


def test_a_namespace_of_many_waits_for_those_that_had_no_turn() -> None:
    turns, order = Turns(), []
    ready = threading.Semaphore(0)

    def read(namespace: str) -> None:
        ready.release()
        assert turns.take(namespace, seconds_max=30)
        order.append(namespace)
        turns.give_back()

    assert turns.take("many", seconds_max=30)
    threads = [threading.Thread(target=read, args=[one]) for one in (*["many"] * 3, "few")]
    for one in threads:
        one.start()
        ready.acquire()
    while turns.waiting() < len(threads):
        pass
    turns.give_back()
    for one in threads:
        one.join()

    assert order == ["few", "many", "many", "many"]


def test_one_that_gets_no_turn_in_time_keeps_none_from_the_others() -> None:
    turns = Turns()
    assert turns.take("a", seconds_max=0)
    assert not turns.take("b", seconds_max=0)
    assert turns.is_held()

    turns.give_back()
    assert turns.take("a", seconds_max=0)
