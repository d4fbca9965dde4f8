"""Pods that load their model, those that only seem to, and when loading stops being believed."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.account.lead_time_priors import PRIORS
from fleet.account.lead_times import learned
from fleet.account.loading import BELIEVED_SECONDS_MAX, Load, PodLoad, loads_of
from fleet.account.stage_durations import LOAD
from fleet.account.starts import Starts
from fleet.account.startups import StartUps
from fleet.cluster.reading import Cluster
from tests.account.test_startups import BEGIN, KNOWN, Object, at, cluster, starting

OWNER = {"kind": "StatefulSet", "name": "qwen", "uid": "o", "controller": True}
PRIOR_P99 = PRIORS[LOAD].quantile(0.99)


def one(name: str = "a", *, ready: float | bool | None = None, **more: Any) -> Object:
    """A pod of 0 that got its node at 10; not ready since 11 unless it says so."""
    made = starting(name, **({"PodScheduled": 10} | more))
    made["metadata"]["ownerReferences"] = [OWNER]
    since = 11 if ready is None else ready
    made["status"]["conditions"].append(
        {"type": "Ready", "status": "False", "lastTransitionTime": at(since)}
    )
    return made


def waiting(reason: str, *, restarts: int = 0) -> Object:
    made = one()
    made["status"]["containerStatuses"] = [
        {"restartCount": restarts, "state": {"waiting": {"reason": reason}}}
    ]
    return made


def load(pod: Object, startups: StartUps | None = None, seconds: float = 100) -> PodLoad:
    now = BEGIN + seconds
    found = cluster(pod)
    startups = (startups or StartUps()).read(found, KNOWN, now)
    loads = loads_of(found, startups, learned(startups, now))
    assert loads is not None
    (only,) = loads
    return only


def seen(name: str, ready: float) -> StartUps:
    """A start of the same workload that took so long from its node to ready."""
    startups = StartUps().read(cluster(one(name)), KNOWN, BEGIN + 9 + ready)
    done = starting(name, PodScheduled=10, Ready=10 + ready)
    done["metadata"]["ownerReferences"] = [OWNER]
    return startups.read(cluster(done), KNOWN, BEGIN + 11 + ready)


@pytest.mark.parametrize(
    ("pod", "state", "why"),
    [
        pytest.param(one(), Load.LOADING, None, id="image-is-pulled"),
        pytest.param(one(started=40), Load.LOADING, None, id="weights-are-loaded"),
        pytest.param(waiting("ContainerCreating"), Load.LOADING, None, id="container-is-created"),
        pytest.param(one(started=40, restarts=1), Load.LOADING, None, id="again-after-a-crash"),
        pytest.param(
            waiting("ImagePullBackOff"), Load.FAILING, "ImagePullBackOff", id="image-is-not-there"
        ),
        pytest.param(
            waiting("CrashLoopBackOff", restarts=4),
            Load.FAILING,
            "CrashLoopBackOff, 4 restarts",
            id="crashes",
        ),
        pytest.param(
            one(started=40, restarts=3), Load.FAILING, "3 restarts", id="crashes-and-runs-just-now"
        ),
        pytest.param(one(started=40, ready=95), Load.WAS_READY, None, id="lost-its-readiness"),
    ],
)
def test_a_pod_that_is_not_ready_loads_unless_it_fails_or_was_ready(
    pod: Object, state: Load, why: str | None
) -> None:
    found = load(pod)

    assert (found.load, found.why) == (state, why)
    assert found.holds(BEGIN + 100) is (state is Load.LOADING)


def test_a_pod_that_a_reading_saw_ready_does_not_load_again() -> None:
    before = StartUps().read(cluster(starting("a", Ready=60)), KNOWN, BEGIN + 70)

    assert load(one(started=40, restarts=1), before).load is Load.WAS_READY


def test_without_starts_of_its_workload_the_prior_says_when_loading_ends() -> None:
    found = load(one(started=40))

    assert found.since_seconds == BEGIN + 10
    assert found.usual_seconds == PRIORS[LOAD].quantile(0.5)
    assert found.believed_until_seconds == pytest.approx(BEGIN + 10 + 1.5 * PRIOR_P99)
    assert found.holds(found.believed_until_seconds - 0.001)
    assert not found.holds(found.believed_until_seconds)


def test_a_workload_that_loads_fast_is_believed_for_less_time() -> None:
    (usual,) = seen("p", 60).pods.ended
    many = tuple(replace(usual, uid=f"p{number}") for number in range(500))
    fast = StartUps(pods=Starts(most=1000, ended=many))

    found = load(one(started=40), fast)

    # Of 132 loads that count four are the prior's, nearly all of them longer.
    assert found.usual_seconds == 60
    assert found.believed_until_seconds < BEGIN + 10 + 1.5 * PRIOR_P99


def test_a_load_of_hours_is_not_believed_for_longer_than_the_limit() -> None:
    found = load(one(started=40), seen("slow", 40000.0), seconds=40100)

    assert found.believed_until_seconds == BEGIN + 10 + BELIEVED_SECONDS_MAX


def test_pods_that_fail_for_ever_make_no_load_longer() -> None:
    failing = StartUps()
    for at_once in range(5):
        failing = failing.read(cluster(one(f"f{at_once}")), KNOWN, BEGIN + 20)
        failing = failing.read(cluster(one(f"f{at_once}")), KNOWN, BEGIN + 86400)

    found = load(one(started=40), failing, seconds=86500)

    assert found.believed_until_seconds == pytest.approx(BEGIN + 10 + 1.5 * PRIOR_P99)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(starting("a", Ready=5) | {"spec": {"nodeName": "n1"}}, id="without-gpus"),
        pytest.param(one() | {"spec": one()["spec"] | {"nodeName": None}}, id="without-a-node"),
        pytest.param(
            one() | {"metadata": one()["metadata"] | {"deletionTimestamp": at(90)}}, id="deleted"
        ),
        pytest.param(one() | {"status": {"phase": "Succeeded"}}, id="ended"),
        pytest.param(starting("a", PodScheduled=10, Ready=90), id="ready"),
    ],
)
def test_of_these_pods_nothing_is_asked(pod: Object) -> None:
    found = cluster(pod)

    assert loads_of(found, StartUps(), learned(StartUps(), BEGIN)) == ()


def test_pods_that_were_not_read_are_unknown() -> None:
    unread = Cluster(name="c", pods=None)

    assert loads_of(unread, StartUps(), learned(StartUps(), BEGIN)) is None


@given(
    changes=st.lists(
        st.tuples(st.integers(1, 4000), st.integers(0, 5), st.booleans()), min_size=1, max_size=6
    )
)
def test_whatever_a_pod_does_loading_ends(changes: list[tuple[int, int, bool]]) -> None:
    startups, seconds = StartUps(), 20.0
    for later, restarts, runs in changes:
        seconds += later
        made = one(started=seconds - 1 if runs else None, restarts=restarts)
        found = cluster(made)
        startups = startups.read(found, KNOWN, BEGIN + seconds)
        loads = loads_of(found, startups, learned(startups, BEGIN + seconds))

        assert loads is not None
        assert not loads[0].holds(BEGIN + 10 + BELIEVED_SECONDS_MAX)
        assert loads[0].believed_until_seconds == pytest.approx(BEGIN + 10 + 1.5 * PRIOR_P99)


def test_a_pod_that_asks_for_a_network_interface_loads_no_model() -> None:
    made = one()
    made["spec"]["containers"][0]["resources"] = {"limits": {"vpc.amazonaws.com/pod-eni": "1"}}
    found = cluster(made)
    startups = StartUps().read(found, KNOWN, BEGIN + 100)

    assert loads_of(found, startups, learned(startups, BEGIN + 100)) == ()
    assert learned(startups, BEGIN + 100).pods == ()
