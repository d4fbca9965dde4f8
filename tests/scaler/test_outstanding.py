"""What is outstanding of an allowance, by hand-worked numbers."""

from scaler.outstanding import Outstanding


def test_what_is_counted_comes_back_at_its_pace() -> None:
    used = Outstanding[str](a_second=0.5)
    used.add("a", 3, now_seconds=10)
    used.add("a", 2, now_seconds=12)  # of the 3, 1 has come back
    assert used.of("a", now_seconds=14) == 3
    assert used.of("a", now_seconds=100) == 0
    assert used.of("b", now_seconds=14) == 0


def test_no_more_than_the_most_is_outstanding() -> None:
    used = Outstanding[str](a_second=1)
    used.add("a", 1e9, now_seconds=0, most=5)
    assert used.of("a", now_seconds=2) == 3


def test_keys_of_which_nothing_is_outstanding_are_forgotten() -> None:
    used = Outstanding[str](a_second=1)
    used.add("soon", 1, now_seconds=0)
    used.add("late", 10, now_seconds=0)
    used.forget_settled(now_seconds=1)
    assert "soon" not in used
    assert "late" in used
    assert len(used) == 1
