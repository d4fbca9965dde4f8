"""Every parser of bytes that others write: what goes in, and which errors are its own.

A target takes any bytes. It raises only what its callers expect; any other exception, and any input
that takes seconds, is a finding. A finding becomes a seed here, so that `make test` runs it too.
"""

import contextlib
import json
import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from functools import cache
from pathlib import Path

import orjson
from pydantic import ValidationError

from fleet import langfuse, langsmith
from fleet.answer_notes import notes_of
from fleet.catalogue import shipped as shipped_catalogue
from fleet.cluster.kinds import Kind, record_of
from fleet.cluster.owners import Workload
from fleet.documents import is_object
from fleet.located import Document, UnreadableYamlError
from fleet.manifests import manifests_in
from fleet.metered import NAME_CHARACTERS_MAX, by_label
from fleet.mlflow import goal_of, next_page_of, points_of, runs_of
from fleet.recorded import UnreadableRecordError, recorded
from fleet.run_progress import Unit, progress_of
from foresail.exports.reading import Asked, read_export
from foresail.exports.recorded import RecordedInExport
from foresail.settings.file import Settings
from policies.planning.spending_note import spending_in
from policies.reading.runs import LinkedRun, gang_ends
from replay.traces import TraceError
from replay.traces import read as read_trace
from scaler.errors import ForesailError, MetadataError, SourceError
from scaler.faults import checked
from scaler.forecast.announced import Calendar
from scaler.message_text import MESSAGE_BYTES_MAX
from scaler.scope import Scope
from scaler.serving.certificate_expiry import expiries
from scaler.signals import Observation, Value
from scaler.sources.catalogue import load
from scaler.sources.otlp_decoding import Decoder
from scaler.sources.otlp_point import UndecodableError
from scaler.sources.otlp_series import PushedSeries
from scaler.sources.prometheus_answer import series_of_answer
from scaler.sources.prometheus_response import NoAnswerError
from scaler.sources.reading import ObservationReader
from scaler.sources.text_format import PageLines, PageTooLongError, samples_of
from scaler.state.feed_bytes import decode_feed
from scaler.state.frames import StateRefusedError, frames_in
from scaler.state.workload_bytes import decode_workload
from scaler.trigger_parsing import AllowedOptions, parse
from scheduler.admission import NotReadyError, Policy, admit
from scheduler.agent.nccl import GB_S_MAX, RANKS_MAX, best_of
from scheduler.extender_wire import (
    UnreadableRequestError,
    arguments_of,
    filter_error,
    prioritise_answer,
)
from scheduler.gpu_container import DeniedError
from scheduler.pods import UnreadablePodError, read
from scheduler.review import UnreadableReviewError, allowed, denied, review_of
from tests.sources.otlp_requests import DELTA, counter, durations, request, tokens

FIXTURES = Path(__file__).parents[1] / "fixtures"
EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
NOW = 1_800_000_000.0
ALLOWED = AllowedOptions(
    engines={"vllm": False, "llm-d": True},
    sources=frozenset({"main"}),
    default_source="main",
    address_prefixes=("http://prometheus.team-a.svc:9090",),
)


