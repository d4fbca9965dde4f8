"""Which gang a training run is of, and when the gang ends."""

import pytest

from fleet.cluster.owners import Workload
from fleet.cluster.pods import Pod, pod_of
from fleet.mlflow import Run, goal_of
from fleet.run_progress import Goal, Progress, Unit
from policies.reading.runs import LinkedRun, gang_ends, gangs_of_runs
from tests.policies.test_assess import pod

TUNE = Workload(kind="JobSet", namespace="llm", name="tune")
LABELS = {"jobset.sigs.k8s.io/jobset-name": "tune"}


def run(run_id: str = "r1", **tags: str) -> Run:
    return Run(run_id=run_id, name=run_id, status="RUNNING", start_seconds=0.0, tags=tags)


def member(variable: str | None = None, **annotations: str) -> Pod:
    document = pod("t", 8, labels=LABELS, annotations=annotations)
    if variable is not None:
        (container,) = document["spec"]["containers"]
        container["env"] = [{"name": "MLFLOW_RUN_ID", "value": variable}]
    return pod_of(document)


BY_TAG = {"foresail.io/workload": "llm/tune"}


@pytest.mark.parametrize(
    ("one", "pods", "found"),
    [
        pytest.param(run(), [member(**{"foresail.io/mlflow-run-id": "r1"})], {"r1": TUNE},
                     id="annotation"),
        pytest.param(run(), [member("r1")], {"r1": TUNE}, id="MLFLOW_RUN_ID"),
        pytest.param(run(**BY_TAG), [member()], {"r1": TUNE}, id="tag"),
        pytest.param(run(**BY_TAG), [member("r2")], {}, id="the pod names another run"),
        pytest.param(run(**BY_TAG, **{"mlflow.parentRunId": "r0"}), [member()], {}, id="nested"),
        pytest.param(run(**{"foresail.io/workload": "other/tune"}), [member()], {},
                     id="another namespace"),
        pytest.param(run(), [member()], {}, id="nothing links them"),
    ],
)  # fmt: skip
def test_a_run_is_linked_to_its_gang(one: Run, pods: list[Pod], found: dict[str, Workload]) -> None:
    assert gangs_of_runs([one], pods) == found


def linked(run_id: str, ends: float | None) -> LinkedRun:
    return LinkedRun(run=run(run_id), gang=TUNE, progress=Progress(ends_at_seconds=ends))


def test_a_gang_ends_with_the_last_of_its_runs() -> None:
    assert gang_ends([linked("a", 100.0), linked("b", 200.0)]).at_seconds == {TUNE: 200.0}


def test_a_gang_of_which_one_run_does_not_tell_its_end_has_none() -> None:
    assert gang_ends([linked("a", 100.0), linked("b", None)]).at_seconds == {}


@pytest.mark.parametrize(
    ("params", "goal"),
    [
        pytest.param({"max_steps": "500"}, Goal(metric="loss", total=500.0, unit=Unit.STEPS),
                     id="steps"),
        pytest.param({"max_steps": "-1", "num_train_epochs": "3"},
                     Goal(metric="epoch", total=3.0, unit=Unit.EPOCHS), id="epochs"),
        pytest.param({"max_steps": "many"}, None, id="no number"),
        pytest.param({}, None, id="nothing"),
    ],
)  # fmt: skip
def test_a_run_tells_its_goal_as_trainers_log_it(params: dict[str, str], goal: Goal | None) -> None:
    latest = {"loss": 40, "epoch": 40, "eval_loss": 30, "system/cpu": 9000}
    one = Run(run_id="r", name="r", status="RUNNING", start_seconds=0.0, params=params,
              latest_step={**latest, "epoch": 39})  # fmt: skip
    assert goal_of(one) == goal
