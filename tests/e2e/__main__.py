"""The bed for people: `make bed` leaves one running, `make day` plays a day and draws it."""

# ruff: noqa: T201 - it talks to a person

import argparse
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep
from typing import NoReturn

from replay.traces import read
from tests.e2e import dashboard_pictures, day, karpenter, keda, kubernetes, node_day
from tests.e2e.bed import ROOT, Bed
from tests.e2e.node_day_picture import drawn
from tests.e2e.processes import END_SECONDS
from tests.e2e.site import IMPATIENT, Site
from tests.e2e.workload_objects import NAMESPACE
from tests.prometheus import Job

TRACE = ROOT.parent / "shared" / "data" / "traces" / "servegen_m_mid_10m.csv"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    parser.add_argument("--built", type=Path, default=ROOT / ".cache" / "bed")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("bed", help="until Ctrl-C or SIGTERM")
    played = verbs.add_parser("day", help="a recorded day, drawn")
    played.add_argument("--trace", type=Path, default=TRACE, help="CSV in bins")
    played.add_argument("--day", type=int, default=0, help="of the trace, from 0")
    played.add_argument("--seconds", type=float, default=360, help="that the day lasts")
    played.add_argument("--svg", type=Path, help="default: docs/day.svg, or docs/day-of-nodes.svg")
    played.add_argument("--json", type=Path)
    played.add_argument(
        "--nodes",
        action="store_true",
        help="with the machines that Karpenter buys: with Foresail, and with KEDA alone",
    )
    played.add_argument(
        "--dashboards",
        type=Path,
        metavar="FOLDER",
        help="draw the chart's dashboards over the day, with `foresail controller` beside it",
    )
    options = parser.parse_args()
    if options.verb == "day" and options.nodes and options.dashboards:
        parser.error("--dashboards FOLDER draws the day without --nodes: leave one of them out")
    if options.verb == "day" and options.svg is None:
        options.svg = ROOT / "docs" / ("day-of-nodes.svg" if options.nodes else "day.svg")
    if options.verb == "day" and options.nodes:
        with _site(options.built, kubernetes.start_kwok, karpenter.start, keda.start) as site:
            _play_nodes(site, options)
        return
    if options.verb == "day" and options.dashboards:
        job = dashboard_pictures.controller_job()
        with (
            _site(options.built, scraped=[job]) as site,
            dashboard_pictures.controller(site, job),
        ):
            _draw_dashboards(site, options, _play(site, options))
        return
    with _site(options.built) as site:
        if options.verb == "bed":
            _leave_running(site)
        else:
            _play(site, options)


def _end(number: int, _: object) -> NoReturn:
    """End everything that was started, and then this process; a second signal ends it at once.

    It raises by itself: in a background job of a shell without job control SIGINT is ignored, also
    one that is sent on from here.
    """
    raise SystemExit(128 + number)


@contextmanager
def _site(
    built: Path, *beside: Callable[[Bed], None], scraped: Sequence[Job] = ()
) -> Iterator[Site]:
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _end)
    folder = built.resolve().parent / f"bed-{os.getpid()}"
    try:
        with Bed(built.resolve(), folder, beside=beside) as bed:
            site = Site(bed)
            try:
                site.begin(site.scrape_job(), *scraped)
                yield site
            finally:
                site.end()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _leave_running(site: Site) -> None:
    site.deploy("chat")
    site.scale("chat", spec=IMPATIENT, fallback=True)
    kubectl = site.bed.program("kubernetes", "kubectl")
    print(
        f"""
The bed runs: etcd, Kubernetes, kwok, KEDA, Prometheus and foresail serve. Ctrl-C or SIGTERM
ends it all; a program that takes longer than {END_SECONDS:g} s to end is killed.

  export KUBECONFIG={site.bed.kubeconfig("admin")}
  alias kubectl={kubectl}

  kubectl get scaledobject,hpa,deployment,pods -n {NAMESPACE}
  foresail explain {NAMESPACE}/chat --server {site.http_url()}
  curl {site.http_url()}/metrics
  curl '{site.prometheus.url}/api/v1/query?query=llm_d_epp_request_running'
  tail -f {site.bed.folder}/*.log {site.bed.folder}/site/*.log

How many replicas are asked for is what you type here:
"""
    )
    with suppress(KeyboardInterrupt):
        try:
            _ask_how_many(site)
        except EOFError:
            while True:  # no pause(): it would miss a signal that comes just before it
                sleep(1)
    print()


def _ask_how_many(site: Site) -> None:
    while True:
        text = input("replicas> ").strip()
        if text.isdigit():
            site.picker.asks(int(text))
        elif text:
            print(f"{text!r} is no whole number")


def _play(site: Site, options: argparse.Namespace) -> day.Day:
    played = day.play(site, read(options.trace), day=options.day, seconds=options.seconds)
    title = (
        f"Day {options.day} of {options.trace.stem} in {options.seconds:g} s through the real"
        f" Prometheus, KEDA, HPA and scheduler; start-up {day.START_UP_SECONDS:g} s,"
        f" {day.START_UP_SECONDS * 86_400 / options.seconds / 60:g} min of that day"
    )
    options.svg.write_text(day.drawn(played, seconds=options.seconds, title=title))
    if options.json:
        options.json.write_text(day.written(played))
    print(f"{options.svg}: {played.delayed_ratio:.1%} of the requests found every replica busy")
    return played


def _draw_dashboards(site: Site, options: argparse.Namespace, played: day.Day) -> None:
    dashboard_pictures.draw(
        site,
        options.dashboards,
        dawn_seconds=played.dawn_seconds,
        seconds=options.seconds,
        day=f"day {options.day} of {options.trace.stem}",
    )


def _play_nodes(site: Site, options: argparse.Namespace) -> None:
    trace, seconds = read(options.trace), options.seconds
    site.bed.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "foresail"}})
    node_day.start_scheduler(site.bed)
    print(node_day.HEAD)
    days = []
    for foresail in (True, False):
        played = node_day.play(site, trace, day=options.day, seconds=seconds, foresail=foresail)
        print(played.text, flush=True)
        days.append(played)
    minute = 60 * seconds / node_day.DAY_SECONDS
    title = (
        f"Day {options.day} of {options.trace.stem} in {seconds:g} s, everything real but the"
        f" engines and machines; 10 s are {10 / minute:.0f} min of that day"
    )
    options.svg.write_text(drawn(days, seconds=seconds, title=title))
    if options.json:
        options.json.write_text(node_day.written(days))
    print(options.svg)


if __name__ == "__main__":
    main()
