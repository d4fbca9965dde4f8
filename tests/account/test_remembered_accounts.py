"""Accounts that are used again in the next reading are those that would be made anew."""

from random import Random
from typing import Any

import pytest

from fleet.account.node import NodeGpus, account_of
from fleet.account.remembered_accounts import RememberedAccounts
from fleet.annotations import KEPT_BECAUSE, KEPT_UNTIL
from fleet.catalogue import shipped
from fleet.cluster.kinds import Kind, Record, record_of
from fleet.cluster.reading import Cluster
from fleet.snapshot import Known, snapshot_of
from fleet.uses import Held
from tests.fleet.objects import H100, NOW_SECONDS, claim, device, node, node_claim, pod
from tests.fleet.objects import resource_slice as slices

KNOWN = Known(catalogue=shipped())
COUNTED = {**H100, "karpenter.k8s.aws/instance-gpu-count": "8"}
HELD = {KEPT_BECAUSE: "forecast hold", KEPT_UNTIL: "2027-01-15T08:05:00Z"}
"""For five minutes from `NOW_SECONDS` on."""
CHANGES = {
    "a pod comes": (Kind.POD, "a", pod("a", gpus=2)),
    "it asks for more": (Kind.POD, "a", pod("a", gpus=3)),
    "it goes": (Kind.POD, "a", None),
    "another comes": (Kind.POD, "b", pod("b", gpus=4, labels={"model": "llama"})),
    "it is on another node": (Kind.POD, "b", pod("b", "n2", gpus=4)),
    "a pod with a claim": (Kind.POD, "c", pod("c", "n3", claims=("c",))),
    "that goes": (Kind.POD, "c", None),
    "the node is not ready": (Kind.NODE, "n1", node("n1", gpus=8, labels=H100, ready=False)),
    "the node is ready": (Kind.NODE, "n1", node("n1", gpus=8, labels=H100)),
    "it is held": (Kind.NODE, "n1", node("n1", gpus=8, labels=H100, annotations=HELD)),
    "a node comes": (Kind.NODE, "n2", node("n2", gpus=8, labels=H100)),
    "no driver offers its GPUs": (Kind.NODE, "n2", node("n2", labels=COUNTED)),
    "the node goes": (Kind.NODE, "n2", None),
    "a node of DRA": (Kind.NODE, "n3", node("n3", labels=H100)),
    "its driver tells": (Kind.SLICE, "n3", slices(device("g0"), device("g1"), on="n3")),
    "a claim is allocated": (Kind.CLAIM, "c", claim("c", "g0", pods=("c",), on="n3")),
    "its driver is gone": (Kind.SLICE, "n3", None),
    "a NodeClaim is told": (Kind.NODE_CLAIM, "m", node_claim("m", "Launched", on="n1")),
    "it is initialized": (
        Kind.NODE_CLAIM,
        "m",
        node_claim("m", "Launched", "Registered", "Initialized", on="n1"),
    ),
}
UNREAD = (Kind.POD, Kind.CLAIM, Kind.SLICE, Kind.TAINT_RULE)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_changes_remembered_accounts_are_those_that_would_be_made_anew(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - made changes
    remembered, records, now = RememberedAccounts(), dict[Kind, dict[str, Record]](), NOW_SECONDS
    unread = set[Kind]()
    for _ in range(600):
        kind, name, document = CHANGES[random.choice(sorted(CHANGES))]
        unread ^= set(random.sample(UNREAD, random.randrange(2)))
        of_kind = records.setdefault(kind, {})
        if document is None:
            of_kind.pop(name, None)
        else:
            of_kind[name] = record_of(kind, document)
        now = NOW_SECONDS + random.uniform(0, 600)
        known = {one: tuple(found.values()) for one, found in records.items()}
        cluster = Cluster.of("c", known | dict.fromkeys(unread))

        found = snapshot_of(cluster, KNOWN, None, now, remembered)

        assert found == snapshot_of(cluster, KNOWN, None, now)


def test_only_the_accounts_of_what_changed_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(held: Held, *others: Any) -> NodeGpus | None:
        made.append(held.node.name)
        return account_of(held, *others)

    monkeypatch.setattr("fleet.snapshot.account_of", counted)
    nodes = [record_of(Kind.NODE, node(name, gpus=8, labels=H100)) for name in ("n1", "n2", "n3")]
    pods = [record_of(Kind.POD, pod("a", "n1", gpus=2)), record_of(Kind.POD, pod("b", "n2"))]
    remembered = RememberedAccounts()
    for more in ([], [], [record_of(Kind.POD, pod("c", "n2", gpus=1))]):
        records = {Kind.NODE: tuple(nodes), Kind.POD: (*pods, *more)}
        snapshot_of(Cluster.of("c", records), KNOWN, None, NOW_SECONDS, remembered)

    assert made == ["n1", "n2", "n3", "n2"]
