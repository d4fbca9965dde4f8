"""What KEDA gets for each of its calls, over a real connection."""

import asyncio
from collections import Counter
from collections.abc import Callable

import grpc
import grpc.aio
import pytest

from scaler.decision.answers import Refusal, RefusalCode
from scaler.limits import Limit
from scaler.rpc import externalscaler_pb2 as pb
from scaler.serving import server as scaler_server
from scaler.serving import service as scaler_service
from tests.contracts.served import START, Served, answer

pytestmark = pytest.mark.looptime(False)  # sockets need real time


async def test_the_spec_is_one_metric_with_target_one_in_both_fields(served: Served) -> None:
    specs = (await served.keda.GetMetricSpec(served.reference())).metricSpecs

    assert [(s.metricName, s.targetSize, s.targetSizeFloat) for s in specs] == [
        ("foresail-replicas", 1, 1.0)
    ]


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(pb.ScaledObjectRef(), id="nameless"),
        pytest.param(
            pb.ScaledObjectRef(name="a", namespace="b", scalerMetadata={"nonsense": "1"}),
            id="invalid-metadata",
        ),
        pytest.param(
            pb.ScaledObjectRef(name="a", namespace="b", scalerMetadata={"model": "x" * 20_000}),
            id="huge-metadata",
        ),
    ],
)
async def test_the_spec_call_never_fails(served: Served, request_: pb.ScaledObjectRef) -> None:
    assert len((await served.keda.GetMetricSpec(request_)).metricSpecs) == 1


async def test_the_spec_call_makes_a_new_object_known(served: Served) -> None:
    await served.keda.GetMetricSpec(served.reference())

    assert [str(entry.reference) for entry in served.board] == ["team-a/llama"]
    assert served.board.arrived.is_set()


@pytest.mark.parametrize("replicas", [0, 1, 7, 1000])
async def test_the_value_is_the_replicas_in_the_float_and_the_int_field(
    served: Served, replicas: int
) -> None:
    served.publish(answer(replicas))

    values = (await served.keda.GetMetrics(served.question())).metricValues

    assert [(v.metricName, v.metricValue, v.metricValueFloat) for v in values] == [
        ("foresail-replicas", replicas, float(replicas))
    ]


@pytest.mark.parametrize(("replicas", "told"), [(-3, 0), (1001, 1000)])
async def test_a_value_out_of_bounds_is_clamped_and_counted(
    served: Served, replicas: int, told: int
) -> None:
    served.publish(answer(replicas))

    values = (await served.keda.GetMetrics(served.question())).metricValues

    assert values[0].metricValueFloat == told
    assert served.count("foresail_answers_clamped_total") == 1


