"""What users do with ScaledObjects: edit, share, pause, delete, and run jobs."""

import pytest

from tests.e2e.site import Site
from tests.e2e.workload_objects import NAMESPACE, engine

_RIGHT = "did you mean 'leadTime'"
pytestmark = pytest.mark.looptime(False)  # processes live in real time


def test_metadata_edited_while_live_takes_effect(site: Site, chat: str) -> None:
    site.picker.asks(6)
    site.reaches(chat, 6)
    with site.recording(chat) as record:
        site.scale(chat, replicaRequests="2")
        site.reaches(chat, 3)
    assert record.counts == [6, 3]


def test_two_objects_share_a_model_and_differ_in_bounds(site: Site, chat: str) -> None:
    site.deploy("more")
    try:
        site.scale("more", maxReplicas="4")
        site.picker.asks(6)
        site.reaches(chat, 6)
        site.reaches("more", 4)
    finally:
        site.forget("more")


def test_an_object_made_again_under_its_name_starts_anew(site: Site, chat: str) -> None:
    site.picker.asks(5)
    site.reaches(chat, 5)
    site.forget(chat)
    site.deploy(chat)
    site.scale(chat, replicaRequests="5")
    site.reaches(chat, 1)


def test_a_paused_object_stays_where_it_was_told(site: Site, chat: str) -> None:
    site.picker.asks(5)
    site.reaches(chat, 5)
    _annotate(site, chat, "autoscaling.keda.sh/paused-replicas=2")
    site.reaches(chat, 2)
    site.picker.asks(7)
    site.bed.wait(lambda: site.reads(chat, "running") == 7, "7 running")
    assert site.replicas(chat) == 2
    _annotate(site, chat, "autoscaling.keda.sh/paused-replicas-")
    site.reaches(chat, 7)


def test_a_scale_in_that_is_paused_lets_replicas_come_and_none_go(site: Site, chat: str) -> None:
    site.picker.asks(3)
    site.reaches(chat, 3)
    _annotate(site, chat, "autoscaling.keda.sh/paused-scale-in=true")
    site.bed.wait(lambda: _down_policy(site, chat) == "Disabled", "the HPA to hear of it")
    with site.recording(chat) as record:
        site.picker.asks(5)
        site.reaches(chat, 5)
        site.picker.asks(2)
        site.bed.wait(lambda: site.answers(chat) == 2, "the answer 2")
        # A wish that the HPA saw after the 2: when it is met, the 2 was passed over.
        site.picker.asks(6)
        site.reaches(chat, 6)
    assert record.counts == [3, 5, 6]


def _down_policy(site: Site, name: str) -> str:
    """What the object's HPA does of the policies for scaling down."""
    path = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/keda-hpa-{name}"
    return str(site.bed.read(path)["spec"]["behavior"]["scaleDown"]["selectPolicy"])


def test_a_scaled_job_gets_as_many_jobs_as_replicas_are_wanted(site: Site) -> None:
    site.rests()
    _apply_scaled_job(site, "batch")
    try:
        # At the start KEDA may poll twice at once, before its cache has the jobs of the first.
        site.bed.wait(lambda: _is_ready(site, "batch"), "the ScaledJob to be ready")
        calls = site.calls()
        site.bed.wait(lambda: site.calls() > calls, "a poll")
        logged = site.bed.programs["keda-operator"].log_since()
        site.picker.asks(3)
        site.bed.wait(lambda: len(_jobs(site)) >= 3, "three jobs")
        enough = "No need to create jobs"
        site.bed.wait(lambda: any(enough in line for line in logged()), "the next poll")
        assert all(job["spec"]["parallelism"] == 1 for job in _jobs(site))
        assert len(_jobs(site)) == 3  # those that run count against what is wanted
    finally:
        site.bed.kubectl("delete", "scaledjob", "batch", "-n", NAMESPACE, "--ignore-not-found")
        site.bed.kubectl("delete", "jobs", "--all", "-n", NAMESPACE)


def _is_ready(site: Site, name: str) -> bool:
    return site.bed.conditions("scaledjob", name, "-n", NAMESPACE).get("Ready") == "True"


def test_wrong_metadata_is_told_where_a_user_looks(site: Site) -> None:
    site.deploy("wrong", replicas=2)
    describe = ("describe", "scaledobject", "wrong", "-n", NAMESPACE)
    try:
        site.scale("wrong", leadTme="5m")
        site.bed.wait(lambda: _RIGHT in site.bed.kubectl(*describe), "the describe's message")
        # The events below it, that is: KEDA's conditions do not carry it.
        events = site.bed.kubectl("get", "events", "-n", NAMESPACE, "-o", "json")
        assert _RIGHT in events
        log = site.servers["a"].log
        site.bed.wait(lambda: _RIGHT in log.read_text(), "the server's log")
        assert site.replicas("wrong") == 2
        site.scale("wrong")
        site.picker.asks(1)
        site.reaches("wrong", 1)
    finally:
        site.forget("wrong")


def _annotate(site: Site, name: str, annotation: str) -> None:
    site.bed.kubectl("annotate", "scaledobject", name, "-n", NAMESPACE, "--overwrite", annotation)


def _apply_scaled_job(site: Site, name: str) -> None:
    slow = {"pod-complete.stage.kwok.x-k8s.io/delay": "1h"}
    template = {
        "metadata": {"annotations": slow},
        "spec": {"containers": [engine()], "restartPolicy": "Never"},
    }
    trigger = {
        "type": "external",
        "metadata": site.metadata(),
        "authenticationRef": {"name": "foresail", "kind": "ClusterTriggerAuthentication"},
    }
    site.bed.apply(
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledJob",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "jobTargetRef": {"template": template, "backoffLimit": 0},
                # Jobs that KEDA made are in its cache by the next poll, and count: also if one of
                # the two stands still for a while.
                "pollingInterval": 30,
                "maxReplicaCount": 10,
                "triggers": [trigger],
            },
        }
    )


def _jobs(site: Site) -> list[dict]:
    found: list[dict] = site.bed.read(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")["items"]
    return found
