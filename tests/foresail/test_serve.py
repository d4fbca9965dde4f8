"""The real `foresail serve` over a real Prometheus, asked as KEDA asks while things go wrong."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from foresail.client import Plan, Plans, Snapshot
from scaler.rpc import externalscaler_pb2 as pb
from scaler.rpc import externalscaler_pb2_grpc as pb_grpc
from tests import prometheus
from tests.exporter import Engine, Exporter, WholeIntervals, served
from tests.prometheus import DEADLINE_SECONDS, Job, PrometheusServer, free_port, wait_for

pytestmark = pytest.mark.looptime(False)  # processes live in real time

LONG_SECONDS = 60
"""An age that nothing reaches, also where cores are busy."""
SHORT_SECONDS = 8
"""An age limit for answers that tests wait for: longer than two scrapes of a busy machine, which a
renamed series needs to have a rate."""
# Per engine: 7 running, 5 waiting, 600 computed and 120 generated tokens/s. With 350 prompt
# tokens/s a replica 1.7 are busy, and a reactive rule at utilization 0.5 asks for 3.4: 4 replicas,
# also where a busy machine makes the measured rates a tenth larger or smaller. The queue adds less.
METADATA = {
    "scalerAddress": "foresail:6500",
    "mode": "act",
    "replicaPromptTokensPerSecond": "350",
    "replicaGeneratedTokensPerSecond": "1000",
    "replicaRequests": "1000",
    "utilization": "0.5",
    "maxReplicas": "60",
    "hold": "0s",
}


Answers = list[float | grpc.StatusCode]


@dataclass
class Site:
    """A Prometheus that scrapes engines in three spellings, and settings that read it."""

    server: PrometheusServer
    exporters: list[Exporter]
    settings: Path
    grpc_port: int
    http_port: int
    plans_port: int = field(default_factory=free_port)
    stale_seconds: int = LONG_SECONDS
    answer_seconds_max: int = LONG_SECONDS

    def page(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=60) as r:
            return r.read().decode()


def settings_text(site: Site) -> str:
    return f"""
listen: {{grpc: "127.0.0.1:{site.grpc_port}", http: "127.0.0.1:{site.http_port}"}}
sources:
  - name: main
    prometheus:
      url: {site.server.url}
      reading: {{window: 4s, staleAfter: {site.stale_seconds}s}}
      timeout: 900ms
watch:
  - {{namespace: llm, model: colon, name: seen, replicaRequests: 1000}}
plans: {{listen: "127.0.0.1:{site.plans_port}"}}
cycle: {{period: 1s, step: 2s, lookMax: 1s, answerMax: {site.answer_seconds_max}s, history: 1h}}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    prometheus.require()
    folder = tmp_path_factory.mktemp("serve")
    server = PrometheusServer(folder)
    engines = [
        Engine(model="colon", plain_text=True, grown_seconds=WholeIntervals()),
        Engine(model="underscore", grown_seconds=WholeIntervals()),
        Engine(model="ray", prefix="ray_vllm_", grown_seconds=WholeIntervals()),
    ]
    with served(*engines) as exporters:
        made = Site(server, exporters, folder / "foresail.yaml", free_port(), free_port())
        made.settings.write_text(settings_text(made))
        configure(made)
        server.start()
        # The models that a source has are looked up once a minute.
        scraped = 'count({__name__=~"(ray_)?vllm[:_]num_requests_running"})'
        wait_for(lambda: server.value(scraped) == len(engines), "a scrape of each engine")
        yield made
        server.kill()


def configure(site: Site, **settings: object) -> None:
    site.server.configure(
        *(
            Job(
                name=f"engine-{index}",
                address=exporter.address,
                labels={"namespace": "llm", "pod": f"pod-{index}"},
            )
            for index, exporter in enumerate(site.exporters)
        ),
        **settings,
    )


def started(site: Site) -> subprocess.Popen[bytes]:
    with (site.settings.parent / "serve.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "foresail.cli", "serve", "--config", str(site.settings)],
            stderr=log,
        )


