"""A definition, read from JSON or YAML, written as YAML, and what it may hold as JSON Schema (`shapes`).

`read` answers the canonical form, which is what is kept and what `rules.automations` runs: every trigger, condition and
step an object with one key, its kind; what is as by default left out. What is wrong is told in sentences for whoever
wrote it, each with the path of where it is (`Unfit`). What only those know who know the organisation, such as whether
there is a template of that name, `check` looks at.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from twinline.automations import notation
from twinline.automations.problems import Lack, Path, Problem, Unfit, problem, where
from twinline.automations.sense import Known, check, starts, whole
from twinline.automations.shapes import LONGEST_NAME, AnyMessage, Definition, canonical
from twinline.rules.automations import words

__all__ = ["LONGEST_NAME", "Known", "Lack", "Problem", "Unfit", "check", "starts"]

Json = Mapping[str, Any]

DEEPEST: Final = 60
"""Levels of lists and objects in a definition."""
MOST_VALUES: Final = 20_000

_MESSAGE: Final[TypeAdapter[Any]] = TypeAdapter(AnyMessage)


def read(data: object) -> dict[str, Any]:
    """The canonical form of a definition. Raises Unfit."""
    found = canonical(_validated(Definition.model_validate, data))
    if problems := [*whole(found)]:
        raise Unfit(problems)
    return found


def message(data: object) -> dict[str, Any]:
    """The canonical form of what may stand under ``send``. Raises Unfit."""
    return canonical(_validated(_MESSAGE.validate_python, data))


def from_yaml(text: str) -> dict[str, Any]:
    """Raises Unfit, also where it isn't YAML."""
    return read(parsed(text))


def parsed(text: str) -> Any:
    """YAML as JSON, whatever it says. Raises Unfit where it isn't YAML, or has what JSON hasn't."""
    try:
        return notation.parse(text)
    except notation.NotYaml as error:
        raise Unfit([Problem((), str(error))]) from error


def to_yaml(definition: Json) -> str:
    """For files and for people: in the order of the schema, long texts as they are read."""
    return notation.write(canonical(Definition.model_validate(definition)))


def json_schema() -> JsonSchemaValue:
    """JSON Schema of a definition (docs/automations.schema.json)."""
    made = Definition.model_json_schema(schema_generator=_Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "A Twinline automation"}


class _Schema(GenerateJsonSchema):
    """Without a title for each property, which says its name again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _validated(validate: Callable[[object], Any], data: object) -> Any:
    if strange := _strange(data):
        raise Unfit([strange])
    try:
        return validate(data)
    except ValidationError as error:
        raise Unfit([problem(one) for one in error.errors(include_url=False)]) from error


def _strange(data: object) -> Problem | None:
    """What no definition can be, before anybody walks it: endless, or of what isn't JSON."""
    left: list[tuple[object, Path, int]] = [(data, (), 0)]
    count = 0
    while left:
        value, path, depth = left.pop()
        count += 1
        if depth > DEEPEST or count > MOST_VALUES:
            return Problem((), "This is longer or deeper than an automation can be. Make two of it.")
        if isinstance(value, str) and not _storable(value):
            return Problem(path, f"{where(path)}there is a character that can't be kept.")
        if isinstance(value, Mapping):
            if strange := [key for key in value if not isinstance(key, str) or not _storable(key)]:
                return Problem(path, f"{where(path)}“{words.short(str(strange[0]))}” can't be a key.")
            left += [(part, (*path, key), depth + 1) for key, part in value.items()]
        elif isinstance(value, list):
            left += [(part, (*path, number), depth + 1) for number, part in enumerate(value)]
        elif not isinstance(value, str | int | float | bool | None):
            return Problem(path, f"{where(path)}this isn't text, a number, a list or an object.")
    return None


def _storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
