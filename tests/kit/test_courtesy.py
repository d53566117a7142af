"""Work that can wait rests when others wait for a core, and only then."""

from pathlib import Path

import pytest

from twinline.kit import courtesy
from twinline.kit.courtesy import RESTS, Courtesy

pytestmark = pytest.mark.anyio


class Machine:
    """A clock, and a count of the seconds in which somebody waited for a core."""

    def __init__(self) -> None:
        self.now = self.stalled = 0.0
        self.rested: list[float] = []

    def works(self, seconds: float, crowded: float) -> None:
        self.now += seconds
        self.stalled += seconds * crowded

    async def sleep(self, seconds: float) -> None:
        self.rested.append(round(seconds, 6))
        self.now += seconds

    def courtesy(self) -> Courtesy:
        return Courtesy(lambda: self.stalled, lambda: self.now, self.sleep)


async def worked(machine: Machine, courteous: Courtesy, seconds: float, crowded: float) -> float:
    """One piece of work; the rest that followed."""
    async with courteous.piece():
        machine.works(seconds, crowded)
    return machine.rested[-1]


async def test_a_free_machine_is_worked_on_without_rest() -> None:
    machine = Machine()
    courteous = machine.courtesy()
    assert [await worked(machine, courteous, 0.2, 0.3) for _ in range(3)] == [0, 0, 0]


async def test_a_crowded_machine_is_left_to_the_others_for_a_multiple_of_the_work() -> None:
    machine = Machine()
    courteous = machine.courtesy()
    assert await worked(machine, courteous, 0.2, 0.9) == pytest.approx(0.2 * RESTS)
    machine.works(1.0, 0.1)  # the others have done by now
    assert await worked(machine, courteous, 0.2, 0.1) == 0


async def test_a_short_look_is_not_trusted() -> None:
    machine = Machine()
    courteous = machine.courtesy()
    assert [await worked(machine, courteous, 0.03, 1.0) for _ in range(3)] == [0, 0, 0]
    assert await worked(machine, courteous, 0.03, 1.0) > 0


async def test_where_the_machine_doesnt_tell_nobody_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "PRESSURE", tmp_path / "cpu")
    assert courtesy.stalled() == 0
    courtesy.PRESSURE.write_text("something else")
    assert courtesy.stalled() == 0
    courtesy.PRESSURE.write_text("some avg10=1.2 avg60=0.1 avg300=0.0 total=2500000\nfull avg10=0 total=7\n")
    assert courtesy.stalled() == 2.5
