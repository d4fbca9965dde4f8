"""DeviceClasses: names for kinds of devices, which claims and extended resources refer to."""

from dataclasses import dataclass

from fleet.cluster.devices import GPU_DRIVERS
from fleet.cluster.fields import Json, UnreadableObjectError, listed, name_of, part, text


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClass:
    """A DeviceClass."""

    name: str
    uid: str
    selectors: tuple[str, ...]
    """CEL expressions, all of which a device must meet."""
    extended_resource: str | None
    """The resource that pods may ask for in its place."""

    @property
    def of_gpus(self) -> bool:
        """Its selectors name a driver of GPUs."""
        return any(GPU_DRIVERS in selector for selector in self.selectors)

    @property
    def resources(self) -> tuple[str, ...]:
        """Extended resources that stand for it."""
        implicit = f"deviceclass.resource.kubernetes.io/{self.name}"
        return (implicit, self.extended_resource) if self.extended_resource else (implicit,)


def class_of(document: Json) -> DeviceClass:
    """The device class of an API object.

    Raises:
        UnreadableObjectError: with the field that is not as the API has it.
    """
    spec = part(document, "spec")
    return DeviceClass(
        name=name_of(document),
        uid=text(part(document, "metadata"), "uid") or "",
        selectors=selectors_of(spec),
        extended_resource=text(spec, "extendedResourceName"),
    )


def selectors_of(spec: Json) -> tuple[str, ...]:
    """The CEL expressions of a class's or a request's selectors.

    Raises:
        UnreadableObjectError: one is of a kind that this program does not know.
    """
    found = []
    for one in listed(spec, "selectors"):
        expression = text(part(one, "cel"), "expression")
        if expression is None:
            raise UnreadableObjectError("a selector without a CEL expression")
        found.append(expression)
    return tuple(found)
