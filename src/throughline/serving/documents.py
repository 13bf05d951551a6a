"""The dashboard at /, and what the server can do: /openapi.json for programs, /docs for people."""

from __future__ import annotations

from html import escape
from importlib import resources
from typing import Any, Final

from throughline.serving import schemas
from throughline.serving.house import House
from throughline.serving.http import Request, Response
from throughline.serving.routes import Route, Routes

_HTML: Final = b"text/html; charset=utf-8"
_POLICY: Final = (
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)


def routes(house: House, table: Routes) -> list[Route]:
    """Those of this room; the table is what they tell of."""

    async def dashboard(_: Request) -> Response:
        return Response(200, [_file("dashboard.html")], _HTML, _POLICY)

    async def described(_: Request) -> Response:
        return Response.of(openapi(table, house.version))

    async def read(_: Request) -> Response:
        return Response(200, [page(openapi(table, house.version)).encode()], _HTML, _POLICY)

    return [
        Route("GET", "/", "open", dashboard, "The dashboard", gives={"text/html": {}}),
        Route("GET", "/openapi.json", "open", described, "This list, for programs"),
        Route("GET", "/docs", "open", read, "This list, for people", gives={"text/html": {}}),
    ]


def openapi(table: Routes, version: str) -> dict[str, Any]:
    """The table as OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {}
    for route in table.routes:
        answers: dict[str, Any] = {"200": {"description": "done"}}
        if route.gives:
            answers["200"]["content"] = dict(route.gives)
        if route.path.endswith("/feedback"):
            answers = {"202": {"description": "taken"}}
        answers["default"] = {"description": "a refusal, and why", "content": schemas.ERROR}
        operation: dict[str, Any] = {
            "summary": route.about, "operationId": f"{route.method} {route.path}", "responses": answers,
            "tags": [route.role],
            "parameters": [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.names
            ],
        }  # fmt: skip
        if route.takes:
            operation["requestBody"] = {"required": True, "content": dict(route.takes)}
        if route.role != "open":
            operation["security"] = [{"key": []}] if route.role == "admin" else [{}, {"key": []}]
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Throughline", "version": version, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def page(described: dict[str, Any]) -> str:
    """The same for people, without a script."""
    rows = []
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            takes = ", ".join(one.get("requestBody", {}).get("content", {}))
            rows.append(
                f"<tr><td class='m'>{method.upper()}</td><td><code>{escape(path)}</code></td>"
                f"<td>{escape(one['summary'])}</td><td>{escape(takes)}</td><td class='r'>{one['tags'][0]}</td></tr>"
            )
    written = _file("docs.html").decode().replace("{version}", described["info"]["version"])
    return written.replace("{rows}", "\n".join(rows))


def _file(name: str) -> bytes:
    return resources.files("throughline.serving").joinpath("dashboard", name).read_bytes()
