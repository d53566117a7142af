"""YAML as people mean it: ``10:00`` is a text and not 600, ``no`` is Norwegian and not false.

Nothing may stand twice, and there are no references, with which ten lines can become a billion.
"""

import re
from collections.abc import Collection
from typing import Any, Final

import yaml

LONGEST: Final = 400_000
"""Characters of a file."""

MENDS: Final = (
    (r"(?:got|found) '\?'$", "a text with a question mark, between { and }, has to stand in quotes"),
    (r"got ':'$", "a text with a colon, between { and }, has to stand in quotes"),
    (r"character '[%@`]' that cannot start", "a text that begins with %, @ or ` has to stand in quotes"),
    (r"character '\\t' that cannot start", "lines are indented with spaces, not with tabs"),
    (r"found another document", "a second document begins here, behind “---”; give one at a time"),
)
"""What people have meant, by what the parser says of it."""


class NotYaml(ValueError):
    """This can't be read; the message says where and why."""


def parse(text: str) -> Any:
    """What the text says, as JSON. Raises NotYaml."""
    if len(text) > LONGEST:
        raise NotYaml(f"The text has more than {LONGEST:,} characters.")
    try:
        return yaml.load(text, Loader)  # noqa: S506 — a SafeLoader, with fewer surprises
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"Line {mark.line + 1}: this" if mark else "This"
        raise NotYaml(f"{where} isn't YAML: {_plain(error.problem or '')}.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise NotYaml("This isn't YAML, or it goes too deep.") from error


def _plain(problem: str) -> str:
    """What a parser says, so that it can be mended."""
    return next((mends for said, mends in MENDS if re.search(said, problem)), problem)


def write(value: Any) -> str:
    """For files and for people: in the order that it has, long texts as they are read."""
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def _tagged(event: Any) -> bool:
    return getattr(event, "tag", None) is not None


class Loader(yaml.SafeLoader):
    """Only what is JSON."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        strange = "references (*)" if isinstance(event, yaml.AliasEvent) else "tags (!)" if _tagged(event) else ""
        if strange:
            mark: Any = event.start_mark
            raise yaml.composer.ComposerError(None, None, f"{strange} can't be used here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                says = "a text that begins with { or [ has to stand in quotes"
                raise yaml.constructor.ConstructorError(None, None, says, key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"“{key.value}” is there twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    ("float", r"[-+]?[0-9]{1,18}\.[0-9]{0,18}", "-+0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), [*_first, ""])


class Dumper(yaml.SafeDumper):
    """Lists are indented as in the documentation, and texts of several lines stand as such."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _listed(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.SequenceNode:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=_short(values))


def _grouped(dumper: yaml.SafeDumper, values: dict[str, Any]) -> yaml.MappingNode:
    """A choice stands in one line."""
    inline = not values or ("id" in values and _short(values.values()))
    return dumper.represent_mapping("tag:yaml.org,2002:map", values, flow_style=inline)


def _short(values: Collection[Any]) -> bool:
    return all(isinstance(one, str | int) and "\n" not in str(one) for one in values) and len(str(values)) < 90


Dumper.add_representer(str, _written)
Dumper.add_representer(list, _listed)
Dumper.add_representer(dict, _grouped)
