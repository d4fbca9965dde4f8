"""What a Prometheus tells of a cluster: the activity of its GPUs, its prices, its tokens."""

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import aiohttp

from fleet import allocation, opencost, spend, tokens
from fleet.activity import Activity, activity_of, queries
from fleet.answer_notes import WHOLE_OR_NOTHING, notes_of
from fleet.bounded_body import body_of
from fleet.documents import Json, is_object, listed, part, text
from fleet.opencost import NodePrice
from fleet.snapshot import FleetSnapshot
from fleet.spend import Client, Spend
from fleet.tokens import Tokens

_TIMEOUT_SECONDS: Final = 10.0
_ANSWER_BYTES_MAX: Final = 64 * 2**20
_MESSAGE_CHARACTERS: Final = 256
_LOGIN_REFUSED: Final = frozenset({401, 403})


class UnmeasuredError(Exception):
    """A Prometheus did not answer a query."""


async def measured(url: str, window_seconds: float, *, token: str | None = None) -> Activity:
    """The activity of the GPUs that a Prometheus knows, in the window until now.

    Raises:
        UnmeasuredError: no answer, or a refusal. No GPU in the answer is no error: all unknown.
    """
    answers = await _asked(url, token, queries(f"{window_seconds:.0f}s"))
    return activity_of(answers, window_seconds)


async def node_prices(url: str, *, token: str | None = None) -> Mapping[str, NodePrice]:
    """The prices of nodes that OpenCost tells; none where it does not run.

    Raises:
        UnmeasuredError: no answer, or a refusal.
    """
    return opencost.prices_of(await _asked(url, token, opencost.QUERIES))


async def pod_allocations(url: str, *, token: str | None = None) -> Mapping[str, float]:
    """The GPUs that OpenCost allocates to each pod; none where it does not run.

    Raises:
        UnmeasuredError: no answer, or a refusal.
    """
    (answer,) = await _asked(url, token, [allocation.QUERY])
    return allocation.gpus_of_pods(answer)


async def model_tokens(
    url: str,
    window_seconds: float,
    snapshot: FleetSnapshot,
    *,
    token: str | None = None,
    strangers: AbstractSet[str] | None = None,
) -> Mapping[str, Tokens]:
    """The tokens of each model in the window until now; none of a model without a series.

    Args:
        url: of the Prometheus.
        window_seconds: until now.
        snapshot: whose pods say which model they serve.
        token: for the Prometheus.
        strangers: pods of the other clusters that it measures; None = it measures no other.

    Raises:
        UnmeasuredError: no answer, or a refusal.
    """
    answers = await _asked(url, token, tokens.queries(window_seconds))
    return tokens.tokens_of(answers, snapshot, strangers)


async def client_spend(
    url: str, window_seconds: float, *, token: str | None = None
) -> Mapping[Client, Spend]:
    """What gateways booked in the window until now; empty where there is none.

    Raises:
        UnmeasuredError: no answer, or a refusal.
    """
    (answer,) = await _asked(url, token, [spend.query(window_seconds)])
    return spend.spend_of(answer)


async def _asked(url: str, token: str | None, every: Sequence[str]) -> list[list[Json]]:
    """The series of each query's answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answers = []
    try:
        limit = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=limit, headers=headers) as session:
            for query in every:
                asked = f"{url.rstrip('/')}/api/v1/query"
                form = {"query": query, **WHOLE_OR_NOTHING}
                # A redirect would be to a login page.
                async with session.post(asked, data=form, allow_redirects=False) as response:
                    content = await body_of(response.content, _ANSWER_BYTES_MAX)
                    status = response.status
                answers.append(_series(url, status, content))
    except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        shown = _shown(why or str(error)) or "timed out"
        raise UnmeasuredError(f"Prometheus {url}: {shown}") from error
    return answers


def _series(url: str, status: int, content: bytes | None) -> list[Json]:
    if status in _LOGIN_REFUSED:  # nothing of the page, which may repeat the token
        raise UnmeasuredError(f"Prometheus {url}: HTTP {status}: check the file with its token")
    if content is None:
        raise UnmeasuredError(f"Prometheus {url}: an answer of over {_ANSWER_BYTES_MAX} bytes")
    answer = json.loads(content)
    if not is_object(answer) or text(answer, "status") != "success":
        said = text(answer, "error") if is_object(answer) else None
        raise UnmeasuredError(f"Prometheus {url}: {_shown(said or 'no answer of its API')}")
    missing = notes_of(answer).missing
    if missing is not None:  # less would be counted than there is
        raise UnmeasuredError(f"Prometheus {url}: {_shown(missing)}")
    return list(listed(part(answer, "data"), "result"))


def _shown(text: str) -> str:
    """In one line, not too long, and without what a terminal would obey."""
    line = " ".join(text[: 2 * _MESSAGE_CHARACTERS].split())[:_MESSAGE_CHARACTERS]
    return line if line.isprintable() else repr(line)[1:-1]
