"""Which blocks of PL/SQL does the stand-in for Oracle run? Calls of procedures of SYS."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.local.stand_ins.oracle import queues
from tests.local.stand_ins.oracle.dictionary import Binds
from tests.local.stand_ins.oracle.sql import Kind, OracleError, Reader
from tests.local.stand_ins.oracle.users import named
from tests.local.stand_ins.oracle.views import Value
from tests.local.stand_ins.oracle.vocabulary import DBA, DEFAULT_GROUP, SYS

if TYPE_CHECKING:
    from tests.local.stand_ins.oracle.statements import Session


def run_block(session: "Session", reader: Reader, binds: Binds) -> None:
    calls = []
    while not reader.took("END", ";"):
        calls.append(_call(session, reader, binds))
    reader.end()
    session.commit()
    for procedure, arguments in calls:
        procedure(session, *arguments)


def _call(session: "Session", reader: Reader, binds: Binds) -> tuple[Callable[..., None], list[Value]]:
    name, written = _dotted(session, reader)
    arguments: list[Value] = []
    if reader.took("("):
        arguments = reader.listed(lambda: _argument(session, reader, binds))
        reader.expect(")")
    reader.expect(";")
    if written:
        return lambda session, *_: session.database.spring(session.user, written), arguments
    if name not in PROCEDURES or not _executes(session, name.partition(".")[0]):
        raise OracleError(6550, f"PLS-00201: identifier '{name}' must be declared")
    return PROCEDURES[name], arguments


def _executes(session: "Session", package: str) -> bool:
    """Tell whether the user can call a package: everybody can, but only a DBA or a grantee can call DBMS_AQADM."""
    database = session.database
    is_granted = "EXECUTE" in database.held_on(session.user, SYS, package)
    return (SYS, package) not in database.objects or is_granted or DBA in database.enabled(session.user)


def _dotted(session: "Session", reader: Reader) -> tuple[str, tuple[str, str] | None]:
    """Return a name of SYS, and the object of a user that hides it, if there is one."""
    parts = [reader.identifier()]
    while reader.took("."):
        parts.append(reader.identifier())
    written = session.database.written(session.schema, parts[0])
    return ".".join(parts[1:] if parts[0] == SYS else parts), written


def _argument(session: "Session", reader: Reader, binds: Binds) -> Value:
    token = reader.peek()
    if token and token.kind is Kind.BIND:
        reader.take()
        if token.value.upper() not in binds:
            raise OracleError(1008, "not all variables bound")
        return binds[token.value.upper()]
    if token and token.kind is Kind.TEXT:
        return reader.take().value
    name, written = _dotted(session, reader)
    if written:
        session.database.spring(session.user, written)
    return name


def _manages(session: "Session") -> None:
    if not session.database.may(session.user, "ADMINISTER RESOURCE MANAGER"):
        raise OracleError(29366, "invalid CONSUMER_GROUP argument specified, or insufficient privileges")


def grant_switch(session: "Session", name: str, group: str, option: str) -> None:
    """DBMS_RESOURCE_MANAGER_PRIVS.GRANT_SWITCH_CONSUMER_GROUP."""
    _manages(session)
    if group not in session.database.groups:
        raise OracleError(29368, f"consumer group {group} does not exist")
    named(session, name).groups[group] = option == "TRUE"


def revoke_switch(session: "Session", name: str, group: str) -> None:
    """DBMS_RESOURCE_MANAGER_PRIVS.REVOKE_SWITCH_CONSUMER_GROUP; without it, the group is not the initial one
    (https://docs.oracle.com/cd/A91202_01/901_doc/appdev.901/a89852/dbms_r5b.htm)."""  # noqa: D205, D209 - the link takes the line
    _manages(session)
    user = named(session, name)
    if user.groups.pop(group, None) is None:
        raise OracleError(29366, "invalid CONSUMER_GROUP argument specified")  # no page says which number it is
    if user.initial_group == group:
        user.initial_group = DEFAULT_GROUP


def grant_manager(session: "Session", name: str, privilege: str, option: str) -> None:
    """DBMS_RESOURCE_MANAGER_PRIVS.GRANT_SYSTEM_PRIVILEGE: GRANT cannot grant this privilege."""
    if not session.database.may(session.user, "ADMINISTER RESOURCE MANAGER", admin=True):
        raise OracleError(1031, "insufficient privileges")
    if privilege != "ADMINISTER_RESOURCE_MANAGER":
        raise OracleError(990, "missing or invalid privilege")
    session.database.system_grants[named(session, name).name, "ADMINISTER RESOURCE MANAGER"] = option == "TRUE"


def revoke_manager(session: "Session", name: str, privilege: str) -> None:
    """DBMS_RESOURCE_MANAGER_PRIVS.REVOKE_SYSTEM_PRIVILEGE."""
    if not session.database.may(session.user, "ADMINISTER RESOURCE MANAGER", admin=True):
        raise OracleError(1031, "insufficient privileges")
    if privilege != "ADMINISTER_RESOURCE_MANAGER":
        raise OracleError(990, "missing or invalid privilege")
    key = named(session, name).name, "ADMINISTER RESOURCE MANAGER"
    if session.database.system_grants.pop(key, None) is None:
        raise OracleError(1952, "system privileges not granted to")


def create_pending_area(session: "Session") -> None:
    """DBMS_RESOURCE_MANAGER.CREATE_PENDING_AREA."""
    _manages(session)
    if session.database.pending_area is not None:
        raise OracleError(29370, "pending area is already active")
    session.database.pending_area = {}


def map_consumer_group(session: "Session", attribute: str, name: str, group: str | None) -> None:
    """DBMS_RESOURCE_MANAGER.SET_CONSUMER_GROUP_MAPPING."""
    _manages(session)
    if session.database.pending_area is None:
        raise OracleError(29371, "pending area is not active")
    if attribute != "DBMS_RESOURCE_MANAGER.ORACLE_USER" or (group and group not in session.database.groups):
        raise OracleError(29368, f"consumer group {group} does not exist")
    session.database.pending_area[named(session, name).name] = group or ""


def submit_pending_area(session: "Session") -> None:
    """DBMS_RESOURCE_MANAGER.SUBMIT_PENDING_AREA."""
    _manages(session)
    if session.database.pending_area is None:
        raise OracleError(29371, "pending area is not active")
    for name, group in session.database.pending_area.items():
        session.database.user(name).initial_group = group or "DEFAULT_CONSUMER_GROUP"
    session.database.pending_area = None


PROCEDURES: dict[str, Callable[..., None]] = {
    "DBMS_RESOURCE_MANAGER_PRIVS.GRANT_SWITCH_CONSUMER_GROUP": grant_switch,
    "DBMS_RESOURCE_MANAGER_PRIVS.REVOKE_SWITCH_CONSUMER_GROUP": revoke_switch,
    "DBMS_RESOURCE_MANAGER_PRIVS.GRANT_SYSTEM_PRIVILEGE": grant_manager,
    "DBMS_RESOURCE_MANAGER_PRIVS.REVOKE_SYSTEM_PRIVILEGE": revoke_manager,
    "DBMS_AQADM.GRANT_QUEUE_PRIVILEGE": queues.grant_on_queue,
    "DBMS_AQADM.REVOKE_QUEUE_PRIVILEGE": queues.revoke_on_queue,
    "DBMS_AQADM.GRANT_SYSTEM_PRIVILEGE": queues.grant_on_all,
    "DBMS_AQADM.REVOKE_SYSTEM_PRIVILEGE": queues.revoke_on_all,
    "DBMS_RESOURCE_MANAGER.CREATE_PENDING_AREA": create_pending_area,
    "DBMS_RESOURCE_MANAGER.SET_CONSUMER_GROUP_MAPPING": map_consumer_group,
    "DBMS_RESOURCE_MANAGER.SUBMIT_PENDING_AREA": submit_pending_area,
}
