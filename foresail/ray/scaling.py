"""What a plan asks of a Ray Serve deployment: a new target, or none and why."""

from dataclasses import dataclass

from foresail.plans_api.plan import Plan
from foresail.ray.serve import DeploymentState


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Set the target."""

    replicas: int
    before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Leave it as it is."""

    why: str


def wanted(plan: Plan, state: DeploymentState | None) -> Scale | Keep:
    """The change that a plan asks for.

    Args:
        state: of the deployment; None where Ray knows none.
    """
    no_plan = no_replicas(plan)
    if no_plan is not None:
        return no_plan
    assert plan.plan is not None
    if state is None:
        return Keep(why="Ray knows no such deployment")
    if state.scales_itself or state.refuses_others:
        return Keep(why=_not_ours(state))
    if plan.plan.planned == state.target_replicas:
        return Keep(why=f"{state.target_replicas} is the target")
    return Scale(replicas=plan.plan.planned, before=state.target_replicas)


def no_replicas(plan: Plan) -> Keep | None:
    """Why a plan asks for no replicas of Ray; None = it does."""
    if not plan.on_watch_list:
        # Two triggers of one ScaledObject have two plans, and KEDA acts on them.
        return Keep(why="KEDA asks about the workload: put the model on the watch list instead")
    if plan.plan is None or plan.valid_for_seconds is None:
        return Keep(why=f"no plan stands: {plan.failure or 'it is too old, or there was none'}")
    return None


def _not_ours(state: DeploymentState) -> str:
    if state.scales_itself:
        return "it has an autoscaling_config: Ray scales it itself"
    return "its application was deployed without `external_scaler_enabled: true`"
