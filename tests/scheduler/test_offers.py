"""Which devices a claim would get on each node: against the search itself, and by hand."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.cluster import claims as records
from fleet.cluster.devices import slice_of
from fleet.cluster.nodes import node_of
from scheduler.devices import allocatable
from scheduler.first_fit import Device, SearchTooLongError, Steps, first_fit
from scheduler.machines import Machine, machine_of
from scheduler.offers import STEPS_A_CALL, Offers, Predictor
from scheduler.placement import Nodes, Shape
from scheduler.resource_claim import Claim, Classes
from scheduler.resource_claim import claim_of as predicted_claim
from scheduler.selectors import UnknownMatchError, matches, steps_of
from tests.scheduler.objects import (
    A100,
    CLASS,
    H100,
    L40S,
    claim,
    device_class,
    node,
    resource_slice,
)

CLASSES = {CLASS: [one["cel"]["expression"] for one in device_class()["spec"]["selectors"]]}
PRODUCTS = (A100, H100, L40S)


def claim_of(document: dict[str, Any], classes: Classes) -> Claim:
    return predicted_claim(records.claim_of(document), classes)


def machine(name: str, *products: str) -> Machine:
    return machine_of(node_of(node(name)), [slice_of(resource_slice(name, *products))])


def device(**attributes: object) -> Device:
    return Device(
        driver="gpu.nvidia.com", pool="a", slice="s", index=0, name="gpu-0",
        attributes={f"gpu.nvidia.com/{name}": value for name, value in attributes.items()},  # type: ignore[misc]
    )  # fmt: skip


def slots(offers: Offers, row: int) -> tuple[int, ...]:
    offer = offers.at(row)
    assert offer is not None
    return offer.slots


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[list[tuple[list[str], list[int]]], Claim]:
    product = st.sampled_from(PRODUCTS)
    pools = draw(
        st.lists(
            st.tuples(st.lists(product, min_size=1, max_size=5), st.lists(st.integers(0, 4))),
            min_size=1,
            max_size=6,
        )
    )
    wanted = draw(st.lists(st.tuples(product, st.integers(1, 4)), min_size=1, max_size=3))
    constraints = [{"matchAttribute": "gpu.nvidia.com/productName"}] if draw(st.booleans()) else []
    return pools, claim_of(claim("c", *wanted, constraints=constraints), CLASSES)


@settings(max_examples=200, deadline=None)
@given(_worlds())
def test_every_node_is_offered_what_a_search_of_its_own_devices_finds(
    world: tuple[list[tuple[list[str], list[int]]], Claim],
) -> None:
    """The same for equal nodes worked out once as for each by itself."""
    pools, wanted = world
    machines = [machine(f"n{at}", *products) for at, (products, _) in enumerate(pools)]
    nodes = Nodes(one.empty() for one in machines)
    predictor = Predictor(nodes)
    for row, one in enumerate(machines):
        predictor.put(row, one)
        for slot in {used for used in pools[row][1] if used < one.gpus}:
            nodes.place(row, Shape(cpu_milli=0, memory_mib=0, gpus=1, gpu_milli=1000), [slot])
    offers = predictor.of(wanted, 0)
    for row, (one, (_, used)) in enumerate(zip(machines, pools, strict=True)):
        left = [replace(d, is_free=at not in used) for at, d in enumerate(one.devices)]
        found = first_fit(left, wanted.requests, wanted.constraints)
        if found is None:
            assert (offers.count[row], offers.at(row)) == (-1, None)
        else:
            assert slots(offers, row) == tuple(sorted(g.device.index for g in found))
            assert offers.position[row] == int(found[0].alternative.removeprefix("a"))


def test_gpus_are_counted_by_their_number_and_given_in_the_drivers_order() -> None:
    document = resource_slice("a", *[H100] * 4)
    document["spec"]["devices"].reverse()
    one = machine_of(node_of(node("a", islands=(0, 0, 1, 1))), [slice_of(document)])
    assert [device.name for device in one.devices] == ["gpu-0", "gpu-1", "gpu-2", "gpu-3"]
    assert one.order == (3, 2, 1, 0)
    nodes = Nodes([one.empty()])
    predictor = Predictor(nodes)
    predictor.put(0, one)
    assert predictor.of(claim_of(claim("c", (H100, 2)), CLASSES), 0).found[0].slots == (2, 3)


def test_a_claim_that_names_one_device_is_not_answered_for_its_like() -> None:
    document = claim("c", (H100, 1))
    document["spec"]["devices"]["requests"][0]["firstAvailable"][0]["selectors"] = [
        {"cel": {"expression": "device.attributes['gpu.nvidia.com'].uuid == 'GPU-b-1'"}}
    ]
    machines = [machine("a", H100, H100), machine("b", H100, H100)]
    predictor = Predictor(Nodes(one.empty() for one in machines))
    for row, one in enumerate(machines):
        predictor.put(row, one)
    offers = predictor.of(claim_of(document, CLASSES), 0)
    assert (offers.count.tolist(), slots(offers, 1)) == ([-1, 1], (1,))


def test_a_claim_that_names_a_pcie_root_is_not_answered_for_nodes_with_another_one() -> None:
    document = claim("c", (H100, 1))
    expression = "device.attributes['resource.kubernetes.io'].pcieRoot == 'pci0000:02'"
    document["spec"]["devices"]["requests"][0]["firstAvailable"][0]["selectors"] = [
        {"cel": {"expression": expression}}
    ]
    machines = []
    for name, root in (("a", "pci0000:01"), ("b", "pci0000:02")):
        one = resource_slice(name, H100)
        attributes = one["spec"]["devices"][0]["attributes"]
        attributes["resource.kubernetes.io/pcieRoot"] = {"string": root}
        machines.append(machine_of(node_of(node(name)), [slice_of(one)]))
    predictor = Predictor(Nodes(one.empty() for one in machines))
    for row, one in enumerate(machines):
        predictor.put(row, one)
    offers = predictor.of(claim_of(document, CLASSES), 0)
    assert (offers.count.tolist(), slots(offers, 1)) == ([-1, 1], (0,))


def entangled() -> tuple[list[Device], Claim]:
    """Sixteen pairs are asked for; of 32 devices thirty are pairs, which shows only at the end."""
    kinds = [*(at // 2 for at in range(30)), 98, 99]
    pool = [replace(device(kind=kind), index=at, name=f"gpu-{at}") for at, kind in enumerate(kinds)]
    document = {
        "metadata": {"name": "c", "namespace": "llm"},
        "spec": {
            "devices": {
                "requests": [
                    {"name": f"r{at}", "exactly": {"deviceClassName": "any", "count": 2}}
                    for at in range(16)
                ],
                "constraints": [
                    {"matchAttribute": "gpu.nvidia.com/kind", "requests": [f"r{at}"]}
                    for at in range(16)
                ],
            }
        },
    }
    return pool, claim_of(document, {"any": []})


def test_a_search_that_would_not_end_is_given_up() -> None:
    pool, wanted = entangled()
    with pytest.raises(SearchTooLongError):
        first_fit(pool, wanted.requests, wanted.constraints)


def test_one_call_does_bounded_work_over_all_nodes_and_the_next_goes_on() -> None:
    pool, wanted = entangled()
    machines = [
        Machine(
            name=f"n{at}", cpu_milli=0, memory_mib=0,
            others=tuple(
                replace(one, attributes={**one.attributes, "gpu.nvidia.com/rack": at})
                for one in pool
            ),
        )
        for at in range(12)
    ]  # fmt: skip
    nodes = Nodes(one.empty() for one in machines)
    predictor = Predictor(nodes)
    for row, one in enumerate(machines):
        predictor.put(row, one)
    steps = Steps(STEPS_A_CALL)
    offers = predictor.of(wanted, 0, steps=steps)
    assert steps.left >= 0
    assert not offers.is_known.any()  # nobody says that it does not fit
    calls = 1
    while predictor.warm():
        calls += 1
    assert calls == 12  # a call ends one search, and does not begin that one again
    assert predictor.unpredicted == 1


class TestSelectors:
    DEVICE = device(productName=H100, index=3, isFast=True)

    @pytest.mark.parametrize(
        ("expression", "answer"),
        [
            ("device.driver == 'gpu.nvidia.com'", True),
            (f"device.attributes['gpu.nvidia.com'].productName == '{H100}'", True),
            ("device.attributes['gpu.nvidia.com'].index < 3", False),
            ("device.attributes['gpu.nvidia.com'].isFast", True),
            ("has(device.attributes['gpu.nvidia.com'].none)", False),
            ("has(device.attributes['elsewhere'].none)", False),
            ("'elsewhere' in device.attributes && device.attributes['elsewhere'].x == 1", False),
            ("device.attributes['gpu.nvidia.com'].?none.orValue(7) == 7", True),
            (
                "cel.bind(gpu, device.attributes['gpu.nvidia.com'], gpu.index == 3 && gpu.isFast)",
                True,
            ),
        ],
    )
    def test_expressions_of_attributes(self, expression: str, *, answer: bool) -> None:
        assert matches(expression, self.DEVICE) is answer

    @pytest.mark.parametrize(
        ("text", "answer"),
        [
            pytest.param("81559Mi", True, id="equal"),
            pytest.param("79Gi", True, id="less-than-it-has"),
            # An "80 GB" H100 shows 81,559 MiB, which is less than 80 GiB.
            pytest.param("80Gi", False, id="as-it-is-sold"),
        ],
    )
    def test_memory_is_compared_as_an_amount(self, text: str, *, answer: bool) -> None:
        one = allocatable(slice_of(resource_slice("a", H100)).devices[0])
        room = "device.capacity['gpu.nvidia.com'].memory"
        assert matches(f"{room}.compareTo(quantity('{text}')) >= 0", one) is answer

    @pytest.mark.parametrize(("least", "answer"), [("8.9.0", True), ("10.0.0", False)])
    def test_versions_are_compared_as_versions_and_not_as_text(
        self, least: str, *, answer: bool
    ) -> None:
        one = allocatable(slice_of(resource_slice("a", H100)).devices[0])
        capability = "device.attributes['gpu.nvidia.com'].cudaComputeCapability"
        assert matches(f"{capability}.compareTo(semver('{least}')) >= 0", one) is answer

    @pytest.mark.parametrize(
        "expression",
        [
            "1 +", "device.attributes['gpu.nvidia.com'].none == 1", "device.driver", "x" * 20_000,
            "device.attributes['gpu.nvidia.com'].index.compareTo(semver('1.0.0')) > 0", "(" * 5000,
        ],
        ids=["syntax", "missing", "no-answer", "long", "types", "deep"],
    )  # fmt: skip
    def test_what_has_no_answer_says_so(self, expression: str) -> None:
        with pytest.raises(UnknownMatchError):
            matches(expression, self.DEVICE)

    def test_one_and_true_are_not_the_same(self) -> None:
        expression = "device.attributes['gpu.nvidia.com'].flag == true"
        assert matches(expression, device(flag=True))
        assert not matches(expression, device(flag=1))

    @pytest.mark.parametrize(
        "expression",
        [
            pytest.param(
                "".join(f"cel.bind(v{at + 1}, v{at} + v{at}, " for at in range(28)).replace(
                    "v0", "device.driver"
                )
                + "v28.size() > 0"
                + ")" * 28,
                id="a text doubled 28 times",
            ),
            pytest.param(
                "'a'" + f".replace('a', '{'a' * 400}')" * 4 + ".size() > 0",
                id="each character replaced by 400, four times",
            ),
        ],
    )
    def test_an_expression_that_makes_huge_texts_is_not_evaluated(self, expression: str) -> None:
        with pytest.raises(UnknownMatchError, match="could make texts without bound"):
            matches(expression, self.DEVICE)

    def test_a_few_sums_and_a_replacement_are_evaluated(self) -> None:
        domain = "device.attributes['gpu.nvidia.com']"
        name = f"{domain}.productName.replace(' ', '-')"
        assert matches(f"{domain}.index + 1 + 2 == 6 && {name}.size() > 3", self.DEVICE)

    @pytest.mark.parametrize(
        ("expression", "most"),
        [
            pytest.param("device.driver == 'gpu.nvidia.com'", 1, id="a comparison"),
            pytest.param("true" + " && true" * 128, 5, id="a long one"),
            # Of 57 characters, so at most 28 elements, each with a text that is as long.
            pytest.param(
                "['a','b'].exists(p, device.driver.startsWith(p) || p == '')", 2, id="loop"
            ),
        ],
    )
    def test_work_is_counted_by_length_and_loops(self, expression: str, most: int) -> None:
        assert 1 <= steps_of(expression) <= most

    def test_loops_in_loops_cost_more_than_any_search_may(self) -> None:
        listed = "[" + ",".join("1" * 100) + "]"
        nested = f"{listed}.all(a, {listed}.all(b, {listed}.all(c, a + b + c > 0)))"
        assert steps_of(nested) > STEPS_A_CALL
