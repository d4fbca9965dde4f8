"""Texts and API objects as policies: every fault with its place, and none that governs twice."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Final

from pydantic import ValidationError

from fleet.documents import Json, part, text
from fleet.located import Document, UnreadableYamlError
from policies.policy.schema import KIND, CapacityPolicy
from policies.policy.selectors import PoolSelector
from scaler.errors import ForesailError
from scaler.faults import checked, texts_of
from scaler.spelling import nearest

_READ: Final = ("apiVersion", "kind", "metadata", "spec")
"""Of an object; its status is the controller's."""

POLICIES_MAX: Final = 300
"""Each is compared with each."""
_FAULTS_MAX: Final = 20
"""Of policies against each other that are told."""
Located = tuple[str, CapacityPolicy]
"""Where a policy stands, as file and line or as an object, and the policy."""


class PolicyError(ForesailError):
    """Policies that cannot be used; one line a fault."""


def policies_in(texts: Mapping[str, str]) -> tuple[CapacityPolicy, ...]:
    """The policies in texts by the name of their file; a text may hold several.

    Raises:
        PolicyError: with all faults, each with its file and line.
    """
    found: list[Located] = []
    faults: list[str] = []
    for file, content in texts.items():
        try:
            documents = Document.several(content)
        except UnreadableYamlError as error:
            faults.append(f"{file}:{error.line}: {error}")
            continue
        for document in documents:
            if other := _other_kind(document):
                faults.append(f"{file}:{document.line_of(('kind',))}: {other}")
                continue
            policy, wrong = checked(document, CapacityPolicy)
            faults += [f"{file}:{line}: {why}" for line, why in wrong]
            if policy is not None:
                found.append((f"{file}:{document.line_of(('metadata', 'name'))}", policy))
    faults += _contradictions(found)
    if faults:
        raise PolicyError("\n".join(faults))
    return tuple(policy for _, policy in found)


def _other_kind(document: Document) -> str | None:
    """What is wrong with an object that is no policy at all, in place of a fault a field."""
    value = document.value
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or nearest(kind, (KIND,)):
        return None
    return f"kind: has the value {kind!r}: it takes {KIND}"


def policy_of(document: Json) -> CapacityPolicy:
    """The policy of a custom resource.

    Raises:
        PolicyError: with all faults, each with its field.
    """
    name = text(part(document, "metadata"), "name") or "without a name"
    try:
        return CapacityPolicy.model_validate(parts_read(document))
    except ValidationError as error:
        faults = texts_of(error, CapacityPolicy)
        raise PolicyError("\n".join(f"{KIND} {name}: {why}" for why in faults)) from error


def parts_read(document: Json) -> dict[str, object]:
    """The parts of an object that are the operator's."""
    return {key: document[key] for key in _READ if key in document}


def agreed(policies: Iterable[CapacityPolicy]) -> tuple[CapacityPolicy, ...]:
    """The same policies, of custom resources, where no two of them can only collide.

    Raises:
        PolicyError: naming both.
    """
    kept = tuple(policies)
    if faults := contradictions(kept):
        raise PolicyError("\n".join(faults))
    return kept


def contradictions(policies: Iterable[CapacityPolicy]) -> list[str]:
    """What is wrong with policies beside each other; each text names both."""
    return _contradictions([(f"{KIND} {one.name}", one) for one in policies])


def _contradictions(found: Sequence[Located]) -> list[str]:
    """Pairs that have one name, or that want the same pool in any cluster."""
    if len(found) > POLICIES_MAX:
        at, policy = found[POLICIES_MAX]
        return [f"{at}: the policy {policy.name!r} is one too many: {POLICIES_MAX} are the most"]
    faults: list[str] = []
    for (first, one), (second, other) in combinations(found, 2):
        if one.name == other.name:
            faults.append(f"{second}: the policy {one.name!r} is at {first} already")
        elif _collide(one.spec.pools or PoolSelector(), other.spec.pools or PoolSelector()):
            faults.append(
                f"{second}: the policies {one.name!r} ({first}) and {other.name!r} match the same "
                "pools: narrow spec.pools of one of them, or join them and use rules"
            )
        if len(faults) == _FAULTS_MAX:
            break
    return faults


def _collide(one: PoolSelector, other: PoolSelector) -> bool:
    return one.surely_meets(other) or other.surely_meets(one)
