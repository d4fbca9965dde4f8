"""Who may see the console, how it may be asked, and what its answers carry."""

from base64 import b64encode
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from foresail.console.guard import Guard

LOCAL, OTHER = "127.0.0.1", "10.0.0.9"


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """The application behind the guard."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


async def asked(
    peer: str,
    token_file: Path | None = None,
    *,
    kind: str = "http",
    method: str = "GET",
    **headers: str,
) -> list[MutableMapping[str, Any]]:
    """The messages of an answer."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError

    given = {"host": "localhost:8081", **headers}
    scope = {
        "type": kind,
        "client": (peer, 5000),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
        **({"method": method} if kind == "http" else {}),
    }
    await Guard(pages, token_file)(scope, receive, send)
    return sent


async def status(peer: str, token_file: Path | None = None, **given: Any) -> int:
    found: int = (await asked(peer, token_file, **given))[0]["status"]
    return found


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    return file


def basic(password: str) -> str:
    return "Basic " + b64encode(f"anyone:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("peer", "authorization", "expected"),
    [
        pytest.param(LOCAL, "", 200, id="loopback"),
        pytest.param("::1", "", 200, id="loopback-of-ipv6"),
        pytest.param(OTHER, "", 401, id="nothing"),
        pytest.param(OTHER, "Bearer s3cret", 200, id="bearer"),
        pytest.param(OTHER, "Bearer guess", 401, id="wrong-bearer"),
        pytest.param(OTHER, basic("s3cret"), 200, id="password-of-a-browser"),
        pytest.param(OTHER, basic("guess"), 401, id="wrong-password"),
        pytest.param(OTHER, basic(""), 401, id="empty-password"),
        pytest.param(OTHER, "Basic %%%", 401, id="no-base64"),
    ],
)
async def test_pages_are_for_this_machine_and_the_token(
    token: Path, peer: str, authorization: str, expected: int
) -> None:
    assert await status(peer, token, authorization=authorization) == expected


async def test_without_a_token_file_no_other_machine_is_answered() -> None:
    assert await status(OTHER, authorization="Bearer ") == 403


async def test_an_empty_token_file_lets_nobody_in(tmp_path: Path) -> None:
    empty = tmp_path / "token"
    empty.write_text("")
    assert await status(OTHER, empty, authorization="Bearer ") == 401


async def test_a_browser_is_asked_for_the_token(token: Path) -> None:
    start, _ = await asked(OTHER, token)
    assert dict(start["headers"])[b"www-authenticate"].startswith(b"Basic ")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_can_be_changed(method: str) -> None:
    assert await status(LOCAL, method=method) == 405


async def test_a_page_of_another_site_gets_nothing() -> None:
    assert await status(LOCAL, origin="http://evil.example") == 403
    assert await status(LOCAL, origin="http://localhost:8081") == 200
    (refused,) = await asked(LOCAL, kind="websocket", origin="http://evil.example")
    assert refused["type"] == "websocket.close"
    (accepted,) = await asked(LOCAL, kind="websocket", origin="http://localhost:8081")
    assert accepted["type"] == "websocket.accept"


async def test_a_foreign_name_that_points_to_this_machine_gets_nothing() -> None:
    assert await status(LOCAL, host="evil.example:8081") == 403
    assert await status(LOCAL, host="[::1]:8081") == 200


@pytest.mark.parametrize("authorization", ["Bearer guess", basic("guess"), "x"])
async def test_a_foreign_name_needs_the_token_and_not_just_any(
    token: Path, authorization: str
) -> None:
    # A script of the foreign name may send whatever header it likes.
    asked_as = "evil.example:8081"
    assert await status(LOCAL, token, host=asked_as, authorization=authorization) == 403
    assert await status(LOCAL, host=asked_as, authorization=authorization) == 403
    assert await status(LOCAL, token, host=asked_as, authorization="Bearer s3cret") == 200


async def test_a_name_that_cannot_be_read_is_refused() -> None:
    assert await status(LOCAL, host="[::1") == 403
    assert await status(LOCAL, origin="http://[::1") == 403


async def test_every_answer_has_the_headers_that_protect_it() -> None:
    for sent in (await asked(LOCAL), await asked(OTHER), await asked(LOCAL, method="POST")):
        headers = dict(sent[0]["headers"])
        assert headers[b"x-frame-options"] == b"DENY"
        assert headers[b"x-content-type-options"] == b"nosniff"
        policy = headers[b"content-security-policy"].decode()
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http:" not in policy
        assert "*" not in policy
