"""CEL selectors on devices of slices, by Google's C++ runtime (`cel-expr-python`).

Kubernetes' own functions are not in it and are registered here: `quantity()` and `compareTo()`. A
quantity is a map with one key, for the runtime has no types of ours; so it checks fewer types than
kube-apiserver does. As in Kubernetes, an attribute's missing domain is an empty map, and a missing
name in it an error. The end-to-end tests ask the real API server and scheduler the same.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext.ext_bindings import ExtBindings

from fleet.quantities import quantity
from scheduler.first_fit import Alternative, Device, MatchAttribute, Request

_QUANTITY = cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
_DOMAINS = ("gpu.nvidia.com", "gpu.amd.com", "resource.kubernetes.io", "gpu.example.com")
CLASSES = {
    "gpu.nvidia.com": (
        "device.driver == 'gpu.nvidia.com' && has(device.attributes['gpu.nvidia.com'].type)"
        " && device.attributes['gpu.nvidia.com'].type == 'gpu'"
    ),
    "gpu.amd.com": "device.driver == 'gpu.amd.com'",
}
"""As the charts have them, but for a guard: NVIDIA's driver publishes no device without a type."""


class SelectorError(Exception):
    """An expression failed on a device: kube-scheduler would give up the pod."""


def _compare(one: Mapping[str, str], other: Mapping[str, str]) -> int:
    a, b = quantity(one["quantity"]), quantity(other["quantity"])
    return (a > b) - (a < b)


_ENVIRONMENT = cel.NewEnv(
    variables={"device": cel.Type.DYN},
    extensions=[ExtBindings()],
    functions=[
        cel.FunctionDecl(
            "quantity",
            [
                cel.Overload(
                    "string_to_quantity",
                    return_type=_QUANTITY,
                    parameters=[cel.Type.STRING],
                    impl=lambda text: {"quantity": text},
                )
            ],
        ),
        cel.FunctionDecl(
            "compareTo",
            [
                cel.Overload(
                    "quantity_compare_to",
                    return_type=cel.Type.INT,
                    parameters=[_QUANTITY, _QUANTITY],
                    is_member=True,
                    impl=_compare,
                )
            ],
        ),
    ],
)


@lru_cache(maxsize=512)
def _compiled(expression: str) -> Any:
    return _ENVIRONMENT.compile(expression)


def holds(expression: str, driver: str, device: Mapping[str, Any]) -> bool:
    """Whether the selector takes this device of a slice.

    Raises:
        SelectorError: it failed, or is no question.
    """
    attributes: dict[str, dict[str, Any]] = {domain: {} for domain in _DOMAINS}
    capacity: dict[str, dict[str, Any]] = {domain: {} for domain in _DOMAINS}
    for name, value in device.get("attributes", {}).items():
        domain, _, key = name.rpartition("/")
        attributes[domain or driver][key] = next(iter(value.values()))
    for name, value in device.get("capacity", {}).items():
        domain, _, key = name.rpartition("/")
        capacity[domain or driver][key] = {"quantity": value["value"]}
    told = {"driver": driver, "attributes": attributes, "capacity": capacity}
    answer = _compiled(expression).eval(data={"device": told}).plain_value()
    if not isinstance(answer, bool):
        raise SelectorError(f"{expression}: {answer}")
    return answer


def devices_of(*slices: Mapping[str, Any]) -> Iterator[Device]:
    """What the prediction of the allocator takes."""
    for one in slices:
        spec = one["spec"]
        for at, device in enumerate(spec["devices"]):
            told = device.get("attributes", {})
            yield Device(
                driver=spec["driver"],
                pool=spec["pool"]["name"],
                slice=one["metadata"]["name"],
                index=at,
                name=device["name"],
                attributes={
                    name if "/" in name else f"{spec['driver']}/{name}": next(iter(value.values()))
                    for name, value in told.items()
                },
            )


def requests_of(spec: Mapping[str, Any], *slices: Mapping[str, Any]) -> tuple[Request, ...]:
    """A claim's requests, on these slices."""
    found = {
        (one["spec"]["driver"], one["spec"]["pool"]["name"], device["name"]): device
        for one in slices
        for device in one["spec"]["devices"]
    }

    def matches(device: Device, alternative: Mapping[str, Any]) -> bool:
        selectors = [CLASSES[alternative["deviceClassName"]]]
        selectors += [one["cel"]["expression"] for one in alternative["selectors"]]
        document = found[device.driver, device.pool, device.name]
        return all(holds(text, device.driver, document) for text in selectors)

    return tuple(
        Request(
            name=request["name"],
            alternatives=tuple(
                Alternative(
                    name=one["name"],
                    matches=lambda device, one=one: matches(device, one),
                    count=one["count"],
                )
                for one in request["firstAvailable"]
            ),
        )
        for request in spec["devices"]["requests"]
    )


def constraints_of(spec: Mapping[str, Any]) -> tuple[MatchAttribute, ...]:
    return tuple(
        MatchAttribute(attribute=one["matchAttribute"], requests=frozenset(one["requests"]))
        for one in spec["devices"].get("constraints", ())
    )
