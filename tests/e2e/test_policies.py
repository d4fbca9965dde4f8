"""The CustomResourceDefinition of policies in a real API server, which refuses as files do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.policy.documents import policy_of
from policies.policy.shipped_policies import NAMES, shipped, shipped_text
from tests.e2e import kinds
from tests.e2e.bed import Bed
from tests.policies.capacity_policies import document
from tests.policies.test_policy_rules_in_cel import ACCEPTED, REFUSED

pytestmark = pytest.mark.looptime(False)  # processes live in real time

CRD = Path(__file__).parents[2] / "deploy" / "crds" / "capacitypolicies.yaml"


@pytest.fixture(scope="module")
def served(bed: Bed) -> Iterator[Bed]:
    made = kinds.definitions([CRD])
    bed.apply(*made)
    bed.wait_for_kinds()
    yield bed
    kinds.remove(bed, made)


def kept(bed: Bed, given: dict[str, Any]) -> dict[str, Any]:
    """The object as the API server keeps it, without keeping it."""
    made: dict[str, Any] = bed.create(given, dry=True)
    return made


def test_ready_made_policies_are_taken_and_read_back_the_same(served: Bed) -> None:
    for name in NAMES:
        given = yaml.safe_load(shipped_text(name))

        assert policy_of(kept(served, given)) == shipped(name)


def test_an_object_that_states_nothing_shows_its_mode(served: Bed) -> None:
    made = kept(served, document())

    assert made["spec"]["mode"] == "advise"
    assert made["spec"]["delayedMinuteWorth"] == {"gpuMinutes": 10}


def test_what_a_file_is_refused_for_the_api_server_refuses(served: Bed) -> None:
    for spec, message in REFUSED:
        with pytest.raises(RuntimeError, match=message):
            kept(served, document(**spec))
    for spec in ACCEPTED:
        kept(served, document(**spec))


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"mode": "advice"}, id="word"),
        pytest.param({"forecasttrust": 1}, id="key"),
        pytest.param({"holdLease": 900}, id="duration"),
        pytest.param({"warmFloors": [{"from": "8", "to": "9", "nodes": 1}]}, id="time"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(served: Bed, spec: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match=next(iter(spec))):
        kept(served, document(**spec))


def test_the_list_shows_mode_worth_and_ceilings(served: Bed) -> None:
    served.apply(yaml.safe_load(shipped_text("balanced")))
    try:
        head, row = served.kubectl("get", "capol").splitlines()
    finally:
        served.kubectl("delete", "capol", "balanced")

    assert head.split() == ["NAME", "MODE", "GPU-MINUTES", "USD-HOUR", "USD-MONTH", "AGE"]
    assert row.split()[:5] == ["balanced", "advise", "10", "112", "12000"]
