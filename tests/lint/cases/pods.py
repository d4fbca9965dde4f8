"""Cases of pods, buffers and claims."""

from tests.lint.case import case
from tests.lint.manifests import (
    BUFFER,
    CLAIMED,
    CONTAINER,
    DEPLOYMENT,
    GONE,
    POD,
    POOL,
    PRIORITY,
    REQUEST,
    SCALED,
    SELECTOR,
    STATIC,
    TEMPLATE,
    edited,
)  # fmt: skip

ALTERNATIVES = [{"name": f"a{n}", "deviceClassName": "gpu.nvidia.com"} for n in range(9)]
OF_NVIDIA = 'device.driver == "gpu.nvidia.com" && '
MEMORY = f'{OF_NVIDIA}device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("{{}}Gi")) >= 0'
PRODUCT = f'{OF_NVIDIA}device.attributes["gpu.nvidia.com"].productName == "NVIDIA H100"'
LIMITS_ONLY = edited(DEPLOYMENT, {f"{CONTAINER} resources requests": GONE})
LIVENESS = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 10}
NOTE = "spec template metadata annotations"
CHEAP = {"foresail.io/model-parameters": "70B", "foresail.io/precision": "fp8"}
CASES = (
    case(
        "FS501",
        "spec.scalableRef.name",
        (BUFFER, LIMITS_ONLY),
        (BUFFER, DEPLOYMENT),
        says="has nvidia.com/gpu under limits only",
    ),
    case(
        "FS502",
        "apiVersion",
        edited(BUFFER, {"apiVersion": "autoscaling.x-k8s.io/v1alpha1"}),
        BUFFER,
    ),
    case("FS503", "spec.percentage", edited(BUFFER, {"spec percentage": 10}), BUFFER),
    case(
        "FS504",
        "metadata.ownerReferences",
        edited(BUFFER, {"metadata ownerReferences": [{"kind": "Deployment", "name": "x"}]}),
        BUFFER,
    ),
    case("FS505", "spec.scalableRef.name", (BUFFER, CLAIMED), (BUFFER, DEPLOYMENT)),
    case("FS506", "spec.podTemplateRef", edited(BUFFER, {"spec scalableRef": GONE}), BUFFER),
    case(
        "FS506",
        "spec.replicas",
        edited(
            BUFFER,
            {
                "spec scalableRef": GONE,
                "spec podTemplateRef": {"name": "one"},
                "spec replicas": GONE,
                "spec percentage": 10,
            },
        ),
        edited(BUFFER, {"spec replicas": GONE, "spec percentage": 10}),
    ),
    case("FS506", "spec.replicas", edited(BUFFER, {"spec replicas": GONE}), BUFFER),
    case(
        "FS507",
        "spec.scalableRef.name",
        (BUFFER, DEPLOYMENT, SCALED),
        (edited(BUFFER, {"spec replicas": 0}), DEPLOYMENT, SCALED),
    ),
    case(
        "FS508",
        "value",
        (POOL, edited(PRIORITY, {"value": -33_554_432})),
        (POOL, edited(PRIORITY, {"value": -33_554_431})),
    ),
    case(
        "FS508",
        "spec.template.metadata.annotations['controller.kubernetes.io/pod-deletion-cost']",
        (
            POOL,
            edited(
                DEPLOYMENT, {f"{NOTE} controller.kubernetes.io/pod-deletion-cost": "-134217728"}
            ),
        ),
        (
            POOL,
            edited(
                DEPLOYMENT, {f"{NOTE} controller.kubernetes.io/pod-deletion-cost": "-134217727"}
            ),
        ),
    ),
    case(
        "FS509",
        "value",
        (
            edited(PRIORITY, {"value": -11}),
            edited(DEPLOYMENT, {f"{POD} priorityClassName": "placeholder"}),
        ),
        (PRIORITY, edited(DEPLOYMENT, {f"{POD} priorityClassName": "placeholder"})),
    ),
    case(
        "FS521",
        "spec.template.spec.containers[0].readinessProbe",
        edited(DEPLOYMENT, {f"{CONTAINER} readinessProbe": GONE}),
        # A generator of load, in an image with an engine.
        edited(
            DEPLOYMENT,
            {
                f"{CONTAINER} readinessProbe": GONE,
                f"{CONTAINER} ports": GONE,
                f"{CONTAINER} command": ["sleep", "infinity"],
            },
        ),
    ),
    case(
        "FS522",
        "spec.template.spec.containers[0].livenessProbe",
        edited(DEPLOYMENT, {f"{CONTAINER} livenessProbe": LIVENESS}),
        edited(DEPLOYMENT, {f"{CONTAINER} livenessProbe": {**LIVENESS, "initialDelaySeconds": 90}}),
        says="ends the container 30 s after its start",
    ),
    case(
        "FS523",
        "spec.template.spec.terminationGracePeriodSeconds",
        (SCALED, edited(DEPLOYMENT, {f"{POD} terminationGracePeriodSeconds": GONE})),
        (SCALED, DEPLOYMENT),
    ),
    case(
        "FS524",
        "spec.template.spec.containers[0].resources.limits['nvidia.com/gpu']",
        edited(DEPLOYMENT, {f"{CONTAINER} resources limits": GONE}),
        LIMITS_ONLY,
        says="a GPU under requests needs the same number under limits",
    ),
    case(
        "FS524",
        "spec.template.spec.containers[0].resources.limits['nvidia.com/gpu']",
        edited(LIMITS_ONLY, {f"{CONTAINER} resources limits nvidia.com/gpu": "500m"}),
        edited(LIMITS_ONLY, {f"{CONTAINER} resources limits nvidia.com/gpu": "8"}),
        says="whole GPUs only",
    ),
    case(
        "FS525",
        "spec.template.metadata.annotations['karpenter.sh/do-not-disrupt']",
        edited(DEPLOYMENT, {f"{NOTE} karpenter.sh/do-not-disrupt": "yes"}),
        edited(DEPLOYMENT, {f"{NOTE} karpenter.sh/do-not-disrupt": "15m"}),
    ),
    case(
        "FS525",
        "metadata.annotations['karpenter.sh/do-not-disrupt']",
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "n", "annotations": {"karpenter.sh/do-not-disrupt": "15m"}},
        },
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "n", "annotations": {"karpenter.sh/do-not-disrupt": "true"}},
        },
    ),
    case(
        "FS526",
        "spec.template.metadata.annotations['karpenter.sh/do-not-disrupt']",
        edited(DEPLOYMENT, {f"{NOTE} karpenter.sh/do-not-disrupt": "true"}),
        edited(DEPLOYMENT, {f"{NOTE} karpenter.sh/do-not-disrupt": "15m"}),
    ),
    case(
        "FS527",
        "spec.template.spec.tolerations",
        (edited(POOL, {"spec template spec taints 0 key": "gpu.example/pool"}), DEPLOYMENT),
        (POOL, edited(DEPLOYMENT, {f"{POD} tolerations": GONE})),
        says="add a toleration for gpu.example/pool:NoSchedule",
    ),
    case(
        "FS528",
        "spec.template.metadata.annotations['foresail.io/precision']",
        edited(DEPLOYMENT, {NOTE: {**CHEAP, "foresail.io/precision": "fp9"}}),
        edited(DEPLOYMENT, {NOTE: CHEAP}),
    ),
    case(
        "FS528",
        "spec.template.metadata.annotations['foresail.io/model-paramters']",
        edited(DEPLOYMENT, {NOTE: {"foresail.io/model-paramters": "70B"}}),
        edited(DEPLOYMENT, {NOTE: {"foresail.io/explain": "event"}}),
        says="did you mean foresail.io/model-parameters?",
    ),
    case(
        "FS541",
        ".".join(REQUEST.replace(" 0", "[0]").split()) + ".exactly.selectors[0].cel.expression",
        edited(
            TEMPLATE,
            {SELECTOR: MEMORY.format(80)},
        ),
        edited(
            TEMPLATE,
            {SELECTOR: MEMORY.format(70)},
        ),
        says='compare with quantity("76Gi")',
    ),
    case(
        "FS542",
        ".".join(REQUEST.replace(" 0", "[0]").split()) + ".exactly.selectors[0].cel.expression",
        edited(TEMPLATE, {SELECTOR: 'device.attributes["gpu.nvidia.com"].brand == "Tesla"'}),
        TEMPLATE,
    ),
    case(
        "FS543",
        ".".join(REQUEST.replace(" 0", "[0]").split()) + ".exactly",
        edited(
            TEMPLATE,
            {SELECTOR: PRODUCT},
        ),
        TEMPLATE,
    ),
    case(
        "FS544",
        ".".join(REQUEST.replace(" 0", "[0]").split()) + ".firstAvailable",
        edited(TEMPLATE, {f"{REQUEST} exactly": GONE, f"{REQUEST} firstAvailable": ALTERNATIVES}),
        edited(
            TEMPLATE, {f"{REQUEST} exactly": GONE, f"{REQUEST} firstAvailable": ALTERNATIVES[:8]}
        ),
    ),
    case(
        "FS545", "apiVersion", edited(TEMPLATE, {"apiVersion": "resource.k8s.io/v1beta1"}), TEMPLATE
    ),
    case(
        "FS546",
        "spec.template.spec.containers[0].resources.claims[0].name",
        edited(CLAIMED, {f"{CONTAINER} resources claims 0 name": "gpu"}),
        CLAIMED,
        says="(gpus)",
    ),
    case(
        "FS547",
        "spec.template.spec.resourceClaims[0].name",
        edited(CLAIMED, {f"{CONTAINER} resources": GONE}),
        CLAIMED,
    ),
    case("FS548", "spec.template.spec.resourceClaims", (POOL, CLAIMED), (POOL, STATIC, CLAIMED)),
)
