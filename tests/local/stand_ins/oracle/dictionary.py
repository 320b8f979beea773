"""How does the stand-in for Oracle answer a query for its dictionary views and its few tables?

A query names columns of one view or table, or counts rows. It compares columns with values. UNION ALL joins queries
whose columns have the same types. Other queries are errors.
"""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.local.stand_ins.oracle.sql import Kind, OracleError, Reader, Token
from tests.local.stand_ins.oracle.views import ALL_VIEWS, DBA_VIEWS, OWN_VIEWS, SESSION_VIEWS, Row, Value
from tests.local.stand_ins.oracle.vocabulary import CATALOG, NUMBERS, SYS, VIEWS_ABOUT_NAMES

if TYPE_CHECKING:
    from tests.local.stand_ins.oracle.statements import Session

type Test = Callable[[Row], bool]
type Binds = Mapping[str, str | None]

OPERATORS: dict[str, Callable[[Value, Value], bool]] = {
    "=": lambda a, b: a is not None and a == b,
    "<>": lambda a, b: a is not None and b is not None and a != b,
    "!=": lambda a, b: a is not None and b is not None and a != b,
}


def select(session: "Session", reader: Reader, binds: Binds) -> tuple[list[str], list[tuple[Value, ...]]]:
    """Run the rest of a query after SELECT; return the names of the columns, and the rows."""
    columns, rows = _branch(session, reader, binds)
    while reader.took("UNION", "ALL"):
        reader.expect("SELECT")
        others, more = _branch(session, reader, binds)
        _require_same_types(columns, others)
        rows += more
    if reader.took("ORDER", "BY"):
        reader.listed(reader.identifier)
    reader.end()
    return [column.name for column in columns], rows


def _branch(session: "Session", reader: Reader, binds: Binds) -> tuple[list["Column"], list[tuple[Value, ...]]]:
    counts = reader.took("COUNT", "(", "*", ")")
    columns = [Column("COUNT(*)", lambda _: 0)] if counts else reader.listed(lambda: _column(session, reader))
    if reader.at_end and all(column.name.isdigit() for column in columns):
        if session.database.version < (23,):
            raise OracleError(923, "FROM keyword not found where expected")
        return columns, [tuple(int(column.name) for column in columns)]
    reader.expect("FROM")
    owner, name = reader.qualified()
    test: Test = _Condition(session, reader, binds).read() if reader.took("WHERE") else lambda _: True
    rows = [row for row in _rows(session, owner, name) if test(row)]
    return columns, [(len(rows),)] if counts else [tuple(column.value(row) for column in columns) for row in rows]


def _require_same_types(columns: Sequence["Column"], others: Sequence["Column"]) -> None:
    """Raise OracleError if two queries cannot be joined; NULL has any type."""
    if len(columns) != len(others):
        raise OracleError(1789, "query block has incorrect number of result columns")
    for one, other in zip(columns, others, strict=True):
        if one.is_number != other.is_number and "NULL" not in (one.name, other.name):
            raise OracleError(1790, "expression must have same datatype as corresponding expression")


@dataclass(frozen=True)
class Column:
    """A column of a query."""

    name: str
    value: Callable[[Row], Value]

    @property
    def is_number(self) -> bool:
        """Tell whether its values are numbers."""
        return self.name in NUMBERS or self.name.isdigit()


def _column(session: "Session", reader: Reader) -> Column:
    token = reader.take(Kind.WORD, Kind.NAME, Kind.NUMBER, Kind.TEXT)
    if token.kind is Kind.TEXT:
        return Column(f"'{token.value}'", lambda _: token.value)
    if token == Token(Kind.WORD, "NULL", token.start, token.end):
        return Column("NULL", lambda _: None)
    if token.kind is Kind.NUMBER:
        return Column(token.value, lambda _: int(token.value))
    if reader.sees("(") or reader.sees("."):
        return _function(session, reader, token.value)
    return Column(token.value, lambda row: _value(row, token.value))


