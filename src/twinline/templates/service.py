"""The doors through which templates change, and the question that sending asks: may this one go out?

What asks Meta opens its own transactions; what only changes rows takes one. Whoever writes templates takes the turns
of the numbers that share them, as the ingest does.
"""

import asyncio
import difflib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from twinline.accounts import service as accounts
from twinline.app import App
from twinline.db import Tx
from twinline.db.jobs import defer
from twinline.kit import sniff
from twinline.meta import graph
from twinline.meta.graph import GraphError
from twinline.mirror import events, turn
from twinline.rules import outcomes, template_checks
from twinline.rules import templates as rules
from twinline.rules.refusal import Refusal, Refused
from twinline.rules.templates import Problem
from twinline.templates import queries
from twinline.templates.models import Account, Ready, Template, TemplateError

SYNC, LOOK = "templates.sync", "templates.look"
NEEDS_PHONE = 131062


# --- reading Meta -------------------------------------------------------------------------------------------------


async def want(tx: Tx, organisation_id: int, waba_id: str) -> None:
    """Lets a job read all templates of an account. The caller holds the turn of one of its numbers."""
    name = f"{SYNC}:{organisation_id}:{waba_id}"
    await defer(tx, SYNC, queue="sync", queueing_lock=name, organisation_id=organisation_id, waba_id=waba_id)


async def look_later(
    tx: Tx, organisation_id: int, waba_id: str, template_id: str, after: timedelta | None = None
) -> None:
    """Lets a job look at one template, at once or after a while. The caller holds the turn of one of its numbers."""
    await defer(
        tx,
        LOOK,
        queue="sync",
        queueing_lock=f"{LOOK}:{organisation_id}:{waba_id}:{template_id}",
        after=after if after and after > timedelta() else None,
        organisation_id=organisation_id,
        waba_id=waba_id,
        template_id=template_id,
    )


async def sync(app: App, organisation_id: int, waba_id: str) -> int:
    """Reads all templates of an account; answers how many there are. Raises TemplateError, GraphError."""
    account = await account_of(app, organisation_id, waba_id)
    asked = app.clock.now()
    try:
        found = await app.graph.templates(waba_id, token=_token(app, account))
    except GraphError as error:
        async with app.db.transaction() as tx:
            await queries.read(tx, organisation_id, waba_id, None, meta_said(error))
        raise
    async with app.db.transaction() as tx:
        await turn.take(tx, account.numbers)
        await queries.write(tx, [queries.row(account.place, one, asked) for one in found])
        ids = [one.id for one in found]
        await queries.vanished(tx, organisation_id, waba_id, ids, queries.version(asked), asked)
        await queries.read(tx, organisation_id, waba_id, asked, None)
        await _publish(app, tx, account)
    return len(found)


async def look(app: App, organisation_id: int, waba_id: str, template_id: str) -> None:
    """Reads one template anew. Raises TemplateError, GraphError."""
    account = await account_of(app, organisation_id, waba_id)
    asked = app.clock.now()
    try:
        found = await app.graph.template(template_id, token=_token(app, account))
    except GraphError as error:
        if not _is_gone(error):
            raise
        # Nobody tells of what was deleted elsewhere by name; the whole list does.
        await sync(app, organisation_id, waba_id)
        return
    await _keep(app, account, [queries.row(account.place, found, asked)])


async def acquaint(app: App, number_id: int, name: str) -> None:
    """Asks Meta for a template that isn't known here: it may be younger than the last reading. Never raises for what
    Meta says; ``ready`` then tells what is known.
    """
    async with app.db.transaction() as tx:
        place = await queries.account_of(tx, number_id)
        if place is None or await queries.by_name(tx, *place, name):
            return
    try:
        account = await account_of(app, *place)
        asked = app.clock.now()
        found = await app.graph.templates(account.waba_id, token=_token(app, account), name=name)
    except (GraphError, TemplateError):
        return
    await _keep(app, account, [queries.row(account.place, one, asked) for one in found])


async def account_of(app: App, organisation_id: int, waba_id: str) -> Account:
    """Raises TemplateError when the organisation has no such account."""
    async with app.db.transaction() as tx:
        found = await queries.accounts(tx, organisation_id, waba_id)
    if not found:
        raise TemplateError(
            [
                Problem(
                    "",
                    "account.unknown",
                    f"There is no WhatsApp account {waba_id} here.",
                    "Choose one whose number is connected.",
                )
            ]
        )
    return found[0]


def _is_gone(error: GraphError) -> bool:
    """Graph's word for an id that isn't there."""
    return error.code == 100 and error.subcode == 33