async def test_the_hpa_may_lower_case_the_metric_name(served: Served) -> None:
    served.publish(answer(2))

    assert (await served.keda.GetMetrics(served.question(metric="FORESAIL-replicas"))).metricValues


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (RefusalCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
        (RefusalCode.MISCONFIGURED, grpc.StatusCode.FAILED_PRECONDITION),
        (RefusalCode.INVALID, grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_a_refusal_is_an_error_of_both_calls_and_names_the_object(
    served: Served, code: RefusalCode, status: grpc.StatusCode
) -> None:
    served.publish(Refusal(code=code, message="prometheus 'main' answers 401"))

    for call in (
        served.keda.GetMetrics(served.question()),
        served.keda.IsActive(served.reference()),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is status
        assert raised.value.details() == "team-a/llama: prometheus 'main' answers 401"


async def test_an_object_never_read_is_unavailable_and_not_zero(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served.keda.GetMetrics(served.question())

    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "llama-70b" in (raised.value.details() or "")


async def test_wrong_metadata_is_told_by_get_metrics(served: Served) -> None:
    served.metadata = {"model": "m", "leadtime": "5m", "mode": "act"}

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served.keda.GetMetrics(served.question())

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "did you mean 'leadTime'?" in (raised.value.details() or "")


async def test_an_unknown_metric_is_not_found(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served.keda.GetMetrics(served.question(metric="s0-foresail-replicas"))

    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "reference",
    [
        pb.ScaledObjectRef(name="a"),
        pb.ScaledObjectRef(namespace="b"),
        pb.ScaledObjectRef(name="a" * 254, namespace="b"),
        pb.ScaledObjectRef(name="a", namespace="b" * 250_000),
    ],
    ids=["no-namespace", "no-name", "long-name", "too-long"],
)
async def test_a_reference_that_names_no_object_is_invalid_and_not_kept(
    served: Served, reference: pb.ScaledObjectRef, limits_exceeded: Callable[[], set[Limit]]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served.keda.IsActive(reference)

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(raised.value.details() or "") < 1025
    assert not len(served.board)
    assert limits_exceeded() == ({Limit.NAME} if reference.name and reference.namespace else set())


async def test_metadata_of_hundreds_of_keys_are_refused_before_they_are_looked_at(
    served: Served, limits_exceeded: Callable[[], set[Limit]]
) -> None:
    metadata = {f"k{number}": "" for number in range(129)}

    with pytest.raises(grpc.aio.AioRpcError, match="metadata has 129 keys, over 128") as raised:
        await served.keda.IsActive(
            pb.ScaledObjectRef(name="a", namespace="b", scalerMetadata=metadata)
        )

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert not len(served.board)
    assert limits_exceeded() == {Limit.METADATA}


async def test_a_call_that_is_far_larger_than_metadata_may_be_is_not_read(
    served: Served, limits_exceeded: Callable[[], set[Limit]]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served.keda.IsActive(pb.ScaledObjectRef(name="a", namespace="b" * 2**18))

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(raised.value.details() or "") < 1025
    assert not limits_exceeded()


async def test_a_long_refusal_is_cut_to_a_kibibyte_without_escapes(
    served: Served, limits_exceeded: Callable[[], set[Limit]]
) -> None:
    message = "no answer: \x1b[2J" + "ä" * 4000
    served.publish(Refusal(code=RefusalCode.UNAVAILABLE, message=message))

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served.keda.GetMetrics(served.question())

    details = raised.value.details() or ""
    assert len(details.encode()) <= 1024
    assert details.isprintable()
    assert Limit.MESSAGE in limits_exceeded()


async def test_one_poll_sees_one_outcome_although_a_plan_is_published_in_between(
    served: Served,
) -> None:
    served.publish(answer(0, active=False))
    value = (await served.keda.GetMetrics(served.question())).metricValues[0].metricValueFloat
    served.publish(answer(4, active=True))

    assert value == 0
    assert not (await served.keda.IsActive(served.reference())).result

    served.now[0] = START + 15
    assert (await served.keda.IsActive(served.reference())).result


async def test_beyond_the_limit_of_objects_a_new_one_is_refused_and_the_old_are_answered(
    served: Served,
) -> None:
    for name in ("a", "b", "c"):
        served.publish(answer(1), name)

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await served.keda.GetMetrics(served.question("d"))

    assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "limits.objectsMax" in (raised.value.details() or "")
    assert (await served.keda.GetMetrics(served.question("a"))).metricValues


async def test_two_triggers_of_one_object_are_answered_apart(served: Served) -> None:
    served.publish(answer(3))
    served.metadata = {"model": "other", "mode": "act"}
    served.publish(answer(5))

    values = (await served.keda.GetMetrics(served.question())).metricValues

    assert values[0].metricValueFloat == 5


async def test_a_thousand_questions_on_one_channel_are_all_answered(served: Served) -> None:
    served.publish(answer(7))

    replies = await asyncio.gather(
        *(served.keda.GetMetrics(served.question()) for _ in range(1000))
    )

    assert {reply.metricValues[0].metricValueFloat for reply in replies} == {7}
    assert (
        served.count("foresail_rpc_duration_seconds_count", method="GetMetrics", code="OK") == 1000
    )


# Mode advise: what changes no replica (scaler/decision/abstention.py says why).


async def test_advise_alone_gives_no_value_and_no_error_whatever_was_planned(
    served: Served,
) -> None:
    served.metadata = {"model": "m", "mode": "advise"}

    for outcome in (None, answer(17), Refusal(code=RefusalCode.UNAVAILABLE, message="down")):
        if outcome is not None:
            served.publish(outcome)
        assert not (await served.keda.GetMetrics(served.question())).metricValues
        assert (await served.keda.IsActive(served.reference())).result


@pytest.mark.parametrize("mode", [{}, {"mode": "advise"}, {"mode": "atc"}], ids=str)
async def test_wrong_metadata_that_do_not_ask_to_act_change_no_replica(
    served: Served, mode: dict[str, str]
) -> None:
    # An error would count towards KEDA's fallback, which moves replicas.
    served.metadata = {"model": "m", "leadtime": "5m", **mode}
    assert not (await served.keda.GetMetrics(served.question())).metricValues

    served.metadata = {**served.metadata, "otherTriggers": "true"}
    (value,) = (await served.keda.GetMetrics(served.question())).metricValues
    assert value.metricValueFloat == 0.0
    assert not (await served.keda.IsActive(served.reference())).result


async def test_advise_is_the_mode_of_a_trigger_that_names_none(served: Served) -> None:
    served.metadata = {"model": "m"}
    served.publish(answer(17))

    assert not (await served.keda.GetMetrics(served.question())).metricValues


async def test_advise_beside_other_triggers_is_zero_and_not_active_whatever_was_planned(
    served: Served,
) -> None:
    served.metadata = {"model": "m", "mode": "advise", "otherTriggers": "true"}

    for outcome in (None, answer(17), Refusal(code=RefusalCode.UNAVAILABLE, message="down")):
        if outcome is not None:
            served.publish(outcome)
        values = (await served.keda.GetMetrics(served.question())).metricValues
        assert [(v.metricValue, v.metricValueFloat) for v in values] == [(0, 0.0)]
        assert not (await served.keda.IsActive(served.reference())).result


async def test_advise_alone_with_zero_allowed_is_an_error_that_says_why(served: Served) -> None:
    served.metadata = {"model": "m", "engine": "llm-d", "mode": "advise", "minReplicas": "0"}
    served.publish(answer(17))

    for call in (
        served.keda.GetMetrics(served.question()),
        served.keda.IsActive(served.reference()),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "mode advise" in (raised.value.details() or "")


async def test_advise_alone_with_zero_allowed_gives_the_hpa_no_value_and_no_error(
    served: Served,
) -> None:
    # An error there would make KEDA close the scalers that its own poll reads at that moment.
    served.metadata = {"model": "m", "engine": "llm-d", "mode": "advise", "minReplicas": "0"}
    served.publish(answer(17))

    of_api_server = 60.0
    assert not (await served.keda.GetMetrics(served.question(), timeout=of_api_server)).metricValues
    assert (await served.keda.IsActive(served.reference(), timeout=of_api_server)).result

    # A later KEDA may give its polls a limit of their own.
    with pytest.raises(grpc.aio.AioRpcError, match="mode advise"):
        await served.keda.IsActive(served.reference(), timeout=30.0)


async def test_advise_stands_however_long_the_planning_process_is_silent(served: Served) -> None:
    served.metadata = {"model": "m", "mode": "advise", "otherTriggers": "true"}
    served.publish(answer(17))
    served.now[0] += 86_400

    values = (await served.keda.GetMetrics(served.question())).metricValues

    assert [v.metricValueFloat for v in values] == [0.0]


@pytest.mark.looptime(False)
async def test_calls_that_were_sent_before_the_server_stops_are_answered(served: Served) -> None:
    served.publish(answer(3))
    assert await _value(served) == 3  # connected
    begun = served.service._begun
    served.service.hold()  # none is answered before the stop
    calls = [asyncio.create_task(_value(served)) for _ in range(50)]
    while served.service._begun < begun + len(calls):
        await asyncio.sleep(0.001)

    await served.server.drain()

    assert {await call for call in calls} == {3.0}


async def _value(served: Served) -> float:
    answered = await served.keda.GetMetrics(served.question())
    return answered.metricValues[0].metricValueFloat


async def test_metadata_beyond_their_limit_are_counted(
    served: Served, limits_exceeded: Callable[[], set[Limit]]
) -> None:
    reference = pb.ScaledObjectRef(name="a", namespace="b", scalerMetadata={"model": "m" * 16_384})
    with pytest.raises(grpc.aio.AioRpcError, match="16389 characters, over 16384"):
        await served.keda.IsActive(reference)

    assert limits_exceeded() == {Limit.METADATA}


@pytest.mark.looptime(False)
async def test_callers_that_wait_for_each_answer_lose_none_when_the_server_stops(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In which gRPC's own threads get a core, however busy the cores are.
    monkeypatch.setattr(scaler_service, "QUIET_SECONDS", 1.0)
    monkeypatch.setattr(scaler_server, "_TOLD_SECONDS", 1.0)
    served.publish(answer(3))
    codes: Counter[grpc.StatusCode] = Counter()

    async def caller() -> None:
        while grpc.StatusCode.UNAVAILABLE not in codes:  # then the port is closed
            try:
                _ = await _value(served)
                codes[grpc.StatusCode.OK] += 1
            except grpc.aio.AioRpcError as error:
                codes[error.code()] += 1

    callers = [asyncio.create_task(caller()) for _ in range(30)]
    while codes[grpc.StatusCode.OK] < 10 * len(callers):
        await asyncio.sleep(0.01)
    answered = codes[grpc.StatusCode.OK]

    await served.server.drain()

    await asyncio.gather(*callers)
    assert codes[grpc.StatusCode.OK] - answered <= 2 * len(callers)  # no caller goes on asking
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
