"""`foresail events`: CronJobs that call a model announce their bursts to its trigger."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from foresail.callers.cron_events import cron_events
from foresail.callers.events_command import next_starts
from foresail.cli import main
from foresail.lint.live import read_cron_jobs
from policies.lint.objects import Object
from scaler.forecast.announced import Calendar
from scaler.forecast.forecaster import Forecaster
from scaler.trigger_parsing import parse
from tests.fleet.api_server import ApiServer
from tests.scaler.test_cycle import ALLOWED

EVALUATION = """
apiVersion: batch/v1
kind: CronJob
metadata:
  name: rag-evaluation
  namespace: eval
  annotations: {foresail.io/calls-model: llm/qwen3-32b}
spec:
  schedule: "0 */6 * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
            - {name: ragas, image: ragas, command: [python, evaluate.py]}
"""


def cron_job(spec: dict[str, Any] | None = None, **annotations: str) -> Object:
    value: Any = yaml.safe_load(EVALUATION)
    value["spec"] |= spec or {}
    value["metadata"]["annotations"] |= {
        f"foresail.io/{key.replace('_', '-')}": one for key, one in annotations.items()
    }
    if "status" in value["spec"]:
        value["status"] = value["spec"].pop("status")
    return Object(
        group="batch", version="v1", kind="CronJob", namespace="eval", name="rag-evaluation",
        value=value, file="eval.yaml",
    )  # fmt: skip


def event(spec: dict[str, Any] | None = None, **annotations: str) -> str:
    found = cron_events([cron_job(spec, **annotations)])
    ((one,),) = found.by_model.values()
    return one.text


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(main, ["events", *arguments], input=given)


def test_the_line_to_paste_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "cronjob.yaml"
    file.write_text(EVALUATION)
    lines = run("-f", str(file)).output.splitlines()
    assert lines[0] == "# llm/qwen3-32b: in the metadata of its ScaledObject's trigger"
    assert lines[1] == 'events: "0 */6 * * * in UTC for 30m x2"'
    assert lines[2].startswith("# CronJob eval/rag-evaluation: next ")
    assert sum("no timeZone: UTC" in line for line in lines) == 1


def test_a_model_name_of_several_lines_adds_no_line_to_paste() -> None:
    hostile = EVALUATION.replace("llm/qwen3-32b", r'"llm/x\nmode: act"')
    lines = run("-f", "-", given=hostile).output.splitlines()
    assert lines[0] == r"# llm/x\nmode: act: in the metadata of its ScaledObject's trigger"
    assert "mode: act: in the metadata of its ScaledObject's trigger" not in lines


def test_json_has_the_next_bursts_of_each_job() -> None:
    (model,) = json.loads(run("-f", "-", "-o", "json", given=EVALUATION).output)["models"]
    assert (model["model"], model["events"]) == ("llm/qwen3-32b", "0 */6 * * * in UTC for 30m x2")
    (job,) = model["cronJobs"]
    hours = [datetime.fromisoformat(at).hour for at in job["next"]]
    assert sorted(hours) == [0, 6, 12, 18]


@pytest.mark.parametrize(
    ("spec", "annotations", "text"),
    [
        pytest.param({"timeZone": "Europe/Berlin"}, {"call_length": "45m", "call_factor": "3.5"},
                     "0 */6 * * * in Europe/Berlin for 45m x3.5", id="all stated"),
        pytest.param({"schedule": "@daily"}, {}, "0 0 * * * in UTC for 30m x2", id="descriptor"),
        pytest.param({"status": {"lastScheduleTime": "2026-12-01T06:00:00Z",
                                 "lastSuccessfulTime": "2026-12-01T06:52:10Z"}}, {},
                     "0 */6 * * * in UTC for 52m x2", id="as its last run took"),
        pytest.param({"status": {"lastScheduleTime": "2026-12-01T12:00:00Z",
                                 "lastSuccessfulTime": "2026-12-01T06:52:10Z"}}, {},
                     "0 */6 * * * in UTC for 30m x2", id="a run that still runs"),
        pytest.param({"jobTemplate": {"spec": {"activeDeadlineSeconds": 3600}}}, {},
                     "0 */6 * * * in UTC for 1h x2", id="deadline"),
    ],
)  # fmt: skip
def test_an_event_says_what_the_cron_job_says(
    spec: dict[str, Any], annotations: dict[str, str], text: str
) -> None:
    assert event(spec, **annotations) == text


@pytest.mark.parametrize(
    ("spec", "annotations", "why"),
    [
        pytest.param({"suspend": True}, {}, "suspended", id="suspended"),
        pytest.param({"schedule": "@every 1h"}, {}, "no time of day", id="every"),
        pytest.param({"schedule": "61 * * * *"}, {}, "five cron fields", id="no such minute"),
        pytest.param({"timeZone": "Mars/Base"}, {}, "'Mars/Base' is no time zone", id="zone"),
        pytest.param({}, {"call_length": "long"}, "'long' is no length", id="length"),
        pytest.param({}, {"call_factor": "0"}, "factor is not above 0", id="factor"),
        pytest.param({}, {"calls_model": "a/b/c"}, "NAMESPACE/NAME", id="model"),
    ],
)
def test_a_cron_job_that_announces_nothing_is_named_with_the_reason(
    spec: dict[str, Any], annotations: dict[str, str], why: str
) -> None:
    found = cron_events([cron_job(spec, **annotations)])
    assert found.by_model == {}
    assert found.left_out[0].startswith("CronJob eval/rag-evaluation: ")
    assert why in found.left_out[0]


def test_several_jobs_of_one_model_and_several_models_of_one_job_are_joined() -> None:
    both = cron_job(calls_model="llm/qwen3-32b, judge")
    again = cron_job({"schedule": "30 1 * * *"})
    found = cron_events([both, again])
    assert {model: [one.text for one in of] for model, of in found.by_model.items()} == {
        "eval/judge": ["0 */6 * * * in UTC for 30m x2"],
        "llm/qwen3-32b": ["0 */6 * * * in UTC for 30m x2", "30 1 * * * in UTC for 30m x2"],
    }


@pytest.mark.parametrize(
    ("after", "utc_hours"),
    [
        # Berlin is one hour ahead of UTC until 2027-03-28 02:00, then two.
        pytest.param(datetime(2027, 3, 27, 20, tzinfo=UTC), [23, 4, 10, 16], id="forward"),
        pytest.param(datetime(2027, 10, 30, 20, tzinfo=UTC), [22, 5, 11, 17], id="back"),
    ],
)
def test_bursts_follow_the_clock_of_their_zone_when_it_changes(
    after: datetime, utc_hours: list[int]
) -> None:
    found = cron_events([cron_job({"timeZone": "Europe/Berlin"})])
    ((one,),) = found.by_model.values()
    starts = next_starts(one, after.timestamp())
    assert [datetime.fromtimestamp(at, UTC).hour for at in starts] == utc_hours
    assert [datetime.fromtimestamp(at, ZoneInfo("Europe/Berlin")).hour for at in starts] == [
        0, 6, 12, 18,
    ]  # fmt: skip


def replicas_before(events: str, noon: datetime) -> int:
    """Replicas of 100 requests/s that the forecast wants at noon, five minutes before it."""
    keys = {"model": "qwen", "timezone": "UTC", **({"events": events} if events else {})}
    spec = parse(keys, ALLOWED)
    target = Forecaster(
        signal="requests",
        step_seconds=60.0,
        horizons_seconds=(300.0, 600.0),
        start=0.0,
        tz=spec.timezone,
        calendar=Calendar(spec.events, spec.timezone) if spec.events else None,
    )
    noise = np.random.default_rng(7)
    at = noon - timedelta(hours=20)
    while at <= noon - timedelta(minutes=5):
        burst = at.hour % 6 == 0 and at.minute < 30
        target.update(at.timestamp(), (300.0 if burst else 100.0) + noise.normal())
        at += timedelta(minutes=1)
    return math.ceil(target.forecast().at(horizon_seconds=300.0, level=0.9) / 100)


def test_the_model_that_an_evaluation_calls_each_six_hours_is_warm_before_it() -> None:
    noon = datetime(2027, 3, 2, 12, tzinfo=UTC)
    announced = event(call_factor="3")
    assert announced == "0 */6 * * * in UTC for 30m x3"
    assert replicas_before(announced, noon) >= 3
    assert replicas_before("", noon) <= 2


@pytest.mark.looptime(False)  # sockets live in real time
async def test_the_cron_jobs_of_a_cluster_are_read(tmp_path: Path) -> None:
    server = ApiServer()
    document = yaml.safe_load(EVALUATION)
    server.serve("/apis/batch/v1/cronjobs", "CronJob", document)
    await server.start()
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "one",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.port}"}}],
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    }  # fmt: skip
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config))
    try:
        found = cron_events(await read_cron_jobs(None, file))
    finally:
        await server.stop()
    assert list(found.by_model) == ["llm/qwen3-32b"]
