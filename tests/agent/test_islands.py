"""Islands: what NVLink joins, from links and peer access, and what stays unknown."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.cluster.report import Way
from tests.agent.machines import REFUSED, report, told

Json = Any


@pytest.mark.parametrize(
    ("machine", "islands"),
    [
        pytest.param("h100-8-nvswitch", (0,) * 8, id="nvswitch-is-one"),
        pytest.param("a100-4-pairs", (0, 0, 1, 1), id="bridges-are-pairs"),
        pytest.param("l40s-8-two-sockets", tuple(range(8)), id="no-nvlink-each-alone"),
        pytest.param("gb200-tray", (0, 0, 0, 0), id="rack-switch"),
        pytest.param("a100-2-mig", (0, 1), id="a-partitioned-gpu-is-alone"),
        pytest.param("t4-1", (0,), id="one-gpu"),
        pytest.param("h100-1-passthrough", (0,), id="one-gpu-with-hidden-links"),
        pytest.param("none", (), id="none"),
        pytest.param("no-driver", (), id="unknown"),
    ],
)
def test_islands_of_the_recorded_machines(machine: str, islands: tuple[int, ...]) -> None:
    assert report(told(machine)).islands == islands


def test_a_bridge_is_wider_than_one_link() -> None:
    pairs = {one.of: (one.nvlink, one.links) for one in report(told("a100-4-pairs")).pairs}

    assert pairs[0, 1] == (Way.DIRECT, 12)
    assert pairs[1, 2] == (Way.NONE, 0)


def test_the_widest_way_of_a_switched_pair_is_that_of_the_gpu_with_fewer_links() -> None:
    machine = told("h100-8-nvswitch")
    for link in machine["gpus"][3]["links"][:6]:
        link["state"] = 0

    pairs = {one.of: one.links for one in report(machine).pairs}

    assert (pairs[3, 4], pairs[0, 1]) == (12, 18)


class TestHidden:
    """In a virtual machine the links may be hidden: unknown, and not none."""

    def test_without_links_and_without_peer_access_nothing_is_known(self) -> None:
        machine = _without(told("h100-8-nvswitch"), links=True, peers=True)

        made = report(machine)

        assert made.islands == ()
        assert {one.island for one in made.gpus or ()} == {None}
        assert {(one.nvlink, one.links, one.peer) for one in made.pairs} == {(None, None, None)}
        assert {one.nv_links for one in made.gpus or ()} == {None}

    def test_peer_access_over_nvlink_joins_though_links_are_hidden(self) -> None:
        made = report(_without(told("a100-4-pairs"), links=True, peers=False))

        assert made.islands == (0, 0, 1, 1)
        assert made.pairs[0].nvlink is Way.HIDDEN
        assert made.pairs[0].links is None

    def test_links_join_where_peer_access_is_not_told(self) -> None:
        assert report(_without(told("a100-4-pairs"), links=False, peers=True)).islands == (
            0,
            0,
            1,
            1,
        )

    def test_an_unknown_pair_inside_an_island_does_no_harm(self) -> None:
        machine = told("h100-8-nvswitch")
        machine["pairs"] = [one for one in machine["pairs"] if one["of"] != [2, 5]]

        assert report(machine).islands == (0,) * 8


class TestFabric:
    def test_links_that_the_driver_does_not_use_join_nothing(self) -> None:
        machine = told("h100-8-nvswitch")
        for pair in machine["pairs"]:
            pair["p2p"]["nvlink"] = 4  # disabled by registry key

        assert report(machine).islands == tuple(range(8))

    @pytest.mark.parametrize(("state", "name"), [(1, "not-started"), (2, "in-progress")])
    def test_until_the_fabric_is_up_islands_are_unknown(self, state: int, name: str) -> None:
        machine = told("h100-8-nvswitch")
        for gpu in machine["gpus"]:
            gpu["fabric"]["state"] = state
        for pair in machine["pairs"]:
            pair["p2p"]["nvlink"] = 5

        made = report(machine)

        assert made.islands == ()
        assert {one.fabric.state for one in made.gpus or () if one.fabric} == {name}

    def test_a_fabric_that_nobody_reports_does_not_deny_nvlink(self) -> None:
        machine = told("h100-8-nvswitch")
        for gpu in machine["gpus"]:
            gpu["fabric"] = REFUSED

        assert report(machine).islands == (0,) * 8


def test_a_lost_gpu_leaves_the_others_their_island() -> None:
    machine = told("h100-8-nvswitch")
    machine["gpus"][2] = {"error": "GPU_IS_LOST"}
    machine["pairs"] = [one for one in machine["pairs"] if 2 not in one["of"]]

    made = report(machine)

    assert [one.island for one in made.gpus or ()] == [0, 0, None, 0, 0, 0, 0, 0]
    assert made.islands == (0, 0, 8, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("order", list(permutations(range(4)))[1::5])
def test_the_order_of_the_gpus_does_not_matter(order: tuple[int, ...]) -> None:
    machine = told("a100-4-pairs")
    pairs = {tuple(one["of"]): one for one in machine["pairs"]}
    machine["gpus"] = [machine["gpus"][old] for old in order]
    machine["pairs"] = [
        {**pairs[min(order[a], order[b]), max(order[a], order[b])], "of": [a, b]}
        for a in range(4)
        for b in range(a + 1, 4)
    ]

    found = report(machine).islands

    together = {(a, b) for a in range(4) for b in range(a + 1, 4) if found[a] == found[b]}
    assert {tuple(sorted((order[a], order[b]))) for a, b in together} == {(0, 1), (2, 3)}
    assert found[0] == 0  # numbered from the first


HIDEABLE = ("links", "pciBusId", "fabric")
LINK_PARTS = ("state", "remoteType", "remotePciBusId")


@st.composite
def partly_hidden(draw: st.DrawFn) -> tuple[str, Json]:
    """A machine whose witnesses agree, with some answers turned into refusals."""
    name = draw(st.sampled_from(["h100-8-nvswitch", "a100-4-pairs", "l40s-8-two-sockets"]))
    machine = told(name)
    for gpu in machine["gpus"]:
        for part in draw(st.sets(st.sampled_from(HIDEABLE))):
            gpu[part] = REFUSED
        hidden = draw(st.sets(st.sampled_from(LINK_PARTS)))
        first = draw(st.integers(0, 3))
        for link in gpu["links"][first:] if isinstance(gpu["links"], list) else []:
            link.update({part: REFUSED for part in hidden if part in link})
    silent = draw(st.sets(st.integers(0, len(machine["pairs"]) - 1)))
    for index in silent:
        machine["pairs"][index]["p2p"]["nvlink"] = draw(st.sampled_from([REFUSED, 6]))
    return name, machine


@settings(deadline=None, max_examples=50)
@given(partly_hidden())
def test_hiding_answers_makes_islands_unknown_and_never_wrong(hidden: tuple[str, Json]) -> None:
    name, machine = hidden

    assert report(machine).islands in {(), report(told(name)).islands}


def _without(machine: Json, *, links: bool, peers: bool) -> Json:
    for gpu in machine["gpus"]:
        if links:
            gpu["links"] = REFUSED
    for pair in machine["pairs"]:
        if peers:
            pair["p2p"] = {"read": REFUSED, "write": REFUSED, "nvlink": REFUSED}
    return machine
