"""Cases of controllers that move the same objects: VPA, resizes, routing, the descheduler."""

from tests.lint.case import case
from tests.lint.manifests import (
    CONTAINER,
    DEPLOYMENT,
    DESCHEDULER,
    GONE,
    HPA,
    MILVUS,
    POD,
    POLICY,
    SCALED,
    SERVICE,
    VERTICAL,
    edited,
)  # fmt: skip

MODE = "spec updatePolicy updateMode"
BY_CPU = {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}
HPA_BY_CPU = edited(HPA, {"spec metrics": [BY_CPU]})
MEMORY_ALONE = {"containerPolicies": [{"containerName": "*", "controlledResources": ["memory"]}]}
SIDECAR_OFF = {"containerPolicies": [{"containerName": "sidecar", "mode": "Off"}]}
ENGINE_OFF = {"containerPolicies": [{"containerName": "engine", "mode": "Off"}]}
CPU_OF_ENGINE = {
    "type": "ContainerResource",
    "containerResource": {"name": "cpu", "container": "engine"},
}
RESTARTS = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
NEAR = edited(
    SERVICE,
    {
        "metadata": {"name": "qwen3-32b", "namespace": "llm"},
        "spec selector": {"app": "qwen3-32b"},
        "spec trafficDistribution": "PreferSameZone",
    },
)
QUERY_NODES = edited(SCALED, {"spec scaleTargetRef name": "rag-milvus-querynode-0"})
OTHER_SLOT = edited(
    SCALED,
    {"metadata name": "other-slot", "spec scaleTargetRef name": "rag-milvus-querynode-1"},
)
DATA_NODES = edited(SCALED, {"spec scaleTargetRef name": "rag-milvus-datanode"})
AT_THREE = {"spec components dataNode replicas": 3}
AGENT = {
    "apiVersion": "kagent.dev/v1alpha2",
    "kind": "Agent",
    "metadata": {"name": "qwen3-32b", "namespace": "llm"},
    "spec": {"type": "BYO", "byo": {"deployment": {"image": "registry.example/agent:1"}}},
}
BY_ZONE = {f"{POD} topologySpreadConstraints": [{"topologyKey": "topology.kubernetes.io/zone"}]}
EVERYWHERE = edited(DESCHEDULER, {"nodeSelector": GONE})
PLUGIN = "profiles[0].plugins.balance.enabled[0]"
INDEX_NODE = "spec components indexNode"
WITH_GPUS = {"replicas": 2, "resources": {"limits": {"nvidia.com/gpu": "1"}}}
CASES = (
    case(
        "FS601",
        "spec.updatePolicy.updateMode",
        (edited(VERTICAL, {MODE: "Recreate"}), DEPLOYMENT),
        (VERTICAL, DEPLOYMENT),
        says="is 'Recreate': it evicts a pod to change its requests, and the new pod loads",
    ),
    case(
        "FS601",
        "spec.updatePolicy.updateMode",
        (edited(VERTICAL, {"spec updatePolicy": GONE}), SCALED),
        (edited(VERTICAL, {"spec targetRef name": "other"}), SCALED),
        says="is not set: Recreate is the default",
    ),
    case(
        "FS601",
        "spec.updatePolicy.updateMode",
        (edited(VERTICAL, {MODE: "InPlaceOrRecreate"}), DEPLOYMENT),
        (edited(VERTICAL, {MODE: "Off"}), DEPLOYMENT),
        says="it evicts a pod where its node has no room",
    ),
    case(
        "FS602",
        "spec.targetRef.name",
        (VERTICAL, HPA_BY_CPU),
        (edited(VERTICAL, {"spec resourcePolicy": MEMORY_ALONE}), HPA_BY_CPU),
        says="HorizontalPodAutoscaler llm/qwen3-32b scales by cpu, which this changes too",
    ),
    case(
        "FS602",
        "spec.targetRef.name",
        (VERTICAL, edited(SCALED, {"spec triggers 0": {"type": "memory", "metadata": {}}})),
        (VERTICAL, SCALED),
    ),
    case(
        # The engine, which no policy names, has its requests changed.
        "FS602",
        "spec.targetRef.name",
        (edited(VERTICAL, {"spec resourcePolicy": SIDECAR_OFF}), HPA_BY_CPU, DEPLOYMENT),
        (edited(VERTICAL, {"spec resourcePolicy": ENGINE_OFF}), HPA_BY_CPU, DEPLOYMENT),
    ),
    case(
        "FS602",
        "spec.targetRef.name",
        (VERTICAL, edited(HPA, {"spec metrics": [CPU_OF_ENGINE]}), DEPLOYMENT),
        (
            edited(VERTICAL, {"spec resourcePolicy": ENGINE_OFF}),
            edited(HPA, {"spec metrics": [CPU_OF_ENGINE]}),
            edited(DEPLOYMENT, {"spec template spec containers 1": {"name": "sidecar"}}),
        ),
    ),
    case(
        "FS603",
        "spec.template.spec.containers[0].resizePolicy[0].restartPolicy",
        edited(DEPLOYMENT, {f"{CONTAINER} resizePolicy": RESTARTS}),
        edited(
            DEPLOYMENT,
            {f"{CONTAINER} resizePolicy": [{**RESTARTS[0], "restartPolicy": "NotRequired"}]},
        ),
        says="a resize of memory restarts the engine",
    ),
    case(
        "FS611",
        "spec.trafficDistribution",
        (NEAR, SCALED, DEPLOYMENT),
        (NEAR, SCALED, edited(DEPLOYMENT, BY_ZONE)),
        says="calls stay in their zone, and ScaledObject llm/qwen3-32b plans Deployment "
        "llm/qwen3-32b by the sum of all; add topologySpreadConstraints by zone",
    ),
    case(
        "FS611",
        "metadata.annotations['service.kubernetes.io/topology-mode']",
        (
            edited(
                NEAR,
                {
                    "spec trafficDistribution": GONE,
                    "metadata annotations": {"service.kubernetes.io/topology-mode": "Auto"},
                },
            ),
            SCALED,
            DEPLOYMENT,
        ),
        (edited(NEAR, {"spec trafficDistribution": GONE}), SCALED, DEPLOYMENT),
    ),
    case(
        "FS621",
        PLUGIN,
        (EVERYWHERE, POLICY),
        (DESCHEDULER, POLICY),
        says="it empties nodes that are little used, such as those that are held or ordered for "
        "replicas to come; CapacityPolicy chat is here too",
    ),
    case(
        "FS621",
        PLUGIN,
        (
            edited(EVERYWHERE, {"profiles 0 plugins balance enabled 0": "LowNodeUtilization"}),
            DEPLOYMENT,
        ),
        (
            edited(
                EVERYWHERE,
                {
                    "profiles 0 plugins balance enabled 0": "LowNodeUtilization",
                    "profiles 0 pluginConfig 0 args labelSelector": {"matchLabels": {"move": "me"}},
                },
            ),
            DEPLOYMENT,
        ),
        says="it evicts replicas from full nodes",
    ),
    case(
        "FS621",
        "profiles[0].plugins.deschedule.enabled[0]",
        (
            edited(
                EVERYWHERE, {"profiles 0 plugins": {"deschedule": {"enabled": ["PodLifeTime"]}}}
            ),
            DEPLOYMENT,
        ),
        EVERYWHERE,
        says="it evicts pods for their age",
    ),
    case(
        "FS641",
        "spec.scaleTargetRef.name",
        (DATA_NODES, edited(MILVUS, AT_THREE)),
        (DATA_NODES, MILVUS),
        says="Milvus llm/rag has dataNode at 3, and sets that again; "
        "set spec.components.dataNode.replicas: -1 there",
    ),
    case(
        "FS641",
        "spec.scaleTargetRef.name",
        (edited(DATA_NODES, {"spec scaleTargetRef name": "rag-milvus-mixcoord"}), MILVUS),
        (edited(DATA_NODES, {"spec scaleTargetRef name": "rag-milvus-other"}), MILVUS),
        says="mixCoord is a coordinator, and more of them serve nothing more",
    ),
    case(
        "FS641",
        "spec.scaleTargetRef.name",
        (
            edited(SCALED, {"spec scaleTargetRef name": "rag-milvus-datanode-gpu-a"}),
            edited(MILVUS, {"spec components dataNode groups": [{"name": "gpu-a", "replicas": 2}]}),
        ),
        (
            edited(SCALED, {"spec scaleTargetRef name": "rag-milvus-datanode-gpu-a"}),
            edited(
                MILVUS,
                {
                    "spec components dataNode replicas": 3,  # not used where groups are
                    "spec components dataNode groups": [{"name": "gpu-a", "replicas": -1}],
                },
            ),
        ),
        says="has dataNode gpu-a at 2, and sets that again; "
        "set spec.components.dataNode.groups[name=gpu-a].replicas: -1 there",
    ),
    case(
        "FS642",
        "spec.scaleTargetRef.name",
        (
            edited(SCALED, {"spec scaleTargetRef name": "rag-milvus-querynode-hot-1"}),
            edited(MILVUS, {"spec components queryNode groups": [{"name": "hot", "replicas": -1}]}),
        ),
        (SCALED, MILVUS),
        says="after the next rollout rag-milvus-querynode-hot-0 serves",
    ),
    case(
        "FS642",
        "spec.scaleTargetRef.name",
        (QUERY_NODES, MILVUS),
        (QUERY_NODES, OTHER_SLOT, MILVUS),
        says="after the next rollout rag-milvus-querynode-1 serves, and nothing here scales it",
    ),
    case(
        "FS643",
        "spec.components.indexNode",
        edited(MILVUS, {INDEX_NODE: WITH_GPUS}),
        edited(
            MILVUS,
            {INDEX_NODE: WITH_GPUS, "spec components image": "milvusdb/milvus:v2.5.20"},
        ),
        says="Milvus 2.6 has no index nodes",
    ),
    case(
        "FS643",
        "spec.components.indexNode",
        edited(MILVUS, {INDEX_NODE: WITH_GPUS}),
        # As the operator's webhook leaves it in every cluster.
        edited(MILVUS, {INDEX_NODE: {"replicas": 1}}),
        says="move its resources to dataNode",
    ),
    case(
        "FS651",
        "spec.byo.deployment.replicas",
        (edited(AGENT, {"spec byo deployment replicas": 2}), SCALED),
        (AGENT, SCALED),
        says="ScaledObject llm/qwen3-32b scales its Deployment, and KAgent sets 2 again",
    ),
)
