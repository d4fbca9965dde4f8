"""Cases of CapacityPolicies."""

from tests.lint.case import case
from tests.lint.manifests import (
    DEPLOYMENT,
    GONE,
    POLICY,
    POOL,
    STATIC,
    edited,
)  # fmt: skip

OTHER = edited(POLICY, {"metadata name": "b"})
NOTHING = dict.fromkeys(
    ("capacityBuffer", "placeholder", "staticPool", "nodeHold", "nodeRelease", "podDeletionCost"),
    False,
)
P5 = {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["p5.48xlarge"]}
OF_P5 = edited(POOL, {"spec template spec requirements": [P5]})
ACTS = {"name": "a", "match": {"names": ["h*"]}, "mode": "act"}
HOLDS = ACTS | {"levers": {"nodeHold": True}}
STATIC_LEVER = {**NOTHING, "staticPool": True}
FOR_H100 = {"name": "h100", "match": {"generations": ["h100-*"]}}
RULES = "spec rules"
OF_H100 = {"name": "static", "match": {"names": ["h100"]}}
CASES = (
    case(
        "FS401",
        "spec.mode",
        edited(POLICY, {"spec mode": "atc"}),
        POLICY,
        says="spec.mode is 'atc': it takes advise or act; did you mean 'act'?",
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
        "FS405",
        "spec.levers",
        edited(POLICY, {"spec mode": "advise", "spec levers": NOTHING, "spec rules": [ACTS]}),
        edited(POLICY, {"spec mode": "advise", "spec levers": NOTHING, "spec rules": [HOLDS]}),
    ),
    case(
        "FS406",
        "spec.levers.staticPool",
        (edited(POLICY, {"spec levers": STATIC_LEVER}), STATIC),
        (edited(POLICY, {"spec levers": STATIC_LEVER}), POOL),
    ),
    *(
        case(
            "FS406",
            "spec.levers.staticPool",
            (edited(POLICY, {"spec mode": spec, "spec levers": STATIC_LEVER, RULES: acts}), STATIC),
            (edited(POLICY, {"spec mode": spec, "spec levers": STATIC_LEVER, RULES: idle}), STATIC),
        )
        for spec, acts, idle in (
            ("act", [{**OF_H100, "mode": "act"}], [{**OF_H100, "mode": "advise"}]),
            ("advise", [{**OF_H100, "mode": "act"}], []),
            ("act", [], [{**OF_H100, "levers": {"staticPool": False}}]),
        )
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
        # A rule's floors take the place of those of spec.
        "FS407",
        "spec.rules[0].warmFloors[0].gpus",
        (edited(POLICY, {"spec rules": [{**FOR_H100, "warmFloors": [{"gpus": 72}]}]}), OF_P5),
        (
            edited(
                POLICY,
                {
                    "spec warmFloors": [{"nodes": 9}],
                    "spec rules": [{**FOR_H100, "warmFloors": [{"gpus": 64}]}],
                },
            ),
            OF_P5,
        ),
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
