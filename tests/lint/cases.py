"""For each rule manifests that it objects to, where, and the same ones mended."""

from dataclasses import dataclass

from tests.lint.manifests import (
    AUTHENTICATION,
    BUDGET,
    BUFFER,
    CLAIMED,
    CONTAINER,
    DEPLOYMENT,
    DISRUPTION,
    DOWN,
    FROM_ZERO,
    GONE,
    HPA,
    METADATA,
    NODE_CLAIM,
    POD,
    POLICY,
    POOL,
    PRIORITY,
    PROMETHEUS,
    REQUEST,
    SCALED,
    SCALED_JOB,
    SCHEDULER,
    SELECTOR,
    SERVICE,
    STATIC,
    TEMPLATE,
    TRIGGER,
    UP,
    Manifest,
    edited,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One rule's."""

    rule: str
    found: tuple[Manifest, ...]
    at: str
    """The field that the finding names."""
    clean: tuple[Manifest, ...]
    says: str = ""
    """Words of the message."""
    live: bool = False
    node_lead_seconds: float | None = None


def case(
    rule: str,
    at: str,
    found: Manifest | tuple[Manifest, ...],
    clean: Manifest | tuple[Manifest, ...],
    **more: object,
) -> Case:
    pairs = (one if isinstance(one, tuple) else (one,) for one in (found, clean))
    bad, good = pairs
    return Case(rule=rule, at=at, found=bad, clean=good, **more)  # type: ignore[arg-type]


def scaled(**changes: object) -> Manifest:
    """A ScaledObject with other fields of its spec."""
    return edited(SCALED, {f"spec {name}": value for name, value in changes.items()})


def trigger(**changes: object) -> Manifest:
    return edited(SCALED, {f"{TRIGGER} {name}": value for name, value in changes.items()})


def metadata(**changes: object) -> Manifest:
    return edited(SCALED, {f"{METADATA} {name}": value for name, value in changes.items()})


POLICY_UP = {"type": "Pods", "value": 4}
HPA_CONFIG = "spec advanced horizontalPodAutoscalerConfig"
CPU = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}
TWO = edited(SCALED, {"spec triggers 1": CPU})
ADVISING = edited(SCALED, {f"{METADATA} mode": "advise"})
RENAMED = edited(SCALED, {"metadata name": "other"})
MODIFIERS = "spec advanced scalingModifiers"
FORMULA = {"formula": "max(foresail, queue)", "target": "1"}
QUEUE = {**PROMETHEUS["spec"]["triggers"][0]}
COMPOSITE = edited(SCALED, {"spec triggers 1": QUEUE, MODIFIERS: FORMULA})

