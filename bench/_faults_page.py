"""The page "When things fail", made from the rows of `python -m bench faults`."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final

from bench._faults_row import Fault
from bench._report import Row

_HEAD: Final = """\
# When things fail

| if this fails | then |
|---|---|
| Prometheus, another source | the last plan for 5 minutes, then an error: KEDA's `fallback` acts |
| one of two `foresail serve` | the other answers |
| all of them, or KEDA | replicas stay as they are |
| the controller | holds and orders stay until its next round or `foresail controller --withdraw` |
| the extender | kube-scheduler binds without it |
| the webhook | pods that state a need are refused, and made later; others are admitted |
| the agent, the console, a file | no replica or node moves; the missing part is unknown |

The rest of this page is the evidence, one fault a row. Each is injected by a command or by a test,
with what is expected and what was observed. `python -m bench faults` runs them
(`--only NAME` one, `--part PART` those of one process); rows of the real control plane
need the programs of `make e2e` and its `FORESAIL_BED`.
This page is written by the same command:

```sh
python -m bench faults --json rows.json
python -m bench faults --rows rows.json --page docs/when-things-fail.md
```

* **wrong** counts scale-downs that the demand does not allow: replicas, nodes or answers below what
  is needed at the time. A dash: the failing part decides no scale-down.
* **lost** counts calls, readings, answers or records that got lost. Where no server runs
  it is the number of KEDA's polls that failed; KEDA then leaves the replicas as they are.
* **recovered** is the time from the end of the fault until all is as before, in seconds. A dash:
  nothing has to recover.
* **by** says how the fault is injected: *bed* = the real KEDA, HPA, kube-scheduler or Karpenter;
  *process* = real processes on loopback; *test* = the shipped code in a test, often in
  simulated time; *model* = the shipped reader, forecasters and plans in simulated time.

Times are of a machine of two cores that was busy with other things. On the bed one cycle a second,
a poll each 3 s and 300 objects take the place of slower cycles and more objects.

What to do about an alert is in the [runbook](runbook.md); why replicas stay is in
[how it works](how-it-works.md#failures).
"""
_TABLE: Final = (
    "| fault | expected | observed | wrong | lost | recovered | by |\n"
    "|---|---|---|---:|---:|---:|---|\n"
)


def page(faults: Sequence[Fault], rows: Sequence[Row]) -> str:
    """The page; each fault must have its row."""
    of = {str(row["fault"]): row for row in rows}
    text = _HEAD
    for part, group in groupby(faults, key=lambda one: one.part):
        lines = "".join(_line(one, of[one.name]) for one in group)
        text += f"\n## {part.capitalize()}\n\n{_TABLE}{lines}"
    return text


def _line(fault: Fault, row: Row) -> str:
    observed = str(row["observed"]) if row["ok"] else f"**not ok**: {row['observed']}"
    cells = [
        f"`{fault.name}`: {fault.fault}",
        fault.expected,
        observed,
        *(_number(row, field) for field in ("wrong_scale_downs", "lost", "recovered_seconds")),
        fault.by,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _number(row: Mapping[str, object], field: str) -> str:
    match row[field]:
        case float() as seconds:
            return f"{seconds:.1f}"
        case None:
            return "–"
        case other:
            return str(other)
