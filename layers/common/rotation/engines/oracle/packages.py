"""Which rights does Oracle give by a package, and not by GRANT?

The dictionary shows them like all others. For queues it is DBMS_AQADM
(https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_AQADM.html, GRANT_QUEUE_PRIVILEGE and
GRANT_SYSTEM_PRIVILEGE), for resource plans DBMS_RESOURCE_MANAGER_PRIVS
(https://docs.oracle.com/en/database/oracle/oracle-database/19/arpls/DBMS_RESOURCE_MANAGER_PRIVS.html). No page says
that GRANT takes them, so it is not tried.
"""

from collections.abc import Mapping

from rotation.engines.oracle.rights import Right, RightKind, identifier, literal, packaged_name
from rotation.redaction import said
from rotation.values import dataclass

AQ, RESOURCES = "dbms_aqadm", "dbms_resource_manager_privs"

ON_QUEUES = frozenset({"ENQUEUE", "DEQUEUE"})
ON_ALL_QUEUES = {
    "ENQUEUE ANY QUEUE": "ENQUEUE_ANY",
    "DEQUEUE ANY QUEUE": "DEQUEUE_ANY",
    "MANAGE ANY QUEUE": "MANAGE_ANY",
}
"""A privilege as DBA_SYS_PRIVS names it, and as the package does."""
ON_RESOURCES = {"ADMINISTER RESOURCE MANAGER": "ADMINISTER_RESOURCE_MANAGER"}

WITH_OPTION, WITHOUT_OPTION = "TRUE", "FALSE"


@dataclass(frozen=True)
class PackageCall:
    """A call of a procedure of SYS; names of users are bound."""

    text: str
    arguments: Mapping[str, str]

    def __str__(self) -> str:
        """Return the same as it is run by hand."""
        text = self.text
        for name, value in self.arguments.items():
            text = text.replace(f":{name}", literal(value))
        return f"BEGIN {text} END;"


def package_call(right: Right, user: str, *, grants: bool) -> PackageCall | None:
    """Return the call that gives a user this right, or takes it; None if a statement does."""
    verb, option = ("grant", f", {WITH_OPTION if right.option else WITHOUT_OPTION}") if grants else ("revoke", "")
    grantee = packaged_name(user)
    if right.kind is RightKind.OBJECT and right.name in ON_QUEUES:
        text = f"{AQ}.{verb}_queue_privilege(:privilege, :queue, :grantee{option});"
        queue = f"{identifier(right.owner)}.{identifier(right.item)}"
        return PackageCall(text, {"privilege": right.name, "queue": queue, "grantee": grantee})
    if right.kind is RightKind.SYSTEM and right.name in ON_ALL_QUEUES:
        text = f"{AQ}.{verb}_system_privilege(:privilege, :grantee{option});"
        return PackageCall(text, {"privilege": ON_ALL_QUEUES[right.name], "grantee": grantee})
    if right.kind is RightKind.SYSTEM and right.name in ON_RESOURCES:
        text = f"{RESOURCES}.{verb}_system_privilege(:grantee, :privilege{option});"
        return PackageCall(text, {"grantee": grantee, "privilege": ON_RESOURCES[right.name]})
    return None


def group_call(user: str, group: str, *, option: bool | None = None) -> PackageCall:
    """Return the call that lets a user switch to a consumer group, with an option or without; None: that ends it."""
    verb, more = ("revoke", "") if option is None else ("grant", f", {WITH_OPTION if option else WITHOUT_OPTION}")
    text = f"{RESOURCES}.{verb}_switch_consumer_group(:name, :grp{more});"
    return PackageCall(text, {"name": packaged_name(user), "grp": group})


def initial_group_call(user: str, group: str) -> PackageCall:
    """Return the calls that set the consumer group in which a user's sessions begin."""
    procedures = (
        "create_pending_area",
        "set_consumer_group_mapping(dbms_resource_manager.oracle_user, :name, :grp)",
        "submit_pending_area",
    )
    text = " ".join(f"dbms_resource_manager.{procedure};" for procedure in procedures)
    return PackageCall(text, {"name": packaged_name(user), "grp": group})


def package_remedy(call: PackageCall, admin: str) -> str:
    """Return what lets the admin make a call."""
    package = call.text.partition(".")[0]
    role = "AQ_ADMINISTRATOR_ROLE" if package == AQ else "ADMINISTER_RESOURCE_MANAGER, with the option to pass it on,"
    return f"Grant {admin} {role} and EXECUTE on SYS.{package.upper()}; or run by hand: {said(str(call))}"