SCALED_OBJECTS = (
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
    case(
        "FS126",
        "apiVersion",
        edited(SCALED, {"apiVersion": "keda.k8s.io/v1alpha1"}),
        SCALED,
    ),
)
TRIGGERS = (
    case("FS111", "spec.triggers[0].metricType", trigger(metricType="Value"), SCALED),
    case("FS111", "spec.triggers[0].metricType", trigger(metricType="Utilization"), TWO),
    case(
        "FS112",
        "spec.triggers[0].metadata.metricType",
        metadata(metricType="AverageValue"),
        trigger(metricType="AverageValue"),
    ),
    case(
        "FS113",
        "spec.triggers[0].useCachedMetrics",
        trigger(useCachedMetrics=True),
        trigger(useCachedMetrics=False),
    ),
    case(
        "FS114",
        "spec.triggers[0].metadata.query",
        edited(PROMETHEUS, {f"{METADATA} query": "avg(vllm:kv_cache_usage_perc)"}),
        edited(
            PROMETHEUS,
            {
                f"{METADATA} query": "avg(vllm:kv_cache_usage_perc)",
                f"{TRIGGER} metricType": "Value",
            },
        ),
    ),
    case("FS115", "spec.triggers", TWO, SCALED),
    case(
        "FS116",
        "spec.triggers[0].metadata.otherTriggers",
        edited(ADVISING, {"spec triggers 1": CPU}),
        edited(ADVISING, {"spec triggers 1": CPU, f"{METADATA} otherTriggers": "true"}),
        says="removes no replica",
    ),
    case(
        "FS116",
        "spec.triggers[0].metadata.otherTriggers",
        edited(ADVISING, {f"{METADATA} otherTriggers": "true"}),
        ADVISING,
        says="goes to its minimum",
    ),
    case(
        "FS117",
        "spec.triggers[0].metadata.leadtime",
        metadata(leadtime="5m"),
        metadata(leadTime="90s"),
        says="did you mean 'leadTime'?",
    ),
    case(
        "FS117",
        "spec.triggers[0].metadata.quantile",
        metadata(quantile="0.999"),
        metadata(quantile="0.99"),
        says="it takes a number from 0.5 to 0.995",
    ),
    case(
        "FS118",
        "spec.triggers[0].metadata.maxReplicas",
        metadata(maxReplicas="50"),
        metadata(maxReplicas="40"),
        says="is '50': maxReplicaCount is 40, and KEDA does not send it; set maxReplicas: \"40\"",
    ),
    case(
        "FS118",
        "spec.triggers[0].metadata.minReplicas",
        edited(SCALED, {"spec minReplicaCount": GONE}),
        edited(SCALED, {f"{METADATA} minReplicas": GONE}),
        says="minReplicaCount is 0",
    ),
    case(
        "FS119",
        "spec.triggers[0].type",
        edited(FROM_ZERO, {f"{TRIGGER} type": "external"}),
        FROM_ZERO,
    ),
    case(
        "FS120",
        "spec.advanced.scalingModifiers.formula",
        edited(COMPOSITE, {f"{TRIGGER} name": "ours"}),
        COMPOSITE,
        says="no trigger has the name 'foresail'",
    ),
    case(
        "FS120",
        "spec.advanced.scalingModifiers.target",
        edited(COMPOSITE, {f"{MODIFIERS} target": GONE}),
        COMPOSITE,
    ),
    case(
        "FS121",
        "spec.advanced.scalingModifiers.formula",
        edited(COMPOSITE, {f"{MODIFIERS} formula": "foresail - queue"}),
        edited(COMPOSITE, {f"{MODIFIERS} formula": "max(foresail - queue, 0)"}),
    ),
    case(
        "FS122",
        "spec.triggers[0].metadata.ignoreNullValues",
        edited(PROMETHEUS, {f"{METADATA} ignoreNullValues": GONE}),
        PROMETHEUS,
        says="is not set: an empty answer counts as 0",
    ),
    case(
        "FS123",
        "spec.minReplicaCount",
        edited(PROMETHEUS, {"spec minReplicaCount": 0}),
        edited(
            PROMETHEUS,
            {"spec minReplicaCount": 0, f"{METADATA} query": "sum(llm_d_epp_queue_size)"},
        ),
    ),
    case(
        "FS124",
        "spec.triggers[0].metadata.scalerAddress",
        metadata(scalerAddress=GONE),
        metadata(scalerAddress="foresail:6500"),
    ),
    case(
        "FS124",
        "spec.triggers[0].metadata.scalerAddress",
        metadata(scalerAddress="http://foresail:6500"),
        SCALED,
        says="without a scheme",
    ),
    case(
        "FS125",
        "spec.triggers[0].metadata.scalerAddress",
        (SCALED, edited(SERVICE, {"spec clusterIP": GONE})),
        (SCALED, SERVICE),
        says="Service foresail/foresail is not headless",
    ),
    case("FS131", "spec.triggers[0].metadata.caCert", metadata(caCert="PEM"), SCALED),
    case(
        "FS132",
        "spec.secretTargetRef[1].parameter",
        edited(AUTHENTICATION, {"spec secretTargetRef 2": GONE}),
        AUTHENTICATION,
        says="is 'tlsClientCert': tlsClientKey is missing",
    ),
    case(
        "FS133",
        "spec.triggers[0].metadata.enableTLS",
        edited(SCALED, {f"{METADATA} enableTLS": GONE, f"{TRIGGER} authenticationRef": GONE}),
        metadata(enableTLS=GONE),
    ),
    case("FS134", "spec.triggers[0].metadata.unsafeSsl", metadata(unsafeSsl="true"), SCALED),
    case(
        "FS135",
        "spec.triggers[0].authenticationRef.name",
        (edited(SCALED, {f"{TRIGGER} authenticationRef kind": GONE}), AUTHENTICATION),
        (SCALED, AUTHENTICATION),
        says="but ClusterTriggerAuthentication foresail",
    ),
)
FOLLOWING = (
    case("FS141", "spec.fallback", scaled(fallback=GONE), edited(FROM_ZERO, {})),
    case(
        "FS142",
        "spec.fallback.behavior",
        edited(SCALED, {"spec fallback behavior": GONE}),
        SCALED,
        says="static removes replicas",
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
        "FS145",
        "spec.initialCooldownPeriod",
        edited(FROM_ZERO, {"spec initialCooldownPeriod": GONE}),
        edited(FROM_ZERO, {"spec initialCooldownPeriod": 300}),
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
        says="from 1 to 40 replicas takes 10m",
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
MADE = edited(
    NODE_CLAIM,
    {
        "metadata": {
            "name": "h100-x",
            "labels": {"karpenter.sh/nodepool": "h100"},
            "creationTimestamp": "2026-11-28T10:00:00Z",
        },
        "status conditions": [
            {
                "type": "Initialized",
                "status": "True",
                "lastTransitionTime": "2026-11-28T10:12:00Z",
            }
        ],
    },
)
NODE_POOLS = (
    case(
        "FS201",
        "spec.disruption.consolidationPolicy",
        edited(POOL, {"spec disruption consolidationPolicy": GONE}),
        POOL,
    ),
    case(
        "FS202",
        "spec.disruption.consolidateAfter",
        (POOL, edited(SCALED, {f"{METADATA} leadTime": "11m"})),
        (POOL, SCALED),
        says="is '10m': a new node takes 11m (leadTime of ScaledObject llm/qwen3-32b)",
    ),
    case(
        "FS202",
        "spec.disruption.consolidateAfter",
        POOL,
        edited(POOL, {"spec disruption consolidateAfter": "12m"}),
        node_lead_seconds=720.0,
        says="(--node-lead-time)",
    ),
    case(
        # Ordered at 10:00, initialized at 10:12.
        "FS202",
        "spec.disruption.consolidateAfter",
        (POOL, MADE),
        (edited(POOL, {"spec disruption consolidateAfter": "12m"}), MADE),
        says="a new node takes 12m (NodeClaim h100-x)",
    ),
    case(
        "FS203",
        "spec.disruption.consolidateAfter",
        edited(POOL, {"spec disruption consolidateAfter": "0s"}),
        edited(POOL, {"spec disruption consolidateAfter": "Never"}),
    ),
    case("FS204", "spec.limits", edited(POOL, {"spec limits": GONE}), POOL),
    case("FS205", "spec.weight", edited(STATIC, {"spec weight": 5}), STATIC),
    case(
        "FS205",
        "spec.limits['nvidia.com/gpu']",
        edited(STATIC, {"spec limits nvidia.com/gpu": 8}),
        STATIC,
    ),
    case(
        "FS206",
        "spec.template.spec.startupTaints",
        edited(STATIC, {"spec template spec startupTaints": GONE}),
        STATIC,
    ),
    case(
        "FS207",
        "spec.template.spec.taints[1].key",
        edited(POOL, {"spec template spec taints 1": {"key": "gpu.example/not-ready"}}),
        edited(POOL, {"spec template spec startupTaints": [{"key": "gpu.example/not-ready"}]}),
    ),
    case("FS208", "apiVersion", edited(POOL, {"apiVersion": "karpenter.sh/v1beta1"}), POOL),
    case(
        "FS209",
        "spec.template.metadata.annotations['karpenter.sh/do-not-disrupt']",
        edited(
            POOL, {"spec template metadata annotations": {"karpenter.sh/do-not-disrupt": "true"}}
        ),
        POOL,
    ),
    case(
        "FS210",
        "spec.template.spec.terminationGracePeriod",
        (edited(POOL, {"spec template spec terminationGracePeriod": "4m"}), DEPLOYMENT),
        (edited(POOL, {"spec template spec terminationGracePeriod": "5m"}), DEPLOYMENT),
        says="given 5m to end their answers (Deployment llm/qwen3-32b)",
    ),
    case(
        "FS211",
        "spec.disruption.budgets[0].nodes",
        edited(POOL, {f"{BUDGET} nodes": "ten"}),
        edited(POOL, {f"{BUDGET} nodes": "100%"}),
    ),
    case(
        "FS211",
        "spec.disruption.budgets[0].duration",
        edited(POOL, {f"{BUDGET} schedule": "@daily"}),
        edited(POOL, {f"{BUDGET} schedule": "@daily", f"{BUDGET} duration": "8h"}),
        says="go together",
    ),
    case(
        "FS211",
        "spec.disruption.budgets[0].schedule",
        edited(POOL, {f"{BUDGET} schedule": "9am mon-fri", f"{BUDGET} duration": "8h"}),
        edited(POOL, {f"{BUDGET} schedule": "* * * * mon-fri", f"{BUDGET} duration": "8h"}),
    ),
    case(
        "FS211",
        "spec.disruption.budgets[0].duration",
        edited(POOL, {f"{BUDGET} schedule": "0 9 ? * *", f"{BUDGET} duration": "0.5h"}),
        edited(POOL, {f"{BUDGET} schedule": "0 9 ? * *", f"{BUDGET} duration": "8h30m"}),
    ),
    case(
        "FS212",
        "spec.disruption.budgets[0].schedule",
        edited(POOL, {f"{BUDGET} schedule": "0 9 * * mon-fri", f"{BUDGET} duration": "8h"}),
        edited(POOL, {f"{BUDGET} schedule": "@hourly", f"{BUDGET} duration": "10m"}),
    ),
    case(
        "FS213",
        "spec.disruption.budgets[0].nodes",
        edited(POOL, {f"{BUDGET} nodes": "0"}),
        edited(POOL, {f"{BUDGET} nodes": "0", f"{BUDGET} reasons": ["Underutilized"]}),
    ),
    case(
        "FS214",
        "spec.disruption.budgets[0].reasons[0]",
        edited(POOL, {f"{BUDGET} reasons": ["Expired"]}),
        edited(POOL, {f"{BUDGET} reasons": ["Drifted"]}),
    ),
    case(
        "FS215",
        "spec.disruption.consolidationPolicy",
        edited(POOL, {"spec disruption consolidationPolicy": "WhenUnderutilized"}),
        POOL,
    ),
    case(
        "FS215",
        "spec.disruption.consolidateAfter",
        edited(POOL, {"spec disruption consolidateAfter": "1.5h"}),
        POOL,
    ),
    case(
        "FS216",
        "spec.template.spec.expireAfter",
        edited(POOL, {"spec template spec expireAfter": GONE}),
        POOL,
    ),
    case(
        "FS217",
        "spec.weight",
        edited(POOL, {"spec weight": 101}),
        edited(POOL, {"spec weight": 100}),
    ),
    case(
        "FS218",
        "spec.resources.requests",
        edited(NODE_CLAIM, {"spec resources requests": {"cpu": 8}}),
        NODE_CLAIM,
    ),
    case(
        "FS219", "spec.template.spec.taints", edited(POOL, {"spec template spec taints": []}), POOL
    ),
    case(
        "FS220",
        "spec.disruption.expireAfter",
        edited(POOL, {"spec disruption expireAfter": "24h"}),
        POOL,
    ),
)
EXTENDER = "extenders 0"
SECOND = {**SCHEDULER["extenders"][0], "urlPrefix": "http://gpus:80", "bindVerb": "bind"}
SCHEDULERS = (
    case(
        "FS301",
        "extenders[0].ignorable",
        edited(SCHEDULER, {f"{EXTENDER} ignorable": GONE}),
        SCHEDULER,
    ),
    case(
        "FS302",
        "extenders[0].nodeCacheCapable",
        edited(SCHEDULER, {f"{EXTENDER} nodeCacheCapable": False}),
        SCHEDULER,
    ),
    case(
        "FS303",
        "extenders[0].managedResources",
        edited(SCHEDULER, {f"{EXTENDER} managedResources": [{"name": "nvidia.com/gpu"}]}),
        SCHEDULER,
    ),
    case(
        "FS304", "extenders[0].weight", edited(SCHEDULER, {f"{EXTENDER} weight": GONE}), SCHEDULER
    ),
    case(
        "FS305",
        "extenders[0].httpTimeout",
        edited(SCHEDULER, {f"{EXTENDER} httpTimeout": GONE}),
        SCHEDULER,
        says="for 5 s",
    ),
    case(
        "FS306",
        "percentageOfNodesToScore",
        edited(SCHEDULER, {"percentageOfNodesToScore": 50}),
        SCHEDULER,
    ),
    case(
        "FS307",
        "extenders[0].tlsConfig.caFile",
        edited(SCHEDULER, {f"{EXTENDER} enableHTTPS": True}),
        edited(SCHEDULER, {f"{EXTENDER} enableHTTPS": True, f"{EXTENDER} tlsConfig caFile": "ca"}),
    ),
    case(
        "FS308",
        "extenders[0].bindVerb",
        edited(SCHEDULER, {f"{EXTENDER} bindVerb": "bind"}),
        SCHEDULER,
    ),
    case(
        "FS308",
        "extenders[2].bindVerb",
        edited(SCHEDULER, {"extenders 1": SECOND, "extenders 2": SECOND}),
        edited(SCHEDULER, {"extenders 1": SECOND}),
    ),
    case(
        "FS309",
        "leaderElection.resourceName",
        edited(SCHEDULER, {"leaderElection": GONE}),
        edited(SCHEDULER, {"leaderElection": {"leaderElect": False}}),
    ),
    case(
        "FS310",
        "apiVersion",
        edited(SCHEDULER, {"apiVersion": "kubescheduler.config.k8s.io/v1beta3"}),
        SCHEDULER,
    ),
    case(
        "FS311",
        "profiles[0].plugins.score.disabled",
        edited(SCHEDULER, {"profiles 0 plugins": GONE}),
        edited(SCHEDULER, {"profiles 0 plugins score disabled": [{"name": "*"}]}),
    ),
    case(
        "FS312",
        "profiles[0].schedulerName",
        (SCHEDULER, DEPLOYMENT),
        (SCHEDULER, edited(DEPLOYMENT, {f"{POD} schedulerName": "foresail"})),
    ),
    case(
        "FS313",
        "spec.template.spec.schedulerName",
        (SCHEDULER, edited(DEPLOYMENT, {f"{POD} schedulerName": "foresale"})),
        (SCHEDULER, edited(DEPLOYMENT, {f"{POD} schedulerName": "foresail"})),
        says="did you mean 'foresail'?",
    ),
    case(
        "FS314",
        "spec.template.spec.schedulerName",
        (
            edited(CLAIMED, {f"{POD} schedulerName": "foresail"}),
            edited(CLAIMED, {"metadata name": "b"}),
        ),
        (
            edited(CLAIMED, {f"{POD} schedulerName": "foresail"}),
            edited(CLAIMED, {"metadata name": "b", f"{POD} schedulerName": "foresail"}),
        ),
        says="Deployment llm/b has claims too, and goes through default-scheduler",
    ),
)
ALTERNATIVES = [{"name": f"a{n}", "deviceClassName": "gpu.nvidia.com"} for n in range(9)]
OF_NVIDIA = 'device.driver == "gpu.nvidia.com" && '
MEMORY = f'{OF_NVIDIA}device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("{{}}Gi")) >= 0'
PRODUCT = f'{OF_NVIDIA}device.attributes["gpu.nvidia.com"].productName == "NVIDIA H100"'
LIMITS_ONLY = edited(DEPLOYMENT, {f"{CONTAINER} resources requests": GONE})
LIVENESS = {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 10}
NOTE = "spec template metadata annotations"
CHEAP = {"foresail.io/model-parameters": "70B", "foresail.io/precision": "fp8"}
PODS = (
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
        says="has 2 replicas, so none may ever go",
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
    case(
        "FS533",
        "spec.unhealthyPodEvictionPolicy",
        (edited(DISRUPTION, {"spec unhealthyPodEvictionPolicy": "AlwaysAllow"}), DEPLOYMENT),
        edited(DISRUPTION, {"spec unhealthyPodEvictionPolicy": "AlwaysAllow"}),
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
OTHER = edited(POLICY, {"metadata name": "b"})
NOTHING = dict.fromkeys(
    ("capacityBuffer", "placeholder", "staticPool", "nodeHold", "nodeRelease", "podDeletionCost"),
    False,
)
P5 = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge"]}
OF_P5 = edited(POOL, {"spec template spec requirements": [P5]})
STATIC_LEVER = {**NOTHING, "staticPool": True}
POLICIES = (
    case(
        "FS401",
        "spec.mode",
        edited(POLICY, {"spec mode": "atc"}),
        POLICY,
        says="it takes advise or act; did you mean 'act'?",
    ),
    case(
        "FS401",
        "spec.mode",
        edited(POLICY, {"spec idleCeiling": GONE}),
        edited(POLICY, {"spec idleCeiling": GONE, "spec mode": "advise"}),
        says="give spec.idleCeiling too",
    ),
    case(
        "FS402",
        "spec.pools",
        (POLICY, edited(OTHER, {"spec pools": {"names": ["h*"]}}), POOL),
        (POLICY, edited(OTHER, {"spec pools": {"names": ["b*"]}}), POOL),
        says="CapacityPolicy b matches the pool h100 too",
    ),
    case("FS402", "spec.pools", (POLICY, OTHER), POLICY, says="matches the same pools"),
    case(
        "FS403",
        "spec.pools",
        (edited(POLICY, {"spec pools names": ["h200"]}), POOL),
        (POLICY, POOL),
        says="none of 1 GPU pools here matches (h100)",
    ),
    case(
        # p5.48xlarge: $55.04 an hour, of the price table that comes with Foresail.
        "FS404",
        "spec.idleCeiling.usdPerHour",
        (edited(POLICY, {"spec idleCeiling usdPerHour": 55}), OF_P5),
        (edited(POLICY, {"spec idleCeiling usdPerHour": 56}), OF_P5),
        says="is 55: a node of NodePool h100 costs $55.04 an hour",
    ),
    case(
        "FS405",
        "spec.levers",
        edited(POLICY, {"spec levers": NOTHING}),
        edited(POLICY, {"spec levers": STATIC_LEVER}),
    ),
    case(
        "FS406",
        "spec.levers.staticPool",
        (edited(POLICY, {"spec levers": STATIC_LEVER}), STATIC),
        (edited(POLICY, {"spec levers": STATIC_LEVER}), POOL),
    ),
    case(
        # 64 GPUs are 8 nodes of 8.
        "FS407",
        "spec.warmFloors[0].nodes",
        (edited(POLICY, {"spec warmFloors": [{"nodes": 9}]}), OF_P5),
        (edited(POLICY, {"spec warmFloors": [{"nodes": 8}]}), OF_P5),
        says="NodePool h100 allows 8 nodes by its limits",
    ),
    case(
        "FS408",
        "spec.rules[0].match",
        (
            edited(
                POLICY, {"spec rules": [{"name": "spot", "match": {"capacityTypes": ["spot"]}}]}
            ),
            POOL,
        ),
        (
            edited(POLICY, {"spec rules": [{"name": "h", "match": {"generations": ["h100*"]}}]}),
            POOL,
        ),
    ),
    case(
        "FS409",
        "spec.workloads",
        (edited(POLICY, {"spec workloads": {"namespaces": ["chat-*"]}}), DEPLOYMENT),
        (edited(POLICY, {"spec workloads": {"namespaces": ["llm*"]}}), DEPLOYMENT),
    ),
)
CASES = (*SCALED_OBJECTS, *TRIGGERS, *FOLLOWING, *NODE_POOLS, *SCHEDULERS, *POLICIES, *PODS)
