"""What /openapi.json says is what happens, whatever is sent: no answer that it does not know, and no fault of ours."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("schemathesis")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from live_server import HOST, Live
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance, unsupported_method,
]  # fmt: skip


@schemathesis.serializer("image/*", "video/*")
def as_it_is(_: Any, value: Any) -> Any:
    return value.encode() if isinstance(value, str) else bytes(value)


def test_it_describes_itself_by_the_standard(live: Live) -> None:
    import jsonschema

    described = live.ask("GET", "/openapi.json")[1]
    assert described["openapi"] == "3.1.0"
    names = [one["operationId"] for methods in described["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names)) > 25
    for methods in described["paths"].values():
        for one in methods.values():
            for content in (one.get("requestBody", {}), *one["responses"].values()):
                for media in content.get("content", {}).values():
                    jsonschema.Draft202012Validator.check_schema(media.get("schema", {}))


def test_every_answer_is_one_that_was_promised(live: Live) -> None:
    schema = schemathesis.openapi.from_url(f"http://{HOST}:{live.port}/openapi.json")
    tried = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(operation.as_strategy())
        @settings(max_examples=12, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)
        def ask(case: Any) -> None:
            if case.path.endswith(("/unload", "/load")):
                case.path_parameters["name"] = "no-such-model"
            case.call_and_validate(checks=CHECKS)

        ask()
        tried.add(operation.label)
    assert len(tried) > 25
