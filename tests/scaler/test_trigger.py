"""Trigger metadata: the accepted values, and the message for each fault."""

import re

import pytest

from scaler.decision.parameters import parameters_of
from scaler.errors import MetadataError
from scaler.trigger import ALIASES, LATE_MINUTE_COST, LeadTimeUse, Mode, TriggerSpec
from scaler.trigger_parsing import AllowedOptions, parse
from tests.scaler.fakes import CAPACITY

ALLOWED = AllowedOptions(
    engines={"vllm": False, "llm-d": True},
    sources=frozenset({"main", "edge"}),
    default_source="main",
    address_prefixes=("http://prometheus.team-a.svc:9090",),
    replicas_max=200,
)


def test_a_trigger_that_names_only_its_model_gets_the_documented_defaults() -> None:
    trigger_spec = parse({"model": "llama-70b"}, ALLOWED)

    assert trigger_spec.model == "llama-70b"
    assert (trigger_spec.engine, trigger_spec.source, trigger_spec.mode) == (
        "vllm",
        "main",
        Mode.ADVISE,
    )
    assert (trigger_spec.lead_time, trigger_spec.hold_seconds) == (300, 300)
    assert trigger_spec.lead is LeadTimeUse.LEARNED
    assert (trigger_spec.min_replicas, trigger_spec.max_replicas) == (1, 200)


def test_a_plan_is_as_careful_as_a_late_minute_is_dear_or_by_a_quantile_and_not_by_both() -> None:
    assert parse({"model": "m"}, ALLOWED).late_minute_cost == LATE_MINUTE_COST
    assert parse({"model": "m", "lateMinuteCost": "75"}, ALLOWED).late_minute_cost == 75

    with pytest.raises(MetadataError, match="'quantile' and 'lateMinuteCost' exclude each other"):
        parse({"model": "m", "lateMinuteCost": "75", "quantile": "0.9"}, ALLOWED)
    with pytest.raises(
        MetadataError, match="'lateMinuteCost' has the value '0': it takes a number"
    ):
        parse({"model": "m", "lateMinuteCost": "0"}, ALLOWED)


def test_a_limit_of_the_price_needs_a_price_that_can_move() -> None:
    assert parse({"model": "m", "lateMinuteCostMax": "60"}, ALLOWED).late_minute_cost_max == 60

    for key, value, named in (
        ("lateMinuteCost", "15", "lateMinuteCost"),
        ("quantile", "0.9", "quantile"),
        ("tuning", "fixed", "tuning: fixed"),
    ):
        with pytest.raises(MetadataError, match=f"'lateMinuteCostMax' and '{named}' exclude each"):
            parse({"model": "m", "lateMinuteCostMax": "60", key: value}, ALLOWED)
    with pytest.raises(MetadataError, match="'lateMinuteCostMax' has the value '0': it takes a"):
        parse({"model": "m", "lateMinuteCostMax": "0"}, ALLOWED)


def test_a_price_limit_below_the_default_price_is_the_price() -> None:
    cheap = parse({"model": "m", "lateMinuteCostMax": "4"}, ALLOWED)

    assert parameters_of(cheap, CAPACITY).late_minute_cost == 4


def test_announced_events_are_read_and_one_that_cannot_be_is_refused() -> None:
    trigger_spec = parse({"model": "m", "events": "0 9 * * mon-fri for 30m x2.5"}, ALLOWED)
    assert [(event.length_seconds, event.factor) for event in trigger_spec.events] == [(1800, 2.5)]

    with pytest.raises(MetadataError, match="'nine x2': it takes WHEN \\[in ZONE\\] for LENGTH"):
        parse({"model": "m", "events": "nine x2"}, ALLOWED)


