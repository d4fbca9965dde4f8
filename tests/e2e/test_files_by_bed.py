"""A worker stays at its bed, then starts one that nobody has, then helps at any."""

import pytest

from tests.e2e.files_by_bed import longest_first, next_file

WAITING = ["e2e/chart/a.py", "e2e/b.py", "e2e/nodes/c.py", "e2e/nodes/d.py"]


@pytest.mark.parametrize(
    ("own", "begun", "chosen"),
    [
        pytest.param(None, set(), "e2e/chart/a.py", id="first of all"),
        pytest.param(None, {"e2e/chart"}, "e2e/b.py", id="no bed twice"),
        pytest.param("e2e/nodes", {"e2e/nodes"}, "e2e/nodes/c.py", id="its own bed"),
        pytest.param(
            "e2e/gangs", {"e2e/gangs", "e2e", "e2e/chart"}, "e2e/nodes/c.py", id="its own is over"
        ),
        pytest.param(
            "e2e/gangs",
            {"e2e/gangs", "e2e", "e2e/chart", "e2e/nodes"},
            "e2e/chart/a.py",
            id="helps",
        ),
    ],
)
def test_the_next_file_of_a_worker(own: str | None, begun: set[str], chosen: str) -> None:
    assert next_file(WAITING, own, begun) == chosen


def test_a_few_long_tests_begin_before_many_short_ones() -> None:
    waiting = {"tests/e2e/test_manifests.py": 60, "tests/e2e/test_bed.py": 3, "new.py": 20}
    assert longest_first(waiting) == [
        "tests/e2e/test_bed.py",
        "new.py",
        "tests/e2e/test_manifests.py",
    ]
