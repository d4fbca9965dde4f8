"""A dry run prints every change as it would be sent."""

import yaml

from policies.levers.printed import as_yaml
from tests.levers.rounds import acted, held, order, plan, released, world
from tests.policies.pools import busy, empty, pool


def test_a_document_a_change_with_its_request_above_it() -> None:
    b = empty("b")
    state = pool(b, demand_gpus=0.0)
    changes = acted(state, plan(held(b)), world(state)).changes
    assert as_yaml(changes) == (
        "---\n"
        "# apply /api/v1/nodes/node-b\n"
        "# lever: hold\n"
        "# why: as the test has it\n"
        "# only if its UID is uid-node-b\n"
        "# field manager: foresail\n"
        "apiVersion: v1\n"
        "kind: Node\n"
        "metadata:\n"
        "  name: node-b\n"
        "  uid: uid-node-b\n"
        "  annotations:\n"
        "    karpenter.sh/do-not-disrupt: 'true'\n"
        "    foresail.io/kept-because: forecast hold\n"
        "    foresail.io/kept-until: '2027-01-15T08:15:00Z'\n"
    )


def test_it_can_be_read_back() -> None:
    a, b = busy("a"), empty("b")
    state = pool(a, b, demand_gpus=1.0)
    changes = acted(state, plan(released(b), orders=(order(1),)), world(state)).changes
    bodies = [one for one in yaml.safe_load_all(as_yaml(changes)) if one is not None]
    assert bodies == [
        list(one.body) if isinstance(one.body, tuple) else one.body for one in changes
    ]


def test_advice_and_deletes_say_what_they_are() -> None:
    b = empty("b")
    state = pool(b, demand_gpus=0.0)
    store = world(state)
    for one in acted(state, plan(released(b)), store).changes:
        store.take(one)
    advice = acted(state, plan(released(b), act=False), store, now=1_800_000_060.0).changes
    assert as_yaml(advice) == (
        "---\n"
        "# delete /apis/karpenter.sh/v1/nodeclaims/b\n"
        "# lever: release; mere advice, not carried out\n"
        "# why: as the test has it\n"
        "# only if its UID is uid-b\n"
        "# only if node node-b has no pod with GPUs\n"
    )
    assert as_yaml(()) == ""
