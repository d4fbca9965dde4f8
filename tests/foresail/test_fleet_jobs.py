"""`foresail fleet --jobs`: each gang's end, GPUs, dollars so far and to come, and its wait."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from foresail.cli import main
from tests.cluster.gang_documents import NO_QUOTA, job_set, nemo_train_job, workload
from tests.fleet.objects import H100, node, pod

P5 = H100 | {"node.kubernetes.io/instance-type": "p5.48xlarge"}
USD_PER_GPU_HOUR = 6.88
Json = dict[str, Any]


def moment(hour: int, minute: int = 0) -> str:
    return datetime(2026, 12, 1, hour, minute, tzinfo=UTC).isoformat().replace("+00:00", "Z")


def member(
    job: str, index: int, on: str | None, *, gated: bool = False, **annotations: str
) -> Json:
    """A pod of a JobSet with a whole node, which started at ten."""
    made = pod(f"{job}-{index}", on, gpus=8, labels={"jobset.sigs.k8s.io/jobset-name": job})
    made["metadata"] |= {"annotations": annotations, "creationTimestamp": moment(9)}
    if on is not None:
        made["status"]["startTime"] = moment(10)
    if gated:
        made["spec"]["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]
        made["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "research"
    return made


def noon(name: str) -> Json:
    """A node whose heartbeat is the newest time stamp of the record."""
    made = node(name, labels=P5, gpus=8)
    made["status"]["conditions"][0]["lastHeartbeatTime"] = moment(12)
    return made


ENDS = {"foresail.io/expected-end": moment(15)}
OBJECTS = [
    *(noon(name) for name in "abc"),
    member("tune", 0, "a", **ENDS),
    member("tune", 1, "b", **ENDS),
    member("eval", 0, "c"),
    member("eval", 1, None),
    member("queued", 0, None, gated=True),
    pod("chat", "c", gpus=0),
]


def jobs(file: Path, *arguments: str) -> Result:
    environment = {"COLUMNS": "160", "KUBECONFIG": "/nowhere/config"}
    return CliRunner().invoke(main, ["fleet", "--jobs", "--file", str(file), *arguments],
                              env=environment)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prod.json"
    path.write_text(json.dumps({"kind": "List", "items": OBJECTS}))
    return path


def test_each_gang_has_a_line_with_what_it_waits_for(file: Path) -> None:
    rows = [row.rstrip() for row in jobs(file).output.splitlines()[3:]]
    tune, evaluation, queued = (row.split(maxsplit=8) for row in rows[:3])
    # Two nodes of 8 GPUs for the two hours since ten, and three hours to come.
    assert tune == ["JobSet", "llm/tune", "16", "16", "32.0", "220.16", "330.24", "3h"]
    assert evaluation[:7] == ["JobSet", "llm/eval", "16", "8", "16.0", "110.08", "?"]
    waits = "started in part, 1 of 2 pods have a node; nodes with 8 GPUs, for 1 of 2 pods"
    assert evaluation[7:] == ["?", waits]
    assert queued[:8] == ["JobSet", "llm/queued", "8", "0", "0.0", "0.00", "?", "?"]
    assert queued[8] == "Kueue's queue research, with 1 of 1 pods"


def test_json_has_every_figure_and_null_for_what_is_not_known(file: Path) -> None:
    (cluster,) = json.loads(jobs(file, "-o", "json").output)["clusters"]
    tune, evaluation, _ = cluster["jobs"]
    assert cluster["at"] == "2026-12-01T12:00:00+00:00"
    assert tune == {
        "kind": "JobSet", "namespace": "llm", "name": "tune", "madeBy": None,
        "queue": None, "admission": None, "flavors": [], "worldSize": None, "stages": [],
        "progressPercent": None, "waitingUsdPerHour": None, "pods": 2, "waitingPods": 0,
        "gpus": 16.0, "placedGpus": 16.0, "gpuHours": 32.0,
        "usd": pytest.approx(32 * USD_PER_GPU_HOUR),
        "usdPerHour": pytest.approx(16 * USD_PER_GPU_HOUR),
        "usdToCome": pytest.approx(48 * USD_PER_GPU_HOUR),
        "atLeast": False, "endsAt": "2026-12-01T15:00:00+00:00", "waitsFor": [], "runs": [],
    }  # fmt: skip
    assert (evaluation["endsAt"], evaluation["usdToCome"]) == (None, None)


def test_a_queued_job_without_a_pod_has_a_line_with_its_price(tmp_path: Path) -> None:
    path = tmp_path / "queued.json"
    queued = job_set("nemo", queue="research", suspend=True)
    queued["metadata"]["ownerReferences"] = [
        {"kind": "TrainJob", "name": "nemo", "uid": "t", "controller": True}
    ]
    pool = noon("a")
    pool["metadata"]["labels"]["karpenter.sh/nodepool"] = "h100"
    items = [pool, pod("chat", "a", gpus=0), nemo_train_job("nemo"), queued]
    items.append(workload(queued) | {"kind": "Workload"})
    path.write_text(json.dumps({"kind": "List", "items": items}))
    row = jobs(path).output.splitlines()[3].split(maxsplit=8)
    assert row[:8] == ["TrainJob", "ml/nemo", "32", "0", "0.0", "0.00", "?", "?"]
    (job,) = json.loads(jobs(path, "-o", "json").output)["clusters"][0]["jobs"]
    assert (job["queue"], job["admission"], job["worldSize"]) == ("research", "pending", 32)
    assert (job["stages"], job["pods"]) == (["node"], 4)
    assert job["waitingUsdPerHour"] == pytest.approx(32 * USD_PER_GPU_HOUR)
    assert job["waitsFor"] == [
        f"Kueue's queue research ({NO_QUOTA})",
        "4 of 4 pods to be made",
    ]


def test_a_job_past_its_end_is_late_and_its_rest_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "late.json"
    late = {"foresail.io/expected-end": moment(11, 30)}
    path.write_text(json.dumps({"kind": "List", "items": [noon("a"), member("t", 0, "a", **late)]}))
    assert jobs(path).output.splitlines()[3].split()[-3:] == ["?", "late", "30m"]


@pytest.mark.parametrize(
    "stated", ["9999-12-31T23:59:59-10:00", "0001-01-01T00:00:00+10:00", "soon"]
)
def test_an_end_that_no_calendar_has_is_unknown(tmp_path: Path, stated: str) -> None:
    path = tmp_path / "odd.json"
    end = {"foresail.io/expected-end": stated}
    path.write_text(json.dumps({"kind": "List", "items": [noon("a"), member("t", 0, "a", **end)]}))
    (job,) = json.loads(jobs(path, "-o", "json").output)["clusters"][0]["jobs"]
    assert job["endsAt"] is None


def test_gpus_without_a_price_leave_dollars_unknown_and_ended_pods_make_a_lower_bound(
    tmp_path: Path,
) -> None:
    path = tmp_path / "odd.json"
    plain = noon("a")
    plain["metadata"]["labels"] = {}
    ended = member("t", 1, "a")
    ended["status"]["phase"] = "Failed"
    path.write_text(json.dumps({"kind": "List", "items": [plain, member("t", 0, "a"), ended]}))
    row = jobs(path).output.splitlines()[3].split()
    assert row[2:7] == ["8", "8", "≥16.0", "?", "?"]


def test_a_cluster_without_a_gang_says_so(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    path.write_text(json.dumps({"kind": "List", "items": [noon("a"), pod("chat", "a", gpus=1)]}))
    assert "no gang with GPUs here" in jobs(path).output


def test_mlflow_that_does_not_answer_is_a_remark_and_the_jobs_are_shown(file: Path) -> None:
    shown = jobs(file, "--mlflow", "http://127.0.0.1:9").output
    assert "JobSet llm/tune" in shown
    assert "MLflow http://127.0.0.1:9: experiments/search" in shown


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--by", "pool"], "--jobs goes with neither"),
        (["--mlflow", "mlflow:5000"], "no http or https address"),
        (["--mlflow", "http://u:s3cret@mlflow"], "credentials in the address of mlflow"),
        (["--mlflow-experiment", "x"], "--mlflow is missing"),
    ],
)
def test_options_that_would_be_ignored_are_refused(
    file: Path, arguments: list[str], why: str
) -> None:
    found = jobs(file, *arguments)
    assert found.exit_code != 0
    assert why in found.output
