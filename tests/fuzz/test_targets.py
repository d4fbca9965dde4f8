"""Each target takes its seeds, and inputs made from them; `make fuzz` makes millions of them."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.engines import inputs
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_parser_of_foreign_bytes_raises_only_what_its_callers_expect(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds:
        target.run(seed)

    @settings(
        max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(inputs(target.seeds, target.words))
    def every(data: bytes) -> None:
        target.run(data)

    every()
