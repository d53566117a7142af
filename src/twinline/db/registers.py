"""Statements for rows made of registers, written from a description instead of by hand.

Rows come as JSON; where a row of that key exists, each register is joined on its own (see ``mirror.fold``), and a row
that would not change isn't written at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Registers:
    """A table of registers. Its statements' one parameter is a JSON array of objects.

    ``versioned``: version column -> the columns it governs. ``lattice``: column -> SQL of the join, where ``old`` and
    ``new`` are the two values. ``once``: columns that are set once and then stay. ``types``: every column's type as it
    stands in the JSON (times as unix seconds). ``defaults``: what an absent value means, for columns that can't be
    NULL.
    """

    table: str
    key: Sequence[str]
    versioned: Mapping[str, Sequence[str]]
    lattice: Mapping[str, str]
    once: Sequence[str]
    types: Mapping[str, str]
    defaults: Mapping[str, str]
    times: Sequence[str] = ()

    @property
    def insert(self) -> str:
        """For rows that nobody has yet."""
        columns = [*self.key, *self._others]
        return f"""
INSERT INTO {self.table} AS o ({", ".join(columns)})
{self._selected}
ORDER BY {", ".join(f"r.{column}" for column in self.key)}
"""

    @property
    def upsert(self) -> str:
        """For rows of which some may be there."""
        changes, reasons = self._join("excluded")
        return f"""{self.insert}ON CONFLICT ({", ".join(self.key)}) DO UPDATE SET
    {changes}
WHERE {reasons}
"""

    @property
    def update(self) -> str:
        """For rows that are all there; in the order given, if plans go by key (``Database.pipelined``)."""
        changes, reasons = self._join("new")
        return f"""
UPDATE {self.table} AS o SET
    {changes}
FROM ({self._selected}) AS new
WHERE {" AND ".join(f"o.{column} = new.{column}" for column in self.key)} AND ({reasons})
"""

    @property
    def _others(self) -> list[str]:
        return [*self.once, *(c for v, governed in self.versioned.items() for c in (v, *governed)), *self.lattice]

    @property
    def _selected(self) -> str:
        columns = [*self.key, *self._others]
        selected = []
        for column in columns:
            value = f"r.{column}"
            if column in self.times:
                value = f"to_timestamp({value})"
            if column in self.defaults:
                value = f"coalesce({value}, {self.defaults[column]})"
            selected.append(f"{value} AS {column}")
        return f"""SELECT {", ".join(selected)}
FROM json_to_recordset(%s::json) AS r({", ".join(f"{column} {self.types[column]}" for column in columns)})"""

    def _join(self, new: str) -> tuple[str, str]:
        """What is set from the account called ``new``, and when there is anything to set."""
        changes, reasons = [], []
        for version, governed in self.versioned.items():
            newer = f"{new}.{version} > o.{version}"
            changes.append(f"{version} = greatest(o.{version}, {new}.{version})")
            changes += [f"{c} = CASE WHEN {newer} THEN {new}.{c} ELSE o.{c} END" for c in governed]
            reasons.append(newer)
        for column, join in self.lattice.items():
            joined = join.replace("old", f"o.{column}").replace("new", f"{new}.{column}")
            changes.append(f"{column} = {joined}")
            reasons.append(f"o.{column} IS DISTINCT FROM {joined}")
        for column in self.once:
            changes.append(f"{column} = coalesce(o.{column}, {new}.{column})")
            reasons.append(f"o.{column} IS NULL AND {new}.{column} IS NOT NULL")
        return ("," + chr(10) + "    ").join(changes), " OR ".join(reasons)
