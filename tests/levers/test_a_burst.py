"""The rules and the levers together: one forecast burst, from the order to the release."""

from dataclasses import replace

from fleet.cluster.nodes import CapacityType
from policies.levers.objects import claim_address, node_address
from policies.situation import PoolState
from tests.levers.rounds import ACT, BUFFER, TEMPLATE, acted, carry_out, node_document, short, world
from tests.levers.toy_store import ToyStore
from tests.policies.pools import NOW, busy, coming, empty, forecast, plan_of, pool

POLICY = replace(ACT, rho=50.0)
FOUR = tuple(busy(f"busy-{i}", capacity_type=CapacityType.ON_DEMAND) for i in range(4))
RISING, FLAT = forecast((4.0, 5.0, 6.0)), forecast((4.0, 4.0, 4.0))


def test_one_node_is_ordered_held_and_released_and_nothing_is_left() -> None:
    before = pool(*FOUR, forecast=RISING)
    store = world(before)
    seen = [_round(store, before, 0)]

    store.documents[BUFFER]["status"] = {"conditions": [{"type": "Provisioning", "status": "True"}]}
    store.put(claim_address("spare"), {"metadata": {"uid": "uid-spare"}})
    seen.append(_round(store, pool(*FOUR, coming("spare"), forecast=RISING), 30))

    _boot(store, "spare")
    spare = empty("spare", minutes=-5)
    seen.append(_round(store, pool(*FOUR, spare, forecast=RISING), 300))
    seen.append(_round(store, pool(*FOUR, spare, forecast=RISING), 370))

    used = busy("spare")
    seen.append(_round(store, pool(*FOUR, used, forecast=RISING, demand_gpus=5.0), 400))

    idle = empty("spare", minutes=-9)
    seen.append(_round(store, pool(*FOUR, idle, forecast=FLAT), 600))
    seen.append(_round(store, pool(*FOUR, idle, forecast=FLAT), 630))
    gone = store.documents.pop(node_address("node-spare"))
    seen.append(_round(store, pool(*FOUR, forecast=FLAT), 1000))

    assert seen == [
        ["apply PodTemplate foresail/foresail-h100", "apply CapacityBuffer foresail/foresail-h100"],
        [],
        ["apply Node node-spare", "apply CapacityBuffer foresail/foresail-h100"],
        ["delete CapacityBuffer foresail/foresail-h100"],
        ["apply Node node-spare"],
        ["patch Node node-spare"],
        ["delete NodeClaim spare"],
        ["delete PodTemplate foresail/foresail-h100"],
    ]
    assert {BUFFER, TEMPLATE}.isdisjoint(store.documents)
    assert gone["metadata"]["annotations"] == {}


def _round(store: ToyStore, state: PoolState, later: float) -> list[str]:
    now = NOW + later
    assert state.forecast is not None
    state = replace(state, forecast=replace(state.forecast, made_at_seconds=now))
    wanted = plan_of(state, POLICY, now=now)
    changes = acted(state, wanted, store, policy=POLICY, now=now).changes
    carry_out(store, changes)
    return short(changes)


def _boot(store: ToyStore, name: str) -> None:
    """The machine of a NodeClaim becomes a Node."""
    store.documents[claim_address(name)]["status"] = {"nodeName": f"node-{name}"}
    store.put(node_address(f"node-{name}"), node_document())
