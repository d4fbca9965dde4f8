"""Programs that trace requests, as they are named on the command line, and what they metered."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import aiohttp

from fleet import langfuse, langsmith
from fleet.documents import Json
from fleet.metered import Metered, Window
from foresail.meters.conversation import Access, Conversation, MeterError, NoSuchPathError
from scaler.errors import ForesailError
from scaler.sources.access import checked_url, secret

LAG_SECONDS: Final = 600
"""Before which a window ends: what programs trace arrives up to ten minutes late."""
_QUERIES_MAX: Final = 32
_PAGES_MAX: Final = 20
_MILLISECONDS: Final = 1000
_API: Final = "api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class LangFuse:
    """A LangFuse server, and the project of a key."""

    url: str
    key_file: Path
    """`PUBLIC:SECRET`."""
    environment: str | None = None
    """None = all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LangSmith:
    """A LangSmith server, and projects in it."""

    url: str
    key_file: Path
    projects: tuple[str, ...]
    """Their ids."""
    workspace: str | None = None
    """Of a key that has several."""


Meter = LangFuse | LangSmith


@dataclass(frozen=True, slots=True, kw_only=True)
class MetersRead:
    """What meters tell."""

    by_meter: Mapping[str, Mapping[str, Metered]] = field(default_factory=dict)
    """In a second, by model as the meter calls it; a meter that did not tell is left out."""
    remarks: tuple[str, ...] = ()
    """Why one did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterOptions:
    """The options of the command line, by their names."""

    langfuse: str | None = None
    langfuse_key_file: Path | None = None
    langfuse_environment: str | None = None
    langsmith: str | None = None
    langsmith_key_file: Path | None = None
    langsmith_project: tuple[str, ...] = ()
    langsmith_workspace: str | None = None

    def meters(self) -> tuple[Meter, ...]:
        """The servers that are named.

        Raises:
            ForesailError: an option is missing, wrong, or of no use without another.
        """
        return tuple(one for one in (self._langfuse(), self._langsmith()) if one is not None)

    def _langfuse(self) -> LangFuse | None:
        url, key_file = self.langfuse, self.langfuse_key_file
        if url is None:
            _refuse_alone("--langfuse", key_file, self.langfuse_environment)
            return None
        if key_file is None:
            raise ForesailError(
                "--langfuse-key-file is missing: a file with PUBLIC:SECRET, a project's API keys"
            )
        return LangFuse(
            url=checked_url(url), key_file=key_file, environment=self.langfuse_environment
        )

    def _langsmith(self) -> LangSmith | None:
        url, key_file, projects = self.langsmith, self.langsmith_key_file, self.langsmith_project
        if url is None:
            _refuse_alone("--langsmith", key_file, projects, self.langsmith_workspace)
            return None
        if key_file is None:
            raise ForesailError("--langsmith-key-file is missing: a file with the API key")
        if not projects:
            raise ForesailError("--langsmith-project is missing: the id in the address of its page")
        for given in projects:
            _check_id(given)
        return LangSmith(
            url=checked_url(url),
            key_file=key_file,
            projects=projects,
            workspace=self.langsmith_workspace,
        )


def _refuse_alone(name: str, *others: object) -> None:
    if any(others):
        raise ForesailError(f"{name} URL is missing: its other options are of no use alone")


def _check_id(given: str) -> None:
    try:
        UUID(given)
    except ValueError:
        raise ForesailError(
            f"--langsmith-project {given!r}: no id such as 0190a1b2-c3d4-7ef0-a5b6-6ea3a82e9327; "
            "it is in the address of the project's page"
        ) from None


async def read_meters(
    meters: tuple[Meter, ...], window_seconds: float, now_seconds: float
) -> MetersRead:
    """What each tells of the same time; one that fails or is slow does not delay the others.

    Args:
        meters: to ask.
        window_seconds: the length of the time; it ends `LAG_SECONDS` ago.
        now_seconds: Unix time.
    """
    end_ms = int((now_seconds - LAG_SECONDS) * _MILLISECONDS)
    window = Window(begin_ms=end_ms - int(window_seconds * _MILLISECONDS) + 1, end_ms=end_ms)
    answers = await asyncio.gather(*(_tried(one, window) for one in meters))
    found: dict[str, Mapping[str, Metered]] = {}
    remarks = []
    for meter, answer in zip(meters, answers, strict=True):
        if isinstance(answer, str):
            remarks.append(answer)
        else:
            found[type(meter).__name__] = {
                model: one.times(1 / window_seconds) for model, one in answer.items()
            }
    return MetersRead(by_meter=found, remarks=tuple(remarks))


async def _tried(meter: Meter, window: Window) -> Mapping[str, Metered] | str:
    try:
        if isinstance(meter, LangFuse):
            return await _langfuse(meter, window)
        return await _langsmith(meter, window)
    except (MeterError, ForesailError) as error:
        return f"{error}; what {type(meter).__name__} metered is unknown"


async def _langfuse(meter: LangFuse, window: Window) -> Mapping[str, Metered]:
    user, _, password = secret(meter.key_file).partition(":")
    if not user or not password:
        raise MeterError(f"--langfuse-key-file {meter.key_file}: not PUBLIC:SECRET")
    header = aiohttp.encode_basic_auth(user, password)
    access = Access(
        title=f"LangFuse {meter.url}",
        url=meter.url,
        headers={"Authorization": header},
        secrets=(password, header.partition(" ")[2]),
        key_option="--langfuse-key-file, which must be of this server and project",
    )
    async with Conversation(access=access) as asking:
        try:
            return await _by_metrics(asking, window, meter.environment)
        except NoSuchPathError:
            return await _by_days(asking, window, meter.environment)


async def _by_metrics(
    asking: Conversation, window: Window, environment: str | None
) -> Mapping[str, Metered]:
    """By the current API: where a query has too many rows, each half of its time is asked for."""
    rows: list[Json] = []
    left, queries = [window], 0
    while left:
        part = left.pop()
        queries += 1
        if queries > _QUERIES_MAX or part.begin_ms > part.end_ms:
            raise MeterError(
                f"{asking.access.title}: more models than {_QUERIES_MAX} queries of "
                f"{langfuse.ROWS_MAX} rows tell: name an environment or a shorter --tokens"
            )
        params = langfuse.metrics_params(part, environment)
        found = langfuse.rows_of(await asking.asked("GET", langfuse.METRICS, params=params))
        if len(found) >= langfuse.ROWS_MAX:
            left += part.halves()
        else:
            rows += found
    return langfuse.metered_of_rows(rows)


async def _by_days(
    asking: Conversation, window: Window, environment: str | None
) -> Mapping[str, Metered]:
    """By the API of servers before version 4."""
    answers: list[Json] = []
    pages = 1.0
    while len(answers) < pages:
        if len(answers) == _PAGES_MAX:
            raise MeterError(f"{asking.access.title}: more than {_PAGES_MAX} pages of days")
        params = langfuse.daily_params(window, environment, len(answers) + 1)
        answers.append(await asking.asked("GET", langfuse.DAILY, params=params))
        pages = langfuse.pages_of(answers[-1])
    return langfuse.metered_of_days(answers)


async def _langsmith(meter: LangSmith, window: Window) -> Mapping[str, Metered]:
    key = secret(meter.key_file)
    if not key:
        raise MeterError(f"--langsmith-key-file {meter.key_file}: empty")
    workspace = {} if meter.workspace is None else {"X-Tenant-Id": meter.workspace}
    access = Access(
        title=f"LangSmith {meter.url}",
        url=meter.url,
        headers={"x-api-key": key, **workspace},
        secrets=(key,),
        key_option="--langsmith-key-file, which must be of this server and workspace",
    )
    # Its programs name the address with this part or without it.
    path = langsmith.STATS if meter.url.rstrip("/").endswith(_API) else f"{_API}/{langsmith.STATS}"
    async with Conversation(access=access) as asking:
        body = langsmith.stats_body(meter.projects, window)
        groups = langsmith.groups_of(await asking.asked("POST", path, body=body))
    if groups is None:
        raise MeterError(f"{access.title}: its version does not tell runs by model")
    if len(groups) >= langsmith.GROUPS_MAX:
        raise MeterError(f"{access.title}: more than {langsmith.GROUPS_MAX - 1} models")
    return langsmith.metered_of_groups(groups)
