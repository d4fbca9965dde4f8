"""A kind keeps all of its schema but the prose."""

from tests.e2e.kinds import without_descriptions


def test_prose_goes_and_a_field_that_is_called_description_stays() -> None:
    fields = {"description": {"type": "string", "description": "What it is."}}
    schema = {"type": "object", "description": "Of a job.", "properties": fields}

    assert without_descriptions({"versions": [{"schema": schema}]}) == {
        "versions": [
            {"schema": {"type": "object", "properties": {"description": {"type": "string"}}}}
        ]
    }
