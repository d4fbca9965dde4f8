"""Cases of NodePools and NodeClaims."""

from tests.lint.case import case
from tests.lint.manifests import (
    BUDGET,
    DEPLOYMENT,
    GONE,
    METADATA,
    NODE_CLAIM,
    POOL,
    SCALED,
    STATIC,
    edited,
)  # fmt: skip

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
CASES = (
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
    case(
        "FS204",
        "spec.limits",
        edited(POOL, {"spec limits": GONE}),
        (POOL, edited(STATIC, {"spec limits": GONE})),
    ),
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
    *(
        case(
            "FS211",
            "spec.disruption.budgets[0].schedule",
            edited(POOL, {f"{BUDGET} schedule": unreadable, f"{BUDGET} duration": "8h"}),
            edited(POOL, {f"{BUDGET} schedule": readable, f"{BUDGET} duration": "8h"}),
            says=says,
        )
        for unreadable, readable, says in (
            ("0 22 * * 5-7", "0 22 * * fri,sat,sun", "'5-7' is no day of the week: it takes 0 to"),
            ("0 0 * * 7", "0 0 * * 0", "or sun to sat"),
            ("0 0 L * *", "0 0 1,+15,, * *", "'L' is no day of the month"),
            ("0 0 * * 5#2", "0 0 * * *-5", "'5#2' is no day of the week"),
            ("0 0 * * 5L", "0 0 * * ?/2", "'5L' is no day of the week"),
            ("0 22-6 * * *", "0 6-22/2 * JAN-mar *", "ranges from low to high"),
            ("0 0 31 2 *", "0 0 31 2 mon", "no year has that day"),
        )
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
        (
            edited(POOL, {f"{BUDGET} nodes": "0", f"{BUDGET} reasons": ["Underutilized"]}),
            edited(STATIC, {f"{BUDGET} nodes": "0"}),
        ),
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