def test_every_key_is_read_in_its_own_unit() -> None:
    trigger_spec = parse(
        {
            "model": "m",
            "engine": "llm-d",
            "source": "edge",
            "matchLabels": "role=decode, app=llama",
            "mode": "reactive",
            "otherTriggers": "true",
            "leadTime": "6m10s",
            "lead": "fixed",
            "hold": "90",
            "ttft": "800ms",
            "itl": "50ms",
            "minReplicas": "0",
            "maxReplicas": "24",
            "quantile": "0.9",
            "utilization": "0.7",
            "replicaPromptTokensPerSecond": "6000",
            "replicaGeneratedTokensPerSecond": "1200.5",
            "replicaRequests": "64",
            "timezone": "Europe/Berlin",
        },
        ALLOWED,
    )

    assert trigger_spec.match_labels == (("app", "llama"), ("role", "decode"))
    assert (trigger_spec.lead_time, trigger_spec.hold_seconds) == (370, 90)
    assert trigger_spec.lead is LeadTimeUse.FIXED
    assert (trigger_spec.mode, trigger_spec.other_triggers) == (Mode.REACTIVE, True)
    assert (trigger_spec.ttft, trigger_spec.itl) == (0.8, 0.05)
    assert (trigger_spec.min_replicas, trigger_spec.max_replicas) == (0, 24)
    assert trigger_spec.replica_generated_tokens_per_second == 1200.5


def test_what_keda_sends_for_itself_is_no_fault() -> None:
    parse(
        {
            "scalerAddress": "foresail:6500",
            "enableTLS": "true",
            "unsafeSsl": "false",
            "model": "m",
        },
        ALLOWED,
    )


def test_a_value_resolved_from_the_environment_keeps_its_suffix_and_counts() -> None:
    assert parse({"model": "m", "leadTimeFromEnv": "90s"}, ALLOWED).lead_time == 90


@pytest.mark.parametrize(
    "key",
    ["model", "matchLabels", "requesters", "inferenceServerConfig", "pairedWith", "serverAddress"],
)
def test_a_text_that_messages_repeat_is_not_taken_from_the_environment(key: str) -> None:
    told = f"key '{key}FromEnv' is not taken.*write it in the metadata as '{key}'"

    with pytest.raises(MetadataError, match=told) as raised:
        parse({"model": "m", "phase": "decode", f"{key}FromEnv": "http=s3cret"}, ALLOWED)

    assert "s3cret" not in str(raised.value)


