"""Tokens that models took and generated, by vLLM's series in a Prometheus.

A series names its model as the engine serves it, and a pod's label perhaps otherwise. Dollars go by
the label, so the pod of a series, where Prometheus knows it, says which model its tokens count for.
A model without a series is unknown: it is left out, and is not 0.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from fleet.documents import Json, number_of, part, text
from fleet.series_names import spellings
from fleet.snapshot import FleetSnapshot

MODELS_MAX: Final = 512
"""That are kept apart; of further ones nothing is known."""
GENERATED: Final = "vllm:generation_tokens_total"
_PROMPT: Final = "vllm:prompt_tokens_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Of one model, in some time."""

    generated: float = 0.0
    prompt: float = 0.0
    """With those whose attention was cached."""

    def __add__(self, other: "Tokens") -> "Tokens":
        """Both together."""
        return Tokens(generated=self.generated + other.generated, prompt=self.prompt + other.prompt)

    def times(self, factor: float) -> "Tokens":
        """So many times as many."""
        return Tokens(generated=self.generated * factor, prompt=self.prompt * factor)


def queries(window_seconds: float) -> tuple[str, str]:
    """PromQL for `tokens_of`: generated and prompt tokens of each pod in a window until now."""
    window = f"{window_seconds:.0f}s"
    return _query(GENERATED, window), _query(_PROMPT, window)


def _query(name: str, window: str) -> str:
    """The increase of a counter in whichever spelling each target has; copies count once."""
    each = (
        f'label_replace(increase({one}[{window}]), "spelling", "{one}", "", "")'
        for one in spellings(name)
    )
    by = "namespace, pod, model_name"
    spelled = f"sum by ({by}, instance, spelling) ({' or '.join(each)})"
    return f"sum by ({by}) (max by ({by}, instance) ({spelled}))"


def tokens_of(
    answers: Iterable[Iterable[Json]],
    snapshot: FleetSnapshot,
    strangers: AbstractSet[str] | None = None,
) -> Mapping[str, Tokens]:
    """The tokens of each model, by the name that its pods' label gives it.

    Args:
        answers: the `result` of each query, in their order.
        snapshot: whose pods say which model they serve.
        strangers: pods of the other clusters in the answers, with their namespaces; None = there
            is no other cluster. With others a pod that is not in the snapshot may be theirs, and
            a name may be of pods in several: neither counts.
    """
    models = models_of_pods(snapshot)
    of_pods = {pod: model for pod, model in models.items() if model is not None}
    ours = models.keys() - (strangers or ())
    generated, prompt = (
        [one for one in answer if strangers is None or _of(one)[1] in ours] for answer in answers
    )
    names = _names((*generated, *prompt), of_pods)
    found: dict[str, Tokens] = defaultdict(Tokens)
    for series in generated:
        model, count = names.get(_of(series)), number_of(series)
        if model is not None and count is not None and _room(found, model):
            found[model] += Tokens(generated=count)
    for series in prompt:
        model, count = names.get(_of(series)), number_of(series)
        # Without generated tokens, prompt tokens alone would pass for all of them.
        if model is not None and count is not None and model in found:
            found[model] += Tokens(prompt=count)
    return dict(found)


def models_of_pods(snapshot: FleetSnapshot) -> Mapping[str, str | None]:
    """The pods with GPUs, with their namespaces, and the model that their labels name."""
    return {f"{use.namespace}/{use.pod}": use.model for node in snapshot.nodes for use in node.uses}


_Of = tuple[str, str | None]
"""A model as its engine calls it, and the pod."""


def _names(series: Iterable[Json], of_pods: Mapping[str, str]) -> Mapping[_Of, str]:
    """The model of each series, as labels call it."""
    every = {_of(one) for one in series}
    also: dict[str, set[str]] = defaultdict(set)
    for served, pod in every:
        if pod is not None and pod in of_pods:
            also[served].add(of_pods[pod])
    # A pod that is gone served what the others that are called so serve.
    alone = {served: names.pop() for served, names in also.items() if len(names) == 1}
    return {
        (served, pod): of_pods.get(pod or "", alone.get(served, served))
        for served, pod in every
        if served
    }


def _of(series: Json) -> _Of:
    labels = part(series, "metric")
    namespace, pod = text(labels, "namespace"), text(labels, "pod")
    return text(labels, "model_name") or "", f"{namespace}/{pod}" if namespace and pod else None


def _room(found: Mapping[str, Tokens], model: str) -> bool:
    return model in found or len(found) < MODELS_MAX
