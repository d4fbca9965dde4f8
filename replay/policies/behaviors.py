"""HPA behaviors that the equal view tries for every rule that acts through an HPA.

A rule's guide sets one behavior; another tolerance, window or rate may suit a workload better, and
Foresail's knob is tuned too. The names are the rows of the benchmark's `behavior` column.
"""

from replay import hpa

OWN = "own"
"""What the rule's guide sets, else the HPA's defaults."""


def _behavior(
    *,
    tolerance: float,
    up_seconds: int = 0,
    up: tuple[hpa.Policy, ...] = hpa.UP_DEFAULT.policies,
    down_seconds: int = 300,
    down: tuple[hpa.Policy, ...] = hpa.DOWN_DEFAULT.policies,
) -> hpa.Behavior:
    return hpa.Behavior(
        scale_up=hpa.ScalingRules(
            policies=up, stabilization_window_seconds=up_seconds, tolerance_ratio=tolerance
        ),
        scale_down=hpa.ScalingRules(
            policies=down, stabilization_window_seconds=down_seconds, tolerance_ratio=tolerance
        ),
    )


def _pods(value: int, period_seconds: int) -> tuple[hpa.Policy, ...]:
    return (hpa.Policy(kind=hpa.PolicyKind.PODS, value=value, period_seconds=period_seconds),)


BEHAVIORS: dict[str, hpa.Behavior] = {
    "default": _behavior(tolerance=0.1),
    "no-tolerance": _behavior(tolerance=0.0),
    "down-2m": _behavior(tolerance=0.0, down_seconds=120),
    "down-15m": _behavior(tolerance=0.0, down_seconds=900),
    "few-at-once": _behavior(
        tolerance=0.05, up_seconds=60, up=_pods(2, 60), down_seconds=120, down=_pods(1, 120)
    ),
}
