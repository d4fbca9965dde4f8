"""docs/integrations/dynamo-planner.md: its plugin runs against the recorded types of Dynamo 1.6.1.

Recorded are names, types and defaults of the fields that a PREDICT plugin reads and sets, those of
an entry of `in_process_plugins`, and the rule by which Dynamo merges predictions.
"""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from scaler.decision.demand import Demand
from scaler.decision.series import DemandSeries
from tests.contracts.plan_readers import START, PlansSite, forecast, named, status
from tests.docs.snippets import ROOT, Kind, Snippet, snippets

pytestmark = pytest.mark.looptime(False)  # sockets need real time

PAGE = ROOT / "docs" / "integrations" / "dynamo-planner.md"
BUILTIN_PRIORITY = 0


class Recorded(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TrafficMetrics(Recorded):
    duration_s: float = 0.0
    num_req: float = 0.0
    isl: float = 0.0
    osl: float = 0.0
    kv_hit_rate: float | None = None
    accept_length: float | None = None


class ObservationData(Recorded):
    traffic: TrafficMetrics | None = None


class PredictionData(Recorded):
    predicted_num_req: float | None = None
    predicted_isl: float | None = None
    predicted_osl: float | None = None
    predicted_kv_hit_rate: float | None = None
    predicted_accept_length: float | None = None
    source: str = ""


class PipelineContext(Recorded):
    request_id: str = ""
    observations: ObservationData | None = None
    predictions: PredictionData | None = None


class PredictStageRequest(Recorded):
    context: PipelineContext | None = None


class PredictStageResponse(Recorded):
    predictions: PredictionData | None = None
    reason: str = ""
    final: bool = False


class InProcessPlugin(Recorded):
    """An entry of `plugin_registration.in_process_plugins`."""

    module: str
    plugin_id: str
    plugin_type: str
    priority: int
    execution_interval_seconds: float = 0.0
    hold_policy: str = "ACCEPT_WHEN_IDLE"
    needs: list[str] = []
    requires_produced_fields: list[str] = []
    observation_window_seconds: float = 0.0
    kwargs: dict[str, Any] = {}


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """The class of the page, with Dynamo's types where it imports them."""
    types = ModuleType("dynamo.planner.plugins.types")
    for one in (PredictionData, PredictStageRequest, PredictStageResponse):
        setattr(types, one.__name__, one)
    for name in ("dynamo", "dynamo.planner", "dynamo.planner.plugins"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, types.__name__, types)
    (snippet,) = [one for one in snippets(PAGE) if one.language == "python"]
    names: dict[str, Any] = {}
    exec(compile(snippet.text, snippet.where, "exec"), names)  # noqa: S102 - our own page
    made: type[Any] = names["ForesailPredictor"]
    return made


def entry() -> dict[str, Any]:
    (one,) = dynamo_settings().documents()[0]["plugin_registration"]["in_process_plugins"]
    return dict(one)


def dynamo_settings() -> Snippet:
    (found,) = [one for one in snippets(PAGE) if "in_process_plugins" in one.text]
    return found


def asked(*, seconds: float = 180.0) -> PredictStageRequest:
    traffic = TrafficMetrics(duration_s=seconds, num_req=360.0, isl=900.0, osl=120.0)
    observations = ObservationData(traffic=traffic)
    return PredictStageRequest(context=PipelineContext(observations=observations))


def planned(site: PlansSite, *, now: float | None, **series: tuple[tuple[float, ...], ...]) -> None:
    """A plan whose demand is `now` requests/s, with these forecasts; its lead time is 5 minutes."""
    reference = named("a")
    site.plan(reference)
    whole = status(reference)
    assert whole.plan is not None
    demand = Demand(
        at_seconds=START, prompt_tokens=None, generated_tokens=None, requests=now, in_flight=None
    )
    forecasts = {
        DemandSeries(name): forecast(DemandSeries(name), *rows) for name, rows in series.items()
    }
    made = replace(whole.plan, demand=demand, forecasts=forecasts)
    site.statuses[reference] = replace(whole, plan=made)
    site.book.changed(reference)


async def predicted(plugin: Any, *, until: bool) -> PredictStageResponse:
    """The plugin's answer, once it has an opinion or, without `until`, once it follows plans."""
    async with asyncio.timeout(60):
        while True:
            answer = await plugin.Predict(asked())
            assert isinstance(answer, PredictStageResponse)
            if answer.predictions is not None or not until:
                return answer
            await asyncio.sleep(0.01)


def merged(*answers: PredictStageResponse) -> Mapping[str, object]:
    """As Dynamo does, in the order of priorities: the first that sets a field wins."""
    fields: dict[str, object] = {}
    for answer in answers:
        given = answer.predictions.model_dump(exclude_none=True) if answer.predictions else {}
        fields = {**given, **fields}
    return fields


async def test_requests_of_the_window_are_the_planned_quantile_at_the_lead_time(
    plugin: type[Any],
) -> None:
    site = PlansSite()
    # q0.9 in 60 s is 3 requests/s, in 300 s, the lead time, it is 5: 900 in 180 s.
    planned(site, now=2.0, requests=((2.0, 3.0), (2.5, 5.0)))
    async with site.served():
        foresail = plugin(f"127.0.0.1:{site.port}", "team-a", "a")
        answer = await predicted(foresail, until=True)

        assert answer.predictions == PredictionData(predicted_num_req=900.0, source="foresail")
        builtin = PredictStageResponse(
            predictions=PredictionData(
                predicted_num_req=360.0, predicted_isl=900.0, predicted_osl=120.0, source="builtin"
            )
        )
        assert merged(answer, builtin) == {
            "predicted_num_req": 900.0,
            "predicted_isl": 900.0,
            "predicted_osl": 120.0,
            "source": "foresail",
        }


async def test_a_forecast_below_the_present_takes_nothing_away(plugin: type[Any]) -> None:
    site = PlansSite()
    planned(site, now=8.0, requests=((2.0, 3.0), (2.5, 5.0)))
    async with site.served():
        answer = await predicted(plugin(f"127.0.0.1:{site.port}", "team-a", "a"), until=True)

    assert answer.predictions is not None
    assert answer.predictions.predicted_num_req == 8.0 * 180.0


async def test_without_a_forecast_of_requests_the_plugin_has_no_opinion(plugin: type[Any]) -> None:
    site = PlansSite()
    planned(site, now=2.0, prompt_tokens=((1000.0, 2000.0), (1500.0, 4000.0)))
    async with site.served():
        foresail = plugin(f"127.0.0.1:{site.port}", "team-a", "a")
        await predicted(foresail, until=False)
        while site.book.readers == 0 or site.statuses_read == 0:
            await asyncio.sleep(0.01)
        answer = await predicted(foresail, until=False)

    assert answer == PredictStageResponse(reason="foresail has no plan that stands")


async def test_a_foresail_that_is_gone_leaves_the_field_to_dynamo(plugin: type[Any]) -> None:
    site = PlansSite()
    async with site.served():
        address = f"127.0.0.1:{site.port}"
    foresail = plugin(address, "team-a", "a")

    assert (await predicted(foresail, until=False)).predictions is None


def test_the_entry_is_one_that_dynamo_takes_and_comes_before_its_own_predictor() -> None:
    given = entry()
    class_name = given.pop("class")
    spec = InProcessPlugin.model_validate(given)

    assert (spec.plugin_type, class_name) == ("predict", "ForesailPredictor")
    assert f"class {class_name}:" in PAGE.read_text()
    assert f"{spec.module}.py" in PAGE.read_text()
    assert spec.priority < BUILTIN_PRIORITY
    assert spec.execution_interval_seconds == spec.observation_window_seconds
    assert set(spec.kwargs) == {"address", "namespace", "name"}


def test_the_settings_forecast_requests_of_the_model_that_the_entry_names() -> None:
    (shown,) = [one for one in snippets(PAGE) if one.kind is Kind.SETTINGS]
    settings = yaml.safe_load(shown.text)
    (model,) = settings["watch"]
    kwargs = entry()["kwargs"]

    assert settings["cycle"]["alsoForecast"] == [DemandSeries.REQUESTS]
    assert (model["namespace"], model["name"]) == (kwargs["namespace"], kwargs["name"])
    assert kwargs["address"].endswith(settings["plans"]["listen"].rpartition(":")[2])
