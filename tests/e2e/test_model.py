"""The replay room's KEDA and HPA go through the counts that the real ones went through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import pytest

from replay import hpa, keda
from tests.e2e.kubernetes import DOWNSCALE_SECONDS, HPA_SYNC_SECONDS
from tests.e2e.site import Site

pytestmark = pytest.mark.looptime(False)  # processes live in real time

_SETTLED_SECONDS = 90
"""Of model time for one value: longer than any window or period below."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What KEDA and the HPA are told, and what the scaler then answers, one value after another."""

    behavior: Mapping[str, Any]
    """In the API's form; empty = none."""
    script: Sequence[int]
    scaled: keda.ScaledObject
    period_seconds: int = 0
    """The longest of the policies: changes of one value are not to count for the next."""

    @property
    def spec(self) -> dict[str, Any]:
        """The same in the API's form."""
        spec: dict[str, Any] = {
            "pollingInterval": self.scaled.polling_interval_seconds,
            "minReplicaCount": self.scaled.replicas_min,
            "maxReplicaCount": self.scaled.replicas_max,
        }
        if self.scaled.replicas_idle is not None:
            spec["idleReplicaCount"] = self.scaled.replicas_idle
        return spec


def _rules(
    select: str, window_seconds: int, *policies: tuple[str, int, int], tolerance: float = 0
) -> dict[str, Any]:
    return {
        "selectPolicy": select,
        "stabilizationWindowSeconds": window_seconds,
        "tolerance": str(tolerance),
        "policies": [
            {"type": kind, "value": value, "periodSeconds": period}
            for kind, value, period in policies
        ],
    }


_FREE = ("Percent", 900, 4)
_SCALED = keda.ScaledObject(
    polling_interval_seconds=1, cooldown_period_seconds=1, replicas_min=0, replicas_max=40
)
_COOLDOWNS_SECONDS = range(1, 31)
"""KEDA's cooldown ends when the test lets it, and finds what the HPA has done by then."""

