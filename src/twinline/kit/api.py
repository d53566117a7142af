"""The border of the HTTP API: its one shape of errors, its words for what can't be read, its ids and cursors."""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

import orjson
from fastapi import Path
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

BIGGEST_ID: Final = 2**63 - 1
TOO_LARGE: Final = 2.0**63  # as such, orjson reads whole numbers that have no place in 64 bits


class ApiError(HTTPException):
    """Becomes the answer. ``code`` is stable and meant for programs; the rest is for whoever reads their log."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        what_to_do: str,
        details: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers or {}))
        self.error = {"code": code, "message": message, "what_to_do": what_to_do, "details": list(details)}

    def response(self) -> Response:
        body = orjson.dumps({"error": self.error})
        return Response(body, self.status_code, self.headers, media_type="application/json")


class In(BaseModel):
    """A body, or a part of one: what isn't known is refused, for a misspelt field would be silently ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Out(BaseModel):
    """An answer. Times are in UTC; a field without a value is null, never missing."""

    model_config = ConfigDict(from_attributes=True)


class Problem(Out):
    field: str = Field(description="Where it is: a path into the body, or the name of a parameter or header.")
    problem: str


class ErrorInside(Out):
    code: str = Field(description="Stable; go by this.", examples=["window.expired"])
    message: str = Field(description="What stands in the way.")
    what_to_do: str
    details: list[Problem] = Field(description="What exactly, one by one; often empty.")


class Error(Out):
    error: ErrorInside


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of these answers; for ``responses=``."""
    return {status: {"model": Error, "description": HTTPStatus(status).phrase} for status in statuses}


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("has a NUL character in it, which can't be stored")
    return text


Text = Annotated[str, AfterValidator(_storable)]
"""Text that comes in an address or a header. That in bodies is seen to before they are read: ``check_storable``."""

Id = Annotated[int, Path(ge=1, le=BIGGEST_ID)]


def check_storable(body: bytes) -> None:
    """Raises ApiError for what isn't JSON, or has values that neither PostgreSQL nor WhatsApp has a place for."""
    try:
        found = orjson.loads(body or b"null")
    except orjson.JSONDecodeError as error:
        problem = f"isn't JSON: {error}"
    else:
        problem = _strange(found)
    if problem:
        raise ApiError(400, "request.invalid", f"The body {problem}.", "Correct it; /v1/docs shows what is expected.")


def _strange(value: Any) -> str:
    """What of a JSON value can't be kept; empty when all can."""
    if isinstance(value, str):
        return "has a NUL character in it, which can't be stored" if "\0" in value else ""
    if isinstance(value, float):
        return "has a number in it that is too large" if abs(value) >= TOO_LARGE else ""
    inner = (*value, *value.values()) if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(_strange, inner)), "")


# --- words for what can't be read -----------------------------------------------------------------------------------

_WORDS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "isn't known here; look for a misspelling",
    "string_type": "has to be text",
    "int_type": "has to be a whole number",
    "int_parsing": "has to be a whole number",
    "float_type": "has to be a number",
    "float_parsing": "has to be a number",
    "bool_type": "has to be true or false",
    "bool_parsing": "has to be true or false",
    "dict_type": "has to be an object",
    "model_type": "has to be an object",
    "model_attributes_type": "has to be an object",
    "list_type": "has to be a list",
    "json_invalid": "isn't JSON",
    "string_too_long": "has more than {max_length} characters",
    "string_too_short": "has fewer than {min_length} characters",
    "string_pattern_mismatch": "isn't of the form {pattern}",
    "too_long": "has more than {max_length} entries",
    "too_short": "has fewer than {min_length} entries",
    "greater_than_equal": "has to be {ge} or more",
    "less_than_equal": "has to be {le} or less",
}


def unreadable(error: RequestValidationError) -> ApiError:
    """A request that doesn't have the documented shape, told field by field. The values themselves aren't repeated."""
    found = [{"field": _place(one["loc"], error.body), "problem": _problem(one)} for one in error.errors()]
    first = found[0]
    return ApiError(
        400,
        "request.invalid",
        f"The request can't be read: {first['field']} {first['problem']}.",
        "Correct it; /v1/docs shows every field.",
        found,
    )


def _problem(error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "literal_error":
        return f"has to be one of {context['expected']}".replace("' or '", "', '").replace("'", "")
    if kind == "union_tag_invalid":
        return f"has to be one of {context['expected_tags']}".replace("'", "")
    if kind == "union_tag_not_found":
        return f"needs {context['discriminator']}".replace("'", "")
    if kind == "value_error":
        return str(context["error"])
    words = _WORDS.get(kind)
    return words.format_map(context) if words else str(error["msg"]).replace("Input should ", "has to ")


def _place(location: Sequence[Any], body: Any) -> str:
    """``text.body`` for ("body", "text", "text", "body"): pydantic also names the variant that it chose."""
    where, *parts = location
    if where != "body":
        name = str(parts[-1] if parts else where)
        return name.title() if where == "header" else name
    return ".".join(_walk(parts, body)) or "the body"


def _walk(parts: Sequence[Any], here: Any) -> Iterator[str]:
    variant_named = False
    for n, part in enumerate(parts):
        last = n == len(parts) - 1
        if isinstance(here, dict) and here.get("type") == part and not (variant_named or last):
            variant_named = True
            continue
        here = here.get(part) if isinstance(here, dict) else here[part] if isinstance(here, list) and not last else None
        variant_named = False
        yield str(part)
