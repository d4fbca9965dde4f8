"""Every rule that a replay can run, by name. A new rule is one more row of its file's KINDS."""

from replay.policies import dynamo, keda_driven, predictive, reactive, static, wva
from replay.policies.port import PolicyKind
from replay.policies.shipped import FORESAIL

KINDS: dict[str, PolicyKind] = {
    kind.name: kind
    for kind in (
        FORESAIL,
        *static.KINDS,
        *reactive.KINDS,
        *keda_driven.KINDS,
        *wva.KINDS,
        *dynamo.KINDS,
        *predictive.KINDS,
    )
}
