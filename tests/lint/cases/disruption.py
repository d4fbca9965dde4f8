"""Cases of disruption budgets, of single pods and of groups."""

from tests.lint.case import case
from tests.lint.manifests import DEPLOYMENT, DISRUPTION, GONE, edited

KEEPS = edited(DISRUPTION, {"spec maxUnavailable": GONE})
TEMPLATED = DEPLOYMENT["spec"]["template"]
GROUPS = {
    "apiVersion": "leaderworkerset.x-k8s.io/v1",
    "kind": "LeaderWorkerSet",
    "metadata": DEPLOYMENT["metadata"],
    "spec": {"replicas": 4, "leaderWorkerTemplate": {"size": 8, "workerTemplate": TEMPLATED}},
}
LEADERS = edited(
    GROUPS,
    {
        "spec leaderWorkerTemplate leaderTemplate": edited(
            TEMPLATED, {"metadata labels": {"app": "qwen3-32b", "role": "leader"}}
        )
    },
)
OF_LEADERS = {"matchLabels": {"role": "leader"}}
NOT_LEADERS = {"matchExpressions": [{"key": "role", "operator": "DoesNotExist"}]}
OF_APP = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["qwen3-32b"]}]}
CASES = (
    case(
        "FS531",
        "spec.maxUnavailable",
        edited(DISRUPTION, {"spec maxUnavailable": 0}),
        DISRUPTION,
    ),
    case(
        "FS531",
        "spec.minAvailable",
        (
            edited(DISRUPTION, {"spec maxUnavailable": GONE, "spec minAvailable": 2}),
            edited(DEPLOYMENT, {"spec replicas": 2}),
        ),
        (
            edited(DISRUPTION, {"spec maxUnavailable": GONE, "spec minAvailable": 2}),
            edited(DEPLOYMENT, {"spec replicas": 3}),
        ),
        says="has 2 pods at the most, so none may ever go",
    ),
    case(
        # 90 % of 4 is 3.6, which is rounded up to 4; 75 % of 4 is 3.
        "FS531",
        "spec.minAvailable",
        (
            edited(DISRUPTION, {"spec maxUnavailable": GONE, "spec minAvailable": "90%"}),
            edited(DEPLOYMENT, {"spec replicas": 4}),
        ),
        (
            edited(DISRUPTION, {"spec maxUnavailable": GONE, "spec minAvailable": "75%"}),
            edited(DEPLOYMENT, {"spec replicas": 4}),
        ),
        says="has 4 pods at the most, so none may ever go",
    ),
    case(
        "FS531",
        "spec.minAvailable",
        (
            edited(DISRUPTION, {"spec maxUnavailable": GONE, "spec minAvailable": 1}),
            edited(DEPLOYMENT, {"spec replicas": 1}),
        ),
        # It is parked: there is no pod that may not go.
        (
            edited(DISRUPTION, {"spec maxUnavailable": GONE, "spec minAvailable": 1}),
            edited(DEPLOYMENT, {"spec replicas": 0}),
        ),
    ),
    *(
        case(
            "FS531",
            "spec.minAvailable",
            (edited(KEEPS, {"spec minAvailable": none, "spec selector": selector}), *workloads),
            (edited(KEEPS, {"spec minAvailable": none - 1, "spec selector": selector}), *workloads),
            says=f"has {none} pods at the most" if len(workloads) == 1 else f"have {none} pods",
        )
        for none, selector, workloads in (
            (32, DISRUPTION["spec"]["selector"], (GROUPS,)),
            (4, OF_LEADERS, (LEADERS,)),
            (28, NOT_LEADERS, (LEADERS,)),
            (2, OF_APP, (edited(DEPLOYMENT, {"spec replicas": 2}),)),
            (
                7,
                OF_APP,
                (
                    edited(DEPLOYMENT, {"spec replicas": 2}),
                    edited(DEPLOYMENT, {"spec replicas": 5, "metadata name": "b"}),
                ),
            ),
        )
    ),
    case(
        "FS532",
        "spec.selector",
        (DISRUPTION, edited(DISRUPTION, {"metadata name": "again"}), DEPLOYMENT),
        (
            DISRUPTION,
            edited(DISRUPTION, {"metadata name": "again", "metadata namespace": "b"}),
            DEPLOYMENT,
        ),
    ),
    *(
        case(
            "FS532",
            "spec.selector",
            (
                DISRUPTION,
                edited(DISRUPTION, {"metadata name": "b", "spec selector": bad}),
                workload,
            ),
            (first, edited(DISRUPTION, {"metadata name": "b", "spec selector": good}), workload),
        )
        for bad, good, first, workload in (
            (OF_APP, GONE, DISRUPTION, DEPLOYMENT),
            ({}, {"matchLabels": {"app": "b"}}, DISRUPTION, DEPLOYMENT),
            # Neither is a budget of the leader and one of its workers.
            (OF_LEADERS, NOT_LEADERS, edited(DISRUPTION, {"spec selector": OF_LEADERS}), LEADERS),
        )
    ),
    case(
        "FS532",
        "spec.selector",
        (DISRUPTION, edited(DISRUPTION, {"metadata name": "b", "spec selector": {}}), DEPLOYMENT),
        (
            DISRUPTION,
            edited(
                DISRUPTION,
                {
                    "metadata name": "b",
                    "apiVersion": "policy/v1beta1",
                    "spec selector": {},
                },
            ),
            DEPLOYMENT,
        ),
    ),
    case(
        "FS533",
        "spec.unhealthyPodEvictionPolicy",
        (edited(DISRUPTION, {"spec unhealthyPodEvictionPolicy": "AlwaysAllow"}), DEPLOYMENT),
        edited(DISRUPTION, {"spec unhealthyPodEvictionPolicy": "AlwaysAllow"}),
    ),
)
