"""What an operator does with templates at a shell, with a simulator for Meta and no server of ours running."""

import json
from pathlib import Path

import httpx
from tests.fixtures.patience import eventually
from tests.story.conftest import APP_ID, APP_SECRET, Operator, Phone


def test_templates_are_read_made_changed_unpaused_and_deleted(
    operator: Operator, simulator: str, tmp_path: Path
) -> None:
    phone = Phone.connected(simulator)
    operator.env |= {"TWINLINE_GRAPH_URL": simulator, "TWINLINE_APP_ID": APP_ID, "TWINLINE_APP_SECRET": APP_SECRET}
    operator.does("number", "add", *phone.options, TWINLINE_TOKEN=phone.token)
    assert "templates." in operator.does("template", "sync")
    assert "order_ready\tpt_BR\tUTILITY\tAPPROVED" in operator.does("template", "list")

    file = tmp_path / "bike.json"
    spec = {"name": "Bike Ready", "language": "en_US", "category": "UTILITY",
            "components": [{"type": "BODY", "text": "Your bike is mended and waits for you."}]}  # fmt: skip
    file.write_text(json.dumps(spec))
    assert "Write bike_ready" in operator.is_refused("template", "create", "--file", str(file))
    file.write_text(json.dumps({**spec, "name": "bike_ready"}))
    made = operator.does("template", "create", "--file", str(file)).split()[1]
    assert "bike_ready" in operator.does("template", "list")
    assert "takes no new version" in operator.is_refused("template", "create", "--file", str(file))

    eventually(lambda: status(simulator, made) == "APPROVED")
    httpx.post(f"{simulator}/control/templates/{made}/drop", json={}).raise_for_status()
    operator.does("template", "sync")
    assert "bike_ready is now approved." in operator.does("template", "unpause", "bike_ready", "en_US")
    assert operator.does("template", "delete", "bike_ready").startswith("1 deleted")
    assert "bike_ready" not in operator.does("template", "list")
    assert "no template" in operator.is_refused("template", "unpause", "bike_ready", "en_US")


def status(simulator: str, template: str) -> str:
    found = httpx.get(f"{simulator}/control/templates").raise_for_status().json()["templates"]
    return next(str(one["status"]) for one in found if one["id"] == template)
