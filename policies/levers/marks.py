"""Marks of what is ours: names, labels, and annotations with reason and lease.

A name is made of the pool and the capacity type alone, so that a controller that knows nothing of
an earlier one, or two of them for a moment, write the same object.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

import orjson

from fleet.annotations import KEPT_BECAUSE, KEPT_UNTIL
from fleet.cluster.nodes import CapacityType

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OURS: Final = "foresail"
POOL: Final = "foresail.io/pool"
POLICY: Final = "foresail.io/policy"
CAPACITY_TYPE: Final = "foresail.io/capacity-type"
TEMPLATE_HASH: Final = "foresail.io/template-hash"
"""Of what a pod template was made from; the API server writes defaults into the template itself."""
DRAINED_AT: Final = "foresail.io/drained-at"
"""When a buffer was set to 0, as RFC 3339 has it."""
RENEWED_AT_SHARE: Final = 0.5
"""Of a lease that is left when it is renewed: each renewal is a write."""
_LEASE_SLACK_SECONDS: Final = 1.0
"""Time stamps are whole seconds."""
_NAME_LENGTH_MAX: Final = 52
"""A ReplicaSet and its pods add a hash each, and a label holds 63."""


def name_for(pool: str, capacity_type: CapacityType | None) -> str:
    """The name of our objects for a pool's nodes of a capacity type; None = of any."""
    plain = f"foresail-{pool}" + (f"-{capacity_type.value}" if capacity_type is not None else "")
    safe = re.sub(r"[^a-z0-9-]+", "-", plain.lower()).strip("-")
    if safe == plain and len(plain) <= _NAME_LENGTH_MAX and capacity_type is None:
        return plain
    # Two pools must not share a name, as `a` on demand and `a-on-demand` would.
    digest = sha256(f"{pool}/{capacity_type}".encode()).hexdigest()[:8]
    return f"{safe[: _NAME_LENGTH_MAX - 9].rstrip('-')}-{digest}"


def labels_for(pool: str, policy: str, capacity_type: CapacityType | None) -> Mapping[str, str]:
    """The labels of an object of ours."""
    typed = {CAPACITY_TYPE: capacity_type.value} if capacity_type is not None else {}
    named = {POLICY: policy} if policy else {}
    return {MANAGED_BY: OURS, POOL: pool, **named, **typed}


def lease_marks(because: str, until_seconds: float) -> Mapping[str, str]:
    """The annotations that say why something is kept, and until when."""
    return {KEPT_BECAUSE: because, KEPT_UNTIL: stamp(until_seconds)}


def stamp(at_seconds: float) -> str:
    """A time as RFC 3339 has it, in whole seconds."""
    return datetime.fromtimestamp(int(at_seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def lease_to_write(
    present_seconds: float | None, wanted_seconds: float, now_seconds: float
) -> float | None:
    """The end of a lease to write; None = the one that stands will do.

    It is renewed when half of it is gone, and cut when it stands for longer than it is wanted.
    """
    if present_seconds is None or present_seconds <= now_seconds:
        return wanted_seconds
    if present_seconds > wanted_seconds + _LEASE_SLACK_SECONDS:
        return wanted_seconds
    left, whole = present_seconds - now_seconds, wanted_seconds - now_seconds
    return wanted_seconds if left < RENEWED_AT_SHARE * whole else None


def digest_of(template: object) -> str:
    """The hash of what a pod template is made from."""
    return sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
