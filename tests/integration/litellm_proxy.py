"""A real LiteLLM proxy, in front of fake servers with OpenAI's API that say what they served."""

import json
import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import requests
import yaml

from tests.integration.environments import programs_of
from tests.prometheus import free_port, wait_for

OPERATOR = "sk-operator-7b1e4c"
KEYS = {OPERATOR: "operators", "sk-search-1": "search", "sk-search-2": "search", "sk-chat": "chat"}
"""Key → team."""
TOO_BUSY = "too busy"
"""A prompt that a backend answers with 429."""
_START_SECONDS = 180.0
"""It imports for twenty seconds, and for longer on a busy machine."""
_KNOWN_KEYS = f"""
from litellm.proxy._types import UserAPIKeyAuth

TEAMS = {KEYS!r}

async def known(request, api_key):
    if api_key not in TEAMS:
        raise ValueError("unknown key")
    team = TEAMS[api_key]
    return UserAPIKeyAuth(api_key=api_key, key_alias=api_key, team_id=team, team_alias=team)
"""


@dataclass
class Backend:
    """Serves every request with so many tokens."""

    prompt_tokens: int
    generated_tokens: int
    served: Counter[str] = field(default_factory=Counter)
    """HTTP status → requests."""

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its address."""
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                status, answer = backend.answer(json.loads(self.rfile.read(size)))
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """A line per request helps nobody."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, request: dict[str, object]) -> tuple[int, dict[str, object]]:
        status = 429 if TOO_BUSY in json.dumps(request["messages"]) else 200
        self.served[str(status)] += 1
        if status != 200:
            return status, {"error": {"message": "too busy", "type": "rate_limit", "code": "429"}}
        tokens = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.generated_tokens,
            "total_tokens": self.prompt_tokens + self.generated_tokens,
        }
        message = {"role": "assistant", "content": "yes"}
        return status, {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": tokens,
        }


@dataclass(frozen=True)
class Served:
    """A model behind the proxy, with its prices in dollars a token."""

    model: str
    api_base: str
    prompt_price: float
    generated_price: float


@dataclass(frozen=True)
class Ask:
    """One request of a client."""

    model: str
    key: str
    prompt: str = "hello"


class Proxy:
    """A running proxy."""

    def __init__(self, folder: Path, models: Sequence[Served]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.log = folder / "log"
        (folder / "known_keys.py").write_text(_KNOWN_KEYS)
        (folder / "config.yaml").write_text(yaml.safe_dump(_config(models)))
        host, port = self.address.split(":")
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "--"),
                    programs_of("litellm") / "litellm",
                    *("--config", "config.yaml", "--host", host, "--port", port),
                    *("--telemetry", "False"),
                ],
                cwd=folder,
                stdout=log,
                stderr=log,
                env={
                    **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                    "NO_PROXY": "127.0.0.1",
                },
                start_new_session=True,
            )

    def wait(self) -> None:
        wait_for(
            self._ready, f"LiteLLM to be ready; see {self.log}", deadline_seconds=_START_SECONDS
        )

    def _ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        try:
            answer = requests.get(f"http://{self.address}/health/liveliness", timeout=5)
        except requests.RequestException:
            return False
        return answer.ok

    def ask(self, asks: Sequence[Ask]) -> Counter[int]:
        """Several at a time; HTTP status → requests."""
        with ThreadPoolExecutor(4) as clients:
            return Counter(clients.map(self._asked, asks))

    def _asked(self, ask: Ask) -> int:
        answer = requests.post(
            f"http://{self.address}/v1/chat/completions",
            headers={"Authorization": f"Bearer {ask.key}"},
            json={"model": ask.model, "messages": [{"role": "user", "content": ask.prompt}]},
            timeout=60,
        )
        return answer.status_code

    def page(self, key: str | None = OPERATOR) -> requests.Response:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return requests.get(f"http://{self.address}/metrics/", headers=headers, timeout=30)

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _config(models: Sequence[Served]) -> dict[str, object]:
    return {
        "model_list": [
            {
                "model_name": one.model,
                "litellm_params": {
                    "model": f"openai/{one.model}",
                    "api_base": one.api_base,
                    "api_key": "none",
                    "input_cost_per_token": one.prompt_price,
                    "output_cost_per_token": one.generated_price,
                },
            }
            for one in models
        ],
        "litellm_settings": {"callbacks": ["prometheus"], "num_retries": 0},
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "general_settings": {"master_key": OPERATOR, "custom_auth": "known_keys.known"},
    }
