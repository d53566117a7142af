"""Work that can wait rests when others wait for a core, and only then."""

import asyncio
from pathlib import Path

import pytest

from twinline.kit import courtesy
from twinline.kit.courtesy import LONGEST, RESTS, Courtesy

pytestmark = pytest.mark.anyio


class Machine:
    """A clock, a count of the seconds in which somebody waited for a core, and one of what happens beside."""

    def __init__(self) -> None:
        self.now = self.stalled = self.events = 0.0
        self.rested: list[float] = []
        self.at_once = self.most = 0

    def works(self, seconds: float, crowded: float, events: float = 1_000) -> None:
        self.now += seconds
        self.stalled += seconds * crowded
        self.events += seconds * events

    async def sleep(self, seconds: float) -> None:
        self.rested.append(round(seconds, 6))
        self.now += seconds
        await asyncio.sleep(0)

    async def happened(self) -> int:
        return int(self.events)

    def courtesy(self) -> Courtesy:
        return Courtesy(lambda: self.stalled, lambda: self.now, self.sleep)


async def worked(machine: Machine, courteous: Courtesy, seconds: float, crowded: float, events: float = 1_000) -> float:
    """One piece of work; the rest that followed."""
    async with courteous.piece(machine.happened):
        machine.at_once += 1
        machine.most = max(machine.most, machine.at_once)
        machine.works(seconds, crowded, events)
        await asyncio.sleep(0)
        machine.at_once -= 1
    return machine.rested[-1]


async def test_a_free_machine_is_worked_on_without_rest() -> None:
    machine = Machine()
    courteous = machine.courtesy()
    assert [await worked(machine, courteous, 0.2, 0.1) for _ in range(3)] == [0, 0, 0]


async def test_a_crowded_machine_is_left_to_the_others_for_a_multiple_of_the_work() -> None:
    machine = Machine()
    courteous = machine.courtesy()
    assert [await worked(machine, courteous, 0.15, 0.9) for _ in range(2)] == [0, 0]  # it has to see for itself
    assert await worked(machine, courteous, 0.15, 0.9) == pytest.approx(0.15 * RESTS)
    machine.works(1.0, 0.1)  # the others have done by now
    assert await worked(machine, courteous, 0.15, 0.1) == 0


async def test_a_rest_is_never_long_for_work_may_have_been_waiting_itself() -> None:
    machine = Machine()
    courteous = machine.courtesy()
    for _ in range(2):
        await worked(machine, courteous, 0.2, 0.9)
    assert await worked(machine, courteous, 20, 0.9) == LONGEST


async def test_who_crowds_the_machine_alone_needs_no_rest() -> None:
    machine = Machine()
    courteous = machine.courtesy()
    assert [await worked(machine, courteous, 0.2, 0.9, events=20) for _ in range(3)] == [0, 0, 0]


async def test_on_a_crowded_machine_one_piece_is_worked_on_at_a_time() -> None:
    machine = Machine()
    courteous = machine.courtesy()
    for _ in range(2):
        await asyncio.gather(*(worked(machine, courteous, 0.2, 0.9) for _ in range(2)))
    assert machine.most == 2
    machine.most = 0
    await asyncio.gather(*(worked(machine, courteous, 0.2, 0.9) for _ in range(3)))
    assert machine.most == 1


async def test_a_short_look_is_not_trusted() -> None:
    machine = Machine()
    courteous = machine.courtesy()
    await worked(machine, courteous, 0.2, 0.0)
    assert [await worked(machine, courteous, 0.03, 1.0) for _ in range(4)] == [0, 0, 0, 0]
    assert await worked(machine, courteous, 0.03, 1.0) > 0


async def test_where_the_machine_doesnt_tell_nobody_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "PRESSURE", tmp_path / "cpu")
    assert courtesy.stalled() == 0
    courtesy.PRESSURE.write_text("something else")
    assert courtesy.stalled() == 0
    courtesy.PRESSURE.write_text("some avg10=1.2 avg60=0.1 avg300=0.0 total=2500000\nfull avg10=0 total=7\n")
    assert courtesy.stalled() == 2.5
