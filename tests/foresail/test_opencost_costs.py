"""What does not serve, as OpenCost's custom costs: the form that its plugins hand over."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf import timestamp_pb2 as timestamp

from fleet.account.gpu_hours import Cost, Series
from fleet.reasons import Reason
from foresail.cli import main
from foresail.cost.opencost_costs import custom_costs
from foresail.cost.report import CostReport

RECORDED = Path(__file__).parents[1] / "fixtures" / "clusters" / "karpenter.yaml"
TEXTS = (
    *("zone", "account_name", "charge_category", "description", "resource_name"),
    *("resource_type", "id", "provider_id", "usage_unit"),
)
NUMBERS = ("billed_cost", "list_cost", "list_unit_price", "usage_quantity")
OF_RESPONSE = ("cost_source", "domain", "version", "currency")
Field = descriptor_pb2.FieldDescriptorProto


def response() -> Any:
    """A message with the names of OpenCost's CustomCostResponse, and of its CustomCost."""
    file = descriptor_pb2.FileDescriptorProto(
        name="customcost.proto",
        package="customcost.messages",
        syntax="proto3",
        dependency=[timestamp.DESCRIPTOR.name],
    )
    cost, whole = file.message_type.add(name="CustomCost"), file.message_type.add(name="Response")

    def add(message: Any, name: str, kind: Any, of: str = "", *, many: bool = False) -> None:
        label = Field.LABEL_REPEATED if many else Field.LABEL_OPTIONAL
        number = len(message.field) + 1
        message.field.add(name=name, number=number, type=kind, type_name=of or None, label=label)

    def add_map(message: Any, name: str, kind: str) -> None:
        entry = message.nested_type.add(name=kind, options={"map_entry": True})
        add(entry, "key", Field.TYPE_STRING)
        add(entry, "value", Field.TYPE_STRING)
        of = f".customcost.messages.{message.name}.{kind}"
        add(message, name, Field.TYPE_MESSAGE, of, many=True)

    for name in TEXTS:
        add(cost, name, Field.TYPE_STRING)
    for name in NUMBERS:
        add(cost, name, Field.TYPE_FLOAT)
    add_map(cost, "labels", "LabelsEntry")
    for name in OF_RESPONSE:
        add(whole, name, Field.TYPE_STRING)
    add_map(whole, "metadata", "MetadataEntry")
    for name in ("start", "end"):
        add(whole, name, Field.TYPE_MESSAGE, ".google.protobuf.Timestamp")
    add(whole, "costs", Field.TYPE_MESSAGE, ".customcost.messages.CustomCost", many=True)
    add(whole, "errors", Field.TYPE_STRING, many=True)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = pool.FindMessageTypeByName("customcost.messages.Response")
    return message_factory.GetMessageClass(found)()


def test_idle_gpus_by_reason_are_opencosts_custom_costs() -> None:
    printed = CliRunner().invoke(main, ["cost", "--file", str(RECORDED), "-o", "opencost"]).output
    cost = CliRunner().invoke(main, ["cost", "--file", str(RECORDED), "-o", "json"]).output

    (one,) = json.loads(printed)
    read = json_format.ParseDict(one, response())  # refuses a name that the message does not have

    bill = json.loads(cost)
    idle = {each["reason"]: each["usd"] for each in bill["reasons"] if each["reason"] != "serving"}
    found: dict[str, float] = {}
    for each in read.costs:
        reason = each.labels["reason"]
        found[reason] = found.get(reason, 0.0) + each.billed_cost
    assert found == pytest.approx(idle, rel=1e-5)
    assert read.end.seconds - read.start.seconds == 3600
    assert (read.domain, read.currency) == ("foresail", "USD")
    assert len({each.id for each in read.costs}) == len(read.costs)


def test_what_has_no_price_is_left_out_and_named() -> None:
    priced = Series(cluster="prod", pool="h100", generation="hopper", reason=Reason.FORECAST_HOLD)
    report = CostReport(
        costs={
            priced: Cost(gpu_hours=8, usd=20, unpriced_gpu_hours=4),
            Series(cluster="prod", pool="x", generation=None, reason=Reason.NONE): Cost(
                gpu_hours=2, unpriced_gpu_hours=2
            ),
            Series(cluster="prod", pool="h100", generation="hopper", reason=Reason.SERVING): Cost(
                gpu_hours=100, usd=500
            ),
            Series(cluster="prod", pool="h100", generation="hopper", reason=Reason.UNKNOWN): Cost(
                gpu_hours=3, usd=15
            ),
        },
        over_seconds=7200,
        tokens={},
        at_seconds=1_796_000_000,
        unreadable=["edge: no answer"],
    )

    (one,) = custom_costs(report)

    assert (one["start"], one["end"]) == ("2026-11-29T22:53:20Z", "2026-11-30T00:53:20Z")
    assert one["errors"] == [
        "6 GPU-hours that do not serve have no price and are left out",
        "3 GPU-hours, of which it is unknown whether they serve, are left out",
        "edge: no answer",
    ]
    (cost,) = one["costs"]  # type: ignore[misc]
    assert cost | {"id": ""} == {
        "accountName": "prod",
        "chargeCategory": "Usage",
        "description": "GPUs that do not serve: forecast hold",
        "resourceName": "h100/hopper",
        "resourceType": "GPU",
        "id": "",
        "providerId": "prod/h100/hopper",
        "billedCost": 20,
        "listCost": 20,
        "listUnitPrice": 5,
        "usageQuantity": 4,
        "usageUnit": "GPU-hours",
        "labels": {
            "cluster": "prod",
            "pool": "h100",
            "generation": "hopper",
            "reason": "forecast hold",
        },
    }
