"""Explanations, Events, logs, the Plans API and the console say the same words of one decision."""

from dataclasses import replace

from structlog.testing import capture_logs

from bench._console_fleet import cluster_round
from fleet.reasons import Reason
from foresail.controller.node_events import decisions_of
from foresail.controller.node_records import nodes_of
from foresail.explain.pod import account, summary, text
from foresail.plans_api.plan import plan_of
from policies.node_plan import NodeOrder, Step, Verdict
from scaler.decision.answers import Refusal
from scaler.serving.plan_message import plan_message
from tests.foresail.test_explain import Site, misnamed
from tests.foresail.test_explain_pod import ANSWER

HELD = Step(rule="hold", text="3.1 GPUs expected within 10m, worth 12 idle GPU-minutes")
ORDERED = Step(rule="order", text="q0.9 of the demand is 9 GPUs above what is free")


async def test_the_steps_of_a_workload_are_those_of_the_log_and_of_the_plans_api() -> None:
    site = Site()
    with capture_logs() as said:
        await site.looks()
    (logged,) = [line for line in said if line["event"] == "scaling_decided"]
    (status,) = site.loop.statuses()
    read = plan_of(plan_message(status, now_seconds=site.now))

    explained = {(step["rule"], step["text"]) for step in site.account()["plan"]["steps"]}
    assert explained
    assert {tuple(one.split(": ", 1)) for one in logged["why"]} == explained
    assert read.plan is not None
    assert {(step.rule, step.text) for step in read.plan.steps} == explained
    for rule, why in explained:
        assert any(rule in line and line.endswith(why) for line in site.lines())


async def test_why_keda_gets_an_error_is_said_to_keda_in_the_words_of_the_explanation() -> None:
    site = await misnamed()
    outcome = site.entry.timed.current(site.now)

    assert isinstance(outcome, Refusal)
    assert site.account()["outcome"]["message"] == outcome.message
    assert site.lines()[0].endswith(outcome.message)


def test_the_event_of_a_pod_says_what_its_explanation_says() -> None:
    payload = account(ANSWER, now_seconds=ANSWER.at_seconds)
    event, explained = summary(payload), text(payload)

    assert event.split("; ")[0] in explained
    best = payload["candidates"][0]
    for word in (
        best["node"],
        *best["columns"],
        *(f"{one:+,.0f}" for one in best["columns"].values()),
    ):
        assert word in event
        assert word in explained
    for refusal in payload["refusals"]:
        assert refusal["reason"] in event
        assert refusal["reason"] in explained


def test_the_events_of_nodes_say_what_the_console_says() -> None:
    made = cluster_round()
    (pool,) = made.decided.plan.pools
    first, *others = pool.nodes
    held = replace(first, verdict=Verdict.HOLD, reason=Reason.FORECAST_HOLD, steps=(HELD,))
    order = NodeOrder(nodes=2, reason=Reason.PRE_WARM, steps=(ORDERED,))
    pool = replace(pool, nodes=(held, *others), orders=(order,))
    plan = replace(made.decided.plan, pools=(pool,))
    made = replace(made, decided=replace(made.decided, plan=plan))

    events = list(decisions_of(plan, made.cluster, acts=True))
    rows = [row for row in nodes_of(made).rows if row.verdict in {"hold", "order"}]
    assert len(events) == len(rows) == 2
    for row in rows:
        (event,) = [one for one in events if row.reason in one.note]
        for step in row.steps:
            assert step.split(": ", 1)[1] in event.note