def _function(session: "Session", reader: Reader, first: str) -> Column:
    """Parse a call of a function of SQL itself, or of a user."""
    parts = [first]
    while reader.took("."):
        parts.append(reader.identifier())
    reader.expect("(")
    arguments = reader.listed(lambda: reader.take(Kind.TEXT, Kind.WORD).value) if not reader.sees(")") else []
    reader.expect(")")
    written = session.database.written(session.schema, first)
    if len(parts) == 2 and (parts[0], parts[1]) in session.database.objects:
        written = (parts[0], parts[1])
    if written:

        def run(_: Row) -> Value:
            session.database.spring(session.user, written)
            return None

        return Column(first, run)
    if parts == ["TO_CHAR"] and len(arguments) == 1:
        return Column(f"TO_CHAR({arguments[0]})", lambda row: _text(_value(row, arguments[0])))
    if parts != ["SYS_CONTEXT"] or len(arguments) != 2 or arguments[0].upper() != "USERENV":
        raise OracleError(904, f'"{first}": invalid identifier')
    value = session.context(arguments[1].upper())
    return Column(f"SYS_CONTEXT('USERENV','{arguments[1]}')", lambda _: value)


def _text(value: Value) -> Value:
    return value if value is None else str(value)


def _value(row: Row, column: str) -> Value:
    if column not in row:
        raise OracleError(904, f'"{column}": invalid identifier')
    return row[column]


@dataclass(frozen=True)
class _Condition:
    """The condition after WHERE."""

    session: "Session"
    reader: Reader
    binds: Binds

    def read(self) -> Test:
        """Parse the condition; return a test of a row."""
        tests = [self._conjunction()]
        while self.reader.took("OR"):
            tests.append(self._conjunction())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _conjunction(self) -> Test:
        tests = [self._comparison()]
        while self.reader.took("AND"):
            tests.append(self._comparison())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _comparison(self) -> Test:
        reader, column = self.reader, self.reader.identifier()
        negative = reader.took("NOT")
        if reader.took("IN", "("):
            values = reader.listed(self._operand)
            reader.expect(")")
            return lambda row: (self._compared(row, column) in values) is not negative
        if negative or reader.sees("LIKE"):
            reader.expect("LIKE")
            pattern = str(self._operand()).replace("%", "*")
            return lambda row: fnmatch.fnmatchcase(str(self._compared(row, column)), pattern) is not negative
        operator = OPERATORS.get(reader.take(Kind.MARK).value)
        if operator is None:
            raise reader.error()
        operand = self._operand()
        return lambda row: operator(self._compared(row, column), operand)

    def _compared(self, row: Row, column: str) -> Value:
        return self.session.folded(_value(row, column))

    def _operand(self) -> Value:
        token = self.reader.take(Kind.TEXT, Kind.BIND, Kind.NUMBER)
        if token.kind is Kind.BIND:
            if token.value.upper() not in self.binds:
                raise OracleError(1008, "not all variables bound")
            return self.session.folded(self.binds[token.value.upper()])
        return int(token.value) if token.kind is Kind.NUMBER else self.session.folded(token.value)


def _rows(session: "Session", owner: str | None, name: str) -> list[Row]:
    database = session.database
    is_written = owner is None and database.written(session.schema, name)
    if owner in (None, SYS) and not is_written:
        if name in OWN_VIEWS:
            return OWN_VIEWS[name](database, session.schema)
        if name in SESSION_VIEWS:
            return SESSION_VIEWS[name](database, session.user)
        if name in ALL_VIEWS:
            return ALL_VIEWS[name](database)
        if name in DBA_VIEWS or name in database.named:
            return _dictionary_rows(session, name)
        if name == "DUAL":
            return [{"DUMMY": "X"}]
    place = database.find(session.user, session.schema, owner, name)
    if not database.may_use(session.user, *place, "SELECT", "READ"):
        raise OracleError(1031, "insufficient privileges")
    if database.objects[place] == "VIEW" and place[0] != SYS:
        database.spring(session.user, place)
    return [{"ID": str(row[0])} for row in (*database.rows.get(place, []), *session.pending.get(place, []))]


def _dictionary_rows(session: "Session", name: str) -> list[Row]:
    database = session.database
    if not _sees_dictionary(session, name) or (name == "DBA_SCHEMA_PRIVS" and database.version < (23,)):
        named = f'"{SYS}"."{name}" ' if database.version >= (23,) else ""
        raise OracleError(942, f"table or view {named}does not exist")
    if name in DBA_VIEWS:
        return DBA_VIEWS[name](database)
    return [dict.fromkeys(VIEWS_ABOUT_NAMES[name]) | row for row in database.named[name]]


def _sees_dictionary(session: "Session", name: str) -> bool:
    database = session.database
    return (
        CATALOG in database.enabled(session.user)
        or database.may(session.user, "SELECT ANY DICTIONARY")
        or "SELECT" in database.held_on(session.user, SYS, name)
    )
