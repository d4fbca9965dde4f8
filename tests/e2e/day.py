"""A recorded day of traffic, in minutes, through everything that is real.

Prometheus scrapes vLLM's series; Foresail reads Prometheus; KEDA asks Foresail; the HPA asks KEDA;
the Deployment's pods are scheduled and become ready after a start-up; and the ready pods are those
that serve. `make day` draws what was seen.

Rates are as recorded and only time runs faster, so that a replica's figures keep their meaning; the
lead time is shortened with the day.
"""

import json
import math
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, replace
from html import escape
from time import monotonic  # noqa: TID251 - processes live in real time

import numpy as np

from foresail.clock import wall_clock
from foresail.svg import HEIGHT, WIDTH, Axes, Layer, Plot
from replay.traces import Trace
from tests.e2e.engines import LATENCY_SECONDS, Asked, Engines
from tests.e2e.site import Exports, Site
from tests.e2e.workload_objects import NAMESPACE

NAME, MODEL = "day", "qwen3-32b"
DAY_SECONDS = 86_400
REPLICAS_MEAN = 8
START_UP_SECONDS = 2.0
LEAD_SECONDS = 6
"""Start-up, and what scrapes, looks, polls and syncs of a second or two take together."""
_SLOTS = 2 * LATENCY_SECONDS
"""For each request per second: a replica's tokens end before its slots."""
_SAMPLE_SECONDS = 0.5
_BAND = ("0.5", "0.9", "0.99")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What was seen at one time; replicas, and seconds since the start."""

    at_seconds: float
    need: float
    """Replicas that serve all who come."""
    band: tuple[float, float, float] | None
    """The forecast's .5, .9 and .99 quantiles for the lead time ahead; None = no forecast yet."""
    answered: float
    """By Foresail to KEDA; NaN = it refused."""
    hpa: int
    ready: int


@dataclass(frozen=True, kw_only=True)
class Day:
    """A day that was played."""

    dawn_seconds: float
    """Unix time at which it began."""
    moments: list[Moment]
    delayed_ratio: float
    """Share of requests that found every replica busy."""
    counts: list[int]
    """Every count of the Deployment."""
    answers: list[float]
    """Every number that Foresail said."""


def play(site: Site, trace: Trace, *, day: int, seconds: float) -> Day:
    """Play one day of the trace within `seconds`."""
    asked, means = asked_in(trace, day, seconds)
    dawn = math.inf  # until it breaks, what is asked is what is asked at midnight
    engines = Engines(
        model=MODEL,
        asked=lambda at_seconds: asked(at_seconds - dawn),
        pods=lambda: ready_pods(site),
        clock=monotonic,
        prompt_tokens_per_second=means.prompt_tokens / REPLICAS_MEAN,
        generated_tokens_per_second=means.generated_tokens / REPLICAS_MEAN,
    )
    site.engines_page = engines.page
    told = site.servers["a"].log_since()
    try:
        _deploy(site, engines, slots=math.ceil(_SLOTS * means.requests / REPLICAS_MEAN))
        site.bed.wait(lambda: site.ready(NAME) > 0, "the first replica")
        site.bed.wait(lambda: site.replicas(NAME) == site.answers(NAME), "the first answer")
        # A first forecast comes from a past in which nothing was served.
        site.bed.wait(lambda: max(band_of(site.exports(), engines) or (0,)) > 0, "a forecast")
        dawn, engines.offered, engines.delayed = monotonic(), 0.0, 0.0
        dawn_seconds = wall_clock()
        moments = []
        with site.recording(NAME) as record:
            while (at := monotonic()) < dawn + seconds:
                moments.append(_moment(site, engines, at, dawn))
                due = dawn + len(moments) * _SAMPLE_SECONDS
                site.bed.wait(lambda due=due: monotonic() >= due, "time")
            # From here on is asked what was asked last.
            site.bed.wait(
                lambda: site.ready(NAME) == site.replicas(NAME) == site.answers(NAME),
                "as many replicas ready as the last answer says",
            )
        answers = [
            float(line["replicas_to"])
            for line in map(_parsed, told())
            if line.get("event") == "scaling_decided" and line["workload"] == f"{NAMESPACE}/{NAME}"
        ]
    finally:
        site.forget(NAME)
        site.engines_page = str
    return Day(
        dawn_seconds=dawn_seconds,
        moments=moments,
        delayed_ratio=engines.delayed / engines.offered,
        counts=record.counts,
        answers=[moments[0].answered, *answers],
    )


