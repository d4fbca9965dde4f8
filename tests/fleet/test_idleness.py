"""GPUs that are given out and do nothing, by DCGM's series."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from fleet.activity import Activity, activity_of, queries
from fleet.tally import total
from tests.fleet.objects import NOW_SECONDS, Object, claim, device, node, pod, resource_slice, seen

WINDOW_SECONDS = 1800.0


def series(gpu: int, value: float, **labels: str) -> Object:
    told = {"Hostname": "n1", "gpu": str(gpu), "UUID": f"GPU-gpu-{gpu}", **labels}
    return {"metric": told, "value": [NOW_SECONDS, str(value)]}


def measured(*busy: float, **labels: str) -> Activity:
    """The engine's activity of GPUs 0, 1 and so on."""
    found = [series(gpu, value, **labels) for gpu, value in enumerate(busy)]
    return activity_of([found, []], WINDOW_SECONDS)


def idle(*objects: Object, activity: Activity) -> tuple[Any, Mapping[str, Any]]:
    (found,) = seen(*objects, activity=activity).nodes
    return found.idle, {use.pod: use.idle for use in found.uses}


def young(name: str, gpus: int) -> Object:
    """A pod that began within the window."""
    one = pod(name, gpus=gpus)
    began = datetime.fromtimestamp(NOW_SECONDS - 600, UTC)
    one["status"]["startTime"] = began.strftime("%Y-%m-%dT%H:%M:%SZ")
    return one


def mapped(name: str) -> dict[str, str]:
    """The labels by which the exporter says whose a GPU is."""
    return {"pod": name, "namespace": "llm"}


def test_what_is_allocated_beyond_the_busy_ones_is_idle() -> None:
    activity = measured(0.9, 0.0, 0.0, 0.0)

    assert idle(node(gpus=4), pod("a", gpus=3), activity=activity) == (2, {"a": None})


def test_on_a_node_where_nothing_runs_everybodys_gpus_are_idle() -> None:
    activity = measured(0.0, 0.01, 0.0, 0.0)  # a monitor's own work is below the bound

    assert idle(node(gpus=4), pod("a", gpus=3), activity=activity) == (3, {"a": 3})


def test_on_a_node_where_all_run_nobodys_are() -> None:
    activity = measured(0.9, 0.9)

    assert idle(node(gpus=2), pod("a", gpus=2), activity=activity) == (0, {"a": 0})


def test_a_gpu_without_a_series_is_unknown_and_not_idle() -> None:
    assert idle(node(gpus=4), pod("a", gpus=3), activity=measured(0.0, 0.0, 0.0)) == (
        None,
        {"a": None},
    )


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({"pod": "{pod}", "namespace": "llm"}, id="exporters-labels-honoured"),
        pytest.param(
            {
                "pod": "dcgm-exporter-x",
                "namespace": "gpu-operator",
                "exported_pod": "{pod}",
                "exported_namespace": "llm",
            },
            id="exported",
        ),
    ],
)
@pytest.mark.parametrize("host", ["Hostname", "hostname", "node"])
def test_the_exporter_tells_whose_they_are(labels: dict[str, str], host: str) -> None:
    found = []
    for gpu, (busy, name) in enumerate([(0.9, "a"), (0.0, "b"), (0.0, "b")]):
        one = series(gpu, busy, **{key: text.format(pod=name) for key, text in labels.items()})
        one["metric"][host] = one["metric"].pop("Hostname")
        found.append(one)

    assert idle(
        node(gpus=3),
        pod("a", gpus=1),
        pod("b", gpus=2),
        activity=activity_of([found], WINDOW_SECONDS),
    ) == (2, {"a": 0, "b": 2})


def test_dra_tells_whose_they_are() -> None:
    devices = resource_slice(*(device(f"gpu-{index}") for index in range(4)))

    assert idle(
        node(),
        devices,
        claim("c", "gpu-0", pods=("a",)),
        claim("d", "gpu-1", "gpu-2", pods=("b",)),
        activity=measured(0.9, 0.9, 0.0, 0.0),
    ) == (1, {"a": 0, "b": 1})


