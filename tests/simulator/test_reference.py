"""What the simulator says of templates, limits and wishes has the shape of the reference payloads.

The folder isn't part of this repository: ``TWINLINE_REFERENCE`` names it, else it is looked for in ``shared`` beside.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("TWINLINE_REFERENCE") or HERE.parent / "shared" / "reference" / "payloads")
BODY = {"type": "BODY", "text": "Your bike is mended and waits for you at the shop."}

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="no reference payloads: set TWINLINE_REFERENCE to their folder"),
]


def shape(value: Any) -> Any:
    """Keys and kinds of values; of a list its first element."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return type(value).__name__


def entries(bodies: list[bytes], field: str) -> list[Any]:
    """Entries with one change of a field each, so that the envelope is compared too."""
    found = [entry for body in bodies for entry in json.loads(body)["entry"]]
    return [
        {**entry, "changes": [change]} for entry in found for change in entry["changes"] if change["field"] == field
    ]


def reference(path: str) -> Any:
    (entry,) = json.loads((FOLDER / f"{path}.json").read_bytes())["entry"]
    return entry


async def _approved(sim: Any) -> str:
    given = {"name": "bike_ready", "language": "en_US", "category": "UTILITY", "components": [BODY]}
    await sim.post("/control/options", template_review_seconds=0)
    made = await sim.graph("POST", f"{sim.phone.waba_id}/message_templates", **given)
    await sim.post("/control/clock", advance=1)
    return str(made["id"])


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("message_template_status_update/approved", []),
        ("message_template_status_update/paused_first", [("pause", {})]),
        ("message_template_status_update/disabled", [("disable", {})]),
        ("message_template_status_update/pending_deletion_reason_null", None),
        ("message_template_quality_update/green_to_yellow", [("quality", {"score": "YELLOW"})]),
        ("template_category_update/announced", [("recategorise", {"category": "MARKETING"})]),
        ("template_category_update/done", [("recategorise", {"category": "MARKETING", "notice": 0})]),
    ],
)
async def test_a_template_is_spoken_of_as_meta_does(sim, path, steps):
    await sim.connect()
    made = await _approved(sim)
    for step, more in steps or ():
        await sim.post(f"/control/templates/{made}/{step}", **more)
    if steps is None:
        await sim.post("/control/customers/c1/present", online=False)
        template = {"name": "bike_ready", "language": {"code": "en_US"}}
        message = {"messaging_product": "whatsapp", "to": "14155550171", "type": "template", "template": template}
        await sim.graph("POST", f"{sim.phone.id}/messages", **message)
        await sim.graph("DELETE", f"{sim.phone.waba_id}/message_templates?name=bike_ready")
    await sim.flush()
    last = entries(sim.platform.bodies, path.partition("/")[0])[-1]
    assert shape(last) == shape(reference(path))
    told, known = last["changes"][0]["value"], reference(path)["changes"][0]["value"]
    for key in ("event", "reason"):
        assert told.get(key) == known.get(key)


@pytest.mark.parametrize(
    ("path", "version", "tier"),
    [
        ("business_capability_update/v24", "v24.0", "TIER_2K"),
        ("business_capability_update/tier_string_variant", "v23.0", "TIER_250"),
    ],
)
async def test_a_new_messaging_limit_is_told_in_the_words_of_its_version(sim, path, version, tier):
    await sim.connect()
    sim.world.state.app.webhook_version = version
    owner = sim.world.state.wabas[sim.phone.waba_id].owner_business_id
    await sim.post(f"/control/portfolios/{owner}", tier=tier)
    await sim.flush()
    (entry,) = entries(sim.platform.bodies, "business_capability_update")
    assert shape(entry) == shape(reference(path))
    assert entry["changes"] == reference(path)["changes"]


@pytest.mark.parametrize(
    ("path", "customer"), [("user_preferences/stop", "c1"), ("user_preferences/stop_bsuid_no_phone", "c3")]
)
async def test_a_wish_for_no_more_promotions_is_told_as_meta_does(sim, path, customer):
    await sim.connect()
    await sim.post(f"/control/customers/{customer}/marketing", value="stop")
    await sim.flush()
    (entry,) = entries(sim.platform.bodies, "user_preferences")
    assert shape(entry) == shape(reference(path))
