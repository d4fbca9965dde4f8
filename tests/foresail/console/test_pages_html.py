"""The pages as HTML: tenants' texts do nothing, and what is unknown is a question mark or a gap."""

from dataclasses import replace

from foresail.console.charts import demand_plot, replicas_plot
from foresail.console.fleet_html import nodes_html, summary_html, workloads_html
from foresail.console.history import Bounds, History
from foresail.console.listing import Asked
from foresail.console.records import Fleet, Series, WorkloadPage
from foresail.console.workload_html import unknown_html, workload_html
from foresail.console.workload_page import Paid, page_of
from foresail.console.workload_row import row_of
from foresail.plans_api.plan import Plan
from scaler.rpc.foresail.v1 import plans_pb2 as pb
from tests.foresail.console.plans import NOW, plan

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
NAN = float("nan")


def fleet(*plans: Plan, missing: str | None = None) -> Fleet:
    return Fleet(
        source="test",
        at_seconds=NOW,
        workloads=tuple(row_of(one, usd_per_hour=None) for one in plans),
        plans_missing=missing,
        nodes=None,
        nodes_missing="no round was made yet",
    )


def page(one: Plan, **fields: object) -> WorkloadPage:
    history = History(Bounds())
    history.take(one)
    found = page_of(one, row_of(one, usd_per_hour=None), history, source="test", paid=Paid())
    return replace(found, **fields)  # type: ignore[arg-type]


def test_what_tenants_write_is_text() -> None:
    hostile = plan(
        HOSTILE,
        model=HOSTILE,
        failure=HOSTILE,
        steps=(pb.PlanStep(rule=HOSTILE, text=HOSTILE, replicas=1.0),),
        learned_lead=pb.LearnedLead(seconds=1, evidence=HOSTILE),
        books=pb.Books(
            days=1, why=HOSTILE, rules=[pb.BookedRule(rule=HOSTILE, text=HOSTILE, in_force=True)]
        ),
        refused=pb.Refused(code="invalid", message=HOSTILE),
    )
    shown = fleet(hostile, missing=HOSTILE)
    every = [
        summary_html(shown),
        workloads_html(shown, Asked(search="")),
        nodes_html(replace(shown, nodes_missing=HOSTILE)),
        workload_html(page(hostile)),
        unknown_html(HOSTILE, HOSTILE, HOSTILE),
    ]
    for html in every:
        assert "<script" not in html
        assert "<img" not in html
    assert "&lt;script&gt;" in every[1]


def test_an_address_holds_a_name_whatever_its_characters() -> None:
    html = workloads_html(fleet(plan("a/b?c=d#e")), Asked())
    assert 'href="/workload/llm/a%2Fb%3Fc%3Dd%23e?trigger=' in html


def test_no_plans_is_said_and_is_not_no_workloads() -> None:
    shown = fleet(missing="no plan was heard yet")
    assert "no plan was heard yet" in workloads_html(shown, Asked())
    assert "<dd>?" in summary_html(shown)
    assert "<dd>0" not in summary_html(shown)


def test_a_sum_of_which_a_part_is_unknown_is_at_least_that() -> None:
    html = summary_html(fleet(plan("a"), plan("b", signals={})))
    assert "≥5" in html  # ready
    assert "of 10 planned" in html


def test_an_unknown_price_is_a_question_mark() -> None:
    html = workload_html(page(plan()))
    assert "? <span>an hour</span>" in html
    assert "$0" not in html


def test_steps_are_shown_as_explain_shows_them() -> None:
    steps = (
        pb.PlanStep(rule="present", text="3,000 tokens/s", replicas=4.2),
        pb.PlanStep(rule="forecast", text="not measured"),
    )
    html = workload_html(page(plan(steps=steps)))
    assert "each rule and the replicas after it" in html
    assert '<td class="number">4.20</td><th scope="row">present</th>' in html
    assert '<td class="number">?</td><th scope="row">forecast</th>' in html


def test_nothing_is_drawn_over_a_gap() -> None:
    past = Series(
        at_seconds=(0.0, 60.0, 120.0, 180.0),
        demand=(1.0, 2.0, NAN, 4.0),
        planned=(1.0, NAN, NAN, 2.0),
        ready=(NAN, NAN, NAN, NAN),
    )
    shown = page(plan(), past=past, ahead=None)

    assert [list(layer.ys) for layer in demand_plot(shown).layers] == [[1.0, 2.0], [4.0]]
    planned = replicas_plot(shown).layers
    assert [list(layer.xs) for layer in planned] == [[0.0, 60.0], [180.0]]
    assert [layer.label for layer in planned] == ["planned", ""]


def test_the_band_begins_at_the_last_demand_and_both_kinds_of_token_count() -> None:
    def forecast(series: str, now: float) -> pb.SeriesForecast:
        return pb.SeriesForecast(
            series=series, made_at_seconds=NOW, last_value=now, horizons_seconds=[300.0],
            levels=[0.5, 0.9], quantiles=[pb.Row(values=[2 * now, 3 * now])],
        )  # fmt: skip

    message = pb.WorkloadPlan.FromString(plan().received)
    message.forecasts.extend([forecast("prompt_tokens", 100.0), forecast("generated_tokens", 10.0)])
    message.settings.CopyFrom(pb.PlanSettings(lead_seconds=300, level=0.9, replicas_max=9))
    message.capacity.CopyFrom(
        pb.ReplicaCapacity(together=pb.TOGETHER_SUM, source=pb.CAPACITY_SOURCE_METADATA)
    )
    ahead = page(Plan.from_bytes(message.SerializeToString())).ahead

    assert ahead is not None
    assert [(p.at_seconds - NOW, p.median, p.high) for p in ahead.points] == [
        (0.0, 110.0, 110.0),
        (300.0, 220.0, 330.0),
    ]


def test_a_forecast_of_one_kind_of_token_alone_is_no_band() -> None:
    assert page(plan()).ahead is None
    assert "there is no forecast yet" in workload_html(page(plan()))
