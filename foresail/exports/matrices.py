"""Range answers of Prometheus: JSON saved with curl or `promtool -o json`, and promtool's text.

{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {…}, "values": …}]}}

up{job="node"} =>
1 @[1700000000]
1 @[1700000060.5]
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from foresail.exports.errors import ExportError
from foresail.exports.found import FoundSeries, Points
from foresail.exports.labels import labels_of

JSON_BYTES_MAX: Final = 256 * 2**20
_POINT: Final = re.compile(r"(\S+) @\[([0-9.eE+-]+)\]")
ARROW: Final = "=>"


class _Series(BaseModel):
    model_config = ConfigDict(frozen=True)

    metric: dict[str, str]
    values: list[tuple[float, str]] = []


_MATRIX: Final = TypeAdapter(list[_Series])


def read_json(path: Path, points: Points) -> int:
    """Hand on the samples of an answer; returns the number of series.

    Raises:
        ExportError: it is too large, an error of Prometheus, or no matrix.
    """
    if path.stat().st_size > JSON_BYTES_MAX:
        raise ExportError(
            f"{path}: {path.stat().st_size / 2**20:.0f} MiB of JSON; at most"
            f" {JSON_BYTES_MAX // 2**20} are read at once: save shorter ranges into one folder, or"
            " use `promtool tsdb dump`, which is read line by line"
        )
    try:
        answer = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ExportError(f"{path}: line {error.lineno}: no JSON: {error.msg}") from error
    result = _result(path, answer)
    try:
        matrix = _MATRIX.validate_python(result)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise ExportError(
            f"{path}: result.{where}: {fault['msg']}: no answer of a Prometheus' query_range"
        ) from error
    for one in matrix:
        series = FoundSeries(labels=one.metric, title="" if one.metric else path.stem)
        if points.wants(series):
            _add_all(path, series, one.values, points)
    return len(matrix)


def _result(path: Path, answer: object) -> object:
    if isinstance(answer, list):
        return answer
    if isinstance(answer, dict):
        if answer.get("status") == "error":
            raise ExportError(f"{path}: Prometheus answered: {str(answer.get('error'))[:200]}")
        data = answer.get("data")
        if isinstance(data, dict):
            kind = data.get("resultType")
            if kind != "matrix":
                raise ExportError(
                    f"{path}: a {kind} has one moment only: save an answer of /api/v1/query_range,"
                    " or of /api/v1/query with a range such as vllm:num_requests_running[7d]"
                )
            return data.get("result")
    raise ExportError(f"{path}: no answer of a Prometheus' query_range: no data.result in it")


def _add_all(
    path: Path, series: FoundSeries, values: Iterable[tuple[float, str]], points: Points
) -> None:
    for at, text in values:
        try:
            points.add(series, at, float(text))
        except ValueError as error:
            raise ExportError(f"{path}: {series.shown}: {text[:40]!r} at {at}: {error}") from None


def read_promtool(lines: Iterable[str], points: Points, *, path: Path) -> int:
    """Hand on the samples of `promtool query range`; returns the number of series.

    Raises:
        ExportError: a line that is neither a series nor a point.
    """
    series, wanted, count = None, False, 0
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        if text.endswith(ARROW):
            head = text.removesuffix(ARROW).strip()
            labels = labels_of(head or "{}")
            if labels is None:
                raise ExportError(f"{path}: line {number}: {text[:80]!r} is no series")
            series = FoundSeries(labels=labels, title="" if labels else path.stem)
            wanted, count = points.wants(series), count + 1
            continue
        found = _POINT.fullmatch(text)
        if found is None or series is None:
            raise ExportError(
                f"{path}: line {number}: {text[:80]!r} is no point of `promtool query range`"
            )
        if wanted:
            try:
                points.add(series, float(found[2]), float(found[1]))
            except ValueError as error:
                raise ExportError(f"{path}: line {number}: {text[:80]!r}: {error}") from None
    return count