def test_a_pod_that_has_just_begun_had_no_time_to_do_anything() -> None:
    both = young("a", gpus=2), pod("b", gpus=1)

    assert idle(node(gpus=4), *both, activity=measured(0, 0, 0, 0)) == (1, {"a": 0, "b": 1})


def test_work_of_a_young_pod_takes_nothing_from_the_idle_gpus_of_an_old_one() -> None:
    owners = [(0.0, "old"), (0.0, "old"), (0.9, "young"), (0.9, "young")]
    found = [series(gpu, busy, **mapped(name)) for gpu, (busy, name) in enumerate(owners)]

    (shown,) = seen(
        node(gpus=4),
        pod("old", gpus=2),
        young("young", gpus=2),
        activity=activity_of([found], WINDOW_SECONDS),
    ).nodes

    assert (shown.idle, shown.idle_unknown) == (2, 0)
    assert {use.pod: use.idle for use in shown.uses} == {"old": 2, "young": 0}


@pytest.mark.parametrize(
    ("objects", "busy", "bounds"),
    [
        pytest.param([pod("old", gpus=4), pod("b", gpus=4)], 4, (4, 0), id="all-old"),
        pytest.param([pod("old", gpus=4)], 4, (0, 4), id="the-others-free-perhaps-a-while-ago"),
        pytest.param([pod("old", gpus=6)], 4, (2, 2), id="some-free"),
        pytest.param([pod("old", gpus=2)], 1, (1, 1), id="most-free"),
    ],
)
def test_without_owners_the_busy_gpus_may_be_of_pods_that_are_young_or_have_ended(
    objects: list[Object], busy: int, bounds: tuple[float, float]
) -> None:
    activity = measured(*[0.9] * busy, *[0.0] * (8 - busy))

    (shown,) = seen(node(gpus=8), *objects, activity=activity).nodes

    assert (shown.idle, shown.idle_unknown) == bounds
    row = total([seen(node(gpus=8), *objects, activity=activity)])
    assert (row.idle, row.idle_unknown) == bounds


def test_beside_a_young_pod_an_old_one_may_be_idle_or_not() -> None:
    activity = measured(*[0.9] * 4, *[0.0] * 4)

    found = idle(node(gpus=8), pod("old", gpus=4), young("young", gpus=4), activity=activity)

    assert found == (0, {"old": None, "young": 0})


def test_where_more_is_given_out_than_there_is_no_more_is_idle() -> None:
    pods = [pod(name, gpus=2) for name in ("a", "b")]

    assert idle(node(gpus=2), *pods, activity=measured(0.0, 0.0))[0] == 2
    assert idle(node(gpus=2), *pods, activity=measured(0.0, 0.9))[0] == 1


def test_utilization_stands_in_where_the_profiling_counters_are_missing() -> None:
    engine = [series(0, 0.0)]
    utilization = [series(0, 0.9), series(1, 0.9)]  # of GPU 0 the engine knows better

    activity = activity_of([engine, utilization], WINDOW_SECONDS)

    assert activity.hosts["n1"].busy == {"GPU-gpu-0": False, "GPU-gpu-1": True}


def test_a_mig_gpu_is_busy_when_one_of_its_instances_is() -> None:
    found = [series(0, 0.0, GPU_I_ID="1"), series(0, 0.8, GPU_I_ID="2")]

    assert activity_of([found], WINDOW_SECONDS).hosts["n1"].busy == {"GPU-gpu-0": True}


@pytest.mark.parametrize("value", [["x"], [0, "NaN"], [0, "-1"], None, "1"])
def test_a_value_that_is_none_is_no_measurement(value: object) -> None:
    assert activity_of([[{**series(0, 0), "value": value}]], WINDOW_SECONDS).hosts == {}


def test_the_engine_is_asked_for_before_the_coarser_counter() -> None:
    assert queries("1800s") == (
        "max_over_time(DCGM_FI_PROF_GR_ENGINE_ACTIVE[1800s]) * 1.0",
        "max_over_time(DCGM_FI_DEV_GPU_UTIL[1800s]) * 0.01",
    )
