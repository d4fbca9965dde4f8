"""An import contract that names the edges: every other module is a rule, and must stay pure.

A module that nobody thought of is checked too, which a list of rules would not do.
"""

from typing import Any

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class PureByDefault(Contract):
    """No module outside the edges imports what does I/O, reads a clock or logs."""

    type_name = "pure_by_default"

    edges = fields.SetField(subfield=fields.StringField())
    """Modules and packages that may."""
    forbidden_modules = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: FBT001 its contract
        edges, forbidden = set(self.edges), set(self.forbidden_modules)  # type: ignore[call-overload]
        roots = set(self.session_options["root_packages"])
        unknown = sorted(edge for edge in edges if edge not in graph.modules)
        broken = [
            (module, imported)
            for module in sorted(graph.modules)
            if module.split(".")[0] in roots and not _within(module, edges)
            for imported in sorted(graph.find_modules_directly_imported_by(module))
            if _within(imported, forbidden)
        ]
        kept = not broken and not unknown
        return ContractCheck(kept=kept, metadata={"broken": broken, "unknown": unknown})

    def render_broken_contract(self, check: ContractCheck) -> None:
        metadata: dict[str, Any] = check.metadata
        for edge in metadata["unknown"]:
            output.print_error(f"no module {edge!r}: take it out of the edges")
        for module, imported in metadata["broken"]:
            output.print_error(
                f"{module} imports {imported}: a rule does no I/O; see CONTRIBUTING.md"
            )


def _within(module: str, packages: set[str]) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:depth]) in packages for depth in range(1, len(parts) + 1))
