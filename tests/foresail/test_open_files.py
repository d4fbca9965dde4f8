"""Whether a process may open as many files as the clients of its ports can take, and its own."""

import resource

import pytest
from structlog.testing import capture_logs

from foresail.ports.process import raise_open_files
from foresail.serve.command import connections_max
from foresail.settings.file import Settings

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "raised", "is_few"),
    [
        pytest.param((200, 1535), 1535, True, id="a low hard limit"),
        pytest.param((200, 1536), 1536, False, id="a hard limit that suffices"),
        pytest.param((1024, UNLIMITED), 10_240, False, id="no hard limit"),
        pytest.param((20_000, 20_000), 20_000, False, id="a soft limit that is higher"),
        pytest.param((UNLIMITED, UNLIMITED), UNLIMITED, False, id="no limit"),
    ],
)
def test_the_limit_is_raised_and_one_that_clients_can_use_up_is_named(
    limits: tuple[int, int], raised: int, is_few: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [limits]
    monkeypatch.setattr(resource, "getrlimit", lambda _: now[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: now.append(wanted))

    with capture_logs() as lines:
        raise_open_files(5 * 256)

    assert now[-1] == (raised, limits[1])
    named = [(one["event"], one["limit"], one["connections"]) for one in lines]
    assert named == [("open_files_few", raised, 1280)] * is_few


def test_keda_s_port_has_1024_connections_and_each_other_one_256() -> None:
    def sources(*ports: tuple[str, ...], plans: bool = False) -> Settings:
        at = [dict.fromkeys(names, "127.0.0.1:0") for names in ports]
        given = [
            {"name": f"s{i}", "otlp": {**one, "namespaces": ["a"]}} for i, one in enumerate(at)
        ]
        prometheus = {"name": "p", "prometheus": {"url": "http://localhost:9090"}}
        of_plans = {"plans": {}} if plans else {}
        return Settings.model_validate({"sources": [prometheus, *given], **of_plans})

    four = [("grpc", "http"), ("grpc", "http")]
    assert connections_max(sources(*four)) == 5 * 256
    assert connections_max(sources(*four, plans=True)) == 6 * 256
    assert connections_max(sources(("http",))) == 1024  # of the answering process
