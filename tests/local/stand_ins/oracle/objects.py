"""Which statements create, change and drop objects, roles and profiles of the stand-in for Oracle?"""

from typing import TYPE_CHECKING

from tests.local.stand_ins.oracle.records import Trigger
from tests.local.stand_ins.oracle.sql import Kind, OracleError, Reader
from tests.local.stand_ins.oracle.verify import VERIFY_FUNCTIONS
from tests.local.stand_ins.oracle.vocabulary import DEFAULT_PROFILE, LIMITS, PUBLIC, ROLLOVER

if TYPE_CHECKING:
    from tests.local.stand_ins.oracle.statements import Session


def create_role(session: "Session", reader: Reader) -> None:
    """CREATE ROLE. The user who creates it gets the ADMIN option."""
    name = reader.identifier()
    reader.end()
    session.database.require(session.user, "CREATE ROLE")
    if name in session.database.roles or name in session.database.users:
        raise OracleError(1921, f"role name '{name}' conflicts with another user or role name")
    session.database.roles.add(name)
    session.database.role_grants[session.user, name] = True


def create_profile(session: "Session", reader: Reader) -> None:
    """CREATE PROFILE … LIMIT …."""
    _profile(session, reader, "CREATE PROFILE", dict.fromkeys(LIMITS, "DEFAULT"))


def alter_profile(session: "Session", reader: Reader) -> None:
    """ALTER PROFILE … LIMIT …."""
    _profile(session, reader, "ALTER PROFILE", None)


def _profile(session: "Session", reader: Reader, privilege: str, limits: dict[str, str] | None) -> None:
    name = reader.identifier()
    reader.expect("LIMIT")
    given: dict[str, str] = {}
    while not reader.at_end:
        limit = reader.identifier()
        value = reader.take(Kind.WORD, Kind.NUMBER).value
        if reader.took("/"):
            value = str(float(value) / float(reader.take(Kind.NUMBER).value))
        if limit not in LIMITS or (limit == ROLLOVER and not session.database.has_rollover):
            raise OracleError(2376, "invalid or redundant resource")
        if limit == ROLLOVER and value != "DEFAULT" and not (float(value) == 0 or 1 / 24 <= float(value) <= 60):
            raise OracleError(2377, f"invalid profile limit {limit}")
        if limit == "PASSWORD_VERIFY_FUNCTION" and value not in ("NULL", "DEFAULT", *VERIFY_FUNCTIONS):
            raise OracleError(7443, f"function {value} not found")
        given[limit] = value
    session.database.require(session.user, privilege)
    known = session.database.profiles
    if (limits is None) is not (name in known):
        raise OracleError(2380 if limits is None else 2379, f"profile {name} does not exist, or exists already")
    known[name] = {**(limits if limits is not None else known[name]), **given}
    if name == DEFAULT_PROFILE and "DEFAULT" in given.values():
        raise OracleError(2377, "invalid profile limit")


def create_table(session: "Session", reader: Reader) -> None:
    """CREATE TABLE name (column type, …)."""
    _create_object(session, reader, "TABLE")


def create_sequence(session: "Session", reader: Reader) -> None:
    """CREATE SEQUENCE name."""
    _create_object(session, reader, "SEQUENCE")


def _create_object(session: "Session", reader: Reader, kind: str) -> None:
    owner, name = reader.qualified()
    place = (owner or session.schema, name)
    if kind == "TABLE":
        reader.expect("(")
        generated = reader.listed(lambda: _column(reader))
        reader.expect(")")
    else:
        generated = []
    reader.end()
    own = () if owner not in (None, session.user) else (f"CREATE {kind}",)
    session.database.require(session.user, f"CREATE ANY {kind}", *own)
    session.database.user(place[0])
    if place in session.database.objects or place in session.database.synonyms:
        raise OracleError(955, "name is already used by an existing object")
    session.database.objects[place] = kind
    for _ in filter(None, generated):
        # Named as real servers name the sequences of identity columns
        sequence = (place[0], f"ISEQ$$_{next(session.database.numbers)}")
        session.database.objects[sequence], session.database.made[sequence] = "SEQUENCE", "GENERATED"


def _column(reader: Reader) -> bool:
    """Parse a column; tell whether its values come from a sequence that the server makes."""
    reader.identifier()
    reader.identifier()
    return reader.took("GENERATED", "ALWAYS", "AS", "IDENTITY")


