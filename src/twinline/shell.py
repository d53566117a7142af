"""What all commands share: their settings, their event loop, and how numbers and organisations are named at a shell."""

import asyncio
import importlib
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from pydantic import ValidationError

from twinline import operate
from twinline.app import App
from twinline.numbers.models import Number
from twinline.operate import OperatorError
from twinline.rules.identity import digits
from twinline.settings import Settings

# uvloop has no Windows.
new_event_loop: Callable[[], asyncio.AbstractEventLoop] = (
    importlib.import_module("uvloop").new_event_loop if sys.platform != "win32" else asyncio.new_event_loop
)

P = ParamSpec("P")
T = TypeVar("T")

Data = Annotated[Path | None, typer.Option("--data", help="Folder of the data. Default: TWINLINE_DATA, or the user's.")]
Organisation = Annotated[int | None, typer.Option(help="Whose it is, if there are several organisations.")]


def run(work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work(*args, **kwargs))


def settings(data: Path | None, **values: Any) -> Settings:
    """From the environment, and from the ``up`` that runs on the folder: its simulator is then ours as well."""
    found = plain_settings(data)
    return plain_settings(data, **{**operate.running(found.data), **values})


def plain_settings(data: Path | None, **values: Any) -> Settings:
    if data is not None:
        values["data"] = data.absolute()
    try:
        return Settings(**values)
    except ValidationError as error:
        wrong = "; ".join(
            f"TWINLINE_{'_'.join(map(str, one['loc'])).upper()}: {one['msg']}"
            for one in error.errors(include_input=False)
        )
        raise OperatorError(f"A setting can't be used. {wrong}. Correct it in the environment.") from None


def as_json(value: Any) -> str:
    """What a command prints as JSON: for programs, and for people, who read Café as Café."""
    return json.dumps(value, default=lambda moment: moment.isoformat(), ensure_ascii=False, indent=2)


async def organisation(app: App, organisation_id: int | None) -> int:
    """The organisation meant: the one named, or the only one; on an empty platform the first is founded."""
    await operate.first_login(app)
    async with app.db.transaction() as tx:
        found = [row[0] for row in await tx.rows("SELECT id FROM organisations ORDER BY id")]
    if organisation_id in found or (organisation_id is None and len(found) == 1):
        return organisation_id or found[0]
    unknown = "" if organisation_id is None else f"There is no organisation {organisation_id}. "
    raise OperatorError(f"{unknown}Say which organisation with --organisation; there are {', '.join(map(str, found))}.")


def find(found: Sequence[Number], wanted: str) -> Number:
    for number in found:
        if wanted in (str(number.id), number.phone_number_id) or digits(wanted) == number.display_phone:
            return number
    raise OperatorError(f"There is no number {wanted} here. `twinline number list` shows those there are.")


def only(found: Sequence[Number]) -> Number:
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{number.id} (+{number.display_phone})" for number in found)
    raise OperatorError(
        f"Say which number speaks with --number; there are {listed}."
        if found
        else "There is no number yet. Connect one on the page, or add one: twinline number add"
    )
