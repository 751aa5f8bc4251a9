"""The OpenAPI document, true about errors and sign-in too: what FastAPI assumes of itself is replaced by what the edge does."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway import access, problems
from services.gateway.access import Who
from services.gateway.problems import Problem

TITLE: Final = "Async Code"
VERSION: Final = "1"
_WITH_BODY: Final = frozenset({"post", "put", "patch"})
_DESCRIPTIONS: Final = {
    "401": "No valid access token.",
    "403": "The API token lacks the scope, or only a person may do this.",
    "404": "There is no such thing, or it is not yours.",
    "409": "Not in the state this needs.",
    "410": "Not kept any more.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The request breaks the rules listed in `errors`.",
    "429": "Too many at once.",
    "500": "Something failed inside the system.",
    "503": "A part does not answer just now; see Retry-After.",
}


def describe(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The function FastAPI asks for its document; made once, then kept."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    return document


def _document(app: FastAPI) -> dict[str, Any]:
    schema = get_openapi(title=TITLE, version=VERSION, routes=app.routes, description="Coding tasks for AI agents; see docs/api.md.")
    components: dict[str, Any] = schema.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    for theirs in ("HTTPValidationError", "ValidationError"):
        schemas.pop(theirs, None)
    ours = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= ours.pop("$defs", {})
    schemas["Problem"] = ours
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A signed-in person's access token."},
        "api_token": {"type": "http", "scheme": "bearer", "bearerFormat": "acp_…", "description": "A machine's, with the scopes named."},
    }
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            _operation(path, method, operation)
    return schema


def _operation(path: str, method: str, operation: dict[str, Any]) -> None:
    statuses = {"422", "500", "503"}
    need = access.TABLE.get((method.upper(), path), Who.PERSON)
    if need is not Who.ANYONE:
        # OpenAPI 3.1, "Security Requirement Object": for other schemes than OAuth the list names what the caller must be allowed.
        scopes = [] if isinstance(need, Who) else [str(need)]
        operation["security"] = [{"bearer": []}, *([] if need is Who.PERSON else [{"api_token": scopes}])]
        statuses |= {"401"} if need is Who.CALLER else {"401", "403"}
    if method in _WITH_BODY:
        statuses |= {"413", "415"}
    if "{" in path or "requestBody" in operation or path.endswith("/checkpoint"):
        statuses.add("404")
    if path.endswith(("/cancel", "/approve", "/reject", "/repositories", "/v1/tokens")) and method in _WITH_BODY:
        statuses.add("409")
    if path.endswith(("/events", "/changes", "/patch", "/messages")):
        statuses.add("410")
    if path.endswith("/events"):
        statuses.add("429")
        operation["responses"]["200"]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    answer = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation["responses"] |= {status: {"description": _DESCRIPTIONS[status], "content": answer} for status in sorted(statuses)}
