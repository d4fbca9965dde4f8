"""The answering process beside a planner that publishes, beats, falls silent or ends."""

import asyncio

import pytest

from foresail.serve.answering import SILENT_SECONDS_MAX, Answering, certificate_files
from foresail.serve.link import Alive, Asked, Known, Message, Published
from foresail.settings.file import Settings
from scaler.decision.answers import Answer, Reference, Refusal, RefusalCode, TimedOutcome

REFERENCE = Reference.of("llm", "llama", {"model": "llama-70b", "mode": "act"})
SEVEN = Answer(replicas=7, active=True, made_at_seconds=0.0)
SETTINGS = Settings.model_validate(
    {"sources": [{"name": "main", "prometheus": {"url": "http://127.0.0.1:9"}}]}
)


class PlannerLink:
    """A link whose other end sends these messages after these seconds, and then is silent."""

    def __init__(self, *messages: tuple[float, Message | None]) -> None:
        self._messages = list(messages)
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)

    async def receive(self) -> Message | None:
        if not self._messages:
            await asyncio.Event().wait()
        after_seconds, message = self._messages.pop(0)
        await asyncio.sleep(after_seconds)
        return message


def timed(outcome: Answer | Refusal) -> TimedOutcome:
    return TimedOutcome(outcome=outcome, read_at_seconds=0.0)


def current(front: Answering) -> Answer | Refusal:
    entry = front.board.known(REFERENCE)
    assert entry is not None
    return entry.current()


async def exchanged(link: PlannerLink) -> tuple[Answering, float]:
    """The answering side after the exchange ended, and the seconds that it took."""
    front = Answering(SETTINGS)
    front.board.ask(REFERENCE)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await front.exchange(link)
    return front, loop.time() - begun


def test_the_end_of_every_certificate_that_the_settings_name_is_told() -> None:
    pair = {"certificate": "/tls.crt", "key": "/tls.key"}
    of_sources = {
        kind: pair | {"certificate": f"/{kind}.crt"} for kind in ("prometheus", "scrape", "otlp")
    }
    settings = Settings.model_validate(
        {
            "tls": pair | {"clientCa": "/keda.crt"},
            "plans": {
                "clientCa": "/readers.crt",
                "readers": [{"name": "console", "namespaces": ["*"]}],
            },
            "sources": [
                {
                    "name": "main",
                    "prometheus": {"url": "https://main", "tls": of_sources["prometheus"]},
                },
                {
                    "name": "pages",
                    "scrape": {"pods": {"port": 8000}, "tls": of_sources["scrape"]},
                },
                {
                    "name": "pushed",
                    "otlp": {
                        "grpc": "0.0.0.0:4317",
                        "namespaces": ["*"],
                        "tls": of_sources["otlp"] | {"clientCa": "/ca.crt"},
                    },
                },
            ],
        }
    )

    assert {setting: str(file) for setting, file in certificate_files(settings).items()} == {
        "tls.certificate": "/tls.crt",
        "tls.clientCa": "/keda.crt",
        "plans.clientCa": "/readers.crt",
        "sources[main].prometheus.tls.certificate": "/prometheus.crt",
        "sources[pages].scrape.tls.certificate": "/scrape.crt",
        "sources[pushed].otlp.tls.certificate": "/otlp.crt",
        "sources[pushed].otlp.tls.clientCa": "/ca.crt",
    }


async def test_a_planner_that_falls_silent_is_given_up() -> None:
    _, seconds = await exchanged(PlannerLink((5, Alive()), (5, Alive())))

    assert seconds == pytest.approx(10 + SILENT_SECONDS_MAX)


async def test_a_planner_that_beats_is_kept_although_it_publishes_nothing() -> None:
    _, seconds = await exchanged(PlannerLink(*[(50, Alive())] * 20, (50, None)))

    assert seconds == pytest.approx(21 * 50)


async def test_what_a_planner_published_is_answered_after_it_is_gone() -> None:
    front, _ = await exchanged(
        PlannerLink((1, Published(REFERENCE, timed(SEVEN), None)), (1, None))
    )

    assert current(front) == SEVEN


async def test_a_fresh_planner_that_cannot_read_yet_takes_no_answer_away() -> None:
    front, _ = await exchanged(
        PlannerLink((1, Published(REFERENCE, timed(SEVEN), None)), (1, None))
    )
    blind = Refusal(code=RefusalCode.UNAVAILABLE, message="nothing usable was ever read")
    fresh = PlannerLink((1, Published(REFERENCE, timed(blind), None)), (1, None))

    await front.exchange(fresh)

    assert current(front) == SEVEN
    (arrival,) = [a for m in fresh.sent if isinstance(m, Known) for a in m.changes.arrived]
    assert arrival.timed == timed(SEVEN)  # the fresh planner goes on from it


async def test_an_outcome_of_an_object_that_was_forgotten_changes_nothing() -> None:
    stranger = Reference.of("llm", "other", {"model": "m"})

    front, _ = await exchanged(PlannerLink((1, Published(stranger, timed(SEVEN), None)), (1, None)))

    assert front.board.known(stranger) is None


async def test_a_planner_hears_when_each_object_was_last_asked_about() -> None:
    front, link = Answering(SETTINGS), PlannerLink(*[(50, Alive())] * 4, (50, None))
    exchange = asyncio.create_task(front.exchange(link))
    await asyncio.sleep(1)
    entry = front.board.ask(REFERENCE)
    await exchange

    times = [message.times for message in link.sent if isinstance(message, Asked)]
    assert times == [((REFERENCE, entry.asked_at_seconds),)]
