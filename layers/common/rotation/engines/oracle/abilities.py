"""Which GRANT does an admin of Oracle lack to do its part? Looks only.

SESSION_PRIVS and SESSION_ROLES say what a session can use now, through roles as well
(https://docs.oracle.com/en/database/oracle/oracle-database/19/refrn/SESSION_PRIVS.html). They do not say what it can
pass on. That is a column of the views that the catalog reads: for system privileges and roles, the option can come
through a role too. The option on an object cannot: no role can have it
(https://docs.oracle.com/en/database/oracle/oracle-database/19/sqlrf/GRANT.html, WITH GRANT OPTION).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rotation.engines.oracle.admin import OracleAdmin
from rotation.engines.oracle.catalog import SCHEMA_PRIVILEGES, OracleCatalog
from rotation.engines.oracle.definition import Definition, changed_groups
from rotation.engines.oracle.packages import AQ, ON_QUEUES, ON_RESOURCES, package_call
from rotation.engines.oracle.rights import (
    SYS,
    Right,
    RightKind,
    covers,
    grant,
    identifier,
    literal,
    on_rds,
    packaged_name,
    statements,
    whole,
)

ANY = {
    RightKind.SYSTEM: "GRANT ANY PRIVILEGE",
    RightKind.SCHEMA: "GRANT ANY SCHEMA PRIVILEGE",
    RightKind.ROLE: "GRANT ANY ROLE",
    RightKind.OBJECT: "GRANT ANY OBJECT PRIVILEGE",
}
"""The privilege that passes on all rights of a kind; on objects of SYS, it passes on none."""
RESOURCE_MANAGER = "ADMINISTER RESOURCE MANAGER"
ADMIN_OPTION, GRANT_OPTION = " WITH ADMIN OPTION", " WITH GRANT OPTION"
ON_ALL_QUEUES = "MANAGE ANY QUEUE"


class Abilities:
    """What the admin who is logged in may do."""

    def __init__(self, admin: OracleAdmin, catalog: OracleCatalog) -> None:
        """Read what the session can use."""
        self._admin = admin
        self._catalog = catalog
        self._name = admin.connection.username
        self._operation = f"looking up what {self._name} may do"
        rows = admin.read_all(self._operation, "session_privs", ["privilege"])
        self._privileges = {str(privilege) for (privilege,) in rows}

    def lacks(self, privilege: str) -> Iterator[str]:
        """Yield the GRANT of a system privilege, if the admin does not have it."""
        if privilege not in self._privileges:
            yield f"GRANT {privilege} TO {identifier(self._name)}"

    def lacks_for(self, user_has: Definition, other_has: Definition, other: str) -> Iterator[str]:
        """Yield the statements without which the admin cannot give the other one what the user has, each once."""
        wanted = [
            right
            for statement, right in statements(other_has.rights, user_has.rights, other)
            if statement.startswith("GRANT")
        ]
        held = self._held() if wanted else []
        yield from dict.fromkeys(
            statement for right in wanted for statement in self._lacks_to_pass_on(right, held, other)
        )
        if user_has.synonyms - other_has.synonyms:
            yield from self.lacks("CREATE ANY SYNONYM")
        if {one.name for one in other_has.synonyms} - {one.name for one in user_has.synonyms}:
            yield from self.lacks("DROP ANY SYNONYM")
        is_moved = user_has.initial_group != other_has.initial_group
        if (is_moved or changed_groups(user_has, other_has)) and RESOURCE_MANAGER not in self._privileges:
            yield self._to_manage_resources("FALSE")

    def _held(self) -> list[Right]:
        """Return what the session has, itself or through a role, with the option to pass it on or without."""
        roles = [str(role) for (role,) in self._admin.read_all(self._operation, "session_roles", ["role"])]
        return [*self._catalog.rights(self._name), *(self._through(roles) if roles else ())]

    def _through(self, roles: Sequence[str]) -> Iterator[Right]:
        """Yield what these roles give that can have the option."""
        views = [
            (RightKind.SYSTEM, "dba_sys_privs", ("privilege", "admin_option")),
            (RightKind.ROLE, "dba_role_privs", ("granted_role", "admin_option")),
        ]
        for kind, view, columns in views:
            for _, name, option in self._admin.read(self._operation, view, ["grantee"], columns, roles):
                yield Right(kind, name, option=option == "YES")
        if self._admin.connection.version >= SCHEMA_PRIVILEGES:
            on_schemas = ("privilege", "schema", "admin_option")
            rows = self._admin.read(self._operation, "dba_schema_privs", ["grantee"], on_schemas, roles)
            for _, name, schema, option in rows:
                yield Right(RightKind.SCHEMA, name, item=schema, option=option == "YES")

    def _lacks_to_pass_on(self, right: Right, held: list[Right], other: str) -> Iterator[str]:
        if any(_passes_on(one, right) for one in held) or right.owner == self._name:
            return
        if call := package_call(right, other, grants=True):
            yield from self._lacks_to_call(call.text, right)
        elif right.kind is RightKind.OBJECT and right.owner == SYS:
            passed = replace(whole(right), option=True)
            statement = grant(passed, self._name, GRANT_OPTION)
            yield f"{statement}{on_rds(statement, passed, self._name)}"
        elif ANY[right.kind] not in self._privileges:
            yield self._to_pass_on(right)

    def _to_pass_on(self, right: Right) -> str:
        if right.kind is RightKind.OBJECT:
            return f"GRANT {ANY[right.kind]} TO {identifier(self._name)}"
        return grant(whole(right), self._name, ADMIN_OPTION)

    def _lacks_to_call(self, text: str, right: Right) -> Iterator[str]:
        """Yield what lets the admin call a package that gives a right.

        MANAGE ANY QUEUE gives rights on every queue
        (https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_AQADM.html, GRANT_QUEUE_PRIVILEGE).
        """
        if right.name in ON_RESOURCES:
            yield self._to_manage_resources("TRUE")
        elif text.startswith(AQ) and not (right.name in ON_QUEUES and ON_ALL_QUEUES in self._privileges):
            name = identifier(self._name)
            yield f"GRANT AQ_ADMINISTRATOR_ROLE TO {name}; GRANT EXECUTE ON SYS.{AQ.upper()} TO {name}"

    def _to_manage_resources(self, option: str) -> str:
        arguments = f"{literal(packaged_name(self._name))}, 'ADMINISTER_RESOURCE_MANAGER', {option}"
        return f"BEGIN sys.dbms_resource_manager_privs.grant_system_privilege({arguments}); END;"


def _passes_on(held: Right, right: Right) -> bool:
    """Tell whether who has the one can pass on the other: who can on a table, can on each of its columns."""
    wanted = replace(right, option=True, hierarchy=False, delegate=False)
    return covers(held, wanted) or covers(held, replace(wanted, column=""))
