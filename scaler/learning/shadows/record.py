"""The shadows of one workload: a frozen record, and the one that follows it after a look.

Looks of a minute are averaged. The first look of a later minute closes it: every fleet serves it,
the books take it, and every rule decides anew from what is known then, as the plan does. A minute
without a usable look is in no book.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from scaler.decision.outlook import Outlook
from scaler.decision.parameters import PlanParameters
from scaler.decision.schedule import IDLE_REPLICAS
from scaler.learning.estimates import Setting
from scaler.learning.shadows.books import EMPTY, Books, Minute, day_of
from scaler.learning.shadows.choice import (
    CORRECTION_MAX,
    FIRST_DAYS,
    Choice,
    choose,
    corrected,
    correction_after,
    correction_max,
)
from scaler.learning.shadows.fluid import STEP_SECONDS, Fleets, served, slot_minutes_for
from scaler.learning.shadows.look import ShadowedLook
from scaler.learning.shadows.price import beyond_price
from scaler.learning.shadows.rules import (
    Present,
    SettingFleets,
    holds,
    in_flight,
    peoples_needs,
    plan_needs,
)
from scaler.learning.shadows.settings import (
    GIVEN,
    PEOPLES,
    SETTINGS,
    Floats,
    setting_text,
    settings_of,
)

_PEOPLES_HOLD_SECONDS: Final = np.array([300.0, 300.0, 60.0, 0.0])
_GAP_MINUTES_MAX: Final = 60
"""After a longer time without looks the fleets begin anew."""
_CORRECTION_MIN: Final = 0.01
_WEIGHT_MAX: Final = 5.0
"""Of one minute in the correction, however busy it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenMinute:
    """The minute that is not closed yet, as sums over its looks."""

    number: int
    """Minutes of Unix time."""
    looks: int = 0
    load: float = 0.0
    paid: float | None = 0.0
    ready: float | None = 0.0
    planned: float = 0.0
    late: float = 0.0
    late_anyway: float = 0.0
    """Of the newest look."""
    late_looks: int = 0
    can_grow: bool = True
    """Whether each look has it that more replicas could come."""
    requests: float | None = None
    residence_seconds: float = 0.0

    def with_look(self, look: ShadowedLook) -> "OpenMinute":
        return OpenMinute(
            number=self.number,
            looks=self.looks + 1,
            load=self.load + look.load,
            paid=None if self.paid is None or look.paid is None else self.paid + look.paid,
            ready=None if self.ready is None or look.ready is None else self.ready + look.ready,
            planned=self.planned + look.planned,
            late=self.late + (look.late or 0.0),
            late_anyway=look.late_anyway,
            late_looks=self.late_looks + (look.late is not None),
            can_grow=self.can_grow and look.can_grow,
            requests=self.requests if look.requests is None else look.requests,
            residence_seconds=look.residence_seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shadows:
    """Fleets, books and the choice of one workload."""

    minute: OpenMinute
    fleets: Fleets
    real_queued: float
    """Replica-seconds that wait in the model of the real fleet."""
    books: Books = EMPTY
    choice: Choice = FIRST_DAYS
    correction: float = 0.0
    """How much safer than its choice the setting in force is; below 0 it is as chosen, and so much
    more may be late before it becomes safer."""

    def setting(self, parameters: PlanParameters) -> Setting | None:
        """The setting in force; None where it is the one of `parameters`."""
        tuning = parameters.tuning
        place = self.choice.place if tuning.chooses else GIVEN
        chosen = settings_of(parameters).settings[place]
        most = correction_max(chosen, tuning.late_minute_cost_max)
        correction = min(self.correction, most) if tuning.corrects else 0.0
        correction = correction if correction >= _CORRECTION_MIN else 0.0
        refused = self._refused_by_price(parameters, most)
        if place == GIVEN and not correction and not refused:
            return None
        setting = corrected(chosen, correction, tuning.pinned)
        why = self.choice.verdict.words if tuning.chooses else "the trigger's own"
        text = f"{setting_text(setting)}: {why}"
        if correction and setting == chosen:
            text += "; late requests would make it safer, but its figures are given"
        elif correction:
            before = setting_text(chosen)
            text = f"{setting_text(setting)}: made safer by late requests than {before} ({why})"
        return replace(setting, evidence="; ".join(filter(None, (text, refused))))

    def _refused_by_price(self, parameters: PlanParameters, most: float) -> str:
        """What the operator's price refuses; empty where it does not limit the correction."""
        tuning, objective = parameters.tuning, parameters.objective.attainment
        price = tuning.late_minute_cost_max
        if price is None or not tuning.corrects or most >= CORRECTION_MAX:
            return ""
        if self.correction < most - _CORRECTION_MIN:
            return ""
        days = self.books.all()
        if not days.measured_late > 1 - objective:  # not known, too
            return ""
        return beyond_price(days, objective, price)

    def moved(self, seconds: float) -> "Shadows":
        """The same after the wall clock was set by `seconds`."""
        minute = replace(self.minute, number=self.minute.number + round(seconds / STEP_SECONDS))
        return replace(self, minute=minute, books=self.books.moved(round(seconds / 86_400)))


def after_look(
    shadows: Shadows | None, look: ShadowedLook, outlook: Outlook | None, parameters: PlanParameters
) -> Shadows:
    """The shadows after one more look.

    Args:
        shadows: None before the first look.
        outlook: of that look; counted at the first look of a minute.
        parameters: with the learned capacity and lead time, and the trigger's own setting.
    """
    number = int(look.at_seconds // STEP_SECONDS)
    is_new = shadows is None or abs(number - shadows.minute.number) > _GAP_MINUTES_MAX
    if shadows is not None and not is_new and number <= shadows.minute.number:
        return replace(shadows, minute=shadows.minute.with_look(look))
    longest = max(parameters.lead_seconds, float(settings_of(parameters).hold_seconds.max()))
    slot_minutes = slot_minutes_for(max(longest, _PEOPLES_HOLD_SECONDS.max()))
    if shadows is None or is_new:
        shadows = _begun_anew(shadows, look, number, slot_minutes)
    shadows = replace(shadows, fleets=shadows.fleets.with_slots_of(slot_minutes))
    if shadows.minute.looks:
        shadows = _closed(shadows, parameters)
    shadows = _decided(shadows, number, look, outlook, parameters)
    return replace(shadows, minute=OpenMinute(number=number).with_look(look))


def _begun_anew(
    shadows: Shadows | None, look: ShadowedLook, number: int, slot_minutes: int
) -> Shadows:
    """Fleets of the replicas that run, or that are planned; books and choice stay."""
    begun = Shadows(
        minute=OpenMinute(number=number - 1),
        fleets=Fleets.beginning(
            look.planned if look.paid is None else int(look.paid), slot_minutes=slot_minutes
        ),
        real_queued=0.0,
    )
    if shadows is None:
        return begun
    return replace(begun, books=shadows.books, choice=shadows.choice, correction=shadows.correction)


def _closed(shadows: Shadows, parameters: PlanParameters) -> Shadows:
    """The open minute served by every fleet and booked; at a day's end also the next choice."""
    arrays = settings_of(parameters)
    minute, fleets, objective = shadows.minute, shadows.fleets, parameters.objective
    load = minute.load / minute.looks
    real = None if minute.ready is None else minute.ready / minute.looks
    ready = np.append(fleets.ready(parameters.lead_seconds), 0.0 if real is None else real)
    late, queued = served(
        ready,
        np.append(fleets.queued, shadows.real_queued),
        load,
        ttft_seconds=objective.ttft_seconds,
        objective=objective.attainment,
    )
    measured = minute.late / minute.late_looks if minute.late_looks else None
    books = shadows.books.opened(day_of(minute.number * STEP_SECONDS, parameters.tuning.timezone))
    choice = shadows.choice if parameters.tuning.chooses else FIRST_DAYS
    if parameters.tuning.chooses and shadows.books.days and books is not shadows.books:
        choice = choose(
            books.closed(),
            choice,
            arrays,
            objective.attainment,
            late_minute_cost_max=parameters.tuning.late_minute_cost_max,
        )
    # The model has it that the new setting needs no correction.
    renewed = choice.place != shadows.choice.place and choice.keeps_objective
    wanted = fleets.wanted[:, 0].astype(np.float64)
    books = books.with_minute(
        wanted,
        late[:-1],
        Minute(
            load=load,
            paid=None if minute.paid is None else minute.paid / minute.looks,
            planned=minute.planned / minute.looks,
            # A corrected plan wants more than its shadow, which is not corrected.
            comparable=not parameters.tuning.corrects or shadows.correction < _CORRECTION_MIN,
            shadowed=float(wanted[choice.place]),
            late=measured,
            modelled=None if real is None else float(late[-1]),
            counted=minute.requests is not None,
        ),
    )
    correction = min(shadows.correction, 0.0) if renewed else shadows.correction
    # Of an advised plan nothing is late.
    if measured is not None and parameters.tuning.corrects:
        mean = books.load_mean
        weight = min(load / mean, _WEIGHT_MAX) if mean > 0 else 0.0
        price = parameters.tuning.late_minute_cost_max
        most = correction_max(arrays.settings[choice.place], price)
        correction = correction_after(
            correction,
            max(measured - minute.late_anyway, 0.0),
            objective.attainment,
            most=most if minute.can_grow else min(most, correction),
            weight=weight,
        )
    return replace(
        shadows,
        fleets=replace(fleets, queued=queued[:-1]),
        real_queued=float(queued[-1]) if real is not None else 0.0,
        books=books,
        choice=choice,
        correction=correction,
    )


def _decided(
    shadows: Shadows,
    number: int,
    look: ShadowedLook,
    outlook: Outlook | None,
    parameters: PlanParameters,
) -> Shadows:
    """Every rule's decision at the first look of a minute."""
    arrays, fleets, lead_seconds = settings_of(parameters), shadows.fleets, parameters.lead_seconds
    for missed in range(shadows.minute.number + 1, number):
        needed, wanted = fleets.needed[:, 0], fleets.wanted[:, 0]
        fleets = fleets.with_needed(needed, missed).with_wanted(wanted, missed)
    present = _present(look, outlook, parameters)
    before = fleets.ready(lead_seconds)
    waiting = _waiting(look, fleets.queued[SETTINGS:])
    real_ready = before[shadows.choice.place] if look.ready is None else look.ready
    queued_after = fleets.queued_after(lead_seconds, present.load)
    asked = fleets.wanted[SETTINGS:, 0].astype(np.float64)
    fixed = max(shadows.books.peak_before, 1.0)
    flight = in_flight(present, real_ready, before[SETTINGS:], waiting)
    peoples = peoples_needs(flight, waiting, asked, fixed=fixed)
    if look.requests is None:
        peoples[:-1] = asked[:-1]  # as an HPA without its metric
    setting_fleets = SettingFleets(
        supply=fleets.wanted[:SETTINGS, 0].astype(np.float64), queued=fleets.queued[:SETTINGS]
    )
    plans = plan_needs(arrays, present, setting_fleets, queued_after=queued_after[:SETTINGS])
    needed = np.concatenate([plans, peoples])
    whole = np.where(needed < IDLE_REPLICAS, 0.0, np.ceil(needed - 1e-9))
    whole = np.minimum(whole, parameters.replicas_max)
    lasting = whole.copy()
    lasting[:SETTINGS] *= holds(arrays, present.outlook, given=parameters.hold_given)
    fleets = fleets.with_needed(lasting, number)
    held = fleets.held(np.concatenate([arrays.hold_seconds, _PEOPLES_HOLD_SECONDS]))
    wanted = np.maximum.reduce([held, whole, np.full_like(held, parameters.replicas_min)])
    fleets = fleets.with_wanted(wanted, number)
    drained = np.maximum(0.0, before - wanted) * look.residence_seconds / STEP_SECONDS
    return replace(shadows, fleets=fleets, books=shadows.books.with_gpu(drained))


def _present(look: ShadowedLook, outlook: Outlook | None, parameters: PlanParameters) -> Present:
    return Present(
        work=look.work,
        slots=look.slots,
        outlook=outlook,
        lead_seconds=parameters.lead_seconds,
        running=look.running,
        replica_requests=parameters.capacity.requests,
    )


def _waiting(look: ShadowedLook, queued: Floats) -> Floats:
    """Requests that wait with each rule that people use, from the work that waits."""
    if look.requests is None or look.load <= 0:
        return np.zeros(len(PEOPLES))
    return queued * look.requests / look.load
