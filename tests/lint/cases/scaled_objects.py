"""Cases of what a ScaledObject scales."""

from tests.lint.case import case, scaled
from tests.lint.manifests import (
    AUTHENTICATION,
    DEPLOYMENT,
    GONE,
    HPA,
    METADATA,
    PROMETHEUS,
    SCALED,
    SCALED_JOB,
    edited,
)  # fmt: skip

HPA_CONFIG = "spec advanced horizontalPodAutoscalerConfig"
RENAMED = edited(SCALED, {"metadata name": "other"})
CASES = (
    case(
        "FS101",
        "spec.minReplicaCount",
        edited(SCALED, {"spec minReplicaCount": 41, f"{METADATA} minReplicas": "41"}),
        scaled(minReplicaCount=1),
        says="is 41: above maxReplicaCount, which is 40; lower minReplicaCount or raise",
    ),
    case(
        "FS101",
        "spec.minReplicas",
        edited(HPA, {"spec minReplicas": 9}),
        HPA,
        says="HorizontalPodAutoscaler llm/qwen3-32b: spec.minReplicas is 9",
    ),
    case("FS102", "spec.idleReplicaCount", scaled(idleReplicaCount=1), scaled(idleReplicaCount=0)),
    case(
        "FS103",
        "spec.maxReplicaCount",
        (edited(PROMETHEUS, {"spec maxReplicaCount": GONE}), DEPLOYMENT),
        (edited(PROMETHEUS, {"spec maxReplicaCount": 8}), DEPLOYMENT),
        says="spec.maxReplicaCount is not set: KEDA takes 100",
    ),
    case(
        "FS104",
        "spec.scaleTargetRef.name",
        (SCALED, HPA),
        (SCALED, edited(HPA, {"metadata ownerReferences": [{"kind": "ScaledObject"}]})),
        says="HorizontalPodAutoscaler llm/qwen3-32b scales it too",
    ),
    case(
        "FS104",
        "spec.scaleTargetRef.name",
        (SCALED, RENAMED),
        (SCALED, edited(RENAMED, {"metadata namespace": "elsewhere"})),
    ),
    case(
        "FS105",
        "spec.scaleTargetRef.name",
        (edited(SCALED, {"spec scaleTargetRef name": "qwen-32b"}), DEPLOYMENT),
        (SCALED, DEPLOYMENT),
        says="did you mean 'qwen3-32b'?",
    ),
    case(
        "FS105",
        "spec.scaleTargetRef.name",
        (SCALED, AUTHENTICATION),
        (SCALED, DEPLOYMENT, AUTHENTICATION),
        says="no such Deployment in namespace llm",
        live=True,
    ),
    case(
        "FS106",
        "spec.scaleTargetRef.name",
        (SCALED, edited(DEPLOYMENT, {"spec replicas": 2})),
        (SCALED, DEPLOYMENT),
    ),
    case(
        "FS107",
        "spec.scaleTargetRef.kind",
        edited(SCALED, {"spec scaleTargetRef kind": "DaemonSet"}),
        edited(SCALED, {"spec scaleTargetRef kind": "StatefulSet"}),
    ),
    case(
        "FS108",
        "spec.triggers[0].type",
        edited(SCALED_JOB, {"spec triggers": SCALED["spec"]["triggers"]}),
        SCALED_JOB,
    ),
    case(
        "FS109",
        "metadata.name",
        edited(SCALED, {"metadata name": "m" * 55}),
        edited(SCALED, {"metadata name": "m" * 54}),
        says="is 'mmm",
    ),
    case(
        "FS109",
        "metadata.name",
        edited(SCALED, {"metadata name": "m" * 64, f"{HPA_CONFIG} name": "short"}),
        edited(SCALED, {"metadata name": "m" * 63, f"{HPA_CONFIG} name": "short"}),
    ),
    case(
        "FS110",
        "metadata.annotations['autoscaling.keda.sh/paused']",
        edited(SCALED, {"metadata annotations": {"autoscaling.keda.sh/paused": "true"}}),
        edited(SCALED, {"metadata annotations": {"autoscaling.keda.sh/paused": "false"}}),
    ),
    *(
        case(
            "FS110",
            f"metadata.annotations['autoscaling.keda.sh/{paused}']",
            edited(SCALED, {"metadata annotations": {f"autoscaling.keda.sh/{paused}": value}}),
            edited(SCALED, {"metadata annotations": {f"autoscaling.keda.sh/{runs}": no}}),
        )
        for paused, value, runs, no in (
            ("paused-replicas", "0", "paused", "0"),
            ("paused", "no", "paused-scale-out", "F"),
        )
    ),
    case(
        "FS126",
        "apiVersion",
        edited(SCALED, {"apiVersion": "keda.k8s.io/v1alpha1"}),
        SCALED,
    ),
)
