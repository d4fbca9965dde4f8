"""The process that replays a pool's last days: one for each choice, at the lowest priority.

It takes the input as JSON on its standard input, and writes the choice as JSON to its output. What
it has to say beside that goes to the controller's log.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from typing import Final

from pydantic import TypeAdapter, ValidationError

from policies.planning.tuning import NoChoice, TuningInput, TuningRecord
from scaler.errors import ForesailError

SECONDS_MAX: Final = 600.0
"""A choice takes about ten seconds."""
COMMAND: Final = (sys.executable, "-m", "foresail.controller.tuning_worker")
_NICENESS: Final = 19
_INPUT: Final = TypeAdapter(TuningInput)
_CHOICE: Final[TypeAdapter[TuningRecord | NoChoice]] = TypeAdapter(TuningRecord | NoChoice)


class TuningFailedError(ForesailError):
    """No choice came of a night; the message says why."""


async def choose_apart(
    given: TuningInput,
    command: Sequence[str] = COMMAND,
    seconds_max: float = SECONDS_MAX,
) -> TuningRecord | NoChoice:
    """Have a choice made by a process of its own, which is ended when it takes too long.

    Raises:
        TuningFailedError: it could not be started, failed, or took longer than `seconds_max`.
    """
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env={**os.environ, **single}
        )
    except OSError as error:
        raise TuningFailedError(f"no process could be started: {error.strerror}") from error
    try:
        async with asyncio.timeout(seconds_max):
            output, _ = await process.communicate(_INPUT.dump_json(given))
    except TimeoutError:
        raise TuningFailedError(f"it took longer than {seconds_max:g} s and was ended") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise TuningFailedError(f"its process ended with {process.returncode}")
    try:
        return _CHOICE.validate_json(output)
    except ValidationError as error:
        raise TuningFailedError(f"its answer cannot be read: {error.errors()[0]['msg']}") from error


def main() -> None:
    os.nice(_NICENESS)
    from replay.pool_tuning import choose_for_pool  # noqa: PLC0415  # only this process replays

    given = _INPUT.validate_json(sys.stdin.buffer.read())
    sys.stdout.buffer.write(_CHOICE.dump_json(choose_for_pool(given)))


if __name__ == "__main__":
    main()