def _token(app: App, account: Account) -> str:
    if account.token is None:
        raise TemplateError(
            [
                Problem(
                    "",
                    "account.token",
                    "None of this account's numbers has a token, so Meta can't be asked.",
                    "Paste a token on the page “Numbers”, or connect the number again.",
                )
            ]
        )
    return app.vault.unseal(account.token)


async def _keep(app: App, account: Account, rows: Sequence[dict[str, Any]]) -> None:
    async with app.db.transaction() as tx:
        await turn.take(tx, account.numbers)
        await queries.write(tx, rows)
        await _publish(app, tx, account)


async def _publish(app: App, tx: Tx, account: Account) -> None:
    await events.publish(tx, {number: {"templates": True} for number in account.numbers}, app.clock.now())


def meta_said(error: GraphError) -> str:
    """What a person is told of Meta's refusal: Meta's own words to users, where it has some."""
    return f"{error.outcome.says} Meta said: {error.details or error.message}"


# --- changing -----------------------------------------------------------------------------------------------------


async def create(
    app: App,
    organisation_id: int,
    waba_id: str,
    spec: Mapping[str, Any],
    *,
    sample: dict[str, Any] | None = None,
    user_id: int | None = None,
) -> str:
    """Hands a template in for review; answers its id. ``spec`` is Meta's body; ``sample`` the kept file of its header.

    Raises TemplateError with every rule that it breaks, GraphError with Meta's refusal.
    """
    account = await account_of(app, organisation_id, waba_id)
    token = _token(app, account)
    spec = {**spec, "language": rules.language(str(spec.get("language") or ""))}
    asked = app.clock.now()
    wrong = [problem for problem in template_checks.problems(spec) if problem.sure]
    async with app.db.transaction() as tx:
        wrong += await may_create(tx, organisation_id, waba_id, spec, asked)
    if wrong:
        raise TemplateError(wrong)
    try:
        answer = await app.graph.create_template(waba_id, spec, token=token)
    except GraphError as error:
        if not error.ambiguous:
            raise
        # Meta may have taken it without our hearing of it. A name can't be given twice, so it is looked for.
        found = await app.graph.templates(waba_id, token=token, name=spec["name"])
        same = [one for one in found if (one.name, rules.language(one.language)) == (spec["name"], spec["language"])]
        if not same:
            raise
        answer = {"id": same[0].id, "status": same[0].status, "category": same[0].category}
    told = graph.Template(
        id=str(answer["id"]),
        name=spec["name"],
        language=spec["language"],
        status=str(answer.get("status") or "PENDING"),
        category=str(answer.get("category") or spec["category"]),
        components=rules.components(spec),
        parameter_format=spec.get("parameter_format"),
    )
    row = queries.row(
        (account.organisation_id, account.waba_id), told, asked, created_at=asked.isoformat(), sample=sample
    )
    async with app.db.transaction() as tx:
        await turn.take(tx, account.numbers)
        await queries.write(tx, [row])
        await look_later(tx, organisation_id, waba_id, told.id)
        await _record(tx, account, user_id, "template.created", told.name, told.language, asked)
        await _publish(app, tx, account)
    return told.id


async def may_create(
    tx: Tx, organisation_id: int, waba_id: str, spec: Mapping[str, Any], now: datetime
) -> list[Problem]:
    """What speaks against a new template beside its own text: its name, and how many were made."""
    management = rules.rules()["management"]
    name, language = str(spec.get("name") or ""), rules.language(str(spec.get("language") or ""))
    found = []
    if any(one.language == language for one in await queries.by_name(tx, organisation_id, waba_id, name)):
        found.append(
            Problem(
                "name",
                "name.taken",
                f"There is a template {name} in {language} already.",
                "Change that one, or choose another name.",
            )
        )
    since = now - timedelta(days=management["name_blocked_days"])
    if blocked := rules.may_reuse(name, await queries.blocked(tx, organisation_id, waba_id, since), now):
        found.append(blocked)
    most = management["created_an_hour"]
    if await queries.created_since(tx, organisation_id, waba_id, now - timedelta(hours=1)) >= most:
        found.append(
            Problem(
                "",
                "account.too_fast",
                f"{most} templates were handed in within an hour, which is all that Meta takes.",
                "Go on in an hour.",
            )
        )
    return found


