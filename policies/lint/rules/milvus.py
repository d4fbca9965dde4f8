"""Milvus: its operator sets replicas back that it has not handed over."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from fleet.documents import listed, part, text
from policies.lint.finding import Fault, Severity
from policies.lint.objects import Inputs, Object
from policies.lint.pods import gpu_resources
from policies.lint.rule import rule
from policies.lint.scaled import HPA, SCALED_OBJECT, made_by_keda, scalers_by_target, target

MILVUS: Final = "milvus.io/Milvus"
DELEGATED: Final = -1
_TARGET: Final = ("spec", "scaleTargetRef", "name")
_DEPLOYMENT: Final = re.compile(
    r"(?P<name>.+)-milvus-(?P<component>[a-z]+)(?:-(?P<group>.+?))??(?P<slot>-[01])?", re.ASCII
)
"""Of a component or of a group of it; two slots where the operator rolls it in two Deployments."""
_NAMES: Final = (
    "proxy", "queryNode", "dataNode", "indexNode", "streamingNode", "mixCoord", "rootCoord",
    "queryCoord", "dataCoord", "indexCoord", "standalone", "cdc",
)  # fmt: skip
_COMPONENTS: Final[Mapping[str, str]] = {one.lower(): one for one in _NAMES}
"""As the names of Deployments have them, and as the Milvus has them."""
_VERSION: Final = re.compile(r":v?(\d{1,4})\.(\d{1,4})")
_WITHOUT_INDEX_NODE: Final = (2, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Component:
    """What a scaler scales, of which Milvus."""

    milvus: Object
    name: str
    group: str | None
    slot: str | None

    @property
    def field(self) -> str:
        """Where the Milvus has its replicas."""
        group = f".groups[name={self.group}]" if self.group else ""
        return f"spec.components.{self.name}{group}.replicas"

    @property
    def replicas(self) -> object:
        """As the Milvus has it; the operator takes 1 where it is left out."""
        component = part(self.milvus.spec, "components", self.name)
        if self.group is None:
            return component.get("replicas", 1)
        groups = listed(component, "groups")
        named = (one for one in groups if text(one, "name") == self.group)
        return next(named, {}).get("replicas", 1)


def _component(of: Object, inputs: Inputs) -> _Component | None:
    """The component that a ScaledObject or HPA scales; None = none of a Milvus that is here."""
    if made_by_keda(of):
        return None
    kind, scope, name = target(of)
    found = _DEPLOYMENT.fullmatch(name) if kind == "apps/Deployment" else None
    component = _COMPONENTS.get(found["component"]) if found else None
    milvus = inputs.find(MILVUS, scope, found["name"]) if found else None
    if found is None or component is None or milvus is None:
        return None
    return _Component(milvus=milvus, name=component, group=found["group"], slot=found["slot"])


@rule(
    "FS641",
    Severity.ERROR,
    on=(SCALED_OBJECT, HPA),
    what="a component of Milvus that its operator scales",
    fix="set replicas: -1 for the component in the Milvus",
    source="Milvus operator, spec.components.*.replicas",
)
def operator_scales(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """The operator sets the number of the Milvus again whatever an autoscaler wrote; -1 hands the
    component over. Coordinators are handed over to nobody: one of each works, others stand by.
    """
    found = _component(of, inputs)
    if found is None:
        return
    if found.name.lower().endswith("coord"):
        why = f"{found.name} is a coordinator, and more of them serve nothing more"
        yield Fault(at=_TARGET, why=why, do="delete this, and scale query, data or proxy nodes")
    elif found.replicas != DELEGATED:
        whose = f"{found.name} {found.group}" if found.group else found.name
        why = f"{found.milvus.title} has {whose} at {found.replicas}, and sets that again"
        do = f"set {found.field}: -1 there"
        yield Fault(at=_TARGET, why=why, do=do)


@rule(
    "FS642",
    Severity.WARNING,
    on=(SCALED_OBJECT, HPA),
    what="one of the two Deployments of Milvus' query nodes",
    fix="scale both slots, -0 and -1, each by an object of its own",
    source="Milvus operator, two Deployments of a rolling component",
)
def one_of_two_slots(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """Query nodes alternate between the Deployments -0 and -1: at the next rollout the other one
    serves, and what scaled this one scales nothing.
    """
    found = _component(of, inputs)
    if found is None or found.slot is None:
        return
    kind, scope, name = target(of)
    other = f"{name[:-1]}{'1' if found.slot == '-0' else '0'}"
    if not inputs.once(scalers_by_target).get((kind, scope, other)):
        why = f"after the next rollout {other} serves, and nothing here scales it"
        yield Fault(at=_TARGET, why=why, do=f"scale {other} too")


@rule(
    "FS643",
    Severity.WARNING,
    on=MILVUS,
    what="GPUs for index nodes of a Milvus that has none",
    fix="give the GPUs to dataNode, which builds indexes",
    source="Milvus 2.6, release notes: IndexNode merged into DataNode",
)
def index_node_is_gone(of: Object, inputs: Inputs) -> Iterator[Fault]:
    """From 2.6 on data nodes build the indexes: GPUs that are asked for index nodes build none."""
    components = part(of.spec, "components")
    image = text(part(components, "indexNode"), "image") or text(components, "image") or ""
    version = _VERSION.search(image)
    # The operator writes an indexNode into every Milvus; what it asks for is the user's.
    if version is None or not gpu_resources(part(components, "indexNode")):
        return
    if (int(version[1]), int(version[2])) >= _WITHOUT_INDEX_NODE:
        why = f"Milvus {version[1]}.{version[2]} has no index nodes"
        at = ("spec", "components", "indexNode")
        yield Fault(at=at, why=why, do="move its resources to dataNode")
