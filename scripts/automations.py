"""Writes docs/automations.schema.json, for editors that complete YAML. A test sees to it that it is up to date."""

import json
from pathlib import Path

from twinline.automations import schema

if __name__ == "__main__":
    text = json.dumps(schema.json_schema(), indent=2, ensure_ascii=False)
    Path("docs/automations.schema.json").write_text(f"{text}\n", encoding="utf-8")
