"""The engines that make inputs: atheris, which follows the branches taken, or Hypothesis."""

import atexit
import importlib.util
import json
import signal
import sys
from pathlib import Path
from types import FrameType

import click
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

INPUT_BYTES_MAX = 4096


def name() -> str:
    """Atheris where it is installed, as `make fuzz` does, else Hypothesis."""
    return "hypothesis" if importlib.util.find_spec("atheris") is None else "atheris"


def run(target: str, *, runs: int, seconds: int, hang_seconds: int, folder: Path) -> None:
    """Run one target to its end, in this process, which atheris then ends itself."""
    if name() == "atheris":
        _with_atheris(target, runs=runs, seconds=seconds, hang_seconds=hang_seconds, folder=folder)
    else:
        _with_hypothesis(target, runs=runs, hang_seconds=hang_seconds)


def _with_atheris(target: str, *, runs: int, seconds: int, hang_seconds: int, folder: Path) -> None:
    import atheris  # noqa: PLC0415 it is there

    with atheris.instrument_imports(include=["fleet", "scaler", "scheduler", "replay", "foresail"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 instrumented

    chosen = TARGETS[target]
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(chosen.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [
        f"-atheris_runs={runs}",
        f"-max_total_time={seconds}",
        f"-timeout={hang_seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-artifact_prefix={folder}/",
        "-rss_limit_mb=2048",
    ]
    if chosen.words:
        words = folder / "words"
        words.write_text("".join(f"{json.dumps(word)}\n" for word in chosen.words))
        options.append(f"-dict={words}")
    # Else its clock, which watches for hangs, may end a process that is over already.
    atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
    atheris.Setup([sys.argv[0], *options, str(corpus)], chosen.run)
    atheris.Fuzz()


def _with_hypothesis(target: str, *, runs: int, hang_seconds: int) -> None:
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 atheris must import it itself

    chosen, count = TARGETS[target], 0

    @settings(
        max_examples=runs,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(chosen.seeds, chosen.words))
    def every(data: bytes) -> None:
        nonlocal count
        count += 1
        signal.alarm(hang_seconds)
        chosen.run(data)
        signal.alarm(0)

    def hangs(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"one input takes over {hang_seconds} s")

    signal.signal(signal.SIGALRM, hangs)
    try:
        every()
    finally:
        click.echo(f"Done {count} in this run", err=True)


def inputs(seeds: tuple[bytes, ...], words: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """Any bytes, and the seeds with pieces replaced by bytes and words."""
    pieces = st.binary(max_size=16)
    if words:
        pieces |= st.sampled_from([word.encode() for word in words])
    edits = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 64), pieces), max_size=8)
    return st.binary(max_size=256) | st.builds(_edited, st.sampled_from(seeds), edits)


def _edited(seed: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for where, length, piece in edits:
        at = where % (len(seed) + 1)
        seed = seed[:at] + piece + seed[at + length :]
    return seed[:INPUT_BYTES_MAX]