def asked_in(trace: Trace, day: int, seconds: float) -> tuple[Callable[[float], Asked], Asked]:
    """What is asked as the seconds pass, straight lines between the bins; and the day's means."""
    bins = round(DAY_SECONDS / trace.step_seconds)
    of_day = slice(day * bins, (day + 1) * bins)
    requests = trace.requests_per_second[of_day]
    if len(requests) < bins or np.isnan(requests).any():
        raise ValueError(f"{trace.name}: day {day} is not whole; it has {len(requests)} bins")
    prompt = requests * trace.prompt_tokens[of_day]
    generated = requests * trace.output_tokens[of_day]
    middles = (np.arange(bins) + 0.5) * seconds / bins

    def asked(at_seconds: float) -> Asked:
        return Asked(
            requests=float(np.interp(at_seconds, middles, requests)),
            prompt_tokens=float(np.interp(at_seconds, middles, prompt)),
            generated_tokens=float(np.interp(at_seconds, middles, generated)),
        )

    means = Asked(
        requests=float(requests.mean()),
        prompt_tokens=float(prompt.mean()),
        generated_tokens=float(generated.mean()),
    )
    return asked, means


def _deploy(site: Site, engines: Engines, *, slots: int) -> None:
    delay = {"pod-ready.stage.kwok.x-k8s.io/delay": f"{START_UP_SECONDS:g}s"}
    site.deploy(NAME, replicas=REPLICAS_MEAN, **delay)
    site.scale(
        NAME,
        spec={"minReplicaCount": 1, "maxReplicaCount": 40},
        model=MODEL,
        engine="vllm",
        minReplicas="1",
        maxReplicas="40",
        leadTime=f"{LEAD_SECONDS}s",
        hold=None,
        utilization=None,
        replicaRequests=str(slots),
        replicaPromptTokensPerSecond=f"{engines.prompt_tokens_per_second:.0f}",
        replicaGeneratedTokensPerSecond=f"{engines.generated_tokens_per_second:.0f}",
    )


