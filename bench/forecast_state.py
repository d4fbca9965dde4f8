"""`python -m bench forecast_state`: the memory that the forecasts of many workloads take.

A few forecasters live through some days of made traffic (daily waves of counts, bursts on the
half-hour, on and off, a walk); then as many as were asked for are restored from their snapshots,
as after a restart, and what the process has grown by is what they take: arrays, Python's objects
and the allocator's losses alike. A forecaster's state grows with the situations it has met until
its leaves are all in use; how many are is shown beside it, and the CPU to pack one and unpack the
next, which a step of each costs. Then one workload's state is written and
read as `foresail serve` does for its disk and its peers: how many bytes, and how much CPU each way.
"""

import argparse
import gc
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time

import numpy as np

from bench._report import Row, show
from scaler.decision.tracker import DemandTracker
from scaler.forecast.forecaster import Forecaster
from scaler.forecast.packed import PackedForecaster, SharedForecasters
from scaler.state.feed_bytes import decode_feed, encode_feed
from scaler.state.records import FeedState

STEP_SECONDS = 60.0
DAY_STEPS = 1440
BURST_STEPS = 3
REPEATS = 200
HORIZONS_SECONDS = (60.0, 180.0, 300.0, 600.0, 900.0, 1800.0)

Value = Callable[[int], float]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench forecast_state", description=__doc__)
    parser.add_argument("--workloads", type=int, default=2000, help="whose forecasts are saved")
    parser.add_argument("--series", type=int, default=2, help="of each workload")
    parser.add_argument("--days", type=float, default=3.0, help="that each shape lives through")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    lived = lived_through(options.days)
    snapshots = [forecaster.snapshot() for forecaster in lived]
    count = options.workloads * options.series
    kept, grown = restored(snapshots, count)
    packing = _cpu_ms(lambda: _use(kept[: len(snapshots)]))
    row: Row = {
        "workloads": options.workloads,
        "series": options.series,
        "state_mib": grown,
        "series_kib": 1024 * grown / count,
        "snapshot_kib": float(np.mean([len(snapshot) for snapshot in snapshots])) / 1024,
        "packing_cpu_ms": packing / len(snapshots),
        "leaves_used": max(forecaster.leaves_used for forecaster in lived),
        **_written(lived),
    }
    show("forecast_state", vars(options), [row], options.json)


def lived_through(days: float) -> Sequence[Forecaster]:
    """One forecaster of each shape."""
    return [_lived(shape, round(days * DAY_STEPS)) for shape in _shapes()]


def restored(snapshots: Sequence[bytes], count: int) -> tuple[Sequence[PackedForecaster], float]:
    """As many forecasters, and the MiB that they take."""
    forecasters = SharedForecasters()
    kept = [_restored(forecasters, snapshots[0])]
    before = resident_mib()
    kept += [_restored(forecasters, snapshots[n % len(snapshots)]) for n in range(count)]
    return kept, resident_mib() - before


def _use(forecasters: Sequence[PackedForecaster]) -> None:
    """Have each computed with once, which packs the one before."""
    for forecaster in forecasters:
        forecaster.relabel(0.0)


def _written(lived: Sequence[Forecaster]) -> Row:
    """Bytes of one workload's state, and the CPU to write and to read it."""
    shapes = iter(lived)
    tracker = DemandTracker(lambda _: next(shapes), step_seconds=STEP_SECONDS)
    empty = DemandTracker(lambda _: _forecaster(), step_seconds=STEP_SECONDS)

    def write() -> bytes:
        return encode_feed(FeedState(key="bench", taken_at_seconds=0.0, tracker=tracker.state()))

    def read() -> DemandTracker:
        restored = empty.beginning()
        restored.resume(decode_feed(payload).tracker)
        return restored

    payload = write()
    return {
        "workload_kib": len(payload) / 1024,
        "write_cpu_ms": _cpu_ms(write),
        "read_cpu_ms": _cpu_ms(read),
    }


def _cpu_ms(work: Callable[[], object]) -> float:
    begun = process_time()
    for _ in range(REPEATS):
        work()
    return 1000 * (process_time() - begun) / REPEATS


def _forecaster() -> Forecaster:
    return Forecaster(
        signal="tokens",
        step_seconds=STEP_SECONDS,
        horizons_seconds=HORIZONS_SECONDS,
        start=0.0,
        tz="Europe/Berlin",
    )


def _lived(value: Value, steps: int) -> Forecaster:
    forecaster = _forecaster()
    for step in range(steps):
        forecaster.update(step * STEP_SECONDS, value(step))
    return forecaster


def _restored(forecasters: SharedForecasters, snapshot: bytes) -> PackedForecaster:
    forecaster = forecasters.packed("tokens", _forecaster)
    forecaster.restore(snapshot)
    forecaster.forecast()
    return forecaster


def _shapes() -> tuple[Value, ...]:
    noise = np.random.default_rng(11)
    walk = 100.0

    def wave(step: int) -> float:
        return float(noise.poisson(60 + 50 * np.sin(step * 2 * np.pi / DAY_STEPS)))

    def bursts(step: int) -> float:
        return float(noise.poisson(400 if step % 30 < BURST_STEPS else 50))

    def on_and_off(step: int) -> float:
        return 500.0 * noise.random() if step // 200 % 2 else 0.0

    def walking(_step: int) -> float:
        nonlocal walk
        walk = max(1.0, walk * float(np.exp(noise.normal(0, 0.1))))
        return walk

    return wave, bursts, on_and_off, walking


def resident_mib() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20
