"""A cluster in files, which may have an object more than once."""

import json
from pathlib import Path

import pytest

from fleet.cluster.reading import Cluster
from fleet.recorded import recorded
from tests.fleet.objects import Object, node, pod


def version(one: Object, number: str) -> Object:
    one["metadata"]["resourceVersion"] = number
    return one


def beat(one: Object, stamp: str) -> Object:
    one["status"]["conditions"][0]["lastHeartbeatTime"] = stamp
    return one


def of(folder: Path, *files: list[Object]) -> Cluster:
    for name, objects in zip("abc", files, strict=False):
        (folder / f"{name}.json").write_text(json.dumps({"kind": "List", "items": objects}))
    return recorded(folder)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(([version(node(gpus=4), "9")], [version(node(gpus=8), "10")]), id="later"),
        pytest.param(([version(node(gpus=8), "10")], [version(node(gpus=4), "9")]), id="earlier"),
        pytest.param(
            (
                [beat(node(gpus=8), "2027-01-01T00:01:00Z")],
                [beat(node(gpus=4), "2027-01-01T00:00:00Z")],
            ),
            id="by-its-stamps",
        ),
        pytest.param(
            ([version(node(gpus=4), "x")], [version(node(gpus=8), "9" * 5000)]), id="no-version"
        ),
    ],
)
def test_of_an_object_in_two_files_the_newest_counts(
    tmp_path: Path, files: tuple[list[Object], list[Object]]
) -> None:
    found = of(tmp_path, *files)

    (one,) = found.nodes
    assert one.capacity["nvidia.com/gpu"] == 8
    assert found.remarks == ("recorded more than once: Node n1; the newest counts",)


def test_what_differs_in_name_or_namespace_is_another_object(tmp_path: Path) -> None:
    other = pod("a")
    other["metadata"]["namespace"] = "other"

    found = of(tmp_path, [node("n1"), node("n2"), pod("a")], [other])

    assert [one.name for one in found.nodes] == ["n1", "n2"]
    assert [one.name for one in found.pods or ()] == ["llm/a", "other/a"]
    assert found.remarks == ()
