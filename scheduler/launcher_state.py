"""What is known of the launchers of a cluster, kept in step with its pods and with their answers.

A node without launchers has no sleepers: that is known. The sleepers of a node with launchers are
unknown until all of them have answered, and again as soon as one of them is new or has moved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from fleet.cluster.pods import Pod
from scheduler.hot_starts import HotStart, NodeGpus, hot_start
from scheduler.launchers import Config, Instance, Launcher, held_gpus, launcher_of

_CHANCES_MAX: Final = 256
"""Of each node that are kept; a node of 8 GPUs that serves ten models has hardly as many."""
_Question: TypeAlias = tuple[Config | None, int, int, int]
"""Configuration and GPUs of a pod; GPUs of the node, and those that are taken."""


@dataclass(slots=True)
class _Node:
    """By the UIDs of pods."""

    launchers: dict[str, Launcher] = field(default_factory=dict)
    instances: dict[str, tuple[Instance, ...]] = field(default_factory=dict)
    """Of the launchers that have answered."""
    held: dict[str, frozenset[str]] = field(default_factory=dict)
    """By requester."""
    chances: dict[_Question, HotStart] = field(default_factory=dict)
    """That were worked out since the node last changed."""

    def forget(self, uid: str) -> None:
        for one in (self.launchers, self.instances, self.held):
            one.pop(uid, None)
        self.chances.clear()


class LauncherState:
    """Launchers, their instances, and the GPUs that requesters hold, by node."""

    def __init__(self) -> None:
        self.changes = 0
        """Counts what changed the sleepers that are known of any node."""
        self._nodes: dict[str, _Node] = {}
        self._node_of: dict[str, str] = {}

    @property
    def launchers(self) -> tuple[Launcher, ...]:
        """All that run on a node, to be asked."""
        return tuple(one for node in self._nodes.values() for one in node.launchers.values())

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes with launchers."""
        return tuple(name for name, node in self._nodes.items() if node.launchers)

    def changed(self, pod: Pod) -> None:
        """Take a pod that is new or has changed."""
        launcher, held = launcher_of(pod), held_gpus(pod) if pod.node else frozenset[str]()
        before = self._nodes.get(self._node_of.get(pod.uid, ""))
        if before is not None and self._node_of[pod.uid] == pod.node:
            is_same = before.launchers.get(pod.uid) == launcher
            if is_same and before.held.get(pod.uid, frozenset()) == held:
                return  # it is where it was, and what it answered stands
        self.gone(pod.uid)
        if pod.node is None or (launcher is None and not held):
            return
        self.changes += 1
        node = self._nodes.setdefault(pod.node, _Node())
        self._node_of[pod.uid] = pod.node
        if launcher is not None:
            node.launchers[pod.uid] = launcher
        if held:
            node.held[pod.uid] = held
        node.chances.clear()

    def gone(self, uid: str) -> None:
        """Forget a pod that has ended or was deleted."""
        name = self._node_of.pop(uid, None)
        if name is None:
            return
        self.changes += 1
        node = self._nodes[name]
        node.forget(uid)
        if not node.launchers and not node.held:
            del self._nodes[name]

    def answered(self, answers: Mapping[Launcher, tuple[Instance, ...] | None]) -> None:
        """Take what launchers answered; None = one gave no usable answer.

        An answer of a launcher that has gone or moved since it was asked is left out.
        """
        for launcher, instances in answers.items():
            node = self._nodes.get(launcher.node)
            if node is None or node.launchers.get(launcher.uid) != launcher:
                continue
            if node.instances.get(launcher.uid) == instances:
                continue
            self.changes += 1
            node.chances.clear()
            if instances is None:
                del node.instances[launcher.uid]
            else:
                node.instances[launcher.uid] = instances

    def hot_start(
        self, name: str, config: Config | None, asked: int, *, gpus: int, taken: int
    ) -> HotStart:
        """The chances of a pod on a node.

        Args:
            name: of the node.
            config: that the pod wants to be served; None = it is no requester.
            asked: GPUs of the pod.
            gpus: that the node has.
            taken: of them, those that pods ask for.
        """
        node, question = self._nodes.get(name, _NOTHING), (config, asked, gpus, taken)
        found = node.chances.get(question)
        if found is None:
            found = hot_start(config, asked, self.node(name, gpus=gpus, taken=taken))
            if len(node.chances) < _CHANCES_MAX and node is not _NOTHING:
                node.chances[question] = found
        return found

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


_NOTHING = _Node()