async def edit(
    app: App,
    organisation_id: int,
    waba_id: str,
    template_id: str,
    spec: Mapping[str, Any],
    *,
    sample: dict[str, Any] | None = None,
    user_id: int | None = None,
) -> None:
    """Hands in a new version, which replaces all components. Name, language and, once approved, category stay.

    Raises TemplateError, GraphError.
    """
    account = await account_of(app, organisation_id, waba_id)
    template = await template_of(app, organisation_id, waba_id, template_id)
    now = app.clock.now()
    if (refused := rules.may_edit(template.status, template.edited, now)) is not None:
        raise TemplateError([refused])
    category = template.category if template.status == "APPROVED" else str(spec.get("category") or template.category)
    whole = {**template.spec, "category": category, "components": rules.components(spec)}
    wrong = [problem for problem in template_checks.problems(whole) if problem.sure]
    if wrong:
        raise TemplateError(wrong)
    changes = {"components": whole["components"]} | ({"category": category} if category != template.category else {})
    await app.graph.edit_template(template_id, changes, token=_token(app, account))
    told = graph.Template(
        id=template_id,
        name=template.name,
        language=template.language,
        status="PENDING",
        category=category,
        components=whole["components"],
        parameter_format=template.parameter_format,
        quality_score={"score": template.quality},
    )
    async with app.db.transaction() as tx:
        await turn.take(tx, account.numbers)
        # Newer than all that was known of it, also than a rejection in the same second.
        version = max(queries.version(now), template.status_v + 1)
        await queries.write(tx, [queries.row(account.place, told, now, version=version)])
        await queries.edited(tx, template, now, sample)
        await look_later(tx, organisation_id, waba_id, template_id)
        await _record(tx, account, user_id, "template.edited", template.name, template.language, now)
        await _publish(app, tx, account)


async def delete(
    app: App,
    organisation_id: int,
    waba_id: str,
    name: str,
    template_id: str | None = None,
    *,
    user_id: int | None = None,
) -> int:
    """Deletes one language, or with ``template_id`` None all of them; answers how many. Raises TemplateError,
    GraphError.
    """
    account = await account_of(app, organisation_id, waba_id)
    async with app.db.transaction() as tx:
        known = await queries.by_name(tx, organisation_id, waba_id, name)
    going = [one for one in known if template_id in (None, one.id)]
    if not going:
        raise TemplateError([await _unknown(app, account, name)])
    now = app.clock.now()
    try:
        await app.graph.delete_template(waba_id, name, token=_token(app, account), template_id=template_id)
    except GraphError as error:
        if not _is_gone(error):
            raise
    async with app.db.transaction() as tx:
        await turn.take(tx, account.numbers)
        await queries.delete(tx, organisation_id, waba_id, name, template_id, queries.version(now), now)
        language = going[0].language if template_id else ""
        await _record(tx, account, user_id, "template.deleted", name, language, now)
        await _publish(app, tx, account)
    return len(going)


async def unpause(
    app: App, organisation_id: int, waba_id: str, template_id: str, *, user_id: int | None = None
) -> None:
    """Ends a pause. Raises TemplateError, GraphError."""
    account = await account_of(app, organisation_id, waba_id)
    template = await template_of(app, organisation_id, waba_id, template_id)
    if template.status != "PAUSED":
        raise TemplateError(
            [
                Problem(
                    "", "template.not_paused", f"{template.name} isn't paused: {template.told.says}", template.told.do
                )
            ]
        )
    await app.graph.unpause_template(template_id, token=_token(app, account))
    async with app.db.transaction() as tx:
        await turn.take(tx, account.numbers)
        await _record(tx, account, user_id, "template.unpaused", template.name, template.language, app.clock.now())
    await look(app, organisation_id, waba_id, template_id)


async def set_fallbacks(
    app: App, tx: Tx, template: Template, fallbacks: Mapping[str, str], user_id: int | None = None
) -> None:
    """What stands for each variable when a value is empty. Raises TemplateError for a variable that isn't there."""
    given = {key: value.strip() for key, value in fallbacks.items() if value.strip()}
    known = {slot.key for slot in template.slots if slot.kind in ("text", "url", "coupon")}
    wrong = [
        Problem(
            key,
            "fallback.unknown",
            f"{template.name} has no variable {key}.",
            f"It has: {', '.join(sorted(known)) or 'none'}.",
        )
        for key in given
        if key not in known
    ]
    wrong += [problem for problem in rules.value_problems(template.spec, given) if problem.where in given]
    if wrong:
        raise TemplateError(wrong)
    [account] = await queries.accounts(tx, template.organisation_id, template.waba_id)
    await turn.take(tx, account.numbers)
    await queries.set_fallbacks(tx, template, given)
    now = app.clock.now()
    await _record(tx, account, user_id, "template.fallbacks", template.name, template.language, now)
    await _publish(app, tx, account)


