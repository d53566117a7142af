"""Whatever is thrown at the API, it answers in its own words: never a 500, and errors always in the one shape."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.conftest import Program, refusal

pytestmark = pytest.mark.anyio

ANA = "351910000001"
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
addresses = st.sampled_from([ANA, f"+{ANA}", "PT.1", "contact:1", "1@g.us", ""]) | st.text(max_size=30)


def shaped(schema: dict[str, Any], defs: dict[str, Any], depth: int = 0) -> st.SearchStrategy[Any]:
    """Values that fit the schema, now and then one that doesn't."""
    if "$ref" in schema:
        return shaped(defs[schema["$ref"].rsplit("/", 1)[-1]], defs, depth)
    choices = schema.get("oneOf") or schema.get("anyOf")
    if choices:
        fitting = st.one_of([shaped(choice, defs, depth) for choice in choices])
    elif "const" in schema:
        fitting = st.just(schema["const"])
    elif "enum" in schema:
        fitting = st.sampled_from(schema["enum"])
    elif schema.get("type") == "object" and "properties" in schema and depth < 8:
        parts = {name: shaped(one, defs, depth + 1) for name, one in schema["properties"].items()}
        needed = {name: part for name, part in parts.items() if name in schema.get("required", ())}
        fitting = st.fixed_dictionaries(needed, optional={k: v for k, v in parts.items() if k not in needed})
    elif schema.get("type") == "array":
        fitting = st.lists(shaped(schema.get("items", {}), defs, depth + 1), max_size=4)
    else:
        plain = {"string": st.text(max_size=30) | addresses, "integer": st.integers(), "boolean": st.booleans()}
        number = st.floats(allow_nan=False, allow_infinity=False)
        fitting = {**plain, "number": number, "null": st.none()}.get(schema.get("type", ""), json)
    return st.integers(0, 30).flatmap(lambda lot: json if lot == 0 else fitting)


def requests(document: dict[str, Any], number_id: int) -> Iterator[tuple[str, str, Any]]:
    """Every operation: its method, its path, and what its JSON body may look like."""
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            body = said.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            yield method.upper(), path.replace("{number_id}", str(number_id)), body


async def test_nothing_that_is_thrown_at_it_breaks_it(program: Program) -> None:
    await program.shop.customer(ANA)
    document = (await program.http.get("/v1/openapi.json")).json()
    defs = document["components"]["schemas"]
    operations = list(requests(document, program.shop.number_id))
    assert len(operations) > 10
    thrown: list[tuple[str, str, Any, dict[str, str]]] = []

    @settings(max_examples=15 * len(operations), database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def throw(data: st.DataObject) -> None:
        method, path, schema = data.draw(st.sampled_from(operations))
        while "{" in path:
            before, _, after = path.partition("{")
            given = data.draw(addresses | st.integers().map(str)).replace("\n", "")  # no route has line breaks in it
            path = before + quote(given, safe="") + after.partition("}")[2]
        query = data.draw(
            st.dictionaries(st.sampled_from(["limit", "cursor", "state", "contact", "x"]), st.text(max_size=9))
        )
        query_text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        body = data.draw(shaped(schema, defs)) if schema is not None else None
        key = {"idempotency-key": data.draw(st.sampled_from(["a", "b", "", "\t", "x" * 300]))}
        thrown.append((method, f"/v1{path}?{query_text}", body, key))

    throw()
    good = 0
    for method, path, body, key in thrown:
        program.shop.clock.advance(seconds=0.1)  # a program that keeps to its pace
        answer = await program.http.request(method, path, json=body, headers=key)
        assert answer.status_code < 500, (method, path, body, answer.text)
        if answer.is_success:
            good += 1
        else:
            assert "error" in answer.text, (method, path, answer.status_code, answer.headers)
            refusal(answer, answer.status_code)
    assert good > len(operations)
