"""The activity of GPUs, queried from a Prometheus."""

import json

import aiohttp

from fleet.activity import Activity, activity_of, queries
from fleet.documents import is_object, listed, part, text


class UnmeasuredError(Exception):
    """A Prometheus did not answer a query."""


async def measured(
    url: str, window_seconds: float, *, token: str | None = None, timeout_seconds: float = 10
) -> Activity:
    """The activity of the GPUs that a Prometheus knows, in the window until now.

    Raises:
        UnmeasuredError: no answer, or a refusal. No GPU in the answer is no error: all unknown.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answers = []
    try:
        limit = aiohttp.ClientTimeout(total=timeout_seconds)
        async with aiohttp.ClientSession(timeout=limit, headers=headers) as session:
            for query in queries(f"{window_seconds:.0f}s"):
                asked = f"{url.rstrip('/')}/api/v1/query"
                async with session.post(asked, data={"query": query}) as response:
                    answer = json.loads(await response.read())
                if not is_object(answer) or text(answer, "status") != "success":
                    said = text(answer, "error") if is_object(answer) else None
                    raise UnmeasuredError(f"Prometheus {url}: {said or 'no answer of its API'}")
                answers.append(list(listed(part(answer, "data"), "result")))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise UnmeasuredError(f"Prometheus {url}: {str(error) or 'timed out'}") from error
    return activity_of(answers, window_seconds)
