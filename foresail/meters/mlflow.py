"""The edge: training runs of an MLflow server, by its REST API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp

from fleet.bounded_body import body_of
from fleet.documents import Json, is_object, listed, part, text
from fleet.mlflow import RUNNING, Run, next_page_of, points_of, run_of, runs_of
from fleet.run_progress import Point, Unit
from scaler.errors import ForesailError, SourceMisconfiguredError
from scaler.message_text import limited
from scaler.sources.access import checked_url

_API: Final = "api/2.0/mlflow"
_TIMEOUT_SECONDS: Final = 10.0
_ANSWER_BYTES_MAX: Final = 32 * 2**20
_PAGES_MAX: Final = 10
_EXPERIMENTS_A_PAGE: Final = 1000
_RUNS_A_PAGE: Final = 200
"""MLflow sends all metrics, params and tags of each."""
_POINTS_A_PAGE: Final = 25_000
_OK: Final = 200
_UNKNOWN_USER: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_HOST: Final = "Invalid Host header"


class MlflowError(Exception):
    """The server did not answer, or refused; the message says what to do."""


class NotFoundError(MlflowError):
    """The server knows no run or experiment of this name."""


class TooMuchError(MlflowError):
    """The server has more than is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MlflowServer:
    """Where MLflow is, and as who it is asked."""

    url: str
    token_file: Path | None = None
    """A bearer token, or `USER:PASSWORD` for MLflow's own accounts."""
    experiments: tuple[str, ...] = ()
    """Names; none = all that are not deleted."""

    def __post_init__(self) -> None:
        """Refuse an address that is none.

        Raises:
            ForesailError: it is neither http nor https, or has credentials in it.
        """
        try:
            checked_url(self.url)
        except SourceMisconfiguredError as error:
            raise ForesailError(f"--mlflow: {error}") from error

    def credentials(self) -> Mapping[str, str]:
        """The header that says who asks; read each time, because tokens are replaced.

        Raises:
            MlflowError: the file cannot be read.
        """
        if self.token_file is None:
            return {}
        try:
            secret = self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise MlflowError(f"--mlflow-token-file {self.token_file}: {error}") from error
        user, colon, password = secret.partition(":")
        if colon:
            return {"Authorization": aiohttp.encode_basic_auth(user, password)}
        return {"Authorization": f"Bearer {secret}"}


def server_of(
    url: str | None, token_file: Path | None, experiments: tuple[str, ...]
) -> MlflowServer | None:
    """The server of the command line; None = none is named.

    Raises:
        ForesailError: the address is none, or the other options name no server.
    """
    if url is not None:
        return MlflowServer(url=url, token_file=token_file, experiments=experiments)
    if token_file is not None or experiments:
        raise ForesailError(
            "--mlflow is missing: without it --mlflow-token-file and --mlflow-experiment are of "
            "no use"
        )
    return None


