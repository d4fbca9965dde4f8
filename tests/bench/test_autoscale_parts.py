"""`bench autoscale --parts`: each part removed is a trigger that the shipped rule takes."""

import pytest

from bench._autoscale_parts import PARTS
from replay.policies.variants import variant


@pytest.mark.parametrize("name", PARTS.values())
def test_each_part_removed_is_a_variant_of_the_shipped_rule(name: str) -> None:
    assert variant(name).name == name


def test_what_is_learned_is_removed_by_what_is_given_alone() -> None:
    assert PARTS["learned capacity"] == "foresail+capacity=fixed"
    assert PARTS["learned lead time"] == "foresail+lead=fixed"
