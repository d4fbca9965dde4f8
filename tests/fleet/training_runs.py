"""Generated training runs: what each logs, and when it really ends."""

from dataclasses import dataclass

import numpy as np

from fleet.run_progress import Point

START = 1_800_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a run goes; seconds, and shares of its steps."""

    steps: int = 1000
    step_seconds: float = 6.0
    noise: float = 0.05
    """Standard deviation of a step's time ÷ the step's time."""
    warm_up: float = 0.0
    """Seconds before the first step, and steps that take ten times as long after it."""
    log_every: int = 10
    pause_every: int = 0
    """Steps between evaluations or checkpoints."""
    pause_seconds: float = 0.0
    slower_from: float = 1.0
    slower: float = 1.0
    crash_at: float = 0.0
    """It then loses what came since the last hundredth, and half an hour."""
    first_step: int = 0


SHAPES = {
    "even": Shape(noise=0.0),
    "noisy": Shape(noise=0.5),
    "long warm-up": Shape(warm_up=900.0),
    "logs seldom": Shape(log_every=100),
    "checkpoints": Shape(pause_every=50, pause_seconds=120.0),
    "evaluates each tenth": Shape(pause_every=100, pause_seconds=600.0),
    "slower from a third on": Shape(slower_from=0.3, slower=1.5),
    "faster from a third on": Shape(slower_from=0.3, slower=0.6),
    "crashed and resumed": Shape(crash_at=0.3),
    "continues another run": Shape(first_step=400, warm_up=300.0, noise=0.2),
}


def logged(shape: Shape, seed: int = 0) -> tuple[list[Point], float]:
    """All that the run logs, and its end."""
    noise = np.random.default_rng(seed)
    at, step, points = START + shape.warm_up, shape.first_step, []
    crash = int(shape.crash_at * shape.steps)
    while step < shape.steps:
        usual = shape.step_seconds * (
            shape.slower if step >= shape.slower_from * shape.steps else 1
        )
        slow = 10.0 if shape.warm_up and step < shape.first_step + 10 else 1.0
        at += max(0.1, usual * slow * (1 + shape.noise * noise.normal()))
        step += 1
        if step % shape.log_every == 0:
            points.append(Point(at_seconds=at, done=float(step)))
        if shape.pause_every and step % shape.pause_every == 0:
            at += shape.pause_seconds
        if crash and step == crash:
            at, step, crash = at + 1800.0, step - shape.steps // 20, 0
    return points, at
