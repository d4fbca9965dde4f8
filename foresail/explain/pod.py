"""Why a pod was placed where it was: a JSON-able account of one answer, and its text."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from scheduler.score.answers import PODS_MAX, Answers, PlacementAnswer
from scheduler.score.terms import TERMS

Account = dict[str, Any]


def explained(request: web.Request, answers: Answers, *, now_seconds: float) -> web.Response:
    """The page `/explain/pods/{namespace}/{name}`."""
    name = f"{request.match_info['namespace']}/{request.match_info['name']}"
    answer = answers.of(name)
    if answer is None:
        why = (
            f"no answer about pod {name} is kept: only the last {PODS_MAX} pods' are, since this "
            "process began, and only of pods with its schedulerName; with two replicas, ask the "
            "one that leads\n"
        )
        return web.Response(status=404, text=why)
    payload = account(answer, now_seconds=now_seconds)
    if "json" in request.headers.get("Accept", "") or request.query.get("format") == "json":
        return web.json_response(payload)
    return web.Response(text=text(payload))


def account(answer: PlacementAnswer, *, now_seconds: float) -> Account:
    """Everything that is kept of one answer.

    Args:
        now_seconds: by the clock of the answer.
    """
    return {
        "pod": answer.pod,
        "uid": answer.uid,
        "answered_seconds_ago": round(now_seconds - answer.at_seconds, 1),
        "nodes_asked": answer.asked,
        "nodes_passed": answer.passed,
        "note": answer.note,
        "candidates": [
            {
                "node": one.node,
                "score": one.score,
                "milli": round(one.milli, 1),
                "columns": {term.name: round(milli, 1) for term, milli in one.columns.items()},
            }
            for one in answer.candidates
        ],
        "refusals": [
            {
                "reason": one.reason,
                "nodes": one.nodes,
                "examples": list(one.examples),
                "for_now": one.for_now,
            }
            for one in answer.refusals
        ],
        "reasons_left_out": answer.reasons_left_out,
    }


def text(payload: Mapping[str, Any]) -> str:
    """The account as lines for a terminal or `curl`."""
    passed, asked = payload["nodes_passed"], payload["nodes_asked"]
    ago = f"answered {payload['answered_seconds_ago']:.0f} s ago"
    lines = [f"{payload['pod']}: {passed} of {asked} nodes can take it, {ago}"]
    if payload["note"]:
        lines.append(f"  note: {payload['note']}")
    if payload["candidates"]:
        lines += _columns(payload["candidates"])
    elif passed:
        lines.append(
            "  no node was scored: kube-scheduler did not ask, or nothing is known of them"
        )
    if payload["refusals"]:
        lines.append("refused:")
    for one in payload["refusals"]:
        when = "for now" if one["for_now"] else "even if empty"
        named = ", ".join(one["examples"])
        more = ", ..." if one["nodes"] > len(one["examples"]) else ""
        lines.append(f"  {one['nodes']:6,} {when}: {one['reason']} ({named}{more})")
    if payload["reasons_left_out"]:
        lines.append(f"  and for {payload['reasons_left_out']:,} other reasons")
    return "\n".join(lines) + "\n"


def summary(payload: Mapping[str, Any]) -> str:
    """The account in one line, for an Event."""
    passed, asked = payload["nodes_passed"], payload["nodes_asked"]
    head = f"{passed} of {asked} nodes can take it"
    if payload["candidates"]:
        best = payload["candidates"][0]
        terms = ", ".join(f"{name} {milli:+,.0f}" for name, milli in best["columns"].items())
        head += f"; best is {best['node']}: {best['milli']:+,.0f} thousandths of a GPU ({terms})"
    refused = "; ".join(f"{one['nodes']}: {one['reason']}" for one in payload["refusals"][:3])
    note = f"; {payload['note']}" if payload["note"] else ""
    return head + (f"; refused {refused}" if refused else "") + note


def _columns(candidates: list[Account]) -> list[str]:
    """One column a node, one row a term that counts for any of them."""
    names = {name for one in candidates for name in one["columns"]}
    shown = [term.name for term in TERMS if term.name in names]
    rows = [("thousandths of a GPU", [one["node"] for one in candidates])]
    rows += [
        (name, [f"{one['columns'].get(name, 0):+,.0f}" for one in candidates]) for name in shown
    ]
    rows.append(("sum", [f"{one['milli']:+,.0f}" for one in candidates]))
    rows.append(("score", [str(one["score"]) for one in candidates]))
    first = max(len(name) for name, _ in rows)
    widths = [max(len(cells[at]) for _, cells in rows) for at in range(len(candidates))]
    return [
        f"  {name:<{first}}  "
        + "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for name, cells in rows
    ]
