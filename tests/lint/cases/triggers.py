"""Cases of triggers and of trust between KEDA and a scaler."""

from tests.lint.case import case, metadata, trigger
from tests.lint.manifests import (
    AUTHENTICATION,
    FROM_ZERO,
    GONE,
    IDLE,
    METADATA,
    PROMETHEUS,
    SCALED,
    SERVICE,
    TRIGGER,
    edited,
)  # fmt: skip

CPU = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}
TWO = edited(SCALED, {"spec triggers 1": CPU})
ADVISING = edited(SCALED, {f"{METADATA} mode": "advise"})
MODIFIERS = "spec advanced scalingModifiers"
FORMULA = {"formula": "max(foresail, queue)", "target": "1"}
QUEUE = {**PROMETHEUS["spec"]["triggers"][0]}
COMPOSITE = edited(SCALED, {"spec triggers 1": QUEUE, MODIFIERS: FORMULA})
IN_FLIGHT = 'llm_d_epp_inflight_tokens{producer_name="a"}'
ALIVE = (
    'label_replace(llm_d_epp_per_endpoint_queue_size, "endpoint_name", "$1", '
    '"model_server_endpoint", "(.*)")'
)
CASES = (
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
    *(
        case(
            "FS114",
            "spec.triggers[0].metadata.query",
            edited(PROMETHEUS, {f"{METADATA} query": query}),
            edited(PROMETHEUS, {f"{METADATA} query": 'avg(requests{service="vllm_a"})'}),
        )
        for query in (
            "avg(vllm_kv_cache_usage_perc)",
            "avg(ray_vllm_kv_cache_usage_perc)",
            'max({__name__=~"(ray_)?vllm[:_]kv_cache_usage_perc", pod != ""})',
        )
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
        "FS117",
        "spec.triggers[0].metadata.pairedWith",
        metadata(pairedWith="decode"),
        metadata(pairedWith="decode", phase="prefill", pool="h100"),
        says="'pairedWith' needs the key 'phase'",
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
        "FS118",
        "spec.triggers[0].metadata.minReplicas",
        edited(IDLE, {f"{METADATA} minReplicas": "1"}),
        (IDLE, edited(IDLE, {f"{METADATA} minReplicas": "2"})),
        says='idleReplicaCount is 0, and KEDA does not send it; set minReplicas: "0"',
    ),
    case(
        "FS119",
        "spec.triggers[0].type",
        edited(IDLE, {f"{TRIGGER} type": "external"}),
        IDLE,
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
        "FS120",
        "spec.advanced.scalingModifiers.formula",
        edited(COMPOSITE, {f"{MODIFIERS} formula": "foresail * 1e3 + 2.5e-3 * e4"}),
        edited(COMPOSITE, {f"{MODIFIERS} formula": "max(foresail / 1e3 + 2.5e-3 * queue, 0)"}),
        says="no trigger has the name 'e4'",
    ),
    *(
        case(
            "FS121",
            "spec.advanced.scalingModifiers.formula",
            edited(COMPOSITE, {f"{MODIFIERS} formula": bad}),
            edited(COMPOSITE, {f"{MODIFIERS} formula": good}),
        )
        for bad, good in (
            ("max(foresail, queue) - 5", "foresail / 1e-3 + queue"),
            ("floor((foresail - queue) * 2)", "min(max((foresail - queue) * 2, 0), 5) + queue"),
            ("queue - max(foresail, 0)", "abs(foresail - queue)"),
            ("foresail - queue", "foresail > queue ? foresail - queue : 0"),
        )
    ),
    case(
        "FS127",
        "spec.triggers[0].metadata.query",
        edited(PROMETHEUS, {f"{METADATA} query": f"sum({IN_FLIGHT})"}),
        edited(
            PROMETHEUS, {f"{METADATA} query": f"sum({IN_FLIGHT} and on (endpoint_name) {ALIVE})"}
        ),
    ),
    case(
        "FS122",
        "spec.triggers[0].metadata.ignoreNullValues",
        edited(PROMETHEUS, {f"{METADATA} ignoreNullValues": GONE}),
        PROMETHEUS,
        says="is not set: an empty answer counts as 0",
    ),
    case(
        "FS122",
        "spec.triggers[0].metadata.ignoreNullValues",
        edited(
            PROMETHEUS,
            {
                f"{METADATA} ignoreNullValues": GONE,
                f"{METADATA} query": "sum(vllm_num_requests_waiting)",
            },
        ),
        edited(
            PROMETHEUS,
            {
                f"{METADATA} ignoreNullValues": GONE,
                f"{METADATA} query": "sum(requests{service='vllm_a'})",
            },
        ),
    ),
    case(
        "FS123",
        "spec.minReplicaCount",
        edited(
            PROMETHEUS,
            {"spec minReplicaCount": 0, f"{METADATA} query": "sum(ray_vllm_num_requests_waiting)"},
        ),
        edited(
            PROMETHEUS,
            {"spec minReplicaCount": 0, f"{METADATA} query": 'sum(requests{to="vllm_a"})'},
        ),
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
        "FS123",
        "spec.idleReplicaCount",
        edited(PROMETHEUS, {"spec idleReplicaCount": 0}),
        PROMETHEUS,
        says="leave it out, or add a metric",
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
        "FS132",
        "spec.hashiCorpVault.secrets[0].parameter",
        edited(
            AUTHENTICATION,
            {
                "spec secretTargetRef": [],
                "spec hashiCorpVault": {"secrets": [{"parameter": "tlsClientKey"}]},
            },
        ),
        edited(
            AUTHENTICATION,
            {
                "spec secretTargetRef 2": GONE,
                "spec hashiCorpVault": {"secrets": [{"parameter": "tlsClientKey"}]},
            },
        ),
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
