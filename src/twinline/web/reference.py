"""The OpenAPI document -> what the page ``/v1/docs`` shows. The page is ours, so that it needs nobody else's server."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A field, parameter or header: ``name`` is its path, as in ``contacts[].name.formatted_name``."""

    name: str
    kind: str
    required: bool
    says: Markup


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the shapes that a body may have, without what all of them have."""

    tag: str
    says: Markup
    lines: tuple[Line, ...]
    example: str


@dataclass(frozen=True, slots=True)
class Operation:
    id: str
    method: str
    path: str
    summary: str
    says: Markup
    scope: str
    parameters: tuple[Line, ...]
    body: tuple[Line, ...]
    variants: tuple[Variant, ...]
    status: str
    answer: tuple[Line, ...]
    errors: tuple[str, ...]
    curl: str


def sections(document: Json) -> dict[str, list[Operation]]:
    """Every operation under its tag, in the order of the document."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            found.setdefault(said["tags"][0], []).append(_Reader(document).operation(path, method, said))
    return found


def prose(text: str) -> Markup:
    """A little Markdown: paragraphs, **strong**, `code`."""
    paragraphs = [_inline(" ".join(part.split())) for part in text.split("\n\n") if part.strip()]
    return Markup("").join(Markup("<p>{}</p>").format(part) for part in paragraphs)


def _inline(text: str) -> Markup:
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", html))  # noqa: S704 — escaped above


class _Reader:
    def __init__(self, document: Json) -> None:
        self._document = document

    def operation(self, path: str, method: str, said: Json) -> Operation:
        answers = said["responses"]
        status = next(code for code in answers if code.startswith("2"))
        content = said.get("requestBody", {}).get("content", {})
        body: Json = next(iter(content.values()), {})
        schema = self._resolved(body.get("schema", {}))
        examples = {name: example["value"] for name, example in body.get("examples", {}).items()}
        common, variants = self._variants(schema, examples)
        answer: Json = next(iter(answers[status].get("content", {}).values()), {})
        return Operation(
            id=said["operationId"],
            method=method.upper(),
            path=f"/v1{path}",
            summary=said["summary"],
            says=prose(said.get("description", "")),
            scope=", ".join(
                scope for needed in said.get("security", ()) for names in needed.values() for scope in names
            ),
            parameters=tuple(self._parameter(one) for one in said.get("parameters", ())),
            body=common,
            variants=variants,
            status=status,
            answer=tuple(self._lines(answer.get("schema", {}))),
            errors=tuple(code for code in answers if not code.startswith("2")),
            curl=self._curl(path, method, content, examples),
        )

    def _parameter(self, said: Json) -> Line:
        schema = self._resolved(said.get("schema", {}))
        note = {"header": " (header)", "query": " (query)"}.get(said["in"], "")
        return Line(
            said["name"], self._kind(schema) + note, said.get("required", False), _inline(said.get("description", ""))
        )

    def _variants(self, schema: Json, examples: Mapping[str, Any]) -> tuple[tuple[Line, ...], tuple[Variant, ...]]:
        tags = schema.get("discriminator", {}).get("mapping")
        if not tags:
            return tuple(self._lines(schema)), ()
        # One variant may go by several tags.
        shapes: dict[str, list[str]] = {}
        for tag, ref in tags.items():
            shapes.setdefault(ref, []).append(tag)
        lines = {ref: tuple(self._lines({"$ref": ref})) for ref in shapes}
        common = [line for line in next(iter(lines.values())) if all(line in others for others in lines.values())]
        variants = tuple(
            Variant(
                ", ".join(shapes[ref]),
                prose(self._resolved({"$ref": ref}).get("description", "") if len(shapes[ref]) > 1 else ""),
                tuple(line for line in found if line not in common and line.name != "type"),
                "\n\n".join(_json(value) for value in examples.values() if value.get("type") in shapes[ref]),
            )
            for ref, found in lines.items()
        )
        return tuple(common), variants

    def _lines(self, schema: Json, before: str = "") -> Iterator[Line]:
        schema = self._resolved(schema)
        required = schema.get("required", ())
        for name, said in schema.get("properties", {}).items():
            inner = self._resolved(said)
            place = before + name
            yield Line(place, self._kind(inner), name in required, _inline(said.get("description") or ""))
            element = self._resolved(inner.get("items", {})) if inner.get("type") == "array" else {}
            yield from self._lines(inner, f"{place}.")
            yield from self._lines(element, f"{place}[].")
            for choice in inner.get("oneOf", ()):
                shape = self._resolved(choice)
                tag = shape["properties"]["type"].get("const", "")
                for line in self._lines(shape, f"{place}."):
                    if line.name != f"{place}.type":
                        yield Line(f"{line.name}", f"{line.kind}, of {tag}", line.required, line.says)

    def _resolved(self, schema: Json) -> Json:
        """Follows references, and takes the one type of ``X or null``."""
        while "$ref" in schema:
            schema = self._document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        choices = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
        return self._resolved({**schema, "anyOf": (), **choices[0]}) if len(choices) == 1 else schema

    def _kind(self, schema: Json) -> str:
        if "enum" in schema:
            return "one of " + ", ".join(map(str, schema["enum"]))
        if "const" in schema:
            return f"“{schema['const']}”"
        kind = schema.get("format") if schema.get("format") in ("date-time", "binary") else schema.get("type", "object")
        words = {"date-time": "time", "binary": "file", "string": "text", "boolean": "true or false", "array": "list"}
        if kind == "array" and (inner := self._kind(self._resolved(schema.get("items", {})))) != "object":
            return f"list of {inner}"
        return words.get(str(kind), str(kind))

    def _curl(self, path: str, method: str, content: Json, examples: Mapping[str, Any]) -> str:
        address = self._document["servers"][0]["url"] + re.sub(r"\{(\w+)\}", lambda found: f"${found[1].upper()}", path)
        lines = [f'curl "{address}"', '-H "Authorization: Bearer $KEY"']
        if "multipart/form-data" in content:
            lines.append("-F file=@photo.jpg")
        elif examples:
            lines += [
                "-H 'Content-Type: application/json'",
                f"-d '{json.dumps(next(iter(examples.values())), ensure_ascii=False)}'",
            ]
        elif method == "post":
            lines.append("-X POST")
        return " \\\n  ".join(lines)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