async def keep_sample(
    app: App, organisation_id: int, waba_id: str, kind: str, data: bytes, name: str
) -> dict[str, Any]:
    """Keeps the file of a media header and hands it to Meta; answers it with Meta's ``handle``.

    ``kind`` is the header's format. Raises TemplateError for a file that can't stand there, GraphError.
    """
    known = rules.rules()["headers"].get(kind, {})
    mime = sniff.mime_type(data, name)
    account = await account_of(app, organisation_id, waba_id)
    if mime not in known.get("mime", ()):
        raise TemplateError(
            [
                Problem(
                    "header",
                    "header.mime",
                    f"The file is {mime}, which can't head a template as {kind.lower()}.",
                    f"Use one of: {', '.join(known.get('mime', ())) or 'none'}.",
                )
            ]
        )
    if not 0 < len(data) <= known["size"]:
        raise TemplateError(
            [
                Problem(
                    "header",
                    "header.size",
                    f"The file has {len(data) / 1_048_576:.1f} MB; Meta takes up "
                    f"to {known['size'] / 1_048_576:.0f} MB.",
                    "Make it smaller.",
                )
            ]
        )
    file = f"samples/{hashlib.sha256(data).hexdigest()}"
    await asyncio.to_thread(app.files.write, file, data)
    handle = await app.graph.upload_sample(app.settings.app_id, data, mime, name, token=_token(app, account))
    return {"file": file, "mime_type": mime, "filename": name[-200:], "size": len(data), "handle": handle}


def header_type(kind: str, data: bytes, name: str) -> str:
    """The MIME type of a file that can head a message as image, video or document. Raises Refused."""
    known = rules.rules()["headers"][kind.upper()]
    mime = sniff.mime_type(data, name)
    if mime not in known["mime"] or not 0 < len(data) <= known["size"]:
        text = f"{name} can't head this template: it is {mime}, {len(data) / 1_048_576:.1f} MB."
        most = f"up to {known['size'] / 1_048_576:.0f} MB"
        raise Refused(Refusal("template.media", text, f"Use {' or '.join(known['mime'])}, {most}."))
    return mime


async def media(app: App, number_id: int, kind: str, data: bytes, name: str) -> dict[str, Any]:
    """A file for the header of one message, handed to Meta; answers the value of its slot. Raises Refused."""
    mime = header_type(kind, data, name)
    async with app.db.transaction() as tx:
        speaker = await queries.speaker(tx, number_id)
    if speaker is None:
        says = "This number has no token, so no file can be handed to Meta."
        raise Refused(Refusal("template.media", says, "Connect the number again, or paste a token."))
    phone_number_id, token = speaker
    try:
        media_id = await app.graph.upload_media(phone_number_id, data, mime, name, token=app.vault.unseal(token))
    except GraphError as error:
        raise Refused(Refusal("template.media", meta_said(error), error.outcome.do)) from error
    return {"id": media_id} | ({"filename": name} if kind == "document" else {})


async def template_of(app: App, organisation_id: int, waba_id: str, template_id: str) -> Template:
    """Raises TemplateError when there is none."""
    async with app.db.transaction() as tx:
        found = await queries.template(tx, organisation_id, waba_id, template_id)
    if found is None:
        raise TemplateError(
            [
                Problem(
                    "",
                    "template.unknown",
                    f"There is no template {template_id} here.",
                    "Read the templates from Meta anew.",
                )
            ]
        )
    return found


async def _record(
    tx: Tx, account: Account, user_id: int | None, action: str, name: str, language: str, now: datetime
) -> None:
    detail = {"waba": account.waba_id, "name": name, "language": language}
    await accounts.record(tx, account.organisation_id, user_id, action, detail, now)


# --- may it go out? -----------------------------------------------------------------------------------------------


async def ready(tx: Tx, number_id: int, content: Mapping[str, Any], *, has_phone: bool) -> Ready:
    """The template that ``content`` names (``{"name", "language": {"code"}}`` with Meta's ``components``, or with
    ``values`` by slot key), its values checked one by one and empty ones replaced by their fallbacks.

    ``has_phone``: the person can be written to by number. Raises Refused.
    """
    [found] = await ready_many(tx, number_id, [(content, has_phone)])
    if isinstance(found, Refused):
        raise found
    return found


