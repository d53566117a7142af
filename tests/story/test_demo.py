"""The demo is the story of the whole product; here it is a test."""

import json
import subprocess
import sys
from pathlib import Path


def test_the_whole_story_is_as_it_should_be() -> None:
    command = [str(Path(sys.executable).parent / "twinline"), "demo", "--json"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    story = json.loads(told.stdout)
    broken = [
        f"{step['title']}: {check['what']} [{check['seen']}]"
        for step in story["steps"]
        for check in step["checks"]
        if not check["ok"]
    ]
    assert (broken, story["problem"]) == ([], "")
    assert told.returncode == 0
    assert story["checks"] >= 60