def create_link(session: "Session", reader: Reader) -> None:
    """CREATE DATABASE LINK name [CONNECT TO user IDENTIFIED BY password] USING 'host'.

    The name has no schema: what comes before a dot is a part of the name
    (https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/CREATE-DATABASE-LINK.html).
    """
    _link(session, reader, session.user, "CREATE DATABASE LINK")


def create_public_link(session: "Session", reader: Reader) -> None:
    """CREATE PUBLIC DATABASE LINK, in the same way."""
    _link(session, reader, PUBLIC, "CREATE PUBLIC DATABASE LINK")


def _link(session: "Session", reader: Reader, owner: str, privilege: str) -> None:
    name, username = _link_name(reader), ""
    if reader.took("CONNECT", "TO"):
        username = reader.identifier()
        reader.expect("IDENTIFIED", "BY")
        reader.password()
    reader.expect("USING")
    host = reader.take(Kind.TEXT).value
    reader.end()
    session.database.require(session.user, privilege)
    place = (owner, name)
    if place in session.database.links:
        raise OracleError(2011, "duplicate database link name")
    session.database.links[place] = (username, host)


def _link_name(reader: Reader) -> str:
    parts = [reader.identifier()]
    while reader.took("."):
        parts.append(reader.identifier())
    return ".".join(parts)


def create_code(session: "Session", reader: Reader) -> None:
    """CREATE [OR REPLACE] FUNCTION, OPERATOR, PACKAGE, PROCEDURE, TYPE or VIEW; its text is not parsed."""
    kind = reader.take(Kind.WORD).value
    owner, name = reader.qualified()
    place = (owner or session.schema, name)
    reader.rest()
    of_all = {"FUNCTION": "PROCEDURE", "PACKAGE": "PROCEDURE"}.get(kind, kind)
    session.database.require(
        session.user, *([f"CREATE {of_all}"] if place[0] == session.user else []), "CREATE ANY TABLE"
    )
    if place in session.database.synonyms or session.database.objects.get(place, kind) != kind:
        raise OracleError(955, "name is already used by an existing object")
    session.database.objects[place] = kind


def create_trigger(session: "Session", reader: Reader) -> None:
    """CREATE [OR REPLACE] TRIGGER name AFTER event [OR event] ON DATABASE or [name.]SCHEMA [WHEN (…)] BEGIN …."""
    owner, name = reader.qualified()
    if not reader.took("BEFORE"):
        reader.expect("AFTER")
    events = {reader.take(Kind.WORD).value}
    while reader.took("OR"):
        events.add(reader.take(Kind.WORD).value)
    reader.expect("ON")
    schema = "" if reader.took("DATABASE") else _schema_of_trigger(session, reader)
    condition, changes, raises = _body_of_trigger(reader)
    anywhere = (
        () if (owner or session.user) == session.user and schema in ("", session.user) else ("CREATE ANY TRIGGER",)
    )
    session.database.require(session.user, *(anywhere or ("CREATE TRIGGER", "CREATE ANY TRIGGER")))
    if not schema:
        session.database.require(session.user, "ADMINISTER DATABASE TRIGGER")
    trigger = Trigger(owner or session.user, name, frozenset(events), schema, changes, condition, raises)
    session.database.triggers[trigger.owner, name] = trigger


def _body_of_trigger(reader: Reader) -> tuple[str, tuple[tuple[str, str], ...], int]:
    """Parse a WHEN clause and the block after it, as far as the stand-in understands them."""
    start = reader.peek()
    rest = reader.rest()
    begin = next(token for token in rest if token.value == "BEGIN")
    condition = ""
    if start and start.value == "WHEN":
        condition = reader.statement[start.end : begin.start].strip().removeprefix("(").removesuffix(")")
    body = [token for token in rest if token.start >= begin.start]
    text = next((token.value for token in body if token.kind is Kind.TEXT), "")
    raised = next((token.value for token in body if token.kind is Kind.NUMBER), "0")
    changes = settings(Reader(text.removeprefix("ALTER SESSION "))) if text.startswith("ALTER SESSION ") else []
    return condition, tuple(changes), int(raised)


def _schema_of_trigger(session: "Session", reader: Reader) -> str:
    owner, word = reader.qualified()
    if word != "SCHEMA":
        raise reader.error()
    return owner or session.user