def ready_pods(site: Site, name: str = NAME) -> Collection[str]:
    pods = site.bed.read(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app%3D{name}")
    return [
        pod["metadata"]["name"]
        for pod in pods["items"]
        if "deletionTimestamp" not in pod["metadata"]
        and any(
            one["type"] == "Ready" and one["status"] == "True"
            for one in pod["status"].get("conditions", ())
        )
    ]


def _moment(site: Site, engines: Engines, at: float, dawn: float) -> Moment:
    hpa = site.bed.read(
        f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/keda-hpa-{NAME}"
    )
    exports = site.exports()
    return Moment(
        at_seconds=at - dawn,
        need=engines.need(at),
        band=band_of(exports, engines),
        answered=exports("foresail_desired_replicas", namespace=NAMESPACE, scaled_object=NAME),
        hpa=int(hpa["status"].get("desiredReplicas", 0)),
        ready=site.ready(NAME),
    )


def band_of(
    exports: Exports, engines: Engines, name: str = NAME, lead_seconds: int = LEAD_SECONDS
) -> tuple[float, float, float] | None:
    """Of the kind of token that needs most, in replicas; None = there is no forecast yet."""
    one_replica = {
        "prompt_tokens": engines.prompt_tokens_per_second,
        "generated_tokens": engines.generated_tokens_per_second,
    }
    bands = [
        tuple(
            exports(
                "foresail_forecast_demand",
                namespace=NAMESPACE,
                scaled_object=name,
                dimension=dimension,
                horizon_seconds=str(lead_seconds),
                quantile=quantile,
            )
            / one
            for quantile in _BAND
        )
        for dimension, one in one_replica.items()
    ]
    low, middle, high = max(bands)
    return None if math.isnan(low) else (low, middle, high)


def _parsed(line: str) -> dict:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


# -- what people look at ---------------------------------------------------------------------------


def drawn(day: Day, *, seconds: float, title: str) -> str:
    """The day as one SVG file: need and forecast above, what was answered and done below."""
    hours = 24 / seconds
    moments = day.moments
    xs = [moment.at_seconds * hours for moment in moments]
    foretold = [moment for moment in moments if moment.band is not None]
    ahead = [(moment.at_seconds + LEAD_SECONDS) * hours for moment in foretold]
    bands = [moment.band for moment in foretold if moment.band is not None]
    need = Layer(
        label="need", style="need", shape="line", xs=xs, ys=[moment.need for moment in moments]
    )
    axes = Axes(
        x_label="hour of the recorded day",
        y_label="replicas",
        x_text=lambda x: f"{x:g}",
        y_text=lambda y: f"{y:g}",
        x_range=(0.0, 24.0),
    )
    above = Plot(
        title="Demand and its forecast a lead time before, in replicas",
        axes=axes,
        layers=[
            Layer(
                label="forecast, q0.5 to q0.99",
                style="forecast",
                shape="band",
                xs=ahead,
                ys=[band[0] for band in bands],
                tops=[band[2] for band in bands],
            ),
            Layer(
                label="q0.9",
                style="forecast",
                shape="line",
                xs=ahead,
                ys=[band[1] for band in bands],
            ),
            need,
        ],
    )
    below = Plot(
        title="The answers, what the HPA set, and ready pods",
        axes=axes,
        layers=[
            replace(need),
            *(
                Layer(label=label, style=style, shape="step", xs=xs, ys=ys)
                for label, style, ys in (
                    ("answered", "answered", [moment.answered for moment in moments]),
                    ("set by the HPA", "hpa", [float(moment.hpa) for moment in moments]),
                    ("ready", "ready", [float(moment.ready) for moment in moments]),
                )
            ),
        ],
    )
    return sheet(title, [above, below])


_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #68737f; } .head { font-size: 14px; fill: #1c2430; }
.grid { stroke: #e3e7ec; } .line { fill: none; stroke-width: 1.6; stroke: currentColor; }
.band { fill: #0b6bcb; fill-opacity: 0.2; } .need { color: #1c2430; } .forecast { color: #0b6bcb; }
.answered { color: #0b6bcb; } .hpa { color: #e07a1f; stroke-dasharray: 5 3; }
.ready { color: #2e9e5b; } .nodes { color: #8a5cc2; }
.key { stroke: currentColor; stroke-width: 3; }
.band-key { stroke-width: 10; stroke-opacity: 0.2; }
"""
_HEAD, _GAP = 30, 44


def sheet(title: str, plots: list[Plot]) -> str:
    """Plots under each other in one file that opens by itself."""
    parts, top = [], _HEAD
    for place, plot in enumerate(plots):
        body = plot.svg().replace("frame", f"frame-{place}")
        parts.append(f'<g transform="translate(0 {top})">{_legend(plot)}')
        parts.append(f'<svg y="{_GAP - 14}" width="{WIDTH}" height="{HEIGHT}"{body[4:]}</g>')
        top += HEIGHT + _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}">'
        f"<style>{_STYLE}</style>"
        f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>'
        f'<text class="head" x="12" y="20" font-weight="600">{escape(title)}</text>'
        + "\n".join(parts)
        + "</svg>\n"
    )


def _legend(plot: Plot) -> str:
    keys, x = [f'<text class="head" x="12" y="16">{escape(plot.title)}</text>'], 520
    for layer in plot.layers:
        style = f"key {layer.style} {layer.shape}-key"
        keys.append(f'<line class="{style}" x1="{x}" x2="{x + 16}" y1="12" y2="12"/>')
        keys.append(f'<text x="{x + 21}" y="16">{escape(layer.label)}</text>')
        x += 40 + 7 * len(layer.label)
    return "".join(keys)


def written(day: Day) -> str:
    """The day as JSON, for whoever wants to look closer."""
    return json.dumps(asdict(day))