CASES = {
    # From 1: 4, then doubled with each sync; down at once after the window.
    "no-behavior": Case(behavior={}, script=(0, 40, 3, 0), scaled=_SCALED),
    # 9 and 11 are within a tenth of 10.
    "tolerance": Case(
        behavior={}, script=(0, 1, 10, 11, 9, 12, 10, 11, 20, 22, 23), scaled=_SCALED
    ),
    "pods-per-period": Case(
        behavior={
            "scaleUp": _rules("Max", 0, ("Pods", 3, 4)),
            "scaleDown": _rules("Max", 0, ("Pods", 2, 4)),
        },
        script=(0, 8, 3, 5, 0),
        scaled=_SCALED,
        period_seconds=4,
    ),
    "least-of-two-policies": Case(
        behavior={
            "scaleUp": _rules("Min", 0, ("Pods", 5, 4), ("Percent", 100, 4)),
            "scaleDown": _rules("Min", 0, ("Pods", 4, 4), ("Percent", 50, 4)),
        },
        script=(0, 1, 14, 2),
        scaled=_SCALED,
        period_seconds=4,
    ),
    "percent-rounds": Case(
        behavior={
            "scaleUp": _rules("Max", 0, ("Percent", 50, 4)),
            "scaleDown": _rules("Max", 0, ("Percent", 30, 4)),
        },
        script=(0, 1, 9, 2),
        scaled=_SCALED,
        period_seconds=4,
    ),
    "scale-down-disabled": Case(
        behavior={
            "scaleUp": _rules("Max", 0, _FREE),
            "scaleDown": _rules("Disabled", 0, ("Percent", 100, 15)),
        },
        script=(0, 7, 3, 9),
        scaled=_SCALED,
    ),
    "stabilised-up": Case(
        behavior={
            "scaleUp": _rules("Max", 6, _FREE),
            "scaleDown": _rules("Max", 0, ("Percent", 100, 4)),
        },
        script=(0, 2, 9, 1),
        scaled=_SCALED,
    ),
    "minimum-and-idle": Case(
        behavior={
            "scaleUp": _rules("Max", 0, _FREE),
            "scaleDown": _rules("Max", 0, ("Percent", 100, 4)),
        },
        script=(0, 1, 6, 2, 0),
        scaled=keda.ScaledObject(
            polling_interval_seconds=1,
            cooldown_period_seconds=1,
            replicas_min=3,
            replicas_max=5,
            replicas_idle=0,
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_model_goes_through_the_same_counts(site: Site, deployed: str, name: str) -> None:
    case = CASES[name]
    modelled = _modelled(case, hpa_first=False)
    site.scale(deployed, spec=case.spec, behavior=case.behavior)
    with site.recording(deployed) as record:
        for value, counts in zip(case.script, modelled, strict=True):
            site.picker.asks(value)
            site.bed.wait(
                lambda value=value: site.answers(deployed) == value, f"the answer {value}"
            )
            if len(counts) > 1 and counts[-1] == 0:
                site.stops(deployed)
            else:
                site.reaches(deployed, counts[-1])
            if len(counts) == 1:
                _wait_for_syncs(site, 2)
            elif case.period_seconds:
                _wait_for_syncs(site, 1 + case.period_seconds // HPA_SYNC_SECONDS)
    # Who hears of a new value first is chance; the way to zero depends on it.
    assert record.counts in [
        _in_a_row(_modelled(_cooling(case, seconds), hpa_first=hpa_first))
        for seconds in _COOLDOWNS_SECONDS
        for hpa_first in (False, True)
    ]


def _cooling(case: Case, seconds: int) -> Case:
    return replace(case, scaled=replace(case.scaled, cooldown_period_seconds=seconds))


def _in_a_row(modelled: list[list[int]]) -> list[int]:
    return [count for count, _ in groupby(count for counts in modelled for count in counts)]


def _modelled(case: Case, *, hpa_first: bool) -> list[list[int]]:
    """For each value of the script, the count before it and every count after it."""
    keda_state, hpa_state = keda.KedaState(), hpa.HpaState()
    settings = hpa.HpaSettings(
        replicas_min=case.scaled.replicas_active,
        replicas_max=case.scaled.replicas_max,
        behavior=_behavior(case.behavior) if case.behavior else None,
        downscale_window_seconds=DOWNSCALE_SECONDS,
    )
    replicas, told = 0, []

    def sync(now: int) -> int:
        nonlocal keda_state, hpa_state
        keda_state, metric = keda.read(case.scaled, keda_state, answer, replicas=replicas)
        hpa_state, decision = hpa.sync(
            settings, hpa_state, metric, replicas=replicas, now_seconds=now
        )
        return decision.replicas

    for place, value in enumerate(case.script):
        answer = keda.Value(total=value, target=1, is_active=value > 0)
        counts = [replicas]
        begin = place * _SETTLED_SECONDS
        for now in range(begin, begin + _SETTLED_SECONDS):
            due = now % HPA_SYNC_SECONDS == 0
            if due and hpa_first and replicas:
                counts.append(replicas := sync(now))
            keda_state, polled = keda.poll(
                case.scaled, keda_state, answer, replicas=replicas, now_seconds=now
            )
            counts.append(replicas := polled.replicas)
            if due and not hpa_first and replicas:
                counts.append(replicas := sync(now))
        told.append([count for count, _ in groupby(counts)])
    return told


def _behavior(written: Mapping[str, Any]) -> hpa.Behavior:
    def rules(part: Mapping[str, Any]) -> hpa.ScalingRules:
        return hpa.ScalingRules(
            policies=tuple(
                hpa.Policy(
                    kind=hpa.PolicyKind(one["type"]),
                    value=one["value"],
                    period_seconds=one["periodSeconds"],
                )
                for one in part["policies"]
            ),
            stabilization_window_seconds=part["stabilizationWindowSeconds"],
            select_policy=hpa.SelectPolicy(part["selectPolicy"]),
            tolerance_ratio=float(part["tolerance"]),
        )

    return hpa.Behavior(scale_up=rules(written["scaleUp"]), scale_down=rules(written["scaleDown"]))


def _wait_for_syncs(site: Site, syncs: int) -> None:
    """Wait until the HPA, which syncs once where KEDA polls twice, has come by so often."""
    until = site.calls() + syncs * (1 + HPA_SYNC_SECONDS)
    site.bed.wait(lambda: site.calls() > until, f"{syncs} syncs")
