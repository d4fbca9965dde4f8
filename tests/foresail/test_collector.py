"""The garbage collector beside the answers."""

import gc
from collections.abc import Iterator

import pytest

from foresail.ports.process import spare_collector


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_a_pass_waits_for_no_more_than_a_thousand_new_objects_and_visits_no_old_ones() -> None:
    old: list[object] = [[] for _ in range(50_000)]
    spare_collector()
    passes = gc.get_stats()[0]["collections"]

    new: list[object] = [[] for _ in range(5_050)]

    assert gc.get_stats()[0]["collections"] - passes == 5
    assert gc.get_freeze_count() > len(old)
    assert len(gc.get_objects()) < len(new) + 1_000
