"""Thanos, Mimir, Cortex, VictoriaMetrics, Amazon's and Google's Prometheus: how each differs.

The answers are written from the source and the documentation of each; none of them runs here.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from scaler.errors import SourceMisconfiguredError, SourceUnavailableError
from scaler.signals import Feed, Signal
from scaler.sources.aws_access import SigV4
from scaler.sources.google_access import GoogleMetadata
from scaler.sources.pause import Pause, retry_after_seconds
from scaler.sources.sigv4 import AwsKeys, Request, signed_headers
from tests.sources.prometheus_stub import Stub, waiting

# Sockets and threads take real time.
pytestmark = pytest.mark.looptime(False)


def and_says(**notes: object) -> str:
    """One waiting request, and what the server says beside it."""
    return json.dumps({**json.loads(waiting(1, at=95)), **notes})


@pytest.mark.parametrize(
    ("notes", "told"),
    [
        pytest.param(
            {"warnings": ["No StoreAPIs matched for this query"]},
            "a partial answer: No StoreAPIs matched for this query",
            id="thanos-of-which-a-store-left",
        ),
        pytest.param(
            {
                "warnings": [
                    "receive series from Addr: store-1:10901: rpc error: code = Unavailable"
                ]
            },
            "a partial answer: receive series from Addr: store-1:10901: rpc error",
            id="thanos-of-which-a-store-failed",
        ),
        pytest.param(
            {"warnings": ["Query result may contain partial data.", "PromQL warning: x"]},
            "a partial answer: Query result may contain partial data.",
            id="cortex-of-which-a-zone-is-down",
        ),
        pytest.param(
            {"warnings": ["remote_read: remote server http://a returned HTTP status 500"]},
            "a partial answer: remote_read",
            id="prometheus-of-which-a-remote-read-failed",
        ),
        pytest.param(
            {"isPartial": True},
            "a partial answer: isPartial, not all stores answered",
            id="victoriametrics-of-which-a-vmstorage-is-down",
        ),
    ],
)
async def test_a_written_partial_answer_is_an_outage_and_no_lower_demand(
    stub: Stub, feed_of: Callable[..., Feed], notes: dict[str, object], told: str
) -> None:
    feed = feed_of(stub.url)
    stub.body = waiting(9, at=85)
    assert (await feed.observe(now_seconds=90)).value(Signal.WAITING) == 9

    stub.body = and_says(**notes)
    with pytest.raises(SourceUnavailableError) as caught:
        await feed.observe(now_seconds=100)
    assert str(caught.value).startswith(f"source 'main' at {stub.url}: {told}")

    stub.body = and_says(isPartial=False, warnings=[])
    assert (await feed.observe(now_seconds=105)).value(Signal.WAITING) == 1


async def test_the_past_is_not_read_from_a_written_partial_answer(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    stub.body = and_says(isPartial=True)
    past = feed_of(stub.url).history(start_seconds=0, end_seconds=60, step_seconds=15)
    with pytest.raises(SourceUnavailableError, match="a partial answer"):
        _ = [one async for one in past]
    assert stub.asked[0][1]["partial_response"] == ["false"]
    assert stub.asked[0][1]["deny_partial_response"] == ["1"]


async def test_warnings_and_infos_of_the_query_are_shown_beside_the_reading(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    warning = "PromQL warning: encountered a mix of histograms and floats"
    info = "PromQL info: metric might not be a counter"
    stub.body = and_says(warnings=[warning], infos=[f"{info}\n\x1b[2J", "x" * 10_000, *"abcdef"])

    observation = await feed_of(stub.url).observe(now_seconds=100)

    assert observation.value(Signal.WAITING) == 1
    assert observation.remarks == (warning, f"{info} \\x1b[2J", "x" * 256, "a")


@pytest.mark.parametrize(
    ("status", "body", "error", "told"),
    [
        pytest.param(
            422,
            {"status": "error", "errorType": "execution",
             "error": "expanding series: proxy Series(): rpc error: code = Aborted desc = fetch "
                      'series for {r="a"} store-1: context deadline exceeded'},
            SourceUnavailableError, "context deadline exceeded", id="thanos-without-a-store",
        ),
        pytest.param(
            422,
            {"status": "error", "errorType": "execution",
             "error": "the query exceeded the maximum number of chunks (limit: 2000000 chunks) "
                      "(err-mimir-max-chunks-per-query). Consider reducing the time range"},
            SourceMisconfiguredError, "a limit of one query: give labels", id="mimir-limit",
        ),
        pytest.param(
            422,
            {"status": "error", "errorType": "execution",
             "error": "query processing would load too many samples into memory"},
            SourceMisconfiguredError, "a limit of one query: give labels", id="prometheus-limit",
        ),
        pytest.param(
            422,
            {"status": "error", "errorType": "422", "error": 'cannot parse "{": unexpected end'},
            SourceMisconfiguredError, "it rejects the query", id="victoriametrics-query",
        ),
        pytest.param(
            400,
            {"error": {"code": 400, "message": "unsupported query", "status": "INVALID_ARGUMENT"}},
            SourceMisconfiguredError, "HTTP 400: unsupported query; it rejects", id="google",
        ),
        pytest.param(
            429, {"message": "Rate exceeded"},
            SourceUnavailableError, "HTTP 429: Rate exceeded", id="amazon",
        ),
    ],
)  # fmt: skip
async def test_a_written_refusal_of_each_says_who_has_to_act(
    stub: Stub,
    feed_of: Callable[..., Feed],
    status: int,
    body: dict[str, object],
    error: type[Exception],
    told: str,
) -> None:
    stub.status, stub.body = status, json.dumps(body)
    with pytest.raises(error) as caught:
        await feed_of(stub.url).observe(now_seconds=100)
    assert type(caught.value) in {error, *error.__subclasses__()}
    assert told in str(caught.value)


async def test_a_written_429_leaves_the_source_alone_in_the_meantime(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    feed = feed_of(stub.url)
    stub.status, stub.headers = 429, {"Retry-After": "60"}
    stub.body = json.dumps({"error": "too many outstanding requests"})
    with pytest.raises(SourceUnavailableError, match="HTTP 429: too many outstanding requests"):
        await feed.observe(now_seconds=100)

    with pytest.raises(SourceUnavailableError, match=r"asked too often.*asked again in \d+ s"):
        await feed.observe(now_seconds=100)
    assert len(stub.asked) == 1


async def test_after_the_time_of_a_written_429_the_source_is_asked_again(
    stub: Stub, feed_of: Callable[..., Feed]
) -> None:
    loop, feed = asyncio.get_running_loop(), feed_of(stub.url)
    stub.status, stub.headers = 429, {"Retry-After": "0.3"}
    begun = loop.time()
    with pytest.raises(SourceUnavailableError, match="HTTP 429"):
        await feed.observe(now_seconds=100)

    stub.status, stub.body = 200, waiting(9, at=95)
    async with asyncio.timeout(60):
        while len(stub.asked) == 1:
            with suppress(SourceUnavailableError):
                assert (await feed.observe(now_seconds=100)).value(Signal.WAITING) == 9
            await asyncio.sleep(0.01)
    assert loop.time() - begun >= 0.3


def test_without_a_time_from_the_server_each_pause_is_twice_as_long() -> None:
    pause, now, ends = Pause(), 0.0, []
    for _ in range(6):
        pause.begin(now, None)
        pause.begin(now + 1, None)  # of a read that was under way too
        ends.append(pause.until_seconds - now)
        now = pause.until_seconds
    assert ends == [5, 10, 20, 40, 60, 60]

    for _ in range(2000):  # more than a day
        pause.begin(now, None)
        now = pause.until_seconds
    pause.end()
    pause.begin(now, None)
    assert pause.until_seconds == now + 5


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        (
            {"Retry-After": "Sun, 29 Nov 2026 08:31:00 GMT",
             "Date": "Sun, 29 Nov 2026 08:30:00 GMT"}, 60,
        ),
        ({"Retry-After": "Sun, 29 Nov 2026 08:31:00 GMT"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_a_time_to_wait_is_in_seconds_or_a_moment(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_seconds(headers) == seconds
    pause = Pause()
    pause.begin(0, 1e9)
    assert pause.until_seconds == 300


SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
LONG_LIVED = AwsKeys(access_key="AKIDEXAMPLE", secret_key=SECRET)
SESSION = "token/of+a=session"
OF_A_SESSION = AwsKeys(access_key="ASIAEXAMPLE", secret_key=SECRET, session_token=SESSION)
AMAZON = "https://aps-workspaces.eu-central-1.amazonaws.com/workspaces/ws-1/api/v1"


@pytest.mark.parametrize(
    ("request_", "keys", "place", "at", "signature"),
    [
        pytest.param(
            Request(method="GET", url="https://example.amazonaws.com/"),
            LONG_LIVED, ("us-east-1", "service"), 1440938160,
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            id="published-get-vanilla",
        ),
        pytest.param(
            Request(
                method="POST", url="https://example.amazonaws.com/", body=b"Param1=value1",
                headers={"Content-Type": "application/x-www-form-urlencoded"},
            ),
            LONG_LIVED, ("us-east-1", "service"), 1440938160,
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            id="published-post-x-www-form-urlencoded",
        ),
        pytest.param(
            Request(
                method="POST", url=f"{AMAZON}/query", body=b"query=up%7Ba%3D%22b+c%22%7D&time=1.5"
            ),
            OF_A_SESSION, ("eu-central-1", "aps"), 1795941000,
            "91bf1458e64e9803caf10736426443f0eeb14de3e97ac56d0a06567fccf1127a",
            id="botocore-1.44.8-query",
        ),
        pytest.param(
            Request(
                method="GET",
                url=f"{AMAZON}/label/model_name/values"
                "?match%5B%5D=%7Bn%3D~%22a%20b%7C%22%7D&start=5",
            ),
            OF_A_SESSION, ("eu-central-1", "aps"), 1795941000,
            "7463490039e6b385d8eea32628e4b4d8c07bdd5e6448afbd85a82ce15225d5ec",
            id="botocore-1.44.8-label-values",
        ),
    ],
)  # fmt: skip
def test_a_signature_is_that_of_the_recorded_vectors(
    request_: Request, keys: AwsKeys, place: tuple[str, str], at: int, signature: str
) -> None:
    region, service = place
    headers = signed_headers(request_, keys, region=region, service=service, now_seconds=at)
    assert headers["Authorization"].rpartition("Signature=")[2] == signature
    assert headers.get("X-Amz-Security-Token") == keys.session_token


def written_keys(file: Path, access_key: str) -> None:
    file.write_text(
        f"[other]\naws_access_key_id = NO\n[prod]\naws_access_key_id = {access_key}\n"
        f"aws_secret_access_key = {SECRET}\naws_session_token = {SESSION}\n"
    )


def access_key_of(request: web.Request) -> str:
    credential = request.headers["Authorization"].partition("Credential=")[2]
    return credential.partition("/")[0]


async def test_a_written_amazon_gets_requests_signed_as_they_are_sent(
    stub: Stub, feed_of: Callable[..., Feed], tmp_path: Path
) -> None:
    file = tmp_path / "aws"
    written_keys(file, "ASIAFIRST")
    sigv4 = SigV4(
        region="eu-central-1", credentials_file=file, profile="prod", clock=lambda: 1795941000
    )
    feed = feed_of(f"{stub.url}/workspaces/ws-1", sigv4=sigv4, labels={"cluster": "a b"})
    await feed.observe(now_seconds=100)  # nothing is there: labels are looked up by GET
    written_keys(file, "ASIASECOND")
    await feed.observe(now_seconds=105)

    for request, form in stub.asked:
        body = await request.read()
        assert (request.method == "POST") == bool(form)
        signed = signed_headers(
            Request(
                method=request.method,
                url=f"http://{request.headers['Host']}{request.raw_path}",
                body=body,
            ),
            AwsKeys(access_key=access_key_of(request), secret_key=SECRET, session_token=SESSION),
            region="eu-central-1",
            service="aps",
            now_seconds=1795941000,
        )
        assert request.headers["Authorization"] == signed["Authorization"]
    keys = [access_key_of(request) for request, _ in stub.asked]
    assert [*dict.fromkeys(keys)] == ["ASIAFIRST", "ASIASECOND"]
    assert any("a%20b" in request.raw_path for request, _ in stub.asked)


async def test_a_refusal_of_a_signature_says_what_to_check_and_shows_no_credentials(
    stub: Stub, feed_of: Callable[..., Feed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION)
    feed = feed_of(stub.url, sigv4=SigV4(region="eu-central-1", clock=lambda: 1795941000))
    stub.status, stub.body = 403, json.dumps({"message": f"{SECRET} is expired"})
    with pytest.raises(SourceMisconfiguredError) as caught:
        await feed.observe(now_seconds=100)
    assert str(caught.value) == (
        f"source 'main' at {stub.url}: HTTP 403: Forbidden; check its keys and their rights, its "
        "region, and this machine's clock"
    )

    stub.status, stub.body = 400, f"no {SESSION}"
    with pytest.raises(SourceMisconfiguredError, match="HTTP 400: no …; it rejects"):
        await feed.observe(now_seconds=100)
    assert SECRET not in repr(OF_A_SESSION)


async def test_without_keys_of_amazon_nothing_is_sent(
    stub: Stub, feed_of: Callable[..., Feed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "aws"
    file.write_text(f"{SECRET}\n[default]\n")
    from_file = SigV4(region="r", credentials_file=file, clock=lambda: 0)

    with pytest.raises(SourceMisconfiguredError, match=r"give credentialsFile, the variables"):
        await feed_of(stub.url, sigv4=SigV4(region="r", clock=lambda: 0)).observe(now_seconds=1)
    with pytest.raises(SourceMisconfiguredError, match=r"aws: not in the format of") as caught:
        await feed_of(stub.url, sigv4=from_file).observe(now_seconds=1)
    assert SECRET not in str(caught.value)
    file.write_text("[default]\n")
    with pytest.raises(SourceMisconfiguredError, match=r"aws: no profile \[default\] with aws_acc"):
        await feed_of(stub.url, sigv4=from_file).observe(now_seconds=1)
    assert not stub.asked


async def test_keys_come_from_a_written_agent_of_eks_pod_identity(
    stub: Stub, feed_of: Callable[..., Feed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    token = tmp_path / "token"
    token.write_text("jwt\n")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{stub.url}/v1/credentials")
    stub.pages["/v1/credentials"] = json.dumps(
        {"AccessKeyId": "ASIAAGENT", "SecretAccessKey": SECRET, "Token": "t"}
    )
    feed = feed_of(stub.url, sigv4=SigV4(region="r", clock=lambda: 1795941000))
    stub.body = waiting(9, at=95)
    for now in (100, 105):
        assert (await feed.observe(now_seconds=now)).value(Signal.WAITING) == 9
    asked = [request.path for request, _ in stub.asked]
    assert asked == ["/v1/credentials", "/api/v1/query", "/api/v1/query"]
    assert stub.asked[0][0].headers["Authorization"] == "jwt"
    assert "Credential=ASIAAGENT/20261129/r/aps/" in stub.asked[1][0].headers["Authorization"]

    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://example.com/v1")
    other = feed_of(stub.url, sigv4=SigV4(region="r", clock=lambda: 0))
    with pytest.raises(SourceMisconfiguredError, match="not the address of an agent on this node"):
        await other.observe(now_seconds=100)


async def test_keys_come_from_a_written_sts_for_the_role_of_the_pods_service_account(
    stub: Stub, feed_of: Callable[..., Feed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    token = tmp_path / "token"
    token.write_text("jwt+1\n")
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/reads-metrics")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"{stub.url}/sts")
    given = {"AccessKeyId": "ASIAROLE", "SecretAccessKey": SECRET, "SessionToken": SESSION}
    result = {"AssumeRoleWithWebIdentityResult": {"Credentials": given}}
    stub.pages["/sts/"] = json.dumps({"AssumeRoleWithWebIdentityResponse": result})
    stub.body = waiting(9, at=95)
    now = [1795941000.0]
    feed = feed_of(stub.url, sigv4=SigV4(region="eu-central-1", clock=lambda: now[0]))
    for at in (0, 599, 600):
        now[0] = 1795941000.0 + at
        assert (await feed.observe(now_seconds=100)).value(Signal.WAITING) == 9

    asked = [request.path for request, _ in stub.asked]
    assert asked == ["/sts/", "/api/v1/query", "/api/v1/query", "/sts/", "/api/v1/query"]
    request, form = stub.asked[0]
    assert form["Action"] == ["AssumeRoleWithWebIdentity"]
    assert form["RoleArn"] == ["arn:aws:iam::1:role/reads-metrics"]
    assert form["WebIdentityToken"] == ["jwt+1"]
    assert request.headers["Accept"] == "application/json"
    assert "Authorization" not in request.headers
    assert access_key_of(stub.asked[1][0]) == "ASIAROLE"
    assert stub.asked[1][0].headers["X-Amz-Security-Token"] == SESSION

    del stub.pages["/sts/"]
    stub.status, stub.body = 403, "jwt+1 is not trusted"
    now[0] += 600
    with pytest.raises(
        SourceMisconfiguredError, match=r"HTTP 403: .* service account and role"
    ) as c:
        await feed.observe(now_seconds=100)
    assert "jwt" not in str(c.value)


@pytest.mark.parametrize("expires_in", [3600, 10**12], ids=["of-an-hour", "of-an-absurd-time"])
async def test_the_token_of_a_written_google_metadata_server_is_asked_for_before_it_ends(
    stub: Stub, feed_of: Callable[..., Feed], expires_in: int
) -> None:
    now = [1000.0]
    path = "/computeMetadata/v1/instance/service-accounts/default/token"
    google = GoogleMetadata(server=stub.url, clock=lambda: now[0])
    feed = feed_of(f"{stub.url}/v1/projects/p/location/global/prometheus", google=google)
    stub.body = waiting(9, at=95)
    for at, token in ((1000.0, "one"), (4479.0, "two"), (4480.0, "three")):
        now[0] = at
        stub.pages[path] = json.dumps({"access_token": token, "expires_in": expires_in})
        assert (await feed.observe(now_seconds=100)).value(Signal.WAITING) == 9

    of_metadata = [request for request, _ in stub.asked if request.path == path]
    assert {request.headers["Metadata-Flavor"] for request in of_metadata} == {"Google"}
    sent = [r.headers["Authorization"] for r, _ in stub.asked if r.path != path]
    assert sent == ["Bearer one", "Bearer one", "Bearer three"]
