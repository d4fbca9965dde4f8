"""What is known of the launchers of a cluster, kept in step with its pods and with their answers.

A node without launchers has no sleepers: that is known. The sleepers of a node with launchers are
unknown until all of them have answered, and again as soon as one of them is new or has moved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scheduler.hot_starts import NodeGpus, hot_start
from scheduler.launchers import Config, Instance, Launcher, held_gpus, launcher_of

Json = Mapping[str, Any]
_Key = tuple[str, str]
"""Namespace and name of a pod."""


@dataclass(slots=True)
class _Node:
    launchers: dict[_Key, Launcher] = field(default_factory=dict)
    instances: dict[_Key, tuple[Instance, ...]] = field(default_factory=dict)
    """Of the launchers that have answered."""
    held: dict[_Key, frozenset[str]] = field(default_factory=dict)
    """By requester."""

    def forget(self, key: _Key) -> None:
        for one in (self.launchers, self.instances, self.held):
            one.pop(key, None)


class LauncherState:
    """Launchers, their instances, and the GPUs that requesters hold, by node."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._node_of: dict[_Key, str] = {}

    @property
    def launchers(self) -> tuple[Launcher, ...]:
        """All that run on a node, to be asked."""
        return tuple(one for node in self._nodes.values() for one in node.launchers.values())

    def changed(self, pod: Json) -> None:
        """Take a pod that is new or has changed."""
        key, launcher, held = _key(pod), launcher_of(pod), held_gpus(pod)
        name = str((pod.get("spec") or {}).get("nodeName") or "")
        before = self._nodes.get(self._node_of.get(key, ""))
        if launcher is not None and before is not None and before.launchers.get(key) == launcher:
            return  # it is where it was, and what it answered stands
        self._forget(key)
        if not name or (launcher is None and not held):
            return
        node = self._nodes.setdefault(name, _Node())
        self._node_of[key] = name
        if launcher is not None:
            node.launchers[key] = launcher
        if held:
            node.held[key] = held

    def gone(self, pod: Json) -> None:
        """Forget a pod that was deleted."""
        self._forget(_key(pod))

    def answered(self, answers: Mapping[Launcher, tuple[Instance, ...] | None]) -> None:
        """Take what launchers answered; None = one gave no usable answer.

        An answer of a launcher that has gone or moved since it was asked is left out.
        """
        for launcher, instances in answers.items():
            key = (launcher.namespace, launcher.name)
            node = self._nodes.get(launcher.node)
            if node is None or node.launchers.get(key) != launcher:
                continue
            if instances is None:
                node.instances.pop(key, None)
            else:
                node.instances[key] = instances

    def node(self, name: str, *, gpus: int, taken: int) -> NodeGpus:
        """What hot starts on a node depend on.

        Args:
            name: of the node.
            gpus: that it has.
            taken: that pods ask for.
        """
        node = self._nodes.get(name, _NOTHING)
        silent = node.launchers.keys() - node.instances.keys()
        instances = tuple(one for found in node.instances.values() for one in found)
        return NodeGpus(
            gpus=gpus,
            taken=taken,
            held=frozenset[str]().union(*node.held.values()),
            instances=None if silent else instances,
        )

    def column(
        self, config: Config | None, gpus: int, nodes: Sequence[tuple[str, int, int]]
    ) -> NDArray[np.float64]:
        """The term `hot_start` of the score: thousandths of a GPU a node, more is better.

        Nodes without launchers, and those of which a launcher is silent, get 0.

        Args:
            config: that the pod wants to be served; None = it is no requester.
            gpus: that the pod asks for.
            nodes: name, GPUs, and GPUs that pods ask for, in the order of the result.
        """
        column = np.zeros(len(nodes))
        for at, (name, total, taken) in enumerate(nodes):
            if name in self._nodes:
                node = self.node(name, gpus=total, taken=taken)
                column[at] = hot_start(config, gpus, node).milli
        return column

    def _forget(self, key: _Key) -> None:
        name = self._node_of.pop(key, None)
        if name is None:
            return
        node = self._nodes[name]
        node.forget(key)
        if not node.launchers and not node.held:
            del self._nodes[name]


_NOTHING = _Node()


def _key(pod: Json) -> _Key:
    metadata = pod.get("metadata") or {}
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))
