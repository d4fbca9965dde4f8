"""Policies and pools for tests, stated as far as the test is about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from fleet.cluster.nodes import CapacityType
from policies.policy.documents import policy_of
from policies.policy.schema import API_VERSION, KIND, CapacityPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    name: str = "chat"
    labels: Mapping[str, str] = field(default_factory=dict)
    generation: str | None = "h100-sxm"
    capacity_type: CapacityType | None = CapacityType.ON_DEMAND
    gpus_per_node: int = 8
    usd_per_hour: float | None = 48.0
    """A dollar for ten minutes of one GPU."""


def document(name: str = "chat", **spec: Any) -> dict[str, Any]:
    """An API object; keys as in a file."""
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def policy(name: str = "chat", **spec: Any) -> CapacityPolicy:
    return policy_of(document(name, **spec))


def seconds_at(local: str, zone: str = "UTC", *, fold: int = 0) -> float:
    """The Unix time at which clocks of a zone show this."""
    moment = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=fold)
    return moment.timestamp()
