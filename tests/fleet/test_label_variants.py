"""DCGM exporter's and GPU feature discovery's labels, as their versions and scrapers give them.

Forms of the exporter's label sets are those of public recordings: `Hostname` is the exporter's pod
where nothing sets `NODE_NAME`, became `hostname` after 4.5.3, and the scrape may add `node`; the
pod of a GPU is `pod`, or `exported_pod` beside the exporter's own.
"""

from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.activity import activity_of
from fleet.catalogue import shipped
from tests.fleet.objects import NOW_SECONDS, Object, node, only, pod, seen

WINDOW_SECONDS = 1800.0
BUSY = {0: 0.97, 1: 0.0, 2: 0.0, 3: 0.0}
"""GPU → the activity of its engine. Pod a has 0 and 1, pod b has 2, nobody has 3."""
OWNERS = {0: "a", 1: "a", 2: "b"}
Labels = dict[str, str]

HOSTS: Mapping[str, Labels] = {
    "before-4.6": {"Hostname": "n1"},
    "since-4.6": {"hostname": "n1"},
    "name-of-the-exporters-pod": {"Hostname": "dcgm-exporter-cmhft", "node": "n1"},
    "short-name": {"Hostname": "ip-172-31-16-106", "kubernetes_node": "n1"},
}
EXPORTER = {"pod": "dcgm-exporter-cmhft", "namespace": "gpu-operator"}


def honoured(owner: str | None) -> Labels:
    return {"pod": owner, "namespace": "llm", "container": "engine"} if owner else EXPORTER


def exported(owner: str | None) -> Labels:
    own = {"exported_pod": owner, "exported_namespace": "llm"} if owner else {}
    return {**EXPORTER, **own}


def empty(owner: str | None) -> Labels:
    return {"pod": owner or "", "namespace": "llm" if owner else "", "container": ""}


def unmapped(owner: str | None) -> Labels:
    return EXPORTER


def with_labels_of_the_pod(owner: str | None) -> Labels:
    return {**honoured(owner), "app": "chat", "pod_uid": "2f"} if owner else {}


PODS = (honoured, exported, empty, unmapped, with_labels_of_the_pod)
IDS: Mapping[str, Callable[[int], Labels]] = {
    "uuid": lambda gpu: {"UUID": f"GPU-{gpu}", "gpu": str(gpu)},
    "old-uuid": lambda gpu: {"uuid": f"GPU-{gpu}", "gpu": str(gpu)},
    "index-alone": lambda gpu: {"gpu": str(gpu)},
}


def series(value: float, labels: Labels) -> Object:
    return {"metric": labels, "value": [NOW_SECONDS, str(value)]}


def whole(value: float, labels: Labels) -> list[Object]:
    return [series(value, labels)]


def instances(value: float, labels: Labels) -> list[Object]:
    """MIG: the work is in one of two instances."""
    one, other = ({**labels, "GPU_I_PROFILE": "3g.40gb", "GPU_I_ID": name} for name in ("1", "2"))
    return [series(0.0, one), series(value, other)]


@pytest.mark.parametrize("profiling", [True, False], ids=["profiling", "no-profiling"])
@pytest.mark.parametrize("parts", [whole, instances], ids=["whole", "mig"])
@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS)
def test_the_idle_verdict_is_the_same_under_every_label_variant(
    host: Labels, parts: Callable[[float, Labels], list[Object]], profiling: bool
) -> None:
    for ids, pods in product(IDS.values(), PODS):
        found = [
            one
            for gpu, busy in BUSY.items()
            for one in parts(busy, {**ids(gpu), **host, **pods(OWNERS.get(gpu))})
        ]
        answers = [found, []] if profiling else [[], found]
        activity = activity_of(answers, WINDOW_SECONDS)
        (shown,) = seen(node(gpus=4), pod("a", gpus=2), pod("b", gpus=1), activity=activity).nodes
        # 3 are allocated and 1 is busy. Without the exporter's mapping nobody knows whose are idle.
        known = pods is not unmapped
        assert shown.idle == 2
        assert {use.pod: use.idle for use in shown.uses} == {
            "a": 1 if known else None,
            "b": 1 if known else None,
        }


def test_pods_that_share_a_gpu_are_busy_with_it_in_any_order() -> None:
    labels = {"UUID": "GPU-0", "Hostname": "n1", "namespace": "llm"}
    idle = series(0.0, {**labels, "UUID": "GPU-1", "pod": "c"})
    shared = [series(0.9, {**labels, "pod": name}) for name in ("a", "b")]
    for found in ([*shared, idle], [idle, *reversed(shared)]):
        activity = activity_of([found], WINDOW_SECONDS)
        time_sliced = node(labels={"nvidia.com/gpu.replicas": "2"}, gpus=4)
        pods = [pod(name, gpus=1) for name in ("a", "b")] + [pod("c", gpus=2)]
        (shown,) = seen(time_sliced, *pods, activity=activity).nodes
        assert {use.pod: use.idle for use in shown.uses} == {"a": 0, "b": 0, "c": 1}


SETS: Mapping[str, Any] = yaml.safe_load(
    (Path(__file__).parent.parent / "fixtures" / "gfd.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("given", SETS.values(), ids=SETS)
def test_label_sets_tell_the_generation(given: Mapping[str, Any]) -> None:
    expected = given["expected"]
    capacity = {name: int(count) for name, count in given["capacity"].items()}
    one = node(labels=given["labels"], **capacity)
    if expected["gpus"] is None:
        snapshot = seen(one)
        assert snapshot.nodes == ()
        assert snapshot.remarks == ("node n1 has GPUs, and their number is not known yet",)
        return

    shown = only(one)

    assert (shown.generation, shown.gpus) == (expected["generation"], expected["gpus"])
    assert shown.clique == expected.get("clique")
    family = given["labels"].get("nvidia.com/gpu.family")
    generation = shipped().find(shown.generation or "")
    if generation is not None and family is not None:
        architecture = shipped().architecture(family)
        assert architecture is not None
        assert generation.architecture.startswith(architecture.name)