async def ready_many(tx: Tx, number_id: int, asked: Iterable[tuple[Mapping[str, Any], bool]]) -> list[Ready | Refused]:
    """``ready`` for many messages, each as content and ``has_phone``; a template is looked up once for all of them."""
    known: dict[tuple[str, str], Template] = {}
    found: list[Ready | Refused] = []
    for content, has_phone in asked:
        called = _called(content)
        try:
            if called not in known:
                known[called] = await _named(tx, number_id, *called)
            found.append(_ready(known[called], content, has_phone=has_phone))
        except Refused as refused:
            found.append(refused)
    return found


def _ready(template: Template, content: Mapping[str, Any], *, has_phone: bool) -> Ready:
    if not template.told.sends:
        raise Refused(_halted(template))
    if template.category == "AUTHENTICATION" and not has_phone:
        meaning = outcomes.outcome(NEEDS_PHONE)
        raise Refused(Refusal("template.needs_phone", meaning.says, meaning.do))
    values, wrong = _given(template, content)
    filled = template.fill(values)
    wrong += [
        Problem(slot.key, "template.missing", f"There is no value for {slot.label}.", "Give one, or set a fallback.")
        for slot in filled.missing
    ]
    if not wrong:
        known, _ = rules.read(template.spec, list(filled.components))
        wrong += rules.value_problems(template.spec, known)
    if wrong:
        do = " ".join(dict.fromkeys(problem.do for problem in wrong))
        raise Refused(Refusal(wrong[0].rule, " ".join(problem.says for problem in wrong), do))
    return Ready(filled.text, sendable(template, filled), template.category)


def _given(template: Template, content: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The values by slot key, in whichever of the two ways they came, and what fits nowhere."""
    values = content.get("values")
    if not isinstance(values, dict):
        return rules.read(template.spec, content.get("components"))
    there = {slot.key for slot in template.slots}
    does = f"Its places are: {', '.join(sorted(there)) or 'none'}."
    return values, [
        Problem(key, "template.surplus", f"The template has no place {key}.", does)
        for key in values
        if key not in there
    ]


def sendable(template: Template, filled: rules.Filled) -> dict[str, Any]:
    """The content for the outbox; ``shown`` is for our own eyes and doesn't leave."""
    return {
        "name": template.name,
        "language": {"code": template.language},
        "components": list(filled.components),
        "shown": {**filled.shown, "category": template.category},
    }


def _halted(template: Template) -> Refusal:
    told = template.told
    until = (
        f" It goes on at {template.paused_until:%H:%M} UTC on {template.paused_until:%d %B}."
        if template.paused_until
        else ""
    )
    return Refusal(
        f"template.{template.status.lower()}",
        f"The template {template.name} can't be sent now. {told.says}{until}",
        told.do,
    )


def _called(content: Mapping[str, Any]) -> tuple[str, str]:
    """Name and language of the template that a message says it is."""
    said = content.get("language")
    code = (said.get("code") if isinstance(said, dict) else said) or ""
    return str(content.get("name") or ""), rules.language(str(code))


async def _named(tx: Tx, number_id: int, name: str, language: str) -> Template:
    place = await queries.account_of(tx, number_id)
    known = await queries.by_name(tx, *place, name) if place else []
    for template in known:
        if template.language == language:
            return template
    if known:
        there = ", ".join(dict.fromkeys(template.language for template in known))
        raise Refused(
            Refusal(
                "template.language",
                f"The template {name} isn't there in “{language}”; it is in {there}.",
                "Choose one of these languages, or add this one.",
            )
        )
    raise Refused(await _nameless(tx, place, name))


async def _nameless(tx: Tx, place: tuple[int, str] | None, name: str) -> Refusal:
    if place is None or not name:
        return Refusal(
            "template.unnamed", "The message doesn't say which template it is.", "Give its name and language."
        )
    [account] = await queries.accounts(tx, *place)
    text = f"This WhatsApp account has no template “{name}”."
    if account.read_at is None:
        return Refusal(
            "template.unknown",
            text,
            "Its templates weren't read from Meta yet: do that on the page "
            "“Templates”, or with: twinline template sync",
        )
    near = difflib.get_close_matches(name, {one.name for one in await queries.templates(tx, *place)}, 3)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return Refusal("template.unknown", text, f"{hint}If it was made elsewhere, read the templates from Meta anew.")


async def _unknown(app: App, account: Account, name: str) -> Problem:
    async with app.db.transaction() as tx:
        told = await _nameless(tx, (account.organisation_id, account.waba_id), name)
    return Problem("name", told.rule, told.text, told.what_to_do)
