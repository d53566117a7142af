"""``twinline webhook`` at a shell, where it is refused before anything is opened."""

from typer.testing import CliRunner

from twinline.commands.webhooks import cli


def test_a_state_that_no_delivery_has_is_refused_with_those_there_are() -> None:
    done = CliRunner().invoke(cli, ["webhook", "deliveries", "1", "--state", "foo"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "A delivery is one of waiting, delivered, failed." in done.output
