"""Why a node cannot take a pod although kube-scheduler has passed it: for now, or ever.

kube-scheduler has just counted CPU, memory, whole GPUs and devices, on newer news than a watch has.
What it cannot know is turned away here: the GPU models that an annotation names, NVLink islands,
groups, and shares of GPUs where there are any. kube-scheduler evicts nobody for either: it finds
victims by its own filters alone, and these have passed the node. It tries nodes that are full for
now, and not others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import compress
from typing import Final

import numpy as np

from fleet.catalogue import shipped
from scheduler.naming import near_models
from scheduler.placement import NO_GPU, Int, Nodes, Shape

REASON_MAX: Final = 240
"""Characters: of five thousand reasons one megabyte at most."""
UNTOLD: Final = (
    "of the nodes have GPUs of a model that is not known: the agent, or the label"
    " nvidia.com/gpu.product of GPU feature discovery, tells it"
)
_NAME_MAX: Final = 64


@dataclass(slots=True)
class Filtered:
    """Which of the nodes that were asked about can take the pod."""

    passed: list[str]
    failed: dict[str, str] = field(default_factory=dict)
    """For now: room may come."""
    unresolvable: dict[str, str] = field(default_factory=dict)
    """However empty the node is."""
    assumed: str | None = None
    """What was taken for granted; None = nothing."""

    def refuse_all(self, reason: str, same: str, *, for_good: bool = False) -> None:
        """Turn the nodes away that have passed, for what is no fault of any of them.

        Args:
            reason: said once, of the first node.
            same: what the others say.
            for_good: no node could take the pod, however empty it is.
        """
        refused = self.unresolvable if for_good else self.failed
        for at, name in enumerate(self.passed):
            refused[name] = short(reason) if at == 0 else same
        self.passed = []


def without_sense(names: list[str], fault: str) -> Filtered:
    """No node may take a pod whose hard requirements cannot be read.

    An error would not do: kube-scheduler skips an extender with `ignorable` that answers with one,
    and the pod would run without what it asks for.
    """
    result = Filtered(list(names))
    result.refuse_all(fault, "an annotation of the pod makes no sense", for_good=True)
    return result


def short(text: str) -> str:
    """The text, and of a long one its beginning."""
    return text if len(text) <= REASON_MAX else text[: REASON_MAX - 1] + "…"


def filtered(names: list[str], rows: Int, now: Nodes, shape: Shape) -> Filtered:
    """Sort `names` by whether they have a share of a GPU free, and a GPU model that will do.

    A node that is not known passes: kube-scheduler has seen it, and we say nothing about it. So
    does one without GPUs as far as we know, for kube-scheduler has just counted some, and one whose
    GPU model is not known.

    Args:
        names: nodes that were asked about.
        rows: shape ``(len(names),)``, their rows; -1 = not known.
        now: as the nodes are.
        shape: what the pod asks for.
    """
    if not shape.models and not shape.is_share:
        return Filtered(list(names))
    has_gpus = now.gpus[:, 0] != NO_GPU
    untold = now.untold()
    is_right = now.allows(shape.models)[now.model] | ~has_gpus | untold
    is_free = (now.most >= shape.gpu_milli) | ~has_gpus if shape.is_share else is_right
    right, free = np.append(is_right, True)[rows], np.append(is_free, True)[rows]
    result = Filtered(list(compress(names, (right & free).tolist())))
    if shape.models:
        count = np.count_nonzero(np.append(untold, False)[rows] & free)
        result.assumed = f"{count} {UNTOLD}" if count else None
    if len(result.passed) == len(names):
        return result
    for at in np.flatnonzero(right & ~free).tolist():
        result.failed[names[at]] = f"no GPU with {shape.gpu_milli} milli free"
    models = now.models

    @cache
    def other_model(model: int) -> str:
        return f"GPU model {models[model][:_NAME_MAX]}, not one that is asked for"

    wrong = np.flatnonzero(~right).tolist()
    for at in wrong:
        result.unresolvable[names[at]] = other_model(int(now.model[rows[at]]))
    if wrong:
        first, wanted = names[wrong[0]], " or ".join(sorted(shape.models))
        reason = f"{result.unresolvable[first]}: {wanted}"
        strange = _no_model(shape.models, models)
        result.unresolvable[first] = short(f"{strange}; {reason}" if strange else reason)
    return result


def _no_model(wanted: frozenset[str], models: Sequence[str]) -> str | None:
    """What may have been meant, where neither the catalogue nor a node has one of the names."""
    known = shipped()
    for name in sorted(wanted):
        if name not in models and known.find(name) is None:
            shown = name[:_NAME_MAX]
            return f"no GPU model is called {shown!r}: {near_models(name, known)}"
    return None