@dataclass(frozen=True)
class Target:
    """A parser, inputs to begin with, and words that its inputs are made of."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[str, ...] = ()


def metrics_page(data: bytes) -> None:
    for engine in ("vllm", "llm-d"):
        preset = load(engine)
        lines = PageLines(preset.spelled, bytes_max=2**20, lines_max=1000)
        try:
            lines.add(data[: len(data) // 2])
            lines.add(data[len(data) // 2 :])
            samples = list(samples_of(lines.end(), labels={"pod": "a"}, at_seconds=NOW))
        except (PageTooLongError, ValueError):  # UnicodeDecodeError is one
            continue
        reader = ObservationReader(preset, model="llama-70b")
        reader.observe(samples, now_seconds=NOW)
        believable(reader.observe(samples, now_seconds=NOW + 30))


def otlp_request(data: bytes) -> None:
    preset = load("opentelemetry")
    series = PushedSeries(frozenset({preset.model_label}), keep_seconds=120, series_max=100)
    try:
        decoded = Decoder(preset.spelled).decode(data)
    except UndecodableError:
        return
    series.take(decoded, now_seconds=NOW)
    reader = ObservationReader(preset, model="llama-70b")
    samples = series.samples(preset.model_label, "llama-70b")
    believable(reader.observe(samples, now_seconds=NOW))


def prometheus_answer(data: bytes) -> None:
    try:
        series = list(series_of_answer(orjson.loads(data)["data"]["result"]))
    except (NoAnswerError, LookupError, TypeError, ValueError):
        return
    believable(ObservationReader(load("vllm"), model="m").observe(series, now_seconds=NOW))


def believable(observation: Observation) -> None:
    """Readings are finite and not negative, whatever was on the page."""
    for signal, reading in observation.readings.items():
        if isinstance(reading, Value):
            assert 0 <= reading.value < 1e15, (signal, reading)


def trigger_metadata(data: bytes) -> None:
    """Keys and values in turn, divided by line ends."""
    parts = data.decode(errors="replace").split("\n")
    metadata = {"model": "m", **dict(zip(parts[::2], parts[1::2], strict=False))}
    try:
        spec = parse(metadata, ALLOWED)
        Scope(namespace="llm", model=spec.model, labels=spec.match_labels)
    except MetadataError as error:
        fit_for_an_event(str(error))
        return
    except SourceError:
        return
    if spec.events:
        Calendar(spec.events, spec.timezone).exogenous_forecast(1.0, NOW, (300.0, 1800.0))


def fit_for_an_event(message: str) -> None:
    assert len(message.encode()) <= MESSAGE_BYTES_MAX
    assert message.isprintable()


def settings(data: bytes) -> None:
    try:
        document = Document(data.decode(errors="replace"))
    except UnreadableYamlError:
        return
    checked(document, Settings)


def manifests(data: bytes) -> None:
    for _ in manifests_in(data.decode(errors="replace")):
        pass


def extender_request(data: bytes) -> None:
    try:
        asked = arguments_of(data)
        read(asked.pod)
    except (UnreadableRequestError, UnreadablePodError) as error:
        filter_error(str(error))
        return
    prioritise_answer(asked.names, [0] * len(asked.names))


@cache
def _policy() -> Policy:
    return Policy(catalogue=shipped_catalogue())


def webhook_review(data: bytes) -> None:
    try:
        asked = review_of(data)
    except UnreadableReviewError:
        return
    try:
        made = admit(asked.pod or {}, asked.namespace, _policy(), frozenset({"gpu.nvidia.com"}))
        allowed(asked.uid, made)
    except (DeniedError, NotReadyError) as error:
        denied(asked.uid, str(error), code=422)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def kubectl_json(data: bytes) -> None:
    file = _folder() / "cluster.json"
    file.write_bytes(data)
    with contextlib.suppress(UnreadableRecordError):
        recorded(file)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(document, dict):
        for kind in Kind:
            record_of(kind, document)


def trace(data: bytes) -> None:
    """The first byte chooses the form."""
    file = _folder() / ("trace.jsonl" if data[:1] in {b"{", b"j"} else "trace.csv")
    file.write_bytes(data)
    with contextlib.suppress(TraceError):
        read_trace(file)


def nccl_output(data: bytes) -> None:
    found = best_of([data.decode("utf-8", "replace")])
    if found is not None:
        assert 0 < found.gb_s <= GB_S_MAX
        assert 1 < found.ranks <= RANKS_MAX


def export(data: bytes) -> None:
    file = _folder() / "export"
    file.write_bytes(data)
    try:
        found = read_export(file, Asked(model="m", zone=UTC))
    except ForesailError:
        return
    if isinstance(found, RecordedInExport):
        assert all(list(one.at_seconds) == sorted(set(one.at_seconds)) for one in found.series)
        assert found.begin_seconds < found.end_seconds


def certificate(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        list(expiries(data.decode("ascii", errors="replace")))


def state(data: bytes) -> None:
    try:
        for frame in frames_in(data, payload_bytes_max=2**20):
            for decode in (decode_workload, decode_feed):
                decode(frame.payload)
    except StateRefusedError:
        pass
    for decode in (decode_workload, decode_feed):
        with contextlib.suppress(StateRefusedError, ValidationError):
            decode(data)
    spending_in(data.decode(errors="replace"))


def mlflow_answer(data: bytes) -> None:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not is_object(answer):
        return
    next_page_of(answer)
    for unit in Unit:
        points = points_of(answer, unit)
        for run in runs_of(answer):
            found = progress_of(points, goal_of(run), run.start_seconds, NOW)
            assert found.ends_at_seconds is None or 0 < found.ends_at_seconds < 1e10
            pod = Workload(kind="JobSet", namespace="llm", name="tune")
            gang_ends([LinkedRun(run=run, gang=pod, progress=found)])


def meter_answer(data: bytes) -> None:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not is_object(answer):
        return
    groups = langsmith.groups_of(answer) or {}
    pages = langfuse.pages_of(answer)
    assert pages >= 0
    for found in (
        langfuse.metered_of_rows(langfuse.rows_of(answer)),
        langfuse.metered_of_days([answer]),
        langsmith.metered_of_groups(groups),
    ):
        for name, one in by_label(found, ["qwen3-32b", "QWEN3-32B"]).items():
            assert len(name) <= NAME_CHARACTERS_MAX
            assert one.all_tokens > 0
            assert one.usd_per_million is None or one.usd_per_million > 0
    notes = notes_of(answer)
    assert all(len(one) <= 256 for one in notes.remarks)


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document).encode()


_POD = {
    "metadata": {
        "name": "a",
        "namespace": "llm",
        "annotations": {
            "foresail.io/model-parameters": "70B",
            "foresail.io/precision": "fp8",
        },
    },
    "spec": {
        "containers": [{"name": "e", "resources": {"limits": {"nvidia.com/gpu": "2"}}}],
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "c"}],
    },
}
_SERIES = {
    "metric": {"__name__": "vllm:num_requests_waiting", "model_name": "m", "pod": "a"},
    "values": [[NOW - 30, "1"], [NOW - 15, "NaN"], [NOW, "1e307"]],
}

_SAMPLE = '{__name__="vllm:num_requests_running", model_name="m"}'
_RATES = "requests_per_second,prompt_tokens_per_second,generated_tokens_per_second"

TARGETS: Mapping[str, Target] = {
    "export": Target(
        export,
        (
            f"Time,{_RATES}\n2026-11-20 13:00:00,2,1600,400\n1795179660000,3,3000,9\n".encode(),
            f"sep=;\nSeries;Time;Value\n{_SAMPLE};1795179600;4\nup;1795179660;1\n".encode(),
            f"{_SAMPLE} 1 1795179600000\n{_SAMPLE} 2 1795179660000\n".encode(),
            f"{_SAMPLE} =>\n1 @[1795179600]\n2 @[1795179660.5]\n".encode(),
            _json({"status": "success", "data": {"resultType": "matrix", "result": [_SERIES]}}),
            b'{"timestamp": 0, "input_length": 9, "output_length": 9}\n' * 2,
            f"{_SAMPLE} 1 1e400\n".encode(),
            f"{_SAMPLE} NaN 1795179600000\n".encode(),
            f"{_SAMPLE} =>\n-1 @[1e300]\n".encode(),
        ),
        ('"metric"', '"values"', "@[", "=>", "__name__", "NaN", "1e400", "sep=", ";", "Value"),
    ),
    "mlflow-answer": Target(
        mlflow_answer,
        (
            _json(
                {
                    "runs": [
                        {
                            "info": {"run_id": "r", "status": "RUNNING", "start_time": 1.7e12},
                            "data": {
                                "params": [{"key": "max_steps", "value": "100"}],
                                "metrics": [{"key": "loss", "step": 2}, {"key": "epoch"}],
                            },
                        }
                    ],
                    "metrics": [
                        {"step": 1, "timestamp": 1.79e12, "value": 1.0},
                        {"step": 2, "timestamp": 1.7901e12, "value": "NaN"},
                    ],
                }
            ),
            b'{"metrics":[{"step":1'
            + b"0" * 400
            + b',"timestamp":1e300}],"runs":[{"info":{"run_id":"r"}}]}',
            b'{"metrics":[{"step":1,"timestamp":1e15},{"step":2}],"runs":[{"info":{"run_id":"r"}}]}',
        ),
        ('"runs"', '"info"', '"run_id"', '"metrics"', '"step"', '"timestamp"', "1e308", "NaN"),
    ),
    "meter-answer": Target(
        meter_answer,
        (
            _json(
                {
                    "data": [
                        {
                            "providedModelName": "Qwen/Qwen3-32B",
                            "sum_inputTokens": "7",
                            "sum_outputTokens": 3,
                            "sum_totalTokens": 1e15,
                            "sum_totalCost": "0.5",
                        },
                        {
                            "date": "2026-11-29",
                            "usage": [
                                {
                                    "model": "m",
                                    "inputUsage": 7,
                                    "outputUsage": 3,
                                    "totalUsage": 10,
                                    "totalCost": 1e-300,
                                }
                            ],
                        },
                    ],
                    "meta": {"totalPages": 2},
                }
            ),
            _json({"m": {"prompt_tokens": 7, "completion_tokens": 3, "total_cost": "1e-5"}}),
            _json({"isPartial": True, "warnings": ["PromQL warning: x", 7], "infos": ["y"]}),
        ),
        ('"data"', '"usage"', '"sum_totalTokens"', '"total_cost"', '"warnings"', "1e308", "NaN"),
    ),
    "otlp-request": Target(
        otlp_request,
        (
            request(
                tokens("input", 6000, at=NOW, start=NOW - 30, temporality=DELTA),
                tokens("output", 1200, at=NOW - 10),
                durations(60, 120.0, at=NOW, **{"error.type": "429"}),
                counter("gen_ai.client.inference.usage.input_tokens", 7, at=NOW),
            ),
            request(tokens("input", math.inf, at=2**33)),
        ),
        ("llama-70b", "gen_ai.request.model", "gen_ai.client.token.usage"),
    ),
    "metrics-page": Target(
        metrics_page,
        (
            (FIXTURES / "vllm_0.33.0.prom").read_bytes()[:8000],
            b'vllm:num_requests_running{model_name="llama-70b"} 1e308\n',
            b'vllm:generation_tokens_total{model_name="llama-70b"} -Inf 1800000000\n',
            b'vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="llama-70b"} 7\n',
            b'vllm:num_requests_running{b="0", = deferred by x="y"} 1\n',
        ),
        ("vllm:", "_total", "_bucket", 'le="', "NaN", "+Inf", "1e308", "# TYPE ", "# EOF", "\\n"),
    ),
    "prometheus-answer": Target(
        prometheus_answer,
        (
            _json({"data": {"result": [_SERIES]}}),
            b'{"data":{"result":[{"metric":{"__name__":"x"}}]}}',
            b"[" * 2000,
        ),
        ('"metric"', '"values"', '"__name__"', "vllm:", "1e308", "-1", "NaN"),
    ),
    "trigger-metadata": Target(
        trigger_metadata,
        (
            b"timezone\nEurope",
            b"events\n0 9 * * mon-fri for 30m x2.5; 2027-03-01T18:00 for 2h x4",
            b"events\n0 9 * * * in Europe for 30m x2.5; 0 2 * * * in ../UTC for 2h x4",
            b"serverAddress\nhttp://prometheus.team-a.svc:9090/%2e%2e/x",
            b"matchLabels\na=b,c=d\nleadTime\n6m10s\nminReplicas\n0\nmodeFromEnv\nact",
        ),
        ("timezone", "events", " for ", " x2", "* * * * *", "FromEnv", "serverAddress", "%2e"),
    ),
    "settings": Target(
        settings,
        (
            (EXAMPLES / "foresail.yaml").read_bytes(),
            b"sources: [{name: m, prometheus: {url: http://p}}]\ncycle: {period: 1s}\n",
            b"tenants:\n- {namespaces: ['*'], modes: [act], sources: [m]}\n",
            b"a: &a [*a]\n",
            b"limits: {objectsMax: " + b"9" * 5000 + b"}\n",
        ),
        ("sources", "prometheus", "url", "watch", "limits", "&a", "*a", "<<", "!!int", "- "),
    ),
    "manifests": Target(
        manifests,
        ((FIXTURES / "clusters" / "dra.yaml").read_bytes()[:4000], b"---\na: 1\n---\n{}\n"),
        ("apiVersion", "kind", "---", "&a", "*a", "<<"),
    ),
    "extender-request": Target(
        extender_request,
        (
            _json({"Pod": _POD, "NodeNames": ["a", "b"]}),
            _json({"pod": _POD, "nodes": {"items": [{"metadata": {"name": "a"}}]}}),
        ),
        ('"Pod"', '"NodeNames"', '"metadata"', '"nvidia.com/gpu"', '"1e99"', '"foresail.io/'),
    ),
    "webhook-review": Target(
        webhook_review,
        (
            _json(
                {
                    "apiVersion": "admission.k8s.io/v1",
                    "kind": "AdmissionReview",
                    "request": {
                        "uid": "u-1",
                        "operation": "CREATE",
                        "namespace": "llm",
                        "resource": {"group": "", "version": "v1", "resource": "pods"},
                        "kind": {"group": "", "version": "v1", "kind": "Pod"},
                        "object": {**_POD, "apiVersion": "v1", "kind": "Pod"},
                    },
                }
            ),
        ),
        ('"request"', '"object"', '"annotations"', '"foresail.io/', '"70B"', '"fp8"', '"1e99B"'),
    ),
    "kubectl-json": Target(
        kubectl_json,
        (
            _json({"kind": "List", "items": [{**_POD, "kind": "Pod", "apiVersion": "v1"}]}),
            _json(
                {
                    "kind": "Node",
                    "metadata": {"name": "n", "labels": {"a": "b"}},
                    "status": {"allocatable": {"nvidia.com/gpu": "8", "cpu": "1e3"}},
                }
            ),
        ),
        ('"kind"', '"Node"', '"items"', '"metadata"', '"status"', '"2026-01-01T00:00:00Z"'),
    ),
    "trace": Target(
        trace,
        (
            b"t_s,requests,prompt_tokens,output_tokens\n0,1,2,3\n60,1,2,3\n",
            b"time,requests_per_second\n2026-01-01T00:00:00Z,1\n2026-01-01T00:01:00Z,2\n",
            b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n",
            b'{"timestamp": 0, "input_length": 1, "output_length": 2}\n' * 2,
            b"t_s,requests\n0,1\n1e308,2\n",
        ),
        ("t_s", "requests", "1e308", "nan", "inf", "-1", "timestamp", "Request tokens"),
    ),
    "certificate": Target(
        certificate,
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",),
        ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "MIH/", "AAAA"),
    ),
    "nccl-output": Target(
        nccl_output,
        tuple(path.read_bytes() for path in sorted((FIXTURES / "nccl").iterdir())),
        (
            "nccl_bus_bandwidth_gbs{",
            'n_nodes="1"',
            'message_size="',
            "# Rank 0 on h device",
            "1e99",
        ),
    ),
    "state": Target(state, (b"", b"foresail\x00\x01", bytes(range(256)))),
}