@dataclass(slots=True, kw_only=True)
class MlflowClient:
    """One conversation with a server."""

    server: MlflowServer
    _session: aiohttp.ClientSession = field(init=False)

    async def __aenter__(self) -> Self:
        """Open it.

        Raises:
            MlflowError: the file with the token cannot be read.
        """
        limit = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=limit, headers=self.server.credentials())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self._session.close()

    async def running(self) -> tuple[Run, ...]:
        """The runs that are running.

        Raises:
            MlflowError: no answer, a refusal, or more runs than are read.
        """
        found: list[Run] = []
        wanted = {
            "experiment_ids": await self._experiments(),
            "filter": f"attributes.status = '{RUNNING}'",
            "max_results": _RUNS_A_PAGE,
        }
        if not wanted["experiment_ids"]:
            return ()
        for answer in await self._pages("runs/search", wanted):
            found += runs_of(answer)
        return tuple(found)

    async def run(self, run_id: str) -> Run:
        """One run, whatever its state.

        Raises:
            NotFoundError: the server knows none with this id.
            MlflowError: no answer or a refusal.
        """
        answer = await self._asked("GET", "runs/get", params={"run_id": run_id})
        found = run_of(part(answer, "run"))
        if found is None:
            raise MlflowError(f"MLflow {self.server.url}: runs/get answered without a run")
        return found

    async def history(self, run_id: str, metric: str, unit: Unit) -> list[Point]:
        """How far a run had come at each moment.

        Raises:
            TooMuchError: it has more points than are read. MLflow sends the oldest first, so that
                the ones that were read tell neither a pace nor a stall of now.
            MlflowError: no answer or a refusal.
        """
        found: list[Point] = []
        asked = {"run_id": run_id, "metric_key": metric, "max_results": str(_POINTS_A_PAGE)}
        for _ in range(_PAGES_MAX):
            answer = await self._asked("GET", "metrics/get-history", params=asked)
            found += points_of(answer, unit)
            token = next_page_of(answer)
            if token is None:
                return found
            asked["page_token"] = token
        raise TooMuchError(
            f"MLflow {self.server.url}: run {run_id} has more than {_PAGES_MAX} pages of {metric}"
        )

    async def set_tag(self, run_id: str, key: str, value: str) -> None:
        """Write a tag of a run.

        Raises:
            MlflowError: no answer or a refusal.
        """
        wanted = {"run_id": run_id, "key": key, "value": value}
        await self._asked("POST", "runs/set-tag", body=wanted)

    async def _experiments(self) -> list[str]:
        if self.server.experiments:
            return [await self._experiment(name) for name in self.server.experiments]
        answers = await self._pages("experiments/search", {"max_results": _EXPERIMENTS_A_PAGE})
        found = (
            text(one, "experiment_id") for each in answers for one in listed(each, "experiments")
        )
        return [one for one in found if one is not None]

    async def _experiment(self, name: str) -> str:
        path = "experiments/get-by-name"
        try:
            answer = await self._asked("GET", path, params={"experiment_name": name})
        except NotFoundError as error:
            raise MlflowError(
                f"MLflow {self.server.url} has no experiment {name!r}: see --mlflow-experiment"
            ) from error
        found = text(part(answer, "experiment"), "experiment_id")
        if found is None:
            raise MlflowError(f"MLflow {self.server.url}: {path} answered without an experiment")
        return found

    async def _pages(self, path: str, wanted: Mapping[str, object]) -> list[Json]:
        answers, asked = [], dict(wanted)
        for _ in range(_PAGES_MAX):
            answers.append(await self._asked("POST", path, body=asked))
            token = next_page_of(answers[-1])
            if token is None:
                return answers
            asked["page_token"] = token
        raise TooMuchError(
            f"MLflow {self.server.url}: {path} has more than {_PAGES_MAX} pages; name the "
            "experiments with --mlflow-experiment"
        )

    async def _asked(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> Json:
        url = f"{self.server.url.rstrip('/')}/{_API}/{path}"
        try:
            async with self._session.request(
                method, url, params=params, json=body, allow_redirects=False
            ) as response:
                content = await body_of(response.content, _ANSWER_BYTES_MAX)
                if content is None:
                    raise TooMuchError(
                        f"MLflow {self.server.url}: {path} answers more than 32 MiB; name the "
                        "experiments with --mlflow-experiment"
                    )
                if response.status != _OK:
                    raise _refusal(self.server.url, path, response.status, content)
            answer: object = json.loads(content)
        except TimeoutError as error:
            raise MlflowError(f"MLflow {self.server.url}: {path} timed out") from error
        except (aiohttp.ClientError, OSError, ValueError, RecursionError) as error:
            raise MlflowError(f"MLflow {self.server.url}: {path}: {error}") from error
        if not is_object(answer):
            raise MlflowError(f"MLflow {self.server.url}: {path}: no answer of its API")
        return answer


def _refusal(url: str, path: str, status: int, content: bytes) -> MlflowError:
    said = limited(content[:2000].decode("utf-8", errors="replace").strip())
    if status == _FORBIDDEN and _HOST in said:
        host = urlsplit(url).hostname
        return MlflowError(
            f"MLflow {url} refuses the name {host!r} ({said}): start it with `mlflow server "
            f"--allowed-hosts` and a list that has {host!r} and its port, or name it by an IP "
            "address"
        )
    if status in {_UNKNOWN_USER, _FORBIDDEN}:  # nothing of the page, which may repeat the token
        return MlflowError(
            f"MLflow {url}: {path}: {status}: give a token, or USER:PASSWORD, in "
            "--mlflow-token-file"
        )
    kind = NotFoundError if status == _NOT_FOUND else MlflowError
    return kind(f"MLflow {url}: {path}: {status} {said}")
