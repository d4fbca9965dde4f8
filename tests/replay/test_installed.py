"""The trigger that is to be installed, replayed as it is."""

from replay.policies.installed import InstalledTrigger
from replay.policies.port import PolicyKind
from replay.policies.shipped import FORESAIL
from replay.replay_input import ReplayInput
from replay.simulate import Result, simulate
from replay.trigger import metadata_of
from tests.replay.small import small_input


def ran(kind: PolicyKind, replay_input: ReplayInput) -> Result:
    policy = kind.make(replay_input, kind.usual)
    return simulate(replay_input, policy, name=kind.name, knob=kind.usual, seed=1)


def metadata(replay_input: ReplayInput, *, lead_seconds: float) -> dict[str, str]:
    platform = replay_input.platform
    return metadata_of(
        platform.profile,
        replay_input.mix,
        platform.objective,
        lead_seconds=lead_seconds,
        replicas=(platform.replicas_min, platform.replicas_max),
    )


def test_the_trigger_that_knows_its_platform_is_the_shipped_rule() -> None:
    given = small_input()
    truth = metadata(given, lead_seconds=given.start_up_seconds * 1.15)
    pasted = InstalledTrigger.of(truth | {"mode": "advise", "model": "another"})

    assert pasted.name == FORESAIL.name
    assert ran(pasted.kind(), given) == ran(FORESAIL, given)


def test_another_lead_time_is_another_run() -> None:
    given = small_input()
    pasted = InstalledTrigger.of(metadata(given, lead_seconds=given.start_up_seconds * 4))

    assert ran(pasted.kind(), given).gpu_hours != ran(FORESAIL, given).gpu_hours


def test_its_bounds_hold_within_those_of_the_platform() -> None:
    given = small_input()
    bounds = {"minReplicas": "2", "maxReplicas": "3"}
    truth = metadata(given, lead_seconds=given.start_up_seconds) | bounds

    hours = given.seconds / 3600
    assert 2 * hours * 0.9 <= ran(InstalledTrigger.of(truth).kind(), given).gpu_hours <= 3 * hours