@contextmanager
def serving(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    process = started(site)
    try:
        wait_for(lambda: ready(site), "foresail serve to be ready")
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def scaler(site: Site) -> Iterator[subprocess.Popen[bytes]]:
    with serving(site) as process:
        yield process


def ready(site: Site) -> bool:
    try:
        return site.page("/readyz") == "ok\n"
    except OSError:
        return False


@dataclass
class Keda:
    """A client that calls as KEDA does: one channel for everything."""

    stub: pb_grpc.ExternalScalerStub

    def reference(self, model: str) -> pb.ScaledObjectRef:
        return pb.ScaledObjectRef(
            name=model, namespace="llm", scalerMetadata={**METADATA, "model": model}
        )

    def poll(self, model: str) -> float | grpc.StatusCode:
        """The value of one poll, or the status that failed it."""
        reference = self.reference(model)
        try:
            spec = self.stub.GetMetricSpec(reference).metricSpecs[0]
            request = pb.GetMetricsRequest(scaledObjectRef=reference, metricName=spec.metricName)
            values = self.stub.GetMetrics(request).metricValues
            self.stub.IsActive(reference)
        except grpc.RpcError as error:
            return error.code()
        return values[0].metricValueFloat

    def polls(self, until: Callable[[Answers], bool], what: str) -> Answers:
        """The answers on the way until the condition holds for them."""
        answers: Answers = []

        def reached() -> bool:
            answers.append(self.poll("underscore"))
            return until(answers)

        wait_for(reached, what)
        return answers

    def polls_to(self, status: grpc.StatusCode) -> Answers:
        return self.polls(lambda answers: answers[-1] == status, f"the answer {status}")


@contextmanager
def asking(site: Site) -> Iterator[Keda]:
    with grpc.insecure_channel(f"127.0.0.1:{site.grpc_port}") as channel:
        yield Keda(pb_grpc.ExternalScalerStub(channel))


@pytest.fixture
def keda(site: Site, scaler: subprocess.Popen[bytes]) -> Iterator[Keda]:
    with asking(site) as asked:
        yield asked


@pytest.fixture(scope="module")
def brief(site: Site) -> Iterator[Keda]:
    """A client of a scaler whose answers are soon too old."""
    settings = site.settings.with_name("brief.yaml")
    hasty = Site(
        *(site.server, site.exporters, settings, free_port(), free_port()),
        stale_seconds=3,
        answer_seconds_max=SHORT_SECONDS,
    )
    hasty.settings.write_text(settings_text(hasty))
    with serving(hasty), asking(hasty) as asked:
        yield asked


def settled(keda: Keda, model: str = "underscore") -> float:
    """A number that stands: the same in thirty polls, which is longer than a look's period."""
    answers: Answers = []

    def stands() -> bool:
        answers.append(keda.poll(model))
        last = answers[-30:]
        return len(last) == 30 and isinstance(last[0], float) and len(set(last)) == 1

    wait_for(stands, f"an answer for {model} that stands")
    assert isinstance(answers[-1], float)
    return answers[-1]


def numbers(answers: Answers) -> set[float]:
    """The replicas among the answers, of which there must be some."""
    found = {answer for answer in answers if isinstance(answer, float)}
    assert found, answers
    return found


def looks(site: Site) -> float:
    """How often the source was read so far."""
    found = re.search(
        r"^foresail_look_duration_seconds_count\S* (\S+)", site.page("/metrics"), re.MULTILINE
    )
    assert found is not None
    return float(found[1])


def test_the_three_spellings_of_an_engine_get_the_same_replicas(keda: Keda) -> None:
    found = [settled(keda, model) for model in ("colon", "underscore", "ray")]

    assert len(set(found)) == 1
    assert found[0] == 4


def test_an_unknown_model_is_unavailable_and_the_known_ones_are_named(keda: Keda) -> None:
    reference = keda.reference("colour")
    request = pb.GetMetricsRequest(scaledObjectRef=reference, metricName="foresail-replicas")

    def named() -> bool:
        with pytest.raises(grpc.RpcError) as raised:
            keda.stub.GetMetrics(request)
        assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        return "colon" in raised.value.details()

    wait_for(named, "the names of the known models")


def test_a_killed_prometheus_is_held_then_unavailable_then_answered_again(
    brief: Keda, site: Site
) -> None:
    before = settled(brief)
    site.server.kill()
    try:
        answers = brief.polls_to(grpc.StatusCode.UNAVAILABLE)
    finally:
        site.server.start()

    assert numbers(answers) == {before}
    assert settled(brief) == 4


def test_a_prometheus_that_wants_a_password_is_misconfigured_and_never_zero(
    brief: Keda, site: Site
) -> None:
    before = settled(brief)
    site.server.kill()
    users = {"foresail": "$2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay"}
    configure(site, web={"basic_auth_users": users})
    site.server.start()
    try:
        answers = brief.polls_to(grpc.StatusCode.FAILED_PRECONDITION)
    finally:
        site.server.kill()
        configure(site)
        site.server.start()

    assert numbers(answers) == {before}
    errors = {answer for answer in answers if not isinstance(answer, float)}
    assert errors <= {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE}
    settled(brief)


def test_an_emptied_prometheus_that_scrapes_nothing_is_never_zero(brief: Keda, site: Site) -> None:
    before = settled(brief)
    site.server.kill()
    site.server.wipe()
    site.server.configure()
    site.server.start()
    try:
        answers = brief.polls_to(grpc.StatusCode.UNAVAILABLE)
    finally:
        site.server.kill()
        configure(site)
        site.server.start()

    assert numbers(answers) == {before}
    settled(brief)


def test_nan_from_every_series_is_held_then_unavailable(brief: Keda, site: Site) -> None:
    before = settled(brief)
    engine = site.exporters[1].engine
    kept = dict(vars(engine))
    for name, value in kept.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            setattr(engine, name, float("nan"))
    try:
        answers = brief.polls_to(grpc.StatusCode.UNAVAILABLE)
    finally:
        vars(engine).update(kept)

    # While old and new samples share the window the demand may look higher, never lower.
    assert min(numbers(answers)) >= before
    settled(brief)


def test_series_renamed_to_something_unknown_are_held_then_unavailable(
    brief: Keda, site: Site
) -> None:
    before = settled(brief)
    engine = site.exporters[1].engine
    engine.prefix = "sglang:"
    try:
        answers = brief.polls_to(grpc.StatusCode.UNAVAILABLE)
    finally:
        engine.prefix = "vllm:"

    assert min(numbers(answers)) >= before
    settled(brief)


def test_series_renamed_to_another_known_spelling_change_nothing(keda: Keda, site: Site) -> None:
    before = settled(keda)
    engine = site.exporters[1].engine
    engine.prefix = "ray_vllm_"
    before_looks = looks(site)  # four feeds a second: 28 looks outlast the window of the rates
    try:
        answers = keda.polls(lambda _: looks(site) >= before_looks + 28, "looks after the renaming")
    finally:
        engine.prefix = "vllm:"

    assert numbers(answers) == set(answers)
    assert min(numbers(answers)) >= before


def test_a_killed_planner_is_replaced_and_keda_notices_nothing(
    keda: Keda, site: Site, scaler: subprocess.Popen[bytes]
) -> None:
    before = settled(keda)
    children = Path(f"/proc/{scaler.pid}/task/{scaler.pid}/children")
    (planner,) = children.read_text().split()
    os.kill(int(planner), signal.SIGKILL)
    answers = keda.polls(
        lambda _: bool(children.read_text().split()) and ready(site), "the next planner"
    )

    assert children.read_text().split() != [planner]
    assert set(answers) == {before}
    settled(keda)


def listed(site: Site) -> dict[str, Plan]:
    async def plans() -> tuple[Plan, ...]:
        async with Plans(f"127.0.0.1:{site.plans_port}") as plans:
            return await plans.list(seconds_max=DEADLINE_SECONDS)

    return {str(plan.workload): plan for plan in asyncio.run(plans())}


def test_a_killed_planner_gives_readers_of_plans_the_same_plans_again_and_never_fewer(
    keda: Keda, site: Site, scaler: subprocess.Popen[bytes]
) -> None:
    replicas = settled(keda)
    (planner,) = Path(f"/proc/{scaler.pid}/task/{scaler.pid}/children").read_text().split()

    async def snapshots() -> tuple[Snapshot, Snapshot]:
        found: list[Snapshot] = []
        async with (
            asyncio.timeout(DEADLINE_SECONDS),
            Plans(f"127.0.0.1:{site.plans_port}", backoff_seconds=(0.5,)) as plans,
            aclosing(plans.watch()) as events,
        ):
            async for event in events:
                if isinstance(event, Snapshot):
                    found.append(event)
                    if len(found) == 2:
                        break
                    os.kill(int(planner), signal.SIGKILL)
        return found[0], found[1]

    before, after = asyncio.run(snapshots())

    assert {plan.workload for plan in after.plans} == {plan.workload for plan in before.plans}
    (again,) = [plan for plan in after.plans if str(plan.workload) == "llm/underscore"]
    assert again.plan is not None
    assert again.plan.planned == replicas
    settled(keda)


def test_the_plans_show_the_watch_list_too_and_what_keda_gets(keda: Keda, site: Site) -> None:
    replicas = settled(keda)
    plans: dict[str, Plan] = {}

    def measured() -> bool:
        # A look at Prometheus that a busy core made late has no demand.
        plans.update(listed(site))
        return plans["llm/underscore"].demand is not None

    wait_for(measured, "a look that was in time")

    assert plans["llm/seen"].on_watch_list
    assert plans["llm/seen"].asked_seconds_ago is None
    asked = plans["llm/underscore"]
    assert asked.plan is not None
    assert asked.plan.desired == replicas
    assert asked.demand is not None
    assert asked.demand.prompt_tokens == pytest.approx(600, rel=0.2)


def test_two_scalers_over_one_prometheus_give_the_same_answer(
    keda: Keda, site: Site, tmp_path: Path
) -> None:
    other = Site(site.server, site.exporters, tmp_path / "b.yaml", free_port(), free_port())
    other.settings.write_text(settings_text(other))
    process = started(other)
    try:
        wait_for(lambda: ready(other), "the second scaler")
        address = f"127.0.0.1:{other.grpc_port}"
        with grpc.insecure_channel(address) as channel:
            second = Keda(pb_grpc.ExternalScalerStub(channel))
            assert settled(second) == settled(keda)
            mine, theirs = (listed(each)["llm/underscore"].plan for each in (site, other))
            assert mine is not None
            assert theirs is not None
            assert (mine.desired, mine.planned) == (theirs.desired, theirs.planned)
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_a_model_of_the_watch_list_is_planned_for_and_shown(
    scaler: subprocess.Popen[bytes], site: Site
) -> None:
    wait_for(lambda: "present" in explained(site, "llm/seen"), "a plan of the watch list")

    assert explained(site, "llm/seen").startswith(
        "llm/seen: on the watch list; KEDA does not ask about it"
    )
    page = site.page("/metrics")
    assert 'foresail_planned_replicas{namespace="llm",scaled_object="seen"}' in page
    assert 'foresail_desired_replicas{namespace="llm",scaled_object="seen"}' not in page


def explained(site: Site, workload: str) -> str:
    try:
        return site.page(f"/explain/{workload}")
    except OSError:
        return ""


def test_explain_shows_the_steps_of_the_answer(keda: Keda, site: Site) -> None:
    replicas = settled(keda)

    asked = [
        *(sys.executable, "-m", "foresail.cli", "explain", "llm/underscore"),
        *("--server", f"http://127.0.0.1:{site.http_port}"),
    ]
    explained: list[subprocess.CompletedProcess[str]] = []

    def is_explained() -> bool:
        # After a look at Prometheus that a busy core made late its status says that no plan is new.
        explained.append(subprocess.run(asked, capture_output=True, text=True, check=False))
        return explained[-1].returncode == 0

    wait_for(is_explained, "an explanation of a look that was in time")
    shown = explained[-1].stdout

    assert shown.startswith(f"llm/underscore: {replicas:.0f} replicas, active")
    assert re.search(r"\d{3} prompt \+ 1\d\d generated tokens/s \(", shown), shown
    assert "% learned: " in shown
    assert "handed to KEDA" in shown
    assert "beside what is measured:\n  TTFT p95 " in shown
    document = json.loads(site.page("/explain/llm/underscore?format=json"))
    assert document[0]["plan"]["desired"] == replicas


def test_the_second_port_shows_health_and_exports_the_decision(keda: Keda, site: Site) -> None:
    replicas = settled(keda)

    assert site.page("/healthz") == "ok\n"
    workload = 'namespace="llm",scaled_object="underscore"'
    is_read = f'foresail_signal_state{{{workload},signal="running",state="value"}} 1.0'
    # Two scrapes in one window are needed for a percentile: it may come a moment after the rest.
    reading = f'foresail_reading{{{workload},signal="ttft"}} '
    page = ""

    def in_time() -> bool:
        nonlocal page
        page = site.page("/metrics")
        return is_read in page and reading in page

    wait_for(in_time, "a look that was in time, with a TTFT")
    assert f"foresail_desired_replicas{{{workload}}} {replicas}" in page
    ttft = page.partition(reading)[2].partition("\n")[0]
    assert float(ttft) == pytest.approx(0.75, rel=1e-3)
    assert f'foresail_objective_seconds{{{workload},signal="ttft"}} 2.0' in page
    # The answering process passes on its own series every few seconds.
    answered = 'foresail_rpc_duration_seconds_count{code="OK",method="GetMetrics"}'
    wait_for(lambda: answered in site.page("/metrics"), "the answering process's series")


def test_a_push_stream_ends_with_ok_when_the_scaler_gets_sigterm(
    site: Site, tmp_path: Path
) -> None:
    other = Site(site.server, site.exporters, tmp_path / "c.yaml", free_port(), free_port())
    other.settings.write_text(settings_text(other))
    process = started(other)
    wait_for(lambda: ready(other), "the scaler")
    with grpc.insecure_channel(f"127.0.0.1:{other.grpc_port}") as channel:
        keda = Keda(pb_grpc.ExternalScalerStub(channel))
        stream = keda.stub.StreamIsActive(keda.reference("colon"), timeout=60)
        assert next(stream).result
        process.send_signal(signal.SIGTERM)
        assert list(stream) == []
        assert stream.code() is grpc.StatusCode.OK
    assert process.wait(timeout=60) == 0


def test_a_taken_port_ends_the_start_with_its_name(site: Site, scaler, tmp_path: Path) -> None:
    other = Site(site.server, site.exporters, tmp_path / "d.yaml", site.grpc_port, free_port())
    other.settings.write_text(settings_text(other))

    ended = subprocess.run(
        [sys.executable, "-m", "foresail.cli", "serve", "--config", str(other.settings)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )

    assert ended.returncode == 1
    assert f"127.0.0.1:{site.grpc_port}" in ended.stderr
    assert "Traceback" not in ended.stderr