def test_no_other_key_takes_any_text() -> None:
    """A new one is shown by messages, or it is not: this asks for a decision."""
    of_settings = {"engine", "source", "gateway", "gatewaySource", "pool"}
    texts = {
        key
        for key, name in ALIASES.items()
        if TriggerSpec.model_fields[name].annotation in (str, str | None)
    }

    assert texts - of_settings - {"timezone"} == {
        "model", "requesters", "inferenceServerConfig", "pairedWith", "serverAddress"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "parts"),
    [
        pytest.param({}, ["'model'", "is missing"], id="missing"),
        pytest.param(
            {"model": "m", "leadtime": "5m"},
            ["'leadtime'", "'5m'", "unknown", "did you mean 'leadTime'?"],
            id="case-slip",
        ),
        pytest.param(
            {"model": "m", "min_replicas": "1"},
            ["'min_replicas'", "did you mean 'minReplicas'?"],
            id="snake-case",
        ),
        pytest.param(
            {"model": "m", "zebra": "1"}, ["'zebra'", "known keys:", "leadTime"], id="nothing-near"
        ),
        pytest.param(
            {"model": "m", "leadTime": "soon"}, ["'leadTime'", "'soon'", "5m"], id="not-a-duration"
        ),
        pytest.param({"model": "m", "ttft": "-2s"}, ["'ttft'", "'-2s'"], id="negative-duration"),
        pytest.param({"model": "m", "quantile": "nan"}, ["'quantile'", "'nan'", "0.995"], id="nan"),
        pytest.param(
            {"model": "m", "replicaRequests": "inf"}, ["'replicaRequests'", "'inf'"], id="infinite"
        ),
        pytest.param(
            {"model": "m", "minReplicas": "4", "maxReplicas": "2"},
            ["minReplicas 4 is above maxReplicas 2"],
            id="bounds-crossed",
        ),
        pytest.param(
            {"model": "m", "maxReplicas": "201"}, ["'maxReplicas'", "'201'", "200"], id="over-limit"
        ),
        pytest.param(
            {"model": "m", "engine": "vlm"},
            ["'engine'", "'vlm'", "llm-d, vllm", "did you mean 'vllm'?"],
            id="unknown-engine",
        ),
        pytest.param(
            {"model": "m", "source": "mian"},
            ["'source'", "'mian'", "did you mean 'main'?"],
            id="unknown-source",
        ),
        pytest.param(
            {"model": "m", "minReplicas": "0"},
            ["'minReplicas'", "'vllm'", "vanish", "llm-d"],
            id="zero-without-a-witness",
        ),
        pytest.param(
            {"model": "m", "mode": "on"},
            ["'mode'", "'on'", "advise, reactive or act"],
            id="unknown-mode",
        ),
        pytest.param(
            {"model": "m", "timezone": "Berlin"}, ["'timezone'", "Europe/Berlin"], id="zone"
        ),
        pytest.param(
            {"model": "m", "matchLabels": "role"}, ["'matchLabels'", "name=value"], id="labels"
        ),
        pytest.param(
            {"model": "m", "metricType": "Value"},
            ["'metricType'", "beside the trigger's metadata"],
            id="belongs-beside",
        ),
        pytest.param(
            {"model": "m", "serverAddress": "http://evil"},
            ["'serverAddress'", "'http://evil'", "limits.metadataAddresses"],
            id="address",
        ),
        pytest.param(
            {"model": "m", "prometheusUrl": "http://evil"}, ["'prometheusUrl'", "address"], id="url"
        ),
        pytest.param(
            {
                "model": "m",
                "serverAddress": "http://prometheus.team-a.svc:9090",
                "source": "main",
            },
            ["exclude each other"],
            id="two-sources",
        ),
    ],
)
def test_a_fault_names_the_key_the_value_and_what_is_allowed(
    metadata: dict[str, str], parts: list[str]
) -> None:
    with pytest.raises(MetadataError) as raised:
        parse(metadata, ALLOWED)

    for part in parts:
        assert part in str(raised.value)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(MetadataError) as raised:
        parse({"modell": "m", "leadTime": "x"}, ALLOWED)

    text = str(raised.value)
    assert "'modell'" in text
    assert "'leadTime'" in text
    assert "'model' is missing" in text


def test_a_huge_value_is_cut_in_the_message() -> None:
    with pytest.raises(MetadataError) as raised:
        parse({"model": "m", "engine": "x" * 10_000}, ALLOWED)

    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "address",
    [
        "http://prometheus.team-a.svc:9090",
        "http://prometheus.team-a.svc:9090/",
        "http://prometheus.team-a.svc:9090/prefix",
    ],
)
def test_an_address_the_operator_allows_is_taken_and_needs_no_source(address: str) -> None:
    trigger_spec = parse({"model": "m", "serverAddress": address}, ALLOWED)

    assert (trigger_spec.server_address, trigger_spec.source) == (address, None)


@pytest.mark.parametrize(
    "address",
    [
        "http://prometheus.team-a.svc:90901",
        "http://prometheus.team-a.svc:9090.evil.example",
        "http://prometheus.team-a.svc:9090@evil.example",
        "http://prometheus.team-a.svc:9090/@evil",
        "http://prometheus.team-a.svc:9090/a/../../admin",
        "https://prometheus.team-a.svc:9090",
    ],
)
def test_an_address_that_only_looks_allowed_is_refused(address: str) -> None:
    with pytest.raises(MetadataError, match="do not allow"):
        parse({"model": "m", "serverAddress": address}, ALLOWED)


def test_without_a_default_source_a_trigger_must_name_one() -> None:
    allowed = AllowedOptions(
        engines={"vllm": False}, sources=frozenset({"a", "b"}), default_source=None
    )

    with pytest.raises(MetadataError, match=r"'source' is missing: .*known: a, b"):
        parse({"model": "m"}, allowed)


