"""The pods behind a model in a Prometheus: their starts, and their GPUs.

Engines put their pods on their series; kube-state-metrics has when a pod was created, when it was
ready and how many GPUs it asked for; DCGM's exporter names the GPU. The rest stays unknown.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from statistics import median
from typing import Final

from fleet.catalogue import Generation, shipped
from fleet.series_names import spellings
from foresail.backtest.recorded import Recorded, Selection
from scaler.errors import ForesailError
from scaler.scope import Scope
from scaler.sources.preset import Preset
from scaler.sources.selector import matchers
from scaler.sources.series import Sample

_POD: Final = ("exported_pod", "pod", "kubernetes_pod_name", "pod_name")
_NAMESPACE: Final = ("exported_namespace", "namespace", "kubernetes_namespace")
_CREATED: Final = "kube_pod_created"
_READY: Final = "kube_pod_status_ready_time"
_REQUESTS: Final = "kube_pod_container_resource_requests"
_DCGM: Final = ("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_FB_USED")
POD_SERIES: Final = (_CREATED, _READY, _REQUESTS, *_DCGM)
"""That are read beside the engine's."""
_GPU_RESOURCE: Final = re.compile(r"(nvidia|amd)_com_gpu|gpu_intel_com_.*")
_PREFIX_MIN: Final = 3
"""Characters that pods' names must share, to be asked for by them."""
_NAMES_MAX: Final = 200
_USUAL_START_SECONDS_MAX: Final = 3600.0
"""What is longer may be a readiness that came back; where all take longer, those of pods that were
created in this past are believed."""
_ODD_TIMES: Final = 10.0
"""Of the median; with a cold node, image and weights a start takes three or four times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPods:
    """What the series of a model's pods say."""

    namespace: str | None = None
    """None = its series name none."""
    names: tuple[str, ...] = ()
    starts_seconds: tuple[float, ...] = ()
    """From creation to ready, of each pod that shows both."""
    starting_seconds: float = 0.0
    """Of those that were created in this past, together."""
    odd_starts: int = 0
    """Pods that were not ready for a while later on: of theirs only the last time is kept."""
    gpus: int | None = None
    """Of one pod."""
    gpu: Generation | None = None


def served_pods(
    source: Recorded, preset: Preset, scope: Scope, *, begin: float, now: float
) -> ServedPods:
    """The pods that served a model between two times. Blocks.

    Raises:
        ForesailError: pods of several namespaces serve it, and none was named.
        SourceError: the source does not answer.
    """
    rule = next(iter(preset.signals.values()))
    exposed = dict.fromkeys(series.exposed_name for series in rule.series)  # older engines' too
    names = tuple(chain.from_iterable(map(spellings, exposed)))
    equal = matchers(preset, scope, namespace_label=source.namespace_label, labels=source.labels)
    engines = (Selection(names=names, equal=equal),)
    seen = source.last_of(engines, begin_seconds=begin, end_seconds=now)
    seen = [one for one in seen if scope.model in {None, one.labels.get(preset.model_label)}]
    namespaces = sorted({found for one in seen if (found := _label(one, _NAMESPACE))})
    if len(namespaces) > 1:
        raise ForesailError(
            f"{scope}: served in the namespaces {', '.join(namespaces)}: name one with -n"
        )
    pods = sorted({found for one in seen if (found := _label(one, _POD))})
    namespace = namespaces[0] if namespaces else scope.namespace
    if not pods:
        return ServedPods(namespace=namespace)
    about = [
        one
        for one in source.last_of(_of_pods(pods), begin_seconds=begin, end_seconds=now)
        if _label(one, _POD) in pods and _label(one, _NAMESPACE) in {None, namespace}
    ]
    starts, odd = _starts(about, begin)
    return ServedPods(
        namespace=namespace,
        names=tuple(pods),
        starts_seconds=tuple(took for took, _ in starts),
        starting_seconds=sum(took for took, created in starts if created >= begin),
        odd_starts=odd,
        gpus=_gpus(about),
        gpu=_gpu(about),
    )


def _of_pods(pods: Sequence[str]) -> list[Selection]:
    """Series of these pods, whether or not a scraper renamed their label."""
    prefix = _common_start(pods)
    like = f"{re.escape(prefix)}.*"
    if len(prefix) < _PREFIX_MIN:
        like = "|".join(map(re.escape, pods[:_NAMES_MAX]))
    return [Selection(names=POD_SERIES, like={label: like}) for label in ("pod", "exported_pod")]


def _common_start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(one for one, _ in same)


def _label(sample: Sample, names: Sequence[str]) -> str | None:
    return next((found for name in names if (found := sample.labels.get(name))), None)


def _starts(about: Sequence[Sample], begin: float) -> tuple[list[tuple[float, float]], int]:
    """(Seconds, creation) of each start, and how many pods have no start that can be told.

    kube-state-metrics has the last time at which a pod became ready. Of a pod that was not ready
    for a while before it was looked at, that is no start-up: hours, or weeks.
    """
    created, ready = _first(about, _CREATED), _first(about, _READY)
    found = [
        (ready[pod] - created[pod], created[pod])
        for pod in sorted(created.keys() & ready.keys())
        if ready[pod] > created[pod] > 0
    ]
    usual = [took for took, _ in found if took <= _USUAL_START_SECONDS_MAX]
    usual = usual or [took for took, at in found if at >= begin]
    most = _ODD_TIMES * median(usual) if usual else 0.0
    kept = [one for one in found if one[0] <= most]
    return kept, len(found) - len(kept)


def _first(about: Sequence[Sample], name: str) -> Mapping[str, float]:
    """The least value of each pod: a pod that was not ready for a while is ready again later."""
    found: dict[str, float] = {}
    for one in about:
        pod = _label(one, _POD)
        if one.name == name and pod is not None and one.value > 0:
            found[pod] = min(one.value, found.get(pod, one.value))
    return found


def _gpus(about: Sequence[Sample]) -> int | None:
    by_container: dict[tuple[str | None, str | None], float] = {}
    for one in about:
        if one.name == _REQUESTS and _GPU_RESOURCE.fullmatch(one.labels.get("resource", "")):
            container = one.labels.get("exported_container") or one.labels.get("container")
            by_container[_label(one, _POD), container] = one.value
    by_pod: Counter[str | None] = Counter()
    for (pod, _), count in by_container.items():
        by_pod[pod] += int(count)
    usual = Counter(by_pod.values()).most_common(1)
    return usual[0][0] if usual and usual[0][0] > 0 else None


def _gpu(about: Sequence[Sample]) -> Generation | None:
    names = Counter(name for one in about if (name := one.labels.get("modelName")))
    return shipped().find(names.most_common(1)[0][0]) if names else None
