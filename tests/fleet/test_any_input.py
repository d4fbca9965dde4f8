"""What holds of a snapshot whatever the objects are."""

from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fleet.objects import (
    GPU,
    H100,
    Object,
    claim,
    device,
    node,
    pod,
    report,
    resource_slice,
    seen,
)


@settings(deadline=None)
@example(  # a claim has a GPU that is in no slice any more
    gpus=0, allocatable=0, slices=2, given_out={0, 2}, asks=[], replicas="1", ready=True
)
@given(
    gpus=st.integers(0, 16),
    allocatable=st.integers(0, 16),
    slices=st.integers(0, 16),
    given_out=st.sets(st.integers(0, 15)),
    asks=st.lists(st.integers(0, 8), max_size=6),
    replicas=st.sampled_from(["1", "2", "7", "x", ""]),
    ready=st.booleans(),
)
def test_gpus_are_allocated_free_or_out_and_never_counted_twice(  # noqa: PLR0913, PLR0917
    gpus: int,
    allocatable: int,
    slices: int,
    given_out: set[int],
    asks: list[int],
    replicas: str,
    ready: bool,
) -> None:
    labels = H100 | {"nvidia.com/gpu.replicas": replicas}
    snapshot = seen(
        node(labels=labels, ready=ready, gpus=gpus, allocatable={GPU: allocatable}),
        resource_slice(*(device(f"gpu-{index}") for index in range(slices))),
        claim("c", *(f"gpu-{index}" for index in sorted(given_out)), pods=("a",)),
        *(pod(f"p{index}", gpus=count) for index, count in enumerate(asks)),
    )

    # Where nothing offers GPUs, those that pods have count.
    gone = len(given_out - set(range(slices))) + (0 if gpus else sum(asks))
    for one in snapshot.nodes:
        assert one.allocated is not None
        assert one.free is not None
        assert one.out is not None
        assert one.allocated + one.free + one.out == pytest.approx(one.gpus, abs=1e-5)
        assert min(one.allocated, one.free, one.out) >= 0
        assert one.gpus <= max(gpus, slices, gone)
        assert one.fragmentation is None or 0 <= one.fragmentation.fragmented <= one.free + 1e-5
    assert all(isinstance(remark, str) for remark in snapshot.remarks)


JUNK: tuple[object, ...] = (None, True, -1, 1e400, "", "x", [], {}, [None], {"x": "y"}, [[]])


def spoiled(value: object) -> Iterator[object]:
    """`value` with each of its parts, in turn, as it should not be."""
    yield from JUNK
    match value:
        case dict():
            for key, inner in value.items():
                yield from ({**value, key: bad} for bad in spoiled(inner))
        case list():
            for index, inner in enumerate(value):
                yield from ([*value[:index], bad, *value[index + 1 :]] for bad in spoiled(inner))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(
            node(labels=H100, annotations=report(0, 0), gpus=2, **{"nvidia.com/mig-1g.5gb": 7}),
            id="node",
        ),
        pytest.param(pod("a", gpus=1), id="pod"),
        pytest.param(resource_slice(device("gpu-0", taints=[{"key": "k"}])), id="slice"),
        pytest.param(claim("c", "gpu-0", pods=("a",)), id="claim"),
        pytest.param(
            {
                "metadata": {"name": "gpu"},
                "spec": {
                    "selectors": [{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}],
                    "extendedResourceName": GPU,
                },
                "kind": "DeviceClass",
            },
            id="class",
        ),
        pytest.param(
            {"metadata": {"name": "p"}, "spec": {"limits": {GPU: "8"}}, "kind": "NodePool"},
            id="pool",
        ),
    ],
)
def test_an_object_that_is_not_as_it_should_be_breaks_nothing(document: Object) -> None:
    for bad in spoiled(document):
        if isinstance(bad, dict):
            others = (node("n1", gpus=1), resource_slice(device("gpu-0")))
            snapshot = seen({**bad, "kind": document["kind"]}, *others)
            assert sum(one.gpus for one in snapshot.nodes) >= 1
