"""README's path to an installation, as far as it goes without a cluster; and what it shows."""

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import grpc
import numpy as np
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console

from foresail.demo.day import playback
from foresail.demo.screen import comparison
from replay.simulate import Result
from tests.deploy.certificates import SERVICE, made
from tests.docs.snippets import EXAMPLES, PAGES, ROOT, Kind, snippets
from tests.docs.test_snippets import whole
from tests.foresail.test_explain import Site
from tests.prometheus import free_port, wait_for

SHOWN = [
    (one.where, whole(one)) for page in PAGES for one in snippets(page) if one.kind is Kind.SETTINGS
] + [("example", (EXAMPLES / "foresail.yaml").read_text())]


def one_of_each() -> Iterator[tuple[str, str]]:
    """Settings with the same keys start the same parts; that each can be read is another test."""
    seen = set()
    for where, text in SHOWN:
        settings = yaml.safe_load(text)
        parts = frozenset(settings), len(settings["sources"])
        if parts not in seen:
            seen.add(parts)
            yield where, text


FOLDERS = "/etc/foresail-(tls|external-metrics|front-proxy)"
"""Where the pods have certificates."""


@pytest.mark.looptime(False)  # processes live in real time
@pytest.mark.parametrize("text", [pytest.param(text, id=where) for where, text in one_of_each()])
def test_serve_starts_with_the_settings_shown_and_answers_keda(text: str, tmp_path: Path) -> None:
    certificates = made(tmp_path)
    settings = yaml.safe_load(re.sub(FOLDERS, str(tmp_path / "mounted"), text))
    mounted(tmp_path)
    grpc_port, http_port = free_port(), free_port()
    settings["listen"] = {"grpc": f"127.0.0.1:{grpc_port}", "http": f"127.0.0.1:{http_port}"}
    if "plans" in settings:
        settings["plans"]["listen"] = f"127.0.0.1:{free_port()}"
    for source in settings["sources"]:
        if "otlp" in source:
            source["otlp"]["grpc"] = f"127.0.0.1:{free_port()}"
    if "externalMetrics" in settings:
        settings["externalMetrics"]["listen"] = f"127.0.0.1:{free_port()}"
    if "state" in settings:
        settings["state"]["directory"] = str(tmp_path / "state")
    file = tmp_path / "foresail.yaml"
    file.write_text(yaml.safe_dump(settings))

    with serving(file):
        wait_for(lambda: page(http_port, "/healthz") == "ok\n", "a healthy server")
        if "tls" in settings:
            credentials = grpc.ssl_channel_credentials(
                (certificates / "ca.crt").read_bytes(),
                (certificates / "keda-client.key").read_bytes(),
                (certificates / "keda-client.crt").read_bytes(),
            )
            named = (("grpc.ssl_target_name_override", SERVICE),)
            channel = grpc.secure_channel(f"127.0.0.1:{grpc_port}", credentials, named)
        else:
            channel = grpc.insecure_channel(f"127.0.0.1:{grpc_port}")
        with channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=60, wait_for_ready=True)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def mounted(folder: Path) -> None:
    """The Secret of the server, as the pod has it."""
    (folder / "mounted").mkdir()
    for here, there in (("ca.crt", "ca.crt"), ("server.crt", "tls.crt"), ("server.key", "tls.key")):
        (folder / "mounted" / there).write_bytes((folder / "certificates" / here).read_bytes())


@contextmanager
def serving(settings: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "foresail.cli", "serve", "--config", str(settings)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(timeout=60) == 0


def page(port: int, path: str) -> str:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


# What is shown.


def output(name: str, first: str) -> str:
    """The output block of a page whose first line begins so."""
    (found,) = [
        one.text
        for one in snippets(ROOT / name)
        if one.kind is Kind.OUTPUT and one.text.lstrip().startswith(first)
    ]
    return found


@pytest.mark.parametrize(
    ("name", "first"),
    [("README.md", "llm/qwen3-32b:"), ("docs/forecast.md", "forecast of prompt_tokens")],
)
async def test_the_account_shown_has_the_shape_of_a_real_one(name: str, first: str) -> None:
    (told,) = [
        trigger["metadata"]
        for one in yaml.safe_load_all((EXAMPLES / "scaledobject.yaml").read_text())
        if one["kind"] == "ScaledObject"
        for trigger in one["spec"]["triggers"]
    ]
    rates = {key: told[key] for key in told if key.startswith("replica") and "Tokens" in key}
    site, noise = Site(mode="advise", **rates), np.random.default_rng(1)
    for minute in range(240):
        wave = 1 + 0.5 * math.sin(minute / 60 * math.pi)
        await site.looks(every=60, prompt=noise.uniform(36000.0, 44000.0) * wave)
    real = [shape(line) for line in site.lines()]

    shown = [shape(line) for line in output(name, first).splitlines()]

    at = real.index(shown[0])
    for line, after in zip(shown, [*shown[1:], ""], strict=True):
        if line == "...":
            at = real.index(after, at)
        else:
            assert real[at] == line
            at += 1


def shape(line: str) -> str:
    """A line without its figures, its bars, its workload and its experts' order."""
    line = re.sub(r"^\S+/\S+:", "WORKLOAD:", line)
    line = re.sub(r"carried by .*", "carried by EXPERTS", line)
    line = re.sub(r"[█▓░]+", "BAR", line)
    line = re.sub(r"[+-]?\d[\d,.:]*(?:m\d+s)?", "N", line)
    return " ".join(line.split())


@pytest.mark.parametrize("page", ["docs/results.md", "docs/quick-start.md"])
def test_the_table_of_the_demo_is_as_the_demo_draws_it(page: str) -> None:
    shown = output(page, "policy").splitlines()
    scores = [score_of(line) for line in shown[2:]]
    console = Console(width=200, record=True)
    with console.capture() as drawn:
        console.print(comparison(scores, playback(seed=1, wall_seconds=120)))

    lines = [line.rstrip() for line in drawn.get().splitlines()]
    at = lines.index(shown[0])
    assert [re.sub("─+", "─", line) for line in lines[at : at + len(shown)]] == [
        re.sub("─+", "─", line) for line in shown
    ]


def score_of(line: str) -> Result:
    policy, in_time, p95, _, p99, _, lost, gpu_hours, moves = line.split()
    return Result(
        policy=policy,
        knob=0.0,
        requests=1,
        attainment=float(in_time.rstrip("%")) / 100,
        gpu_hours=float(gpu_hours),
        ttft_p50=0.0,
        ttft_p95=float(p95),
        ttft_p99=float(p99),
        itl_p99=0.0,
        errors=int(lost.replace(",", "")),
        cold_start_affected=0,
        actions=int(moves),
        flips=0,
        days=(),
    )


def test_a_page_that_is_linked_is_there() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {to}"
        for page in PAGES
        for to in re.findall(r"\]\((?!https?:)([^)\s#]*)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / to).exists()
    ]

    assert missing == []


def test_a_heading_that_is_linked_is_there() -> None:
    missing = [
        f"{page.relative_to(ROOT)}: {to}#{heading}"
        for page in PAGES
        for to, heading in re.findall(r"\]\((?!https?:)([^)\s#]*)#([^)]+)\)", page.read_text())
        if heading not in headings((page.parent / to) if to else page)
    ]

    assert missing == []


def headings(page: Path) -> list[str]:
    """As GitHub names them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in found]
