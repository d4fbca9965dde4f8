"""Manifests that no rule objects to, and copies of them with one thing changed."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from policies.lint.finding import Finding
from policies.lint.objects import Context, Inputs, objects_of
from policies.lint.pods import SERVING_TYPES
from policies.lint.run import Ignores, findings

Manifest = dict[str, Any]
GONE = object()
"""In place of a value: the key is left out."""
LISTED = frozenset(
    {*SERVING_TYPES, "keda.sh/TriggerAuthentication", "keda.sh/ClusterTriggerAuthentication"}
)
"""Types of a live cluster whose absence rules tell."""
ENGINES = {"vllm": False, "llm-d": True}


def edited(manifest: Manifest, changes: Mapping[str, object]) -> Manifest:
    """A copy with other values; a place is its keys with blanks between them."""
    made = deepcopy(manifest)
    for place, value in changes.items():
        at: Any = made
        *way, last = (int(one) if one.isdecimal() else one for one in place.split())
        for key in way:
            at = at.setdefault(key, {}) if isinstance(at, dict) else at[key]
        if value is GONE:
            at.pop(*((last,) if isinstance(at, list) else (last, None)))
        elif isinstance(at, list) and last == len(at):
            at.append(value)
        else:
            at[last] = value
    return made


def lint(
    *manifests: Manifest,
    live: bool = False,
    refused: frozenset[str] = frozenset(),
    node_lead_seconds: float | None = None,
) -> list[Finding]:
    objects = [one for manifest in manifests for one in objects_of(manifest, "test.yaml")]
    context = Context(
        live=live,
        complete=LISTED - refused if live else frozenset(),
        node_lead_seconds=node_lead_seconds,
        engines=ENGINES,
    )
    return list(findings(Inputs(objects=objects, context=context), Ignores()))


BEHAVIOR: Manifest = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "tolerance": "0",
        "selectPolicy": "Max",
        "policies": [
            {"type": "Percent", "value": 900, "periodSeconds": 15},
            {"type": "Pods", "value": 40, "periodSeconds": 15},
        ],
    },
    "scaleDown": {
        "stabilizationWindowSeconds": 0,
        "tolerance": "0",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}
SCALED: Manifest = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledObject",
    "metadata": {"name": "qwen3-32b", "namespace": "llm"},
    "spec": {
        "scaleTargetRef": {"name": "qwen3-32b"},
        "pollingInterval": 15,
        "minReplicaCount": 1,
        "maxReplicaCount": 40,
        "cooldownPeriod": 600,
        "initialCooldownPeriod": 300,
        "fallback": {
            "failureThreshold": 3,
            "replicas": 4,
            "behavior": "currentReplicasIfHigher",
        },
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": BEHAVIOR}},
        "triggers": [
            {
                "type": "external-push",
                "name": "foresail",
                "authenticationRef": {"name": "foresail", "kind": "ClusterTriggerAuthentication"},
                "metadata": {
                    "scalerAddress": "foresail.foresail.svc.cluster.local:6500",
                    "enableTLS": "true",
                    "model": "qwen3-32b",
                    "leadTime": "5m",
                    "minReplicas": "1",
                    "maxReplicas": "40",
                    "mode": "act",
                },
            }
        ],
    },
}
UP = "spec advanced horizontalPodAutoscalerConfig behavior scaleUp"
DOWN = "spec advanced horizontalPodAutoscalerConfig behavior scaleDown"
TRIGGER = "spec triggers 0"
METADATA = "spec triggers 0 metadata"
FROM_ZERO = edited(
    SCALED,
    {
        "spec minReplicaCount": 0,
        f"{METADATA} engine": "llm-d",
        f"{METADATA} minReplicas": "0",
    },
)
"""Scales to zero: the gateway's metrics outlive the last replica."""
IDLE = edited(FROM_ZERO, {"spec minReplicaCount": 2, "spec idleReplicaCount": 0})
"""Goes from any count to zero, and from zero to two."""
PROMETHEUS: Manifest = edited(
    SCALED,
    {
        "spec triggers": [
            {
                "type": "prometheus",
                "name": "queue",
                "metadata": {
                    "serverAddress": "http://prometheus:9090",
                    "query": "sum(vllm:num_requests_waiting)",
                    "threshold": "5",
                    "ignoreNullValues": "false",
                },
            }
        ]
    },
)
HPA: Manifest = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "qwen3-32b", "namespace": "llm"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "qwen3-32b"},
        "minReplicas": 1,
        "maxReplicas": 4,
    },
}
SCALED_JOB: Manifest = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ScaledJob",
    "metadata": {"name": "batch", "namespace": "llm"},
    "spec": {"triggers": [{"type": "aws-sqs-queue", "metadata": {"queueLength": "5"}}]},
}
AUTHENTICATION: Manifest = {
    "apiVersion": "keda.sh/v1alpha1",
    "kind": "ClusterTriggerAuthentication",
    "metadata": {"name": "foresail"},
    "spec": {
        "secretTargetRef": [
            {"parameter": "caCert", "name": "c", "key": "ca.crt"},
            {"parameter": "tlsClientCert", "name": "c", "key": "tls.crt"},
            {"parameter": "tlsClientKey", "name": "c", "key": "tls.key"},
        ]
    },
}
SERVICE: Manifest = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "foresail", "namespace": "foresail"},
    "spec": {"clusterIP": "None", "ports": [{"port": 6500}]},
}
DEPLOYMENT: Manifest = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "qwen3-32b", "namespace": "llm"},
    "spec": {
        "selector": {"matchLabels": {"app": "qwen3-32b"}},
        "template": {
            "metadata": {"labels": {"app": "qwen3-32b"}, "annotations": {}},
            "spec": {
                "terminationGracePeriodSeconds": 300,
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
                "containers": [
                    {
                        "name": "engine",
                        "image": "vllm/vllm-openai:v0.33.0",
                        "ports": [{"containerPort": 8000}],
                        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}},
                        "resources": {
                            "limits": {"nvidia.com/gpu": 1},
                            "requests": {"nvidia.com/gpu": 1},
                        },
                    }
                ],
            },
        },
    },
}
POD = "spec template spec"
CONTAINER = "spec template spec containers 0"
CLAIMED: Manifest = edited(
    DEPLOYMENT,
    {
        f"{POD} resourceClaims": [{"name": "gpus", "resourceClaimTemplateName": "one-gpu"}],
        f"{CONTAINER} resources": {"claims": [{"name": "gpus"}]},
    },
)
POOL: Manifest = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodePool",
    "metadata": {"name": "h100"},
    "spec": {
        "limits": {"nvidia.com/gpu": 64},
        "disruption": {
            "consolidationPolicy": "WhenEmpty",
            "consolidateAfter": "10m",
            "budgets": [{"nodes": "1"}],
        },
        "template": {
            "metadata": {},
            "spec": {
                "nodeClassRef": {
                    "group": "karpenter.k8s.aws",
                    "kind": "EC2NodeClass",
                    "name": "gpus",
                },
                "expireAfter": "Never",
                "taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
                "requirements": [
                    {
                        "key": "karpenter.k8s.aws/instance-gpu-name",
                        "operator": "In",
                        "values": ["h100"],
                    }
                ],
            },
        },
    },
}
STATIC: Manifest = edited(
    POOL,
    {
        "spec replicas": 2,
        "spec limits": {"nodes": 4},
        "spec template spec startupTaints": [
            {"key": "gpu.example/loading", "effect": "NoSchedule"}
        ],
    },
)
BUDGET = "spec disruption budgets 0"
NODE_CLAIM: Manifest = {
    "apiVersion": "karpenter.sh/v1",
    "kind": "NodeClaim",
    "metadata": {"name": "by-hand"},
    "spec": {
        "taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
        "resources": {"requests": {"nvidia.com/gpu": 8}},
    },
}
SCHEDULER: Manifest = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "leaderElection": {"leaderElect": True, "resourceName": "foresail-scheduler"},
    "percentageOfNodesToScore": 100,
    "profiles": [
        {
            "schedulerName": "foresail",
            "plugins": {
                "score": {
                    "disabled": [
                        {"name": "NodeResourcesFit"},
                        {"name": "NodeResourcesBalancedAllocation"},
                    ]
                }
            },
        }
    ],
    "extenders": [
        {
            "urlPrefix": "http://127.0.0.1:8888",
            "filterVerb": "filter",
            "prioritizeVerb": "prioritize",
            "weight": 10,
            "nodeCacheCapable": True,
            "ignorable": True,
            "httpTimeout": "1s",
        }
    ],
}
BUFFER: Manifest = {
    "apiVersion": "autoscaling.x-k8s.io/v1beta1",
    "kind": "CapacityBuffer",
    "metadata": {"name": "warm", "namespace": "llm"},
    "spec": {
        "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
        "scalableRef": {"apiGroup": "apps", "kind": "Deployment", "name": "qwen3-32b"},
        "replicas": 1,
    },
}
PRIORITY: Manifest = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "placeholder"},
    "value": -10,
}
DISRUPTION: Manifest = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "qwen3-32b", "namespace": "llm"},
    "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "qwen3-32b"}}},
}
VERTICAL: Manifest = {
    "apiVersion": "autoscaling.k8s.io/v1",
    "kind": "VerticalPodAutoscaler",
    "metadata": {"name": "qwen3-32b", "namespace": "llm"},
    "spec": {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "qwen3-32b"},
        "updatePolicy": {"updateMode": "Initial"},
    },
}
MILVUS: Manifest = {
    "apiVersion": "milvus.io/v1beta1",
    "kind": "Milvus",
    "metadata": {"name": "rag", "namespace": "llm"},
    "spec": {
        "mode": "cluster",
        "components": {
            "image": "milvusdb/milvus:v2.6.4-gpu",
            "queryNode": {"replicas": -1},
            "dataNode": {"replicas": -1},
            "proxy": {"replicas": 2},
        },
    },
}
DESCHEDULER: Manifest = {
    "apiVersion": "descheduler/v1alpha2",
    "kind": "DeschedulerPolicy",
    "nodeSelector": "nvidia.com/gpu.present!=true",
    "profiles": [
        {
            "name": "default",
            "pluginConfig": [
                {"name": "DefaultEvictor", "args": {"nodeFit": True}},
                {"name": "HighNodeUtilization", "args": {"thresholds": {"cpu": 20}}},
            ],
            "plugins": {"balance": {"enabled": ["HighNodeUtilization"]}},
        }
    ],
}
POLICY: Manifest = {
    "apiVersion": "foresail.io/v1alpha1",
    "kind": "CapacityPolicy",
    "metadata": {"name": "chat"},
    "spec": {
        "mode": "act",
        "pools": {"names": ["h100"]},
        "idleCeiling": {"usdPerHour": 110},
    },
}
_GUARDED = (
    'has(device.attributes["gpu.nvidia.com"].productName) && '
    'device.attributes["gpu.nvidia.com"].productName.startsWith("NVIDIA H")'
)
TEMPLATE: Manifest = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "ResourceClaimTemplate",
    "metadata": {"name": "one-gpu", "namespace": "llm"},
    "spec": {
        "spec": {
            "devices": {
                "requests": [
                    {
                        "name": "gpu",
                        "exactly": {
                            "deviceClassName": "gpu.nvidia.com",
                            "selectors": [{"cel": {"expression": _GUARDED}}],
                        },
                    }
                ]
            }
        }
    },
}
REQUEST = "spec spec devices requests 0"
SELECTOR = f"{REQUEST} exactly selectors 0 cel expression"
CLEAN = (
    SCALED, FROM_ZERO, IDLE, PROMETHEUS, HPA, SCALED_JOB, AUTHENTICATION, SERVICE, DEPLOYMENT, POOL,
    STATIC, NODE_CLAIM, SCHEDULER, BUFFER, PRIORITY, DISRUPTION, TEMPLATE, CLAIMED, POLICY,
    VERTICAL, DESCHEDULER, MILVUS,
)  # fmt: skip
