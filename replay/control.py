"""KEDA and the HPA side by side on one workload, as a loop that others drive.

Both ask the scaler on their own period and both may change the replicas; what they remember is kept
here. The caller advances the time. Whenever `due` names one of the two, it gets the scaler's
answer in its own way (a function, a real gRPC call) and passes it to `apply`.
"""

from enum import StrEnum
from typing import assert_never

from replay import hpa, keda


class Due(StrEnum):
    """Which of the two asks the scaler now."""

    POLL = "poll"
    """KEDA's scale loop."""
    SYNC = "sync"
    """The HPA, through KEDA's metrics adapter."""


class Control:
    """The two loops and their memory."""

    def __init__(
        self,
        scaled: keda.ScaledObject,
        behavior: hpa.Behavior | None = None,
        *,
        replicas_at_start: int,
    ) -> None:
        """A controller that has been at rest with `replicas_at_start` until second 0.

        Without that memory its first sync would meet an idle fleet and take it down at once, and
        its first poll would take it to zero without a cooldown.
        """
        self.scaled = scaled
        self.why = ""
        """Of the last application."""
        self._hpa_settings = hpa.HpaSettings(
            replicas_min=scaled.replicas_active,
            replicas_max=scaled.replicas_max,
            behavior=behavior,
        )
        self._keda = keda.KedaState(last_active_seconds=0.0 if replicas_at_start else None)
        at_rest = hpa.Mark(at_seconds=0, replicas=replicas_at_start)
        self._hpa = hpa.HpaState(recommendations=(at_rest,))

    def due(self, now_seconds: int, *, replicas: int) -> tuple[Due, ...]:
        """Which of the two asks at this second: KEDA each interval, the HPA each sync with pods."""
        asking: list[Due] = []
        if now_seconds % self.scaled.polling_interval_seconds == 0:
            asking.append(Due.POLL)
        if replicas > 0 and now_seconds % hpa.SYNC_PERIOD_SECONDS == 0:
            asking.append(Due.SYNC)
        return tuple(asking)

    def apply(
        self, due: Due, answer: keda.ScalerAnswer, *, replicas: int, now_seconds: float
    ) -> int:
        """Replicas after one of the two acted on the answer."""
        match due:
            case Due.POLL:
                self._keda, polled = keda.poll(
                    self.scaled, self._keda, answer, replicas=replicas, now_seconds=now_seconds
                )
                self.why = f"KEDA: {polled.why}"
                return polled.replicas
            case Due.SYNC:
                self._keda, metric = keda.read(self.scaled, self._keda, answer, replicas=replicas)
                self._hpa, decision = hpa.sync(
                    self._hpa_settings,
                    self._hpa,
                    metric,
                    replicas=replicas,
                    now_seconds=now_seconds,
                )
                self.why = f"HPA: {decision.why}"
                return decision.replicas
            case _:
                assert_never(due)