def drop_public_synonym(session: "Session", reader: Reader) -> None:
    """DROP PUBLIC SYNONYM name."""
    name = reader.identifier()
    reader.end()
    session.database.require(session.user, "CREATE PUBLIC SYNONYM")
    if session.database.synonyms.pop((PUBLIC, name), None) is None:
        raise OracleError(1432, "public synonym to be dropped does not exist")


def drop_trigger(session: "Session", reader: Reader) -> None:
    """DROP TRIGGER name."""
    owner, name = reader.qualified()
    reader.end()
    if session.database.triggers.pop((owner or session.user, name), None) is None:
        raise OracleError(4080, f"trigger '{name}' does not exist")


def drop_table(session: "Session", reader: Reader) -> None:
    """DROP TABLE name."""
    owner, name = reader.qualified()
    reader.end()
    place = (owner or session.schema, name)
    if place not in session.database.objects:
        raise OracleError(942, "table or view does not exist")
    if place[0] != session.user:
        session.database.require(session.user, "DROP ANY TABLE")
    del session.database.objects[place]
    for held in [held for held in session.database.object_grants if (held.owner, held.item) == place]:
        del session.database.object_grants[held]


def create_synonym(session: "Session", reader: Reader) -> None:
    """CREATE SYNONYM name FOR object[@link]."""
    _synonym(session, reader)


def replace_synonym(session: "Session", reader: Reader) -> None:
    """CREATE OR REPLACE SYNONYM name FOR object[@link]."""
    _synonym(session, reader, may_exist=True)


def replace_public_synonym(session: "Session", reader: Reader) -> None:
    """CREATE OR REPLACE PUBLIC SYNONYM name FOR object."""
    _synonym(session, reader, PUBLIC, may_exist=True)


def _synonym(session: "Session", reader: Reader, schema: str | None = None, *, may_exist: bool = False) -> None:
    owner, name = reader.qualified()
    place = (schema or owner or session.schema, name)
    reader.expect("FOR")
    target_owner, target = reader.qualified()
    link = _link_name(reader) if reader.took("@") else ""
    reader.end()
    own = {PUBLIC: ("CREATE PUBLIC SYNONYM",), session.user: ("CREATE SYNONYM", "CREATE ANY SYNONYM")}
    session.database.require(session.user, *own.get(place[0], ("CREATE ANY SYNONYM",)))
    if place[0] != PUBLIC:
        session.database.user(place[0])
    if place in session.database.objects or (place in session.database.synonyms and not may_exist):
        raise OracleError(955, "name is already used by an existing object")
    session.database.synonyms[place] = (target_owner or session.schema, target, link)


def drop_synonym(session: "Session", reader: Reader) -> None:
    """DROP SYNONYM name."""
    owner, name = reader.qualified()
    reader.end()
    place = (owner or session.schema, name)
    if place not in session.database.synonyms:
        raise OracleError(1434, "private synonym to be dropped does not exist")
    if place[0] != session.user:
        session.database.require(session.user, "DROP ANY SYNONYM")
    del session.database.synonyms[place]


def alter_session(session: "Session", reader: Reader) -> None:
    """ALTER SESSION SET CURRENT_SCHEMA = name, or for one of the parameters of comparisons."""
    session.apply(settings(reader))


def insert(session: "Session", reader: Reader) -> None:
    """INSERT INTO table VALUES (number)."""
    owner, name = reader.qualified()
    reader.expect("VALUES", "(")
    number = reader.take(Kind.NUMBER).value
    reader.expect(")")
    reader.end()
    place = session.database.find(session.user, session.schema, owner, name)
    if session.database.users[session.user].read_only:
        raise OracleError(28194, "Can perform read operations only")
    if not session.database.may_use(session.user, *place, "INSERT"):
        raise OracleError(1031, "insufficient privileges")
    session.pending.setdefault(place, []).append((number,))


def settings(reader: Reader) -> list[tuple[str, str]]:
    """Read what follows ALTER SESSION; return the parameters and their values."""
    reader.expect("SET")
    found: list[tuple[str, str]] = []
    while not (found and reader.at_end):
        name = reader.take(Kind.WORD).value
        if name not in ("CURRENT_SCHEMA", "NLS_COMP", "NLS_SORT"):
            raise OracleError(2248, "invalid option for ALTER SESSION")
        reader.expect("=")
        found.append((name, reader.identifier()))
    return found
