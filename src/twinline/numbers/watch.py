"""The watchdog: asks Graph whether a number is still on the Business App, and notes only what is news."""

from twinline.app import App
from twinline.kit import log
from twinline.meta.graph import GraphError
from twinline.mirror import turn
from twinline.numbers import lifecycle, queries
from twinline.rules.lifecycle import Connection, FactKind
from twinline.rules.outcomes import Scope
from twinline.sending import stops

logger = log.get("numbers.watch")


async def check(app: App, number_id: int) -> None:
    """Asks about one number. Raises GraphError when Meta is unwell and asking later may help."""
    async with app.db.transaction() as tx:
        number = await queries.number_by_id(tx, number_id)
    if number is None or number.token is None or number.state == Connection.DISCONNECTED:
        return
    try:
        seen = await app.graph.phone_number(number.phone_number_id, token=app.vault.unseal(number.token))
    except GraphError as error:
        if error.outcome.wait_before(1) is not None:
            raise
        # A dead token says nothing about the phone, but that nothing can be sent: the number's page tells of it.
        logger.warning("number not checked", number_id=number_id, code=error.code)
        if error.code is not None and error.outcome.is_stop and error.outcome.scope is Scope.NUMBER:
            async with app.db.transaction() as tx:
                await turn.take(tx, [number_id])
                await stops.stop(tx, number_id, error.code, app.clock.now())
        return
    if seen.is_on_biz_app is None:
        return
    now = app.clock.now()
    expected = number.state == Connection.CONNECTED
    async with app.db.transaction() as tx:
        await turn.take(tx, [number_id])
        if seen.is_on_biz_app:
            await queries.set_verified(tx, number_id, now)
        if seen.is_on_biz_app != expected:
            event = FactKind.OBSERVED_ON_APP if seen.is_on_biz_app else FactKind.OBSERVED_OFF_APP
            await lifecycle.note(tx, number_id, event, now)


async def check_all(app: App) -> None:
    """Enqueues a question for every number that has a token and isn't disconnected."""
    async with app.db.transaction() as tx:
        for number in await queries.every_number(tx):
            if number.token is not None and number.state != Connection.DISCONNECTED:
                await lifecycle.ask_meta(tx, number.id)
