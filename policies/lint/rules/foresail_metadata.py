"""The metadata of Foresail's own triggers."""

import re
from collections.abc import Iterator
from typing import Final

from fleet.documents import text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.rule import rule
from policies.lint.scaled import (
    BESIDE_METADATA,
    SCALED_OBJECT,
    bounds,
    foresail_triggers,
    reaches_zero,
    triggers_of,
)
from scaler.errors import MetadataError
from scaler.trigger_parsing import AllowedOptions, parse

_KEY: Final = re.compile(r"keys? '([^']+)'")
_FAULTS_MAX: Final = 10


@rule(
    "FS116",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="otherTriggers that does not fit the triggers",
    fix='set otherTriggers: "true" exactly where the ScaledObject has other triggers',
    source="docs/metadata.md, modes",
)
def advise_beside_others(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """In mode advise the answer that changes no replica is another one beside other triggers than
    alone, and KEDA does not say which it is. The wrong one keeps replicas from leaving, or takes a
    workload to its minimum.
    """
    ours, every = foresail_triggers(of), list(triggers_of(of))
    for trigger in ours:
        stated = text(trigger.metadata, "otherTriggers") == "true"
        at = (*trigger.at, "metadata", "otherTriggers")
        if trigger.mode == "advise" and len(every) > 1 and not stated:
            why = "there are other triggers, and the HPA removes no replica while Foresail advises"
            yield Fault(at=at, why=why, do='set "true"')
        elif trigger.mode == "advise" and len(every) == 1 and stated:
            why = "Foresail is the only trigger, and the workload goes to its minimum"
            yield Fault(at=at, why=why, do="leave it out")


@rule(
    "FS117",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="trigger metadata that Foresail refuses",
    fix="correct the key or value as the message says",
    source="docs/metadata.md",
)
def metadata_refused(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Foresail then answers KEDA with an error in place of a number, and replicas stay as they are
    or go to the fallback. The rule is the parser that `foresail serve` uses; the names of sources,
    addresses and pools are those of your settings and are not checked here.
    """
    for trigger in foresail_triggers(of):
        metadata = {
            key: str(value).lower() if isinstance(value, bool) else str(value)
            for key, value in trigger.metadata.items()
            if key not in BESIDE_METADATA  # FS112 tells
        }
        source, address = metadata.get("source"), metadata.get("serverAddress")
        pool = metadata.get("pool")
        allowed = AllowedOptions(
            engines=inputs.context.engines,
            gateways=inputs.context.gateways,
            sources=frozenset({source} if source else ()),
            default_source="settings",
            address_prefixes=(address,) if address else (),
            replicas_max=2**31,
            pools=frozenset({pool} if pool else ()),
        )
        try:
            parse(metadata, allowed)
        except MetadataError as error:
            for fault in str(error).split("; key")[:_FAULTS_MAX]:
                why = fault if fault.startswith("key") else f"key{fault}"
                named = _KEY.search(why)
                key = named[1] if named else ""
                at = (*trigger.at, "metadata", key) if key else (*trigger.at, "metadata")
                yield Fault(at=at, why=why, do="see docs/metadata.md")


@rule(
    "FS118",
    Severity.ERROR,
    on=SCALED_OBJECT,
    what="bounds that differ between the ScaledObject and Foresail's metadata",
    fix="repeat minReplicaCount and maxReplicaCount as minReplicas and maxReplicas",
    source="KEDA, externalscaler.proto (ScaledObjectRef); docs/metadata.md",
)
def bounds_repeated(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """KEDA does not send the bounds to a scaler. Foresail plans within its own: too high a maximum
    hides that replicas are missing, and a minimum of 1 where KEDA has 0 keeps the last replica.
    With idleReplicaCount 0 Foresail's minimum may be 0 too.
    """
    least, most = bounds(of)
    lowest = {"minReplicaCount": least}
    if reaches_zero(of) and least > 0:
        lowest = {"idleReplicaCount": 0, **lowest}
    stated = (("minReplicas", lowest, 1), ("maxReplicas", {"maxReplicaCount": most}, None))
    for trigger in foresail_triggers(of):
        for name, counts, default in stated:
            given = trigger.metadata.get(name)
            meant = _whole(given) if given is not None else default
            if meant in counts.values() or (given is not None and meant is None):
                continue
            spec_name, count = next(iter(counts.items()))
            why = f"{spec_name} is {count}, and KEDA does not send it"
            if given is None and default is not None:
                why += f"; Foresail takes {default}"
            do = f'set {name}: "{count}"'
            yield Fault(at=(*trigger.at, "metadata", name), why=why, do=do)


def _whole(given: object) -> int | None:
    shown = str(given).strip()
    return int(shown) if shown.isascii() and shown.isdigit() and len(shown) < 10 else None  # noqa: PLR2004
