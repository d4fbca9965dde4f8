"""Which agents call which model: KAgent's agents, their ModelConfigs, and the pools behind these.

An agent's turn is many calls of its model, so a model's demand is its agents'. The pool behind a
ModelConfig is the Foresail trigger of the workload behind its URL: a Service, or the backends of an
HTTPRoute with that host. Behind a gateway it is the trigger of that model's name.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from fleet.documents import is_object, listed, part, text
from policies.lint.kagent import MODEL_CONFIG, ModelConfig, agents, model_config, model_config_of
from policies.lint.objects import Inputs, Object
from policies.lint.pods import pods_in
from policies.lint.scaled import SCALED_OBJECT, foresail_triggers, scaler_of
from policies.lint.selected import selected

HTTP_ROUTE: Final = "gateway.networking.k8s.io/HTTPRoute"
INFERENCE_POOLS: Final = (
    "inference.networking.k8s.io/InferencePool",
    "inference.networking.x-k8s.io/InferencePool",
)
_GATEWAYS: Final = ("litellm",)
"""Presets of gateways, which are in the names of their images too."""
_INSIDE: Final = ("svc", "cluster", "local")
_BACKENDS_MAX: Final = 32
"""Of one host, with `_WORKLOADS_MAX`: any tenant writes routes, and all agents may ask one host."""
_WORKLOADS_MAX: Final = 100
_LABELS_MAX: Final = 127
"""Of the name of a host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent."""

    name: str
    """With its namespace."""
    replicas: int | None
    """Of its Deployment; None = it is not known."""
    scaled_by: str | None
    """The autoscaler of its Deployment; None = nothing scales it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledModel:
    """A model, and the agents that call it."""

    model: str
    scaled_object: str | None
    """Of the pool that serves it, with its namespace; None = it is not here."""
    gateway: str | None
    """The preset of the gateway between; None = agents call the pool itself."""
    agents: tuple[Agent, ...]

    @property
    def replicas(self) -> int | None:
        """Of all agents; None = those of one are not known."""
        known = [one.replicas for one in self.agents]
        return None if None in known else sum(one or 0 for one in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentGraph:
    """What all agents call."""

    models: tuple[CalledModel, ...]
    left_out: tuple[str, ...]
    """Agents that call no pool of this cluster, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    model: str
    scaled_object: str | None
    gateway: str | None


def agent_graph(inputs: Inputs) -> AgentGraph:
    """The graph of the agents among the objects."""
    found: dict[_Pool, list[Agent]] = defaultdict(list)
    left_out = []
    for one in agents(inputs):
        pool = _pool_of(one, inputs)
        if isinstance(pool, str):
            left_out.append(f"{one.title}: {pool}")
        else:
            found[pool].append(_agent(one, inputs))
    return AgentGraph(
        models=tuple(
            CalledModel(
                model=pool.model,
                scaled_object=pool.scaled_object,
                gateway=pool.gateway,
                agents=tuple(sorted(of, key=lambda one: one.name)),
            )
            for pool, of in sorted(
                found.items(), key=lambda one: (one[0].scaled_object or "", one[0].model)
            )
        ),
        left_out=tuple(left_out),
    )


def _agent(of: Object, inputs: Inputs) -> Agent:
    deployment = inputs.find("apps/Deployment", of.scope, of.name)
    replicas = deployment.spec.get("replicas") if deployment is not None else None
    scaler = scaler_of(deployment, inputs) if deployment is not None else None
    return Agent(
        name=f"{of.namespace}/{of.name}",
        replicas=replicas if isinstance(replicas, int) else None,
        scaled_by=None if scaler is None else scaler.title,
    )


def _pool_of(agent: Object, inputs: Inputs) -> _Pool | str:
    """The pool that an agent calls, or why there is none."""
    key = model_config_of(agent)
    if key is None:
        return "it names no ModelConfig: what it calls is in its own image"
    config = inputs.find(MODEL_CONFIG, *key)
    if config is None:
        return f"there is no ModelConfig {'/'.join(key)} here"
    return _pool_behind(model_config(config), inputs)


def _pool_behind(config: ModelConfig, inputs: Inputs) -> _Pool | str:
    if config.url is None:
        return f"{config.object.title} asks {config.provider} itself, outside of this cluster"
    host = _host(config.url)
    workloads = _workloads_behind(host, config.object.scope, inputs)
    gateway = next(filter(None, map(_gateway, workloads)), None)
    if gateway is None:
        for workload in workloads:
            scaler = scaler_of(workload, inputs)
            for trigger in foresail_triggers(scaler) if scaler is not None else ():
                name = f"{scaler.namespace}/{scaler.name}" if scaler is not None else None
                model = text(trigger.metadata, "model") or config.model
                return _Pool(model=model, scaled_object=name, gateway=None)
        if not workloads:
            return f"no Service or HTTPRoute here has the host {host!r} of {config.object.title}"
        return f"{workloads[0].title} serves {config.object.title}, and no trigger scales it"
    return _Pool(
        model=config.model,
        scaled_object=inputs.once(_scaled_by_model).get(config.model),
        gateway=gateway,
    )


def _scaled_by_model(inputs: Inputs) -> Mapping[str, str]:
    """The ScaledObject of each model that Foresail plans, with its namespace."""
    return {
        text(trigger.metadata, "model") or "": f"{one.namespace}/{one.name}"
        for one in inputs.of(SCALED_OBJECT)
        for trigger in foresail_triggers(one)
    }


def _host(url: str) -> str:
    try:
        return urlsplit(url if "//" in url else f"//{url}").hostname or ""
    except ValueError:
        return ""


def _workloads_behind(host: str, scope: str, inputs: Inputs) -> list[Object]:
    """The workloads that serve a host, seen from a namespace, each once."""
    routed = inputs.once(_backends_by_hostname)
    backends = [one for name in _hostnames(host) for one in routed.get(name, ())]
    name, *rest = host.split(".")
    inside = rest[:1] and rest[1:] in ([], ["svc"], list(_INSIDE))
    if not rest or inside:
        backends.insert(0, _Backend("Service", rest[0] if rest else scope, name))
    behind = inputs.once(_Behind)
    found = (of for one in backends[:_BACKENDS_MAX] for of in behind.workloads(one))
    return list(dict.fromkeys(found))[:_WORKLOADS_MAX]


@dataclass(frozen=True, slots=True)
class _Backend:
    """What an HTTPRoute sends requests to."""

    kind: str
    scope: str
    name: str


def _backends_by_hostname(inputs: Inputs) -> Mapping[str, Mapping[_Backend, None]]:
    """Each backend once, in the order of the routes."""
    found: dict[str, dict[_Backend, None]] = defaultdict(dict)
    for route in inputs.of(HTTP_ROUTE):
        hostnames = route.spec.get("hostnames")
        backends = dict.fromkeys(_backends_of(route))
        for one in hostnames if isinstance(hostnames, list) else ():
            if isinstance(one, str):
                found[one] |= backends
    return found


def _backends_of(route: Object) -> Iterator[_Backend]:
    for rule in listed(route.spec, "rules"):
        for backend in listed(rule, "backendRefs"):
            name = backend.get("name")
            if isinstance(name, str):
                scope = text(backend, "namespace") or route.scope
                yield _Backend(text(backend, "kind") or "Service", scope, name)


def _hostnames(host: str) -> Iterator[str]:
    """The hostnames of routes that fit a host, the narrowest first."""
    yield host
    _, *parents = host.split(".", _LABELS_MAX)
    for place in range(len(parents)):
        yield f"*.{'.'.join(parents[place:])}"


class _Behind:
    """The workloads behind backends; agents share these."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._known: dict[_Backend, tuple[Object, ...]] = {}

    def workloads(self, of: _Backend) -> tuple[Object, ...]:
        if of not in self._known:
            self._known[of] = tuple(self._found(of))
        return self._known[of]

    def _found(self, of: _Backend) -> Iterator[Object]:
        for kind in ("Service",) if of.kind == "Service" else INFERENCE_POOLS:
            found = self._inputs.find(kind, of.scope, of.name)
            if found is not None:
                selector = part(found.spec, "selector")
                labels = selector.get("matchLabels") if of.kind != "Service" else selector
                if is_object(labels):
                    yield from selected(found.scope, {"matchLabels": labels}, self._inputs)


def _gateway(workload: Object) -> str | None:
    images: Sequence[str] = [
        text(container, "image") or ""
        for pod in pods_in(workload)
        for _, container in pod.containers
    ]
    return next((one for one in _GATEWAYS if any(one in image for image in images)), None)
