"""Cases of how KEDA and the HPA follow."""

from tests.lint.case import case, scaled
from tests.lint.manifests import (
    DOWN,
    FROM_ZERO,
    GONE,
    HPA,
    IDLE,
    METADATA,
    PROMETHEUS,
    SCALED,
    TRIGGER,
    UP,
    edited,
)  # fmt: skip

POLICY_UP = {"type": "Pods", "value": 4}
CPU = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}
QUEUE = {**PROMETHEUS["spec"]["triggers"][0]}
ADVISED_BY_POLL = edited(
    FROM_ZERO, {"spec fallback": GONE, f"{METADATA} mode": "advise", f"{TRIGGER} type": "external"}
)
PAUSED_SCALE_IN = {"autoscaling.keda.sh/paused-scale-in": "true"}
CASES = (
    case("FS141", "spec.fallback", scaled(fallback=GONE), edited(FROM_ZERO, {})),
    case(
        "FS142",
        "spec.fallback.behavior",
        edited(SCALED, {"spec fallback behavior": GONE}),
        SCALED,
        says="static removes replicas",
    ),
    case(
        "FS141",
        "spec.fallback",
        edited(IDLE, {"spec fallback": GONE}),
        edited(IDLE, {"spec fallback": GONE, f"{METADATA} mode": "advise"}),
    ),
    case(
        "FS142",
        "spec.fallback.replicas",
        edited(IDLE, {"spec fallback replicas": 0}),
        edited(SCALED, {"spec fallback replicas": 0}),
        says="goes on to zero",
    ),
    case(
        "FS143",
        "spec.fallback.replicas",
        edited(SCALED, {"spec fallback replicas": 41}),
        edited(SCALED, {"spec fallback replicas": 40}),
    ),
    case(
        "FS155",
        "spec.fallback",
        scaled(triggers=[CPU]),
        scaled(triggers=[CPU, QUEUE]),
        says="for which there is no fallback",
    ),
    case(
        "FS155",
        "spec.fallback.failureThreshold",
        edited(SCALED, {"spec fallback failureThreshold": -1}),
        SCALED,
    ),
    case(
        "FS144",
        "spec.cooldownPeriod",
        edited(FROM_ZERO, {"spec cooldownPeriod": 599}),
        edited(FROM_ZERO, {"spec cooldownPeriod": 600}),
        says="waits 599 s and goes straight to 0; a start takes 5m; set 600 or more",
    ),
    case(
        "FS144",
        "spec.cooldownPeriod",
        edited(IDLE, {"spec cooldownPeriod": 30}),
        edited(IDLE, {"spec cooldownPeriod": 30, f"{METADATA} minReplicas": "2"}),
        says="waits 30 s and goes straight to 0",
    ),
    case(
        "FS145",
        "spec.initialCooldownPeriod",
        edited(IDLE, {"spec initialCooldownPeriod": GONE}),
        edited(IDLE, {"spec initialCooldownPeriod": GONE, "spec idleReplicaCount": GONE}),
    ),
    case(
        "FS145",
        "spec.initialCooldownPeriod",
        edited(FROM_ZERO, {"spec initialCooldownPeriod": GONE}),
        edited(FROM_ZERO, {"spec initialCooldownPeriod": 300}),
    ),
    case(
        "FS156",
        "spec.triggers[0].type",
        ADVISED_BY_POLL,
        edited(ADVISED_BY_POLL, {f"{TRIGGER} type": "external-push"}),
        says="may scale the workload to 0",
    ),
    case(
        "FS156",
        "spec.triggers[0].type",
        edited(IDLE, {f"{TRIGGER} type": "external", f"{METADATA} mode": "advise"}),
        edited(
            IDLE,
            {
                f"{TRIGGER} type": "external",
                f"{METADATA} mode": "advise",
                f"{METADATA} minReplicas": "2",
            },
        ),
    ),
    case(
        "FS156",
        "spec.triggers[0].type",
        ADVISED_BY_POLL,
        edited(ADVISED_BY_POLL, {"metadata annotations": PAUSED_SCALE_IN}),
    ),
    case(
        "FS110",
        "metadata.annotations['autoscaling.keda.sh/paused-scale-in']",
        edited(SCALED, {"metadata annotations": PAUSED_SCALE_IN}),
        edited(ADVISED_BY_POLL, {"metadata annotations": PAUSED_SCALE_IN}),
    ),
    case("FS146", "spec.pollingInterval", scaled(pollingInterval=5), scaled(pollingInterval=60)),
    case(
        "FS147",
        f"{'.'.join(DOWN.split())}.stabilizationWindowSeconds",
        edited(SCALED, {f"{DOWN} stabilizationWindowSeconds": GONE}),
        SCALED,
        says="held 300 s longer",
    ),
    case(
        "FS148",
        f"{'.'.join(UP.split())}.stabilizationWindowSeconds",
        edited(SCALED, {f"{UP} stabilizationWindowSeconds": 30}),
        SCALED,
    ),
    case(
        # Ten steps of 4, one a minute; without policies 1 → 5 → 10 → 20 → 40: 60 s.
        "FS149",
        f"{'.'.join(UP.split())}.policies",
        edited(SCALED, {f"{UP} policies": [{"type": "Pods", "value": 4, "periodSeconds": 60}]}),
        edited(SCALED, {f"{UP} policies": GONE}),
        says="from 1 to 40 replicas takes 9m15s",
    ),
    case(
        "FS149",
        f"{'.'.join(UP.split())}.policies",
        edited(SCALED, {f"{UP} policies": [{"type": "Pods", "value": 20, "periodSeconds": 300}]}),
        edited(SCALED, {f"{UP} policies": [{"type": "Pods", "value": 40, "periodSeconds": 300}]}),
        says="from 1 to 40 replicas takes 5m15s",
    ),
    case(
        # 1 → 4 → 8 → 16 → 32 → 40
        "FS149",
        f"{'.'.join(UP.split())}.policies",
        edited(
            SCALED,
            {
                "spec advanced": GONE,
            },
        ),
        SCALED,
        says="takes 1m15s",
    ),
    case(
        "FS150",
        f"{'.'.join(UP.split())}.selectPolicy",
        edited(SCALED, {f"{UP} selectPolicy": "Disabled"}),
        SCALED,
    ),
    case(
        "FS151",
        f"{'.'.join(UP.split())}.tolerance",
        edited(SCALED, {f"{UP} tolerance": GONE}),
        SCALED,
    ),
    case(
        "FS152",
        f"{'.'.join(UP.split())}.policies[0].tolerance",
        edited(SCALED, {f"{UP} policies 0 tolerance": "0"}),
        SCALED,
    ),
    case(
        "FS153",
        f"{'.'.join(UP.split())}.tolerance",
        edited(SCALED, {f"{UP} tolerance": 0}),
        SCALED,
    ),
    case(
        "FS154",
        f"{'.'.join(DOWN.split())}.stabilizationWindowSeconds",
        edited(SCALED, {f"{DOWN} stabilizationWindowSeconds": 3601}),
        edited(SCALED, {f"{DOWN} stabilizationWindowSeconds": 3600}),
    ),
    case(
        "FS154",
        "spec.behavior.scaleUp.policies[0].periodSeconds",
        edited(
            HPA,
            {"spec behavior": {"scaleUp": {"policies": [{**POLICY_UP, "periodSeconds": 1801}]}}},
        ),
        edited(
            HPA,
            {"spec behavior": {"scaleUp": {"policies": [{**POLICY_UP, "periodSeconds": 1800}]}}},
        ),
    ),
)
