"""The ResourceSlices of a cluster, by the node that their devices are on, and DeviceTaintRules.

The slices that are told here have the taints of rules in them.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Final

from fleet.cluster.devices import Slice
from fleet.cluster.taint_rules import RulesByPool, TaintRule, by_pool, tainted, with_unknown_taints
from scheduler.devices import allocatable
from scheduler.first_fit import Device

_OF_NO_NODE: Final = "it belongs to no single node"


class OfferedSlices:
    """As they are now."""

    def __init__(self) -> None:
        self._slices: dict[str, Slice] = {}
        self._untainted: dict[str, Slice] = {}
        """As drivers wrote them."""
        self._of_pool: defaultdict[str, set[str]] = defaultdict(set)
        """Names of slices."""
        self._rules: dict[str, TaintRule] = {}
        self._by_pool: RulesByPool = {}
        self._unread_rules: set[str] = set()
        self._rules_listed = True
        self._on: defaultdict[str, set[str]] = defaultdict(set)
        self._shared: dict[str, tuple[Device, ...]] = {}
        """Devices that belong to no single node, by slice."""

    @property
    def all(self) -> Collection[Slice]:
        return self._slices.values()

    def on(self, node: str) -> list[Slice]:
        """The slices with devices of one node."""
        return [self._slices[name] for name in sorted(self._on.get(node, ()))]

    @property
    def shared(self) -> Iterator[Device]:
        """The devices that belong to no single node."""
        return chain.from_iterable(self._shared.values())

    def put(self, record: Slice) -> list[str | None]:
        """The slice is there, or is not as it was; the nodes concerned, None for no single one."""
        before = self._without(record.name)
        self._untainted[record.name] = record
        self._of_pool[record.pool].add(record.name)
        if record.node is not None:
            self._on[record.node].add(record.name)
        self._taint(record.name)
        moved = before is not None and before.node != record.node
        return [before.node, record.node] if before is not None and moved else [record.node]

    def drop(self, name: str) -> list[str | None]:
        """The slice was deleted; the nodes concerned, None for no single one."""
        before = self._without(name)
        return [] if before is None else [before.node]

    def put_rule(self, rule: TaintRule) -> list[str | None]:
        """The rule is there, or is not as it was; the nodes concerned, None for no single one."""
        changed = self._forget_rule(rule.name)
        self._rules[rule.name] = rule
        return self._taint_all(changed | self._near(rule))

    def put_unread_rule(self, name: str) -> list[str | None]:
        """The rule is there and cannot be read; the nodes concerned, None for no single one."""
        self._rules.pop(name, None)
        self._unread_rules.add(name)
        return self._taint_all(set(self._untainted))

    def drop_rule(self, name: str) -> list[str | None]:
        """The rule was deleted; the nodes concerned, None for no single one."""
        return self._taint_all(self._forget_rule(name))

    def set_rules_listed(self, *, listed: bool) -> list[str | None]:
        """Whether the rules were listed and are followed since; without that there may be more.

        Returns:
            The nodes concerned, None for no single one.
        """
        if listed == self._rules_listed:
            return []
        self._rules_listed = listed
        return self._taint_all(set(self._untainted))

    def _forget_rule(self, name: str) -> set[str]:
        """Leave the rule out; the slices that it may have tainted."""
        if name in self._unread_rules:
            self._unread_rules.remove(name)
            return set(self._untainted)
        before = self._rules.pop(name, None)
        return set() if before is None else self._near(before)

    def _near(self, rule: TaintRule) -> set[str]:
        """The slices whose devices it may taint."""
        if rule.selector is None:
            return set()
        pool = rule.selector.pool
        return set(self._untainted) if pool is None else set(self._of_pool.get(pool, ()))

    def _taint_all(self, near: set[str]) -> list[str | None]:
        """Bring these slices up to date with the rules; the nodes of those that have changed."""
        self._by_pool = by_pool(self._rules.values())
        changed = [name for name in sorted(near) if self._taint(name)]
        return list(dict.fromkeys(self._slices[name].node for name in changed))

    def _taint(self, name: str) -> bool:
        """Make the slice as it is with the taints of rules; whether it is not as it was."""
        before = self._slices.get(name)
        one = tainted(self._untainted[name], self._by_pool)
        if self._unread_rules or not self._rules_listed:
            one = with_unknown_taints(one)
        self._slices[name] = one
        if one.node is None:
            self._shared[name] = tuple(allocatable(device, _OF_NO_NODE) for device in one.devices)
        return one != before

    def _without(self, name: str) -> Slice | None:
        """The slice as it was, which is not among the others any more."""
        before = self._slices.pop(name, None)
        if before is not None:
            del self._untainted[name]
            _discard(self._of_pool, before.pool, name)
            if before.node is not None:
                _discard(self._on, before.node, name)
        self._shared.pop(name, None)
        return before


def _discard(sets: defaultdict[str, set[str]], key: str, value: str) -> None:
    sets[key].discard(value)
    if not sets[key]:
        del sets[key]