# What tenants write that shall cost nobody anything.


@pytest.mark.parametrize("zone", ["Europe", "America", "x" * 5000, "../etc", "\0"])
def test_a_zone_that_is_a_folder_or_no_file_name_is_a_fault_like_any_other(zone: str) -> None:
    with pytest.raises(MetadataError) as raised:
        parse({"model": "m", "timezone": zone}, ALLOWED)

    assert "'timezone'" in str(raised.value)
    assert "zoneinfo/" not in str(raised.value)  # no path of this machine


def test_faults_without_end_make_a_message_of_one_kibibyte_that_counts_the_rest() -> None:
    unknown = {f"k{n:04}": "v" for n in range(1200)}

    with pytest.raises(MetadataError) as raised:
        parse({"model": "m", **unknown}, ALLOWED)
    text = str(raised.value)

    assert len(text.encode()) <= 1024
    assert "'k0000'" in text

    near = {f"leadTime{n}": "v" for n in range(9)}
    with pytest.raises(MetadataError) as raised:
        parse({"model": "m", **near}, ALLOWED)
    text = str(raised.value)

    assert "'leadTime4'" in text
    assert "'leadTime5'" not in text
    assert text.endswith("and 4 more faults")


@pytest.mark.parametrize(
    "events",
    [
        pytest.param("* * * * * for 1m x2", id="each-minute"),
        pytest.param("* * 1 1 * for 1m x2", id="each-minute-of-a-day"),
        pytest.param("* * * * * * for 1m x2", id="six-fields"),
        pytest.param(";".join(f"{n} * * * * for 1m x2" for n in range(3)), id="72-of-three"),
        pytest.param(f"0 9 * * {','.join(['1'] * 200)} for 1m x2", id="long"),
    ],
)
def test_events_that_begin_all_the_time_are_refused(events: str) -> None:
    with pytest.raises(MetadataError, match="'events'"):
        parse({"model": "m", "events": events}, ALLOWED)


def test_events_of_every_half_hour_are_taken() -> None:
    assert len(parse({"model": "m", "events": "0,30 * * * * for 5m x2"}, ALLOWED).events) == 1


@pytest.mark.parametrize(
    "path", ["%2e%2e/admin", "a/%2E%2e/b", "a/.%2e/b", "a%2f..%2fb", "a\\..\\b", "a?x=", "a#b"]
)
def test_a_path_that_a_server_may_decode_to_one_outside_is_refused(path: str) -> None:
    address = f"http://prometheus.team-a.svc:9090/{path}"

    with pytest.raises(MetadataError, match="do not allow"):
        parse({"model": "m", "serverAddress": address}, ALLOWED)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"modeFromEnv": "s3cret"}, id="refused"),
        pytest.param({"maxReplicasFromEnv": "53237"}, id="a-number"),
        pytest.param({"engineFromEnv": "s3cret"}, id="unknown-engine"),
        pytest.param({"sourceFromEnv": "s3cret"}, id="unknown-source"),
        pytest.param({"serverAddressFromEnv": "http://s3cret"}, id="address"),
        pytest.param({"leadTimesFromEnv": "s3cret"}, id="misspelled"),
        pytest.param({"password": "s3cret"}, id="of-another-scaler"),
        pytest.param({"prometheusUrl": "http://u:s3cret@host"}, id="unknown-address"),
    ],
)
def test_no_message_shows_a_value_that_may_be_a_secret(metadata: dict[str, str]) -> None:
    with pytest.raises(MetadataError) as raised:
        parse({"model": "m", **metadata}, ALLOWED)

    assert not {"s3cret", "53237"} & set(re.findall(r"\w+", str(raised.value)))


def test_a_message_holds_no_escape_of_a_terminal() -> None:
    with pytest.raises(MetadataError) as raised:
        parse({"model": "m", "mode": "\x1b[2J", "\x1b]0;x\x07": "v"}, ALLOWED)

    assert str(raised.value).isprintable()
