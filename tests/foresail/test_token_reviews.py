"""Tokens of the cluster: who may read an explanation, and what made-up tokens cost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes_asyncio.client import ApiClient, Configuration

from foresail.ports.token_reviews import TokenReviews
from foresail.serve.http import ReviewToken
from foresail.settings.file import read
from scaler.limits import Limit
from tests.foresail.test_pages import FakeFeed, Site

pytestmark = pytest.mark.looptime(False)

PATH = "/explain/team-a/sound"
ALICE = {"username": "alice", "groups": ["system:authenticated", "team-a"]}


@dataclass
class Reviewer:
    """The two reviews of an API server, for the tokens and paths that a test names."""

    users: dict[str, dict[str, Any]] = field(default_factory=lambda: {"alices": ALICE})
    allowed: set[tuple[str, str]] = field(default_factory=lambda: {("team-a", PATH)})
    """Groups and the paths that they may get."""
    status: int = 201
    hangs: bool = False
    asked: list[str] = field(default_factory=list)
    port: int = 0

    async def token_review(self, request: web.Request) -> web.Response:
        token = (await request.json())["spec"]["token"]
        self.asked.append(token)
        if self.hangs:
            await asyncio.Event().wait()
        user = self.users.get(token)
        status = {"authenticated": True, "user": user} if user else {"error": "unknown"}
        return web.json_response({"spec": {}, "status": status}, status=self.status)

    async def access_review(self, request: web.Request) -> web.Response:
        spec = (await request.json())["spec"]
        wanted = spec["nonResourceAttributes"]
        assert wanted["verb"] == "get"
        allowed = any((group, wanted["path"]) in self.allowed for group in spec["groups"])
        return web.json_response({"spec": {}, "status": {"allowed": allowed}}, status=201)

    async def connect(self) -> ApiClient:
        settings = Configuration()
        settings.host = f"http://127.0.0.1:{self.port}"
        return ApiClient(settings)


@pytest.fixture
async def reviewer() -> AsyncIterator[Reviewer]:
    reviewer, app = Reviewer(), web.Application()
    app.add_routes(
        [
            web.post("/apis/authentication.k8s.io/v1/tokenreviews", reviewer.token_review),
            web.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", reviewer.access_review),
        ]
    )
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reviewer.port = runner.addresses[0][1]
    yield reviewer
    await runner.cleanup()


@pytest.fixture
async def now() -> list[float]:
    return [0.0]


@pytest.fixture
async def reviews(reviewer: Reviewer, now: list[float]) -> AsyncIterator[TokenReviews]:
    reviews = TokenReviews(connect=reviewer.connect, clock=lambda: now[0])
    yield reviews
    await reviews.close()


@pytest.mark.parametrize(
    ("token", "path", "may"),
    [
        pytest.param("alices", PATH, True, id="allowed"),
        pytest.param("alices", "/explain/team-b/sound", False, id="another-namespace"),
        pytest.param("made-up", PATH, False, id="no-user"),
        pytest.param("", PATH, False, id="empty"),
        pytest.param("x" * 9000, PATH, False, id="long"),
    ],
)
async def test_a_token_admits_to_the_paths_that_its_user_may_get(
    reviews: TokenReviews, token: str, path: str, may: bool
) -> None:
    assert await reviews.may_get(token, path, "10.0.0.9") is may


async def test_a_verdict_is_kept_for_a_while_and_then_asked_for_again(
    reviews: TokenReviews, reviewer: Reviewer, now: list[float]
) -> None:
    for at_seconds, asked in ((0, 1), (59, 1), (61, 2)):
        now[0] = at_seconds
        assert await reviews.may_get("alices", PATH, "10.0.0.9")
        assert len(reviewer.asked) == asked

    reviewer.users.clear()
    now[0] = 130
    assert await reviews.may_get("alices", PATH, "10.0.0.9") is False


async def test_made_up_tokens_flood_no_api_server_and_lock_no_other_client_out(
    reviews: TokenReviews,
    reviewer: Reviewer,
    now: list[float],
    limits_exceeded: Callable[[], set[Limit]],
) -> None:
    for number in range(1000):
        now[0] = 2.0 + number / 100  # for ten seconds
        assert not await reviews.may_get(f"made-up-{number}", PATH, "10.0.0.66")

    assert len(reviewer.asked) == 5 + 9  # at once, and one in each second after that
    assert limits_exceeded() == {Limit.REVIEWS}
    assert await reviews.may_get("alices", PATH, "10.0.0.9")


async def test_many_addresses_together_ask_ten_times_a_second(
    reviews: TokenReviews, reviewer: Reviewer, now: list[float]
) -> None:
    for number in range(500):
        now[0] = number / 250  # for two seconds
        _ = await reviews.may_get("made-up", f"/{number}", f"10.0.1.{number}")

    assert len(reviewer.asked) == 5 + 19


@pytest.mark.parametrize("fault", ["refused", "stopped"])
async def test_without_an_answer_of_the_api_server_nothing_is_known(
    reviewer: Reviewer, reviews: TokenReviews, fault: str
) -> None:
    if fault == "refused":
        reviewer.status = 403
    else:
        reviewer.port = 1

    assert await reviews.may_get("alices", PATH, "10.0.0.9") is None


async def test_an_explanation_is_shown_only_where_the_api_server_says_yes() -> None:
    asked: list[tuple[str, str, str | None]] = []

    def saying(verdict: bool | None) -> ReviewToken:
        async def review(token: str, path: str, address: str | None) -> bool | None:
            asked.append((token, path, address))
            return verdict

        return review

    site = Site({"sound": FakeFeed()})
    site.ask("sound")
    for verdict, status in ((True, 200), (False, 403), (None, 503)):
        site.pages = replace(site.pages, review=saying(verdict))
        assert await site.explained("llm", "sound", "10.0.0.9", "Bearer alices") == status
    assert asked == [("alices", "/explain/llm/sound", "10.0.0.9")] * 3

    assert await site.explained("llm", "sound", "10.0.0.9", "Basic alices") == 403
    assert len(asked) == 3


def test_the_settings_ask_for_reviews_by_name(tmp_path: Path) -> None:
    file = tmp_path / "foresail.yaml"
    source = "sources: [{name: main, prometheus: {url: 'http://p'}}]\n"
    file.write_text(source)
    assert not read(file).listen.token_review
    file.write_text(source + "listen: {tokenReview: true}\n")
    assert read(file).listen.token_review
