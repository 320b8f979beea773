"""What do the procedures of RDSADMIN do?

They are those of https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/db2-sp-granting-revoking-privileges.html. AWS's
rotation templates show what they refuse at once, and how the list of users looks.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.local.stand_ins.db2.catalog import Db2Error, Item

if TYPE_CHECKING:
    from tests.local.stand_ins.db2.database import User
    from tests.local.stand_ins.db2.session import Session

RDSADMIN = "RDSADMIN"
"""The database with the procedures."""

USERNAME = re.compile(r"[a-z][a-z0-9_]*")
OTHER_AUTHORITIES = frozenset({"DATAACCESS", "ACCESSCTRL"})
"""By default, a grant of DBADM also grants these."""


@dataclass(frozen=True)
class Procedure:
    """A procedure. `run` returns the number of its task, or a text."""

    run: Callable[..., int | str]
    returns_task: bool = False
    """Whether its first parameter returns the number of the task."""


def _list_users(session: "Session") -> str:
    users = session.instance.users.values()
    lines = [f"{user.name}\t{','.join(sorted(user.groups))}" for user in users]
    return "\n".join(["", "USERNAME\tGROUPS", "--------\t------", *lines, "", f"  {len(lines)} user(s)", ""])


def _add_user(session: "Session", name: str, password: str, groups: str = "") -> int:
    if not USERNAME.fullmatch(name.lower()) or not password:
        raise refused(f"Invalid username {name}")
    if session.instance.user(name):
        raise refused(f"Username {name} already exists")
    return session.instance.submit("ADD_USER", "", lambda: session.instance.add(name, password, names(groups)))


def _change_password(session: "Session", name: str, password: str) -> int:
    user = _user(session, name)
    return session.instance.submit("CHANGE_PASSWORD", "", lambda: user.change_password(password))


def _remove_user(session: "Session", name: str) -> int:
    _user(session, name)
    return session.instance.submit("REMOVE_USER", "", lambda: session.instance.users.pop(name.lower()))


def _add_groups(session: "Session", name: str, groups: str) -> int:
    user = _user(session, name)
    return session.instance.submit("ADD_GROUPS", "", lambda: user.groups.update(names(groups)))


def _remove_groups(session: "Session", name: str, groups: str) -> int:
    user = _user(session, name)
    return session.instance.submit("REMOVE_GROUPS", "", lambda: user.groups.difference_update(names(groups)))


def _create_role(session: "Session", database: str, role: str) -> int:
    return session.submit("CREATE_ROLE", database, lambda owner: owner.register("ROLE", "", role.upper()))


def _grant_role(session: "Session", database: str, role: str, to: str, admin: str = "N") -> int:
    item, option = Item("ROLE", "ROLE", (role.upper(),)), "ADMIN" if admin == "Y" else ""
    return session.submit("GRANT_ROLE", database, lambda owner: owner.give(item, *grantee(to), option))


def _revoke_role(session: "Session", database: str, role: str, of: str) -> int:
    item = Item("ROLE", "ROLE", (role.upper(),))
    return session.submit("REVOKE_ROLE", database, lambda owner: owner.take(item, *grantee(of)))


def _dbadm_grant(session: "Session", database: str, authority: str, to: str) -> int:
    item = Item(authority, "DATABASE", without=OTHER_AUTHORITIES)
    return session.submit("DBADM_GRANT", database, lambda owner: owner.give(item, *grantee(to)))


def _dbadm_revoke(session: "Session", database: str, authority: str, of: str) -> int:
    item = Item(authority, "DATABASE")
    return session.submit("DBADM_REVOKE", database, lambda owner: owner.take(item, *grantee(of)))


PROCEDURES = {
    "LIST_USERS": Procedure(_list_users),
    "ADD_USER": Procedure(_add_user),
    "CHANGE_PASSWORD": Procedure(_change_password),
    "REMOVE_USER": Procedure(_remove_user),
    "ADD_GROUPS": Procedure(_add_groups),
    "REMOVE_GROUPS": Procedure(_remove_groups),
    "CREATE_ROLE": Procedure(_create_role),
    "GRANT_ROLE": Procedure(_grant_role, returns_task=True),
    "REVOKE_ROLE": Procedure(_revoke_role, returns_task=True),
    "DBADM_GRANT": Procedure(_dbadm_grant, returns_task=True),
    "DBADM_REVOKE": Procedure(_dbadm_revoke, returns_task=True),
}


def refused(text: str) -> Db2Error:
    """Return an error that a procedure raises."""
    return Db2Error(-438, "75000", text)


def _user(session: "Session", name: str) -> "User":
    user = session.instance.user(name)
    if not user:
        raise refused(f"Username {name} does not exist")
    return user


def names(groups: str) -> set[str]:
    """Return the names in a list with commas."""
    return {group.strip() for group in groups.split(",") if group.strip()}


def grantee(text: str) -> tuple[str, str]:
    """Return the name and kind in `USER x`, `GROUP x` or `ROLE x`."""
    kind, _, name = text.partition(" ")
    if kind not in {"USER", "GROUP", "ROLE"} or not name:
        raise refused(f"Invalid grantee {text}")
    return name.strip().upper(), kind[0]
