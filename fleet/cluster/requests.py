"""How much of each resource a pod takes of its node, counted as kube-scheduler counts.

k8s.io/component-helpers/resource, `PodRequests`: containers and sidecars add up. Init containers
run one after the other, each beside the sidecars that were started before it, so the largest of
these sums counts where it is more. What the pod asks for as a whole (`spec.resources`) takes the
place of what its containers ask for together. Overhead comes on top.
"""

from collections.abc import Mapping
from fractions import Fraction

from fleet.cluster.fields import Json, amounts, listed, part, text

Amounts = Mapping[str, Fraction]

_OF_PODS = ("cpu", "memory")
"""Resources that a pod may ask for as a whole, besides huge pages."""


def requests_of(spec: Json) -> Amounts:
    """What a pod takes of its node, by resource.

    Raises:
        UnreadableObjectError: an amount is no quantity, or below 0.
    """
    running: dict[str, Fraction] = {}
    for container in listed(spec, "containers"):
        _add(running, _asked(container))
    sidecars: dict[str, Fraction] = {}
    starting: dict[str, Fraction] = {}
    for container in listed(spec, "initContainers"):
        asked = dict(_asked(container))
        if text(container, "restartPolicy") == "Always":
            _add(running, asked)
            _add(sidecars, asked)
            asked = dict(sidecars)
        else:
            _add(asked, sidecars)
        for resource, amount in asked.items():
            starting[resource] = max(starting.get(resource, amount), amount)
    total = {
        resource: max(running.get(resource, Fraction(0)), starting.get(resource, Fraction(0)))
        for resource in running | starting
    }
    whole = part(spec, "resources")
    total |= _of_pod(amounts(whole, "requests"))
    for resource, amount in _of_pod(amounts(whole, "limits")).items():
        total.setdefault(resource, amount)
    _add(total, amounts(spec, "overhead"))
    return total


def _of_pod(asked: Amounts) -> dict[str, Fraction]:
    return {
        resource: amount
        for resource, amount in asked.items()
        if resource in _OF_PODS or resource.startswith("hugepages-")
    }


def _asked(container: Json) -> Amounts:
    """What one container asks for; a limit without a request is one."""
    resources = part(container, "resources")
    return {**amounts(resources, "limits"), **amounts(resources, "requests")}


def _add(to: dict[str, Fraction], more: Amounts) -> None:
    for resource, amount in more.items():
        to[resource] = to.get(resource, Fraction(0)) + amount
