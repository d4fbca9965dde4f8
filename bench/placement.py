"""Placement rules on the openb traces, by the protocol of FGD (Weng et al., USENIX ATC 2023).

Pods only arrive, each is tried once; `allocation_100` is the mean GPU allocation while 99.5 to
100.5 % of the cluster is asked for, `allocation_130` the one at the end. Nodes stand in a seeded
order, and ties go to the first. The mix is the trace's own, or with `--mix` that of another trace.
The rule's constants come from `bench placement_constants`, which reads none of the traces.
`--via http` asks the extender, which has all the time it wants; `--via hurry` asks it as it ships,
pod after pod, so that it works nothing out in between: the worst case of an answer in no time.
With `--load` pods also leave: `allocation_100` is then the mean over two lifetimes, `ceiling_100`
what it would be if every pod found room. `foresail-learning` is told no mix: it learns what comes.
`bound` is no rule but a linear programme that no rule exceeds. `bound-taking-all` is the same for
rules that place each pod which finds room, as kube-scheduler and all rules here do.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.progress import Progress

from bench._placement_rules import RULES
from bench._placement_run import Outcome, fill_up, with_departures
from bench._placement_trace import arrivals, in_random_order, mix_of, nodes_of, pods_of
from bench._report import Row, show
from bench._seeds import seeds
from scheduler.placement import Node, Shape

_BOUND, _TAKING_ALL = "bound", "bound-taking-all"
_BOUNDS = (_BOUND, _TAKING_ALL)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench placement", description=__doc__)
    parser.add_argument("--nodes", type=Path, required=True, help="CSV of openb's nodes")
    parser.add_argument("--pods", type=Path, required=True, nargs="+", help="CSVs of openb's pods")
    parser.add_argument(
        "--policies", type=_policies, default=[*RULES, *_BOUNDS], help="with commas; default: all"
    )
    parser.add_argument("--seeds", type=seeds, default=seeds("42-51"), help="such as 42-51")
    parser.add_argument(
        "--via", choices=("function", "http", "hurry"), default="function",
        help="how Foresail's rule is asked: directly, through the extender, or with no lull",
    )  # fmt: skip
    parser.add_argument("--mix", type=Path, help="CSV of the pods that are expected instead")
    parser.add_argument("--load", type=float, help="pods leave, and ask for so much of the GPUs")
    parser.add_argument("--quick", action="store_true", help="one seed, no bounds")
    parser.add_argument("--json", type=Path, help="file for the rows as JSON")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds = options.seeds[:1]
        options.policies = [name for name in options.policies if name not in _BOUNDS]
    rows: list[Row] = []
    with Progress(transient=True) as progress:
        runs = len(options.pods) * len(options.policies) * len(options.seeds)
        task = progress.add_task("placing", total=runs)
        for path in options.pods:
            for policy in options.policies:
                outcomes = []
                for seed in options.seeds:
                    outcomes.append(_outcome(policy, path, seed, options))
                    rows.append(_row(path, policy, seed, outcomes[-1]))
                    progress.advance(task)
                rows.append(_row(path, policy, "mean", _mean(outcomes)))
    show("placement", vars(options), rows, options.json)


def _outcome(policy: str, path: Path, seed: int, options: argparse.Namespace) -> Outcome:
    nodes, pods = nodes_of(options.nodes), pods_of(path)
    if policy in _BOUNDS:
        return _bound(policy, nodes, pods, seed)
    mix = mix_of(pods_of(options.mix) if options.mix else pods)
    if options.via != "function" and policy == "foresail":
        from bench._placement_http import over_http  # noqa: PLC0415 only where it is asked for

        return over_http(nodes, pods, mix, seed, in_a_hurry=options.via == "hurry")
    if options.load is not None:
        return with_departures(nodes, pods, mix, seed, RULES[policy], load=options.load)
    return fill_up(nodes, pods, mix, seed, RULES[policy])


def _bound(policy: str, nodes: Sequence[Node], pods: Sequence[Shape], seed: int) -> Outcome:
    # Only the bounds need the solver, which only the benchmarks' environment has.
    from bench._placement_bound import bound_milli, bound_taking_all_milli  # noqa: PLC0415

    capacity = sum(sum(node.gpus_milli) for node in nodes)
    random = np.random.default_rng(seed)
    in_random_order(nodes, random)  # the arrivals are those that the rules meet
    arriving = arrivals(pods, capacity, random)
    asked = np.cumsum([shape.total_milli for shape in arriving])
    until_100 = arriving[: int(np.searchsorted(asked, capacity))]
    bound = bound_milli if policy == _BOUND else bound_taking_all_milli
    return Outcome(
        allocation_100=100 * bound(nodes, until_100) / capacity,
        allocation_130=100 * bound(nodes, arriving) / capacity,
        multi_gpu_accepted_100=None,
        frag_100=None,
        pods_per_second=None,
    )


def _mean(outcomes: Sequence[Outcome]) -> Outcome:
    def mean(name: str) -> float | None:
        values = [getattr(outcome, name) for outcome in outcomes]
        return None if None in values else float(np.mean(values))

    return Outcome(
        allocation_100=float(np.mean([outcome.allocation_100 for outcome in outcomes])),
        allocation_130=mean("allocation_130"),
        multi_gpu_accepted_100=mean("multi_gpu_accepted_100"),
        frag_100=mean("frag_100"),
        pods_per_second=mean("pods_per_second"),
        ceiling_100=mean("ceiling_100"),
    )


def _row(path: Path, policy: str, seed: int | str, outcome: Outcome) -> Row:
    return {"trace": path.stem, "policy": policy, "seed": seed, **asdict(outcome)}


def _policies(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in {*RULES, *_BOUNDS}]
    if unknown:
        message = f"no policy {unknown[0]!r}; there are {', '.join([*RULES, *_BOUNDS])}"
        raise argparse.ArgumentTypeError(message)
    return names


if __name__ == "__main__":
    main([])
