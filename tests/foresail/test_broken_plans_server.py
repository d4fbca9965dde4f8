"""A server that is none of plans, or a broken one, ends `foresail plans` with one clear line."""

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, aclosing, contextmanager, suppress
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from foresail.cli import main
from foresail.client import Plans, Removed
from foresail.plans_api.checks import MalformedPlanError
from foresail.plans_api.plan import plan_of
from scaler.rpc.foresail.v1 import plans_pb2 as pb

pytestmark = pytest.mark.looptime(False)  # sockets need real time

Served = AbstractContextManager[int]
"""A server, by its port."""
WORKLOAD = pb.Workload(namespace="llm", name="chat")


@contextmanager
def saying(content: bytes) -> Iterator[int]:
    """Whatever is asked, the same bytes, and then the end of the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    asked, _ = server.accept()
                except OSError:
                    return
                with asked, suppress(OSError):  # the client may be gone before
                    asked.sendall(content)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


class Handler(grpc.GenericRpcHandler):
    """Answers both RPCs with the same bytes."""

    def __init__(self, answer: Callable[[grpc.ServicerContext], bytes]) -> None:
        self._answer = answer

    def service(self, details: Any) -> Any:
        if details.method.endswith("/ListWorkloadPlans"):
            return grpc.unary_unary_rpc_method_handler(lambda _, context: self._answer(context))
        return grpc.unary_stream_rpc_method_handler(
            lambda _, context: iter([self._answer(context)])
        )


@contextmanager
def answering(answer: Callable[[grpc.ServicerContext], bytes] | None) -> Iterator[int]:
    """A gRPC server; None = it has other services only."""
    options = [("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(2), options=options)
    if answer is not None:
        server.add_generic_rpc_handlers((Handler(answer),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def listing(**fields: Any) -> Served:
    response = pb.ListWorkloadPlansResponse(**fields).SerializeToString()
    return answering(lambda _: response)


def refusing(code: grpc.StatusCode, details: str) -> Served:
    return answering(lambda context: context.abort(code, details))


_OF_GRPC = re.compile(r"[IWEF]\d{4} \d\d:|[IWEF]0000 00:|WARNING: All log messages before absl::")
"""Begins a line of gRPC's own log, and the one that says where they go."""


def _of_channels_to(port: int, stderr: str) -> str:
    """Without what gRPC says of others, such as of earlier tests' servers that are gone."""
    lines = stderr.splitlines(keepends=True)
    return "".join(one for one in lines if not _OF_GRPC.match(one) or f":{port}" in one)


@pytest.mark.parametrize(
    ("served", "why"),
    [
        pytest.param(lambda: saying(b""), "UNAVAILABLE", id="hangs-up"),
        pytest.param(lambda: saying(b"HTTP/1.1 400 Bad\r\n\r\n"), "http1", id="another-protocol"),
        pytest.param(lambda: saying(bytes(range(256))), "UNAVAILABLE", id="noise"),
        pytest.param(
            lambda: saying(b"\0\0\0\4\0\0\0\0\0" + b"\xff" * 64), "UNAVAILABLE", id="broken-frame"
        ),
        pytest.param(lambda: answering(None), "UNIMPLEMENTED", id="another-service"),
        pytest.param(
            lambda: answering(lambda _: b"\xff\xff\xff"),
            "an answer of 3 bytes is no foresail.v1.ListWorkloadPlansResponse",
            id="no-message",
        ),
        pytest.param(
            lambda: answering(lambda _: bytes(5_000_000)), "larger than max", id="oversized"
        ),
        pytest.param(
            lambda: refusing(grpc.StatusCode.INTERNAL, "a\nb\x1b[2J" + "c" * 4000),
            r"INTERNAL: a\nb\x1b[2Jccc",
            id="a-reason-of-several-lines",
        ),
        pytest.param(
            lambda: listing(next_page_token="again"),  # noqa: S106 - of a page
            "its list has no end: after 14 bytes it goes on with page 'again'",
            id="a-list-without-end",
        ),
        pytest.param(
            lambda: listing(plans=[pb.WorkloadPlan(workload=WORKLOAD, age_seconds=float("nan"))]),
            "the plan of llm/chat cannot be used: age_seconds is no finite number",
            id="no-number",
        ),
    ],
)
def test_the_command_ends_with_one_line_that_says_why(
    served: Callable[[], Served], why: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with served() as port:
        result = CliRunner().invoke(main, ["plans", "--server", f"127.0.0.1:{port}"])
        shown = result.stderr + _of_channels_to(port, capfd.readouterr().err)
    assert (result.exit_code, result.stdout) == (1, "")
    assert len(shown.splitlines()) == 1, shown
    assert shown.startswith(f"plans of 127.0.0.1:{port}: ")
    assert why in shown
    assert len(shown) < 1600


async def test_a_watch_tells_of_a_broken_answer_and_asks_again() -> None:
    event = pb.WatchWorkloadPlansResponse
    removed = event(removed=WORKLOAD, version="1")
    answers = iter([b"\xff\xff\xff", removed.SerializeToString()])
    with capture_logs() as logs, answering(lambda _: next(answers)) as port:
        plans = Plans(f"127.0.0.1:{port}", backoff_seconds=(0.01,))
        async with aclosing(plans.watch(version="0")) as events, asyncio.timeout(60):
            found = await anext(events)
    assert isinstance(found, Removed)
    (told,) = logs
    assert told["error"] == (
        f"plans of 127.0.0.1:{port}: an answer of 3 bytes is no "
        "foresail.v1.WatchWorkloadPlansResponse"
    )


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        pytest.param(
            {"forecasts": [pb.SeriesForecast(series="a", horizons_seconds=[60], levels=[0.5])]},
            "forecasts of a: not a row for each of 1 times with 1 values each",
            id="a-table-without-rows",
        ),
        pytest.param(
            {"replica_forecast": pb.ReplicaForecast()},
            "replica_forecast: its times do not ascend from 0; "
            "replica_forecast: its levels do not ascend inside (0, 1)",
            id="an-empty-table",
        ),
        pytest.param(
            {"running_maximum": pb.RunningMaximum(windows_seconds=[60], levels=[0.9, 0.5])},
            "running_maximum is no table of ascending quantiles",
            id="levels-that-fall",
        ),
        pytest.param(
            {"settings": pb.PlanSettings(level=7)},
            "settings.level is 7, not inside (0, 1)",
            id="a-level-out-of-range",
        ),
        pytest.param(
            {"plan": pb.ReplicaPlan(steps=[pb.PlanStep(replicas=float("inf"))])},
            "plan.steps.replicas is no finite number",
            id="an-infinity",
        ),
    ],
)
def test_a_plan_whose_numbers_cannot_be_used_is_refused_by_field(
    fields: dict[str, Any], fault: str
) -> None:
    with pytest.raises(MalformedPlanError) as raised:
        plan_of(pb.WorkloadPlan(workload=WORKLOAD, **fields))
    assert str(raised.value) == f"the plan of llm/chat cannot be used: {fault}"
