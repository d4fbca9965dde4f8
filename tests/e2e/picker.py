"""llm-d's endpoint picker, as far as its metrics page shows: what the tests turn."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What one page shows; replaced as a whole, as a scrape may come between any two lines."""

    running: int = 0
    queued: int = 0
    ready: int = 0
    """Replicas."""


@dataclass
class Picker:
    """One pool's picker; change it while it is served."""

    model: str
    requests: Requests = Requests()
    renamed: bool = False
    """Whether a new version calls everything by another name."""

    def asks(self, replicas: int) -> None:
        """As many requests as keep this many replicas busy at one each."""
        self.requests = Requests(running=replicas, ready=replicas)

    def queues(self, requests: int, *, ready: int = 0) -> None:
        """So many requests that wait, and none that runs."""
        self.requests = Requests(queued=requests, ready=ready)

    def page(self) -> str:
        of, now = f'{{model_name="{self.model}"}}', self.requests
        lines = [
            f'llm_d_epp_ready_endpoints{{name="pool"}} {now.ready}',
            f"llm_d_epp_request_running{of} {now.running}",
            f"llm_d_epp_flow_control_queue_size{of} {now.queued}",
            f"llm_d_epp_request_total{of} 0",
        ]
        for name in ("input_tokens", "output_tokens"):
            lines += [
                f'llm_d_epp_request_{name}_bucket{{model_name="{self.model}",le="+Inf"}} 0',
                f"llm_d_epp_request_{name}_sum{of} 0",
                f"llm_d_epp_request_{name}_count{of} 0",
            ]
        text = "\n".join(lines) + "\n"
        return text.replace("llm_d_epp", "llm_d_epp_next") if self.renamed else text
