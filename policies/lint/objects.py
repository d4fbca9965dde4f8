"""Objects as rules see them: each with its place, and all that were given together."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeVar

from fleet.documents import Json, is_object, part, text
from fleet.manifests import Manifest, line_of, manifests_in
from policies.lint.finding import Path

ABSENT: Final = object()
Made = TypeVar("Made")
_EMBEDDED: Final = ("KubeSchedulerConfiguration", "CapacityPolicy", "DeschedulerPolicy")
"""Kinds that live as a text in a ConfigMap."""
_TEXT_MAX: Final = 1 << 20
"""Characters of a ConfigMap's entry: the API server takes no more of the whole."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Object:
    """One manifest; equal to itself alone."""

    group: str
    """Of its API; empty for the core."""
    version: str
    kind: str
    namespace: str
    """Empty where a file leaves it out, and for cluster-wide objects."""
    name: str
    value: Json
    file: str

    @property
    def type(self) -> str:
        return f"{self.group}/{self.kind}" if self.group else self.kind

    @property
    def scope(self) -> str:
        """Where a name is its own: a namespace, or of files that name none, their folder."""
        return self.namespace or f"/{self.file.rpartition('/')[0]}"

    @property
    def title(self) -> str:
        whose = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {printable(whose or '(without a name)')}"

    @property
    def annotations(self) -> Json:
        return part(self.value, "metadata", "annotations")

    @property
    def spec(self) -> Json:
        return part(self.value, "spec")

    def at(self, path: Path) -> object:
        """The value at a path; `ABSENT` where there is none."""
        value: object = self.value
        for key in path:
            if is_object(value) and key in value:
                value = value[key]  # type: ignore[index]
            elif isinstance(value, list) and isinstance(key, int) and key < len(value):
                value = value[key]
            else:
                return ABSENT
        return value

    def line(self, path: Path) -> int | None:
        return line_of(self.value, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known besides the objects."""

    live: bool = False
    """The objects are a cluster's, with the API server's defaults."""
    complete: frozenset[str] = frozenset()
    """Types of which the objects are all that the cluster has."""
    node_lead_seconds: float | None = None
    """From the order of a node to GPUs that pods can have, as the operator states it."""
    engines: Mapping[str, bool] = field(default_factory=dict)
    """Engine preset → whether its metrics outlive the last replica."""
    gateways: frozenset[str] = frozenset()
    """Presets that are read beside an engine alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """All objects, found by type and name."""

    objects: Sequence[Object]
    context: Context = field(default_factory=Context)

    @cached_property
    def _by_type(self) -> dict[str, list[Object]]:
        found: dict[str, list[Object]] = {}
        for one in self.objects:
            found.setdefault(one.type, []).append(one)
        return found

    @cached_property
    def _by_name(self) -> dict[tuple[str, str, str], Object]:
        return {(one.type, one.scope, one.name): one for one in self.objects}

    def of(self, *types: str) -> Iterator[Object]:
        for one in types:
            yield from self._by_type.get(one, ())

    def find(self, kind: str, scope: str, name: str) -> Object | None:
        return self._by_name.get((kind, scope, name))

    def once(self, make: Callable[["Inputs"], Made]) -> Made:
        """What rules need of all objects, worked out once: no rule walks all of them for each."""
        if make not in self._made:
            self._made[make] = make(self)
        made: Made = self._made[make]
        return made

    @cached_property
    def _made(self) -> dict[Any, Any]:
        return {}


def objects_of(value: Json, file: str) -> Iterator[Object]:
    """The objects of a document: itself, the items of a list, and texts in a ConfigMap."""
    kind, api = text(value, "kind"), text(value, "apiVersion")
    if kind is None or api is None:
        return
    items = value.get("items")
    if kind.endswith("List") and isinstance(items, list):
        for one in items:
            if is_object(one):
                yield from _listed(one, kind.removesuffix("List"), api, file)
        return
    made = _object(value, kind, api, file)
    yield made
    if made.type == "ConfigMap":
        yield from _embedded(made)


def _listed(value: Json, kind: str, api: str, file: str) -> Iterator[Object]:
    """An item, which leaves its kind to a typed list."""
    if text(value, "kind") is not None:
        if not (text(value, "kind") or "").endswith("List"):
            yield from objects_of(value, file)
    elif kind:
        yield _object(value, kind, api, file)


def _object(value: Json, kind: str, api: str, file: str) -> Object:
    group, slash, version = api.rpartition("/")
    metadata = part(value, "metadata")
    return Object(
        group=group if slash else "",
        version=version,
        kind=kind,
        namespace=text(metadata, "namespace") or "",
        name=text(metadata, "name") or text(metadata, "generateName") or "",
        value=value,
        file=file,
    )


def _embedded(configmap: Object) -> Iterator[Object]:
    """Configurations that a ConfigMap holds as text, under the ConfigMap's name."""
    data = part(configmap.value, "data")
    blocks = getattr(data, "blocks", {})
    for key, content in data.items():
        if not isinstance(content, str) or len(content) > _TEXT_MAX:
            continue
        if not any(kind in content for kind in _EMBEDDED):
            continue
        line = blocks.get(key) or configmap.line(("data", key)) or 1
        for manifest in manifests_in(content, first_line=line):
            if not isinstance(manifest, Manifest):
                continue
            kind, api = text(manifest.value, "kind"), text(manifest.value, "apiVersion")
            if kind in _EMBEDDED and api:
                made = _object(manifest.value, kind, api, configmap.file)
                yield Object(
                    group=made.group,
                    version=made.version,
                    kind=kind,
                    namespace=configmap.namespace,
                    name=made.name or configmap.name,
                    value=manifest.value,
                    file=configmap.file,
                )


def printable(name: str) -> str:
    """A name without what a terminal would obey."""
    return name[:253] if name.isprintable() else repr(name[:253])[1:-1]
