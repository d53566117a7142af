"""``python -m bench``: measures every goal; ``python -m bench p3 p4`` some; ``--quick`` with smaller sizes.

Each bench runs in a process of its own, so that none measures what another left behind. Before each, the machine is
looked at for a moment: what others use of it then stands beside the figures, since no ratio undoes a crowded machine.
Figures go to ``bench/results/latest.json``; goals that weren't measured this time keep their former ones there.
``--write`` puts them into ``docs/performance.md``.
"""

import argparse
import datetime
import importlib
import inspect
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench.common import Figure
from bench.stage import busy

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCUMENT = HERE.parent / "docs" / "performance.md"


def names() -> list[str]:
    return sorted((path.stem for path in HERE.glob("p[0-9]*.py")), key=lambda name: (int(name[1:].split("_")[0]), name))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the goals of docs/performance.md.")
    parser.add_argument("names", nargs="*", metavar="pN", help=f"which goals; all of {', '.join(names())} by default")
    parser.add_argument("--quick", action="store_true", help="smaller sizes: to see that the benches work")
    parser.add_argument("--write", action="store_true", help="put the last figures into docs/performance.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        return _one(asked.one, asked.quick)
    unknown = set(asked.names) - set(names())
    if unknown:
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    wanted = asked.names or ([] if asked.write else names())
    failed = [name for name in wanted if not _run(name, asked.quick)]
    if asked.write:
        _write()
    if failed:
        print(f"not measured: {', '.join(failed)}; the reason stands above", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str, quick: bool) -> bool:
    """In a process of its own. Answers whether it came to figures; a goal that isn't met is one too."""
    others = busy()
    begun = time.perf_counter()
    command = [sys.executable, "-m", "bench", "--one", name, *(["--quick"] if quick else [])]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, cwd=HERE.parent)
    if done.returncode:
        return False
    measured = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "quick": quick,
        "seconds": round(time.perf_counter() - begun, 1),
        "busy_before": round(others, 2),
        "busy_after": round(busy(), 2),
    }
    figures = json.loads(done.stdout.splitlines()[-1])
    for figure in figures:
        print(Figure(**figure), flush=True)
    crowd = max(measured["busy_before"], measured["busy_after"])
    if crowd > 0.15:
        print(f"     (others used {crowd:.0%} of the machine just before or after: take it again when it is quiet)")
    _keep(name, {**measured, "figures": figures})
    return True


def _one(name: str, quick: bool) -> int:
    run = importlib.import_module(f"bench.{name}").run
    figures = run(quick=quick) if "quick" in inspect.signature(run).parameters else run()
    print(json.dumps([asdict(figure) for figure in figures], default=str), flush=True)
    return 0


def _keep(name: str, measured: dict[str, object]) -> None:
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / "latest.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    if not isinstance(known, dict):
        known = {}
    known[name] = measured
    ordered = {key: known[key] for key in names() if key in known}
    file.write_text(json.dumps(ordered, indent=2) + "\n")


def _write() -> None:
    """Replaces what stands between the two marks in the documentation."""
    before, mark, rest = DOCUMENT.read_text().partition("<!-- figures -->\n")
    _, end, after = rest.partition("<!-- end of figures -->")
    if not end:
        raise SystemExit(f"{DOCUMENT.name} has lost its marks")
    results = json.loads((RESULTS / "latest.json").read_text())
    DOCUMENT.write_text(f"{before}{mark}{table(results)}\n{end}{after}")


def table(results: dict[str, dict[str, object]]) -> str:
    """Markdown. "Others" is the larger share of the machine that others used just before or after that bench."""
    lines = [
        "| goal | what | wanted | measured | beside its reference | when | others |",
        "|---|---|---|---|---|---|---|",
    ]
    systems = set()
    for measured in results.values():
        systems.add(f"{measured['cores']} cores, {measured['system']}")
        others = f"{max(measured['busy_before'], measured['busy_after']):.0%}"
        when = f"{str(measured['at'])[:10]}{', quick' if measured['quick'] else ''}"
        for raw in measured["figures"]:
            figure = Figure(**raw)
            beside = ""
            if figure.ratio is not None:
                beside = f"{figure.ratio:,.2f} × {figure.reference_what} ({_number(figure.reference)})"
            mark = " — **not met**" if figure.met is False else ""
            value = f"{_number(figure.value)} {figure.unit}{mark}"
            lines.append(
                f"| {figure.goal} | {figure.what} | {_math(figure.wanted)} | {value} | {beside} | {when} | {others} |"
            )
    return "\n".join([*lines, "", f"Machine: {'; '.join(sorted(systems))}."])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def _math(text: str) -> str:
    return text.replace(">=", "≥").replace("<=", "≤").replace(" x", " ×")


if __name__ == "__main__":
    sys.exit(main())
