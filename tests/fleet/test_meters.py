"""LangFuse and LangSmith, read as they answer by their sources and SDKs; neither runs here."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.console import Console

from fleet.metered import Metered
from fleet.tokens import Tokens
from foresail.cost import command as cost_command
from foresail.cost.command import CostOptions
from foresail.gpus.options import FleetOptions
from foresail.meters.conversation import Access, Conversation, MeterError
from foresail.meters.programs import LangFuse, LangSmith, Meter, MeterOptions, read_meters
from scaler.errors import ForesailError
from tests.fleet.meter_server import API_KEY, KEY, PROJECT, Call, MeterServer, serving

pytestmark = pytest.mark.looptime(False)  # sockets live in real time

NOW = 1_795_911_300.0
"""2026-11-29, a quarter past midnight: ten minutes ago it was five past."""
CALLS = [
    Call(at_seconds=NOW - 600, model="Qwen/Qwen3-32B", prompt=3000, generated=600, usd=0.5),
    Call(at_seconds=NOW - 1000, model="Qwen/Qwen3-32B", prompt=3000, generated=600, usd=0.25),
    Call(at_seconds=NOW - 1199, model="free", prompt=60, generated=0),
    # Not counted: too late, too early, without usage, and what is no call of a model.
    Call(at_seconds=NOW - 599, model="Qwen/Qwen3-32B", prompt=1, generated=1),
    Call(at_seconds=NOW - 1201, model="Qwen/Qwen3-32B", prompt=1, generated=1),
    Call(at_seconds=NOW - 700, model="silent", prompt=0, generated=0, usd=1.0),
    Call(at_seconds=NOW - 700, model=None, prompt=0, generated=0),
]
"""Within the ten minutes that end ten minutes ago, on two days."""


@pytest.fixture
def meter(tmp_path: Path) -> Callable[..., Meter]:
    """LangFuse or LangSmith at a server, with its key in a file."""

    def made(server: MeterServer, kind: str = "LangFuse", **more: Any) -> Meter:
        file = tmp_path / kind
        if not file.exists():
            file.write_text(f"{KEY if kind == 'LangFuse' else API_KEY}\n")
        if kind == "LangFuse":
            return LangFuse(url=server.url, key_file=file, **more)
        return LangSmith(url=server.url, key_file=file, projects=(PROJECT,), **more)

    return made


@pytest.mark.parametrize(
    ("kind", "has_v2", "asked"),
    [
        pytest.param("LangFuse", True, ["/api/public/v2/metrics"], id="langfuse-v2"),
        pytest.param(
            "LangFuse", False,
            ["/api/public/v2/metrics", *["/api/public/metrics/daily"] * 2], id="langfuse-daily",
        ),
        pytest.param("LangSmith", True, ["/api/v1/runs/stats"], id="langsmith"),
    ],
)  # fmt: skip
async def test_tokens_and_dollars_by_model_are_the_same_by_each_written_api(
    meter: Callable[..., Meter], kind: str, has_v2: bool, asked: list[str]
) -> None:
    async with serving(MeterServer(calls=CALLS, has_v2=has_v2)) as server:
        read = await read_meters((meter(server, kind),), 600, NOW)

    assert read.remarks == ()
    assert server.asked == asked
    # In a second of the 600.
    assert read.by_meter == {
        kind: {
            "Qwen/Qwen3-32B": Metered(tokens=Tokens(prompt=10, generated=2), usd=0.75 / 600),
            "free": Metered(tokens=Tokens(prompt=0.1, generated=0)),
        }
    }


@pytest.mark.parametrize("has_v2", [True, False])
async def test_only_requests_of_the_environment_are_counted(
    meter: Callable[..., Meter], has_v2: bool
) -> None:
    calls = [replace(CALLS[0], environment=one, prompt=600) for one in ("prod", "staging")]
    async with serving(MeterServer(calls=calls, has_v2=has_v2)) as server:
        read = await read_meters((meter(server, environment="prod"),), 600, NOW)

    assert read.by_meter["LangFuse"]["Qwen/Qwen3-32B"].tokens == Tokens(prompt=1, generated=1)


async def test_where_a_written_langfuse_cuts_rows_off_its_halves_are_asked_for(
    meter: Callable[..., Meter],
) -> None:
    """Of 2,500 models, 1,000 a query: two halves have 1,250 each, and their halves 625."""
    calls = [
        Call(
            at_seconds=NOW - 1200 + 0.24 * (number + 1), model=f"m{number}", prompt=600, generated=0
        )
        for number in range(2500)
    ]
    async with serving(MeterServer(calls=calls)) as server:
        read = await read_meters((meter(server),), 600, NOW)

    found = read.by_meter["LangFuse"]
    assert (len(found), len(server.asked)) == (2500, 1 + 2 + 4)
    assert {one.tokens.prompt for one in found.values()} == {1.0}


async def test_models_without_end_are_an_error_after_some_queries(
    meter: Callable[..., Meter],
) -> None:
    calls = [replace(CALLS[0], model=str(number)) for number in range(1000)]
    async with serving(MeterServer(calls=calls)) as server:
        read = await read_meters((meter(server),), 600, NOW)

    assert len(server.asked) <= 32
    assert "more models than 32 queries of 1000 rows tell" in read.remarks[0]


async def test_a_written_429_is_asked_again_after_the_time_that_it_says(
    meter: Callable[..., Meter],
) -> None:
    loop = asyncio.get_running_loop()
    refusals = [web.Response(status=429, headers={"Retry-After": "0.2"})]
    async with serving(MeterServer(calls=CALLS, refusals=refusals)) as server:
        begun = loop.time()
        read = await read_meters((meter(server),), 600, NOW)

    assert loop.time() - begun >= 0.2
    assert "free" in read.by_meter["LangFuse"]
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("refusals", "why"),
    [
        pytest.param(
            lambda: [web.Response(status=429, headers={"Retry-After": "3600"})],
            "asked too often (429): it may be asked again in 3600 s", id="longer-than-we-wait",
        ),
        pytest.param(
            lambda: [web.Response(status=429, headers={"Retry-After": "0"}) for _ in range(3)],
            "asked too often (429), 3 times: ask less often", id="without-end",
        ),
        pytest.param(
            lambda: [web.Response(status=500, text=f"\x1b[2J {KEY.partition(':')[2]} failed")],
            "api/public/v2/metrics: 500 \\x1b[2J … failed", id="an-error-page-with-the-key",
        ),
        pytest.param(
            lambda: [web.Response(status=302, headers={"Location": "/login"})],
            "api/public/v2/metrics: 302", id="a-login-page",
        ),
        pytest.param(lambda: [web.Response(text="[]")], "no answer of its API", id="no-object"),
        pytest.param(lambda: [web.Response(text="[" * 99_999)], "LangFuse http", id="deep"),
        pytest.param(
            lambda: [web.Response(body=b" " * (8 * 2**20 + 1))], "an answer of over 8388608 bytes",
            id="large",
        ),
        pytest.param(
            lambda: [web.Response(status=404), web.Response(status=404)],
            "api/public/metrics/daily: 404", id="no-such-server",
        ),
    ],
)  # fmt: skip
async def test_what_a_written_meter_refuses_is_a_remark_without_the_key_and_never_zero(
    meter: Callable[..., Meter], refusals: Callable[[], list[web.Response]], why: str
) -> None:
    async with serving(MeterServer(calls=CALLS, refusals=refusals())) as server:
        langsmith = meter(server, "LangSmith")
        read = await read_meters((meter(server),), 600, NOW)
        # One that fails takes nothing from the other.
        server.refusals = []
        other = await read_meters((langsmith,), 600, NOW)

    (remark,) = read.remarks
    assert read.by_meter == {}
    assert remark.startswith(f"LangFuse {server.url}")
    assert why in remark
    assert remark.endswith("; what LangFuse metered is unknown")
    assert "s3cret" not in remark
    assert "free" in other.by_meter["LangSmith"]


@pytest.mark.parametrize(
    ("kind", "key", "why"),
    [
        ("LangFuse", "pk:wrong-s3cret", "does not know the key (401): check --langfuse-key-file"),
        ("LangSmith", "wrong-s3cret", "refuses the key (403): check --langsmith-key-file"),
        ("LangFuse", "wrong-s3cret", "not PUBLIC:SECRET"),
        ("LangSmith", "", "empty"),
    ],
)
async def test_a_refused_key_says_which_option_to_check_and_no_key(
    meter: Callable[..., Meter], tmp_path: Path, kind: str, key: str, why: str
) -> None:
    (tmp_path / kind).write_text(key)
    async with serving(MeterServer(calls=CALLS)) as server:
        read = await read_meters((meter(server, kind),), 600, NOW)

    assert why in read.remarks[0]
    assert "s3cret" not in read.remarks[0]
    assert "s3cret" not in repr(read)


async def test_a_server_that_does_not_listen_is_told_by_its_address_alone(
    meter: Callable[..., Meter],
) -> None:
    async with serving(MeterServer(calls=CALLS)) as server:
        gone = meter(server, "LangFuse")
    read = await read_meters((gone,), 600, NOW)

    assert "Connect call failed" in read.remarks[0]
    assert "ssl" not in read.remarks[0]


async def test_a_langsmith_that_does_not_group_tells_of_no_model(
    meter: Callable[..., Meter],
) -> None:
    async with serving(MeterServer(calls=CALLS, groups=False)) as server:
        read = await read_meters((meter(server, "LangSmith"),), 600, NOW)

    assert "its version does not tell runs by model" in read.remarks[0]


async def test_all_questions_to_one_meter_have_one_time() -> None:
    async with serving(MeterServer(delay_seconds=0.5)) as server:
        access = Access(title="LangFuse", url=server.url, headers={}, secrets=(), key_option="")
        async with Conversation(access=access, total_seconds=0.2) as asking:
            for path in ("a", "b"):
                with pytest.raises(MeterError, match=r"LangFuse: no whole answer within 0\.2 s"):
                    await asking.asked("GET", path)
    # A busy core may send not even the first in its time.
    assert server.asked in ([], ["/a"]), "not asked again after its time"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"langfuse": "https://a"}, "--langfuse-key-file is missing: a file with PUBLIC:SECRET"),
        ({"langfuse_environment": "prod"}, "--langfuse URL is missing"),
        ({"langsmith_project": (PROJECT,)}, "--langsmith URL is missing"),
        ({"langsmith": "https://a"}, "--langsmith-key-file is missing"),
        ({"langsmith": "https://a", "langsmith_key_file": Path("k")}, "--langsmith-project is mis"),
        (
            {"langsmith": "https://a", "langsmith_key_file": Path("k"),
             "langsmith_project": ("chat",)}, "--langsmith-project 'chat': no id such as",
        ),
        ({"langfuse": "langfuse:3000", "langfuse_key_file": Path("k")}, "no http or https address"),
        ({"langfuse": "http://u:s3cret@a", "langfuse_key_file": Path("k")}, "put them in files"),
    ],
)  # fmt: skip
def test_an_option_of_a_meter_that_cannot_be_used_is_named(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ForesailError) as caught:
        MeterOptions(**given).meters()
    assert why in str(caught.value)
    assert "s3cret" not in str(caught.value)


RECORDED = Path(__file__).parents[1] / "fixtures" / "clusters" / "karpenter.yaml"


async def shown(server: MeterServer, *meters: Meter, form: str = "json") -> str:
    """What `foresail cost` prints of the recorded cluster, whose qwen3-32b costs $82.56 an hour."""
    console = Console(width=100)
    options = CostOptions(fleet=FleetOptions(files=(RECORDED,), form=form), meters=meters)
    with console.capture() as captured:
        await cost_command.show(options, console)
    return captured.get()


async def test_metered_tokens_and_the_cost_of_gpus_make_dollars_of_a_million_tokens(
    meter: Callable[..., Meter], capsys: pytest.CaptureFixture[str]
) -> None:
    """600 s × 10 are 36,000 prompt and 7,200 generated tokens an hour; LangSmith knows fewer."""
    now = cost_command.wall_clock()
    call = replace(CALLS[0], at_seconds=now - 900, prompt=6000, generated=1200, usd=0.5)
    fewer = replace(call, prompt=600, generated=120)
    langfuse, langsmith = MeterServer(calls=[call]), MeterServer(calls=[fewer])
    async with serving(langfuse), serving(langsmith):
        meters = (meter(langfuse), meter(langsmith, "LangSmith"))
        table = await shown(langfuse, *meters, form="table")
        _ = await shown(langfuse, *meters)

    document = json.loads(capsys.readouterr().out)
    by_label = {one["model"]: one for one in document["models"]}
    model = by_label["qwen3-32b"]
    assert (model["generatedTokens"], model["promptTokens"]) == (7200, 36_000)
    assert model["usdPerMillionGenerated"] == pytest.approx(82.56 / 0.0072)
    assert model["usdPerMillion"] == pytest.approx(82.56 / 0.0432)
    assert by_label["bge-m3"]["generatedTokens"] is None
    assert [(one["by"], one["model"], one["usd"]) for one in document["metered"]] == [
        ("LangFuse", "qwen3-32b", 3.0),
        ("LangSmith", "qwen3-32b", 3.0),
    ]
    assert document["metered"][0]["usdPerMillion"] == pytest.approx(3 / 0.0432)
    assert "tokens of qwen3-32b: those that LangFuse was told of" in document["remarks"]
    rows = [line.split() for line in table.splitlines()]
    assert ["qwen3-32b", "by", "LangFuse", "0.04", "3.00", "69.44", "1,911.11"] in rows
    assert ["qwen3-32b", "12", "82.56", "0.01", "11,466.67", "1,911.11"] in rows


async def test_a_name_from_a_meter_writes_no_markup_and_no_escape_sequence(
    meter: Callable[..., Meter],
) -> None:
    call = replace(CALLS[0], at_seconds=cost_command.wall_clock() - 900, model="[red]a\x1b[2J")
    async with serving(MeterServer(calls=[call])) as server:
        table = await shown(server, meter(server), form="table")

    assert "[red]a\\x1b[2J by LangFuse" in table


async def test_meters_are_asked_once_and_not_each_minute(meter: Callable[..., Meter]) -> None:
    options = CostOptions(
        fleet=FleetOptions(), watch_seconds=60, meters=(meter(MeterServer(url="http://a")),)
    )
    with pytest.raises(ForesailError, match="LangFuse and LangSmith allow few questions a day"):
        await cost_command.watch(options, Console())
