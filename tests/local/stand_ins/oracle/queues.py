"""Which rights on queues does the stand-in for Oracle grant? Those of DBMS_AQADM, which GRANT cannot grant.

https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_AQADM.html
"""

from typing import TYPE_CHECKING

from tests.local.stand_ins.oracle.records import Held, Options
from tests.local.stand_ins.oracle.sql import OracleError, Reader
from tests.local.stand_ins.oracle.users import named

if TYPE_CHECKING:
    from tests.local.stand_ins.oracle.statements import Session

ON_ALL = {"ENQUEUE_ANY": "ENQUEUE ANY QUEUE", "DEQUEUE_ANY": "DEQUEUE ANY QUEUE", "MANAGE_ANY": "MANAGE ANY QUEUE"}


def grant_on_queue(session: "Session", privilege: str, queue: str, name: str, option: str) -> None:
    """GRANT_QUEUE_PRIVILEGE."""
    session.database.object_grants[_held(session, privilege, queue, name)] = Options(option == "TRUE")


def revoke_on_queue(session: "Session", privilege: str, queue: str, name: str) -> None:
    """REVOKE_QUEUE_PRIVILEGE."""
    if session.database.object_grants.pop(_held(session, privilege, queue, name), None) is None:
        raise OracleError(1927, "cannot REVOKE privileges you did not grant")


def _held(session: "Session", privilege: str, queue: str, name: str) -> Held:
    place = Reader(queue).qualified()
    owner, item = place[0] or session.user, place[1]
    if session.database.objects.get((owner, item)) != "QUEUE":
        raise OracleError(24010, f"QUEUE {queue} does not exist")
    if privilege not in ("ENQUEUE", "DEQUEUE"):
        raise OracleError(24088, "AQ Agent or privilege does not exist")
    if session.user != owner and not session.database.may(session.user, "MANAGE ANY QUEUE"):
        raise OracleError(1031, "insufficient privileges")
    return Held(named(session, name).name, owner, item, privilege, "", owner)


def grant_on_all(session: "Session", privilege: str, name: str, option: str) -> None:
    """GRANT_SYSTEM_PRIVILEGE; at first only SYS and SYSTEM can."""
    key = named(session, name).name, _known(session, privilege)
    session.database.system_grants[key] = option == "TRUE"


def revoke_on_all(session: "Session", privilege: str, name: str) -> None:
    """REVOKE_SYSTEM_PRIVILEGE."""
    if session.database.system_grants.pop((named(session, name).name, _known(session, privilege)), None) is None:
        raise OracleError(1952, "system privileges not granted to")


def _known(session: "Session", privilege: str) -> str:
    if privilege not in ON_ALL:
        raise OracleError(24088, "AQ Agent or privilege does not exist")
    if not session.database.may(session.user, ON_ALL[privilege], admin=True):
        raise OracleError(1031, "insufficient privileges")
    return ON_ALL[privilege]
