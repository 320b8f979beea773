"""What does a Db2 user have, or find, that is bound to its name, so that no rotation can give it to the other user?

- **Its schema.** CURRENT SCHEMA begins as the name of the session's user
  (https://www.ibm.com/docs/no/SSEPGG_11.1.0/com.ibm.db2.luw.sql.ref.doc/doc/r0005881.html), and CURRENT PATH ends with
  it (https://www.ibm.com/docs/en/SSEPGG_10.1.0/com.ibm.db2.luw.sql.ref.doc/doc/r0005877.html). So an application finds
  what is in its user's schema without naming the schema. As the other user, it looks into another schema.
- **USAGE of an XSR object.** GRANT knows no grantee but PUBLIC
  (https://www.ibm.com/docs/SSEPGG_11.5.0/com.ibm.db2.luw.sql.ref.doc/doc/r0023749.html).
- **What names the user in its own definition**: a trusted context, a user mapping, an audit policy, a workload.

Two queries return counts and names, a limited number of rows. They evaluate nothing that a user wrote.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from rotation.engine import Unshared
from rotation.engines.db2.connection import Db2Connection
from rotation.engines.db2.kind import normal_name
from rotation.engines.db2.rights import identifier
from rotation.redaction import said

OBJECTS: Final = (
    "SELECT 'tables, views and aliases' AS KIND, COUNT(*) AS AMOUNT, MIN(TABNAME) AS EXAMPLE"
    " FROM SYSCAT.TABLES WHERE TABSCHEMA = ?"
    " UNION ALL SELECT 'routines', COUNT(*), MIN(ROUTINENAME) FROM SYSCAT.ROUTINES WHERE ROUTINESCHEMA = ?"
    " UNION ALL SELECT 'sequences', COUNT(*), MIN(SEQNAME) FROM SYSCAT.SEQUENCES"
    " WHERE SEQSCHEMA = ? AND SEQTYPE <> 'I'"
    " UNION ALL SELECT 'types', COUNT(*), MIN(TYPENAME) FROM SYSCAT.DATATYPES WHERE TYPESCHEMA = ?"
    " UNION ALL SELECT 'variables', COUNT(*), MIN(VARNAME) FROM SYSCAT.VARIABLES WHERE VARSCHEMA = ?"
    " UNION ALL SELECT 'modules', COUNT(*), MIN(MODULENAME) FROM SYSCAT.MODULES WHERE MODULESCHEMA = ?"
    " UNION ALL SELECT 'XSR objects', COUNT(*), MIN(OBJECTNAME) FROM SYSCAT.XSROBJECTS WHERE OBJECTSCHEMA = ?"
)
"""What a name without a schema can mean. A sequence of type I belongs to a column, and nobody names it."""

NAMED_BY: Final = (
    ("trusted contexts", "CONTEXTNAME", "CONTEXTS", "SYSTEMAUTHID"),
    (
        "uses of trusted contexts",
        "TRUSTEDID",
        "SURROGATEAUTHIDS",
        "TRUSTEDIDTYPE = 'C' AND SURROGATEAUTHIDTYPE = 'U' AND SURROGATEAUTHID",
    ),
    ("user mappings", "SERVERNAME", "USEROPTIONS", "AUTHID"),
    ("audit policies", "AUDITPOLICYNAME", "AUDITUSE", "OBJECTTYPE = 'i' AND SUBOBJECTTYPE = 'U' AND OBJECTNAME"),
    # IBM's page of this view gives a number and a word for each type of attribute. Both are looked for.
    (
        "workloads by SYSTEM_USER",
        "WORKLOADNAME",
        "WORKLOADCONNATTR",
        "CONNATTRTYPE IN ('2', 'SYSTEM_USER') AND CONNATTRVALUE",
    ),
    (
        "workloads by SESSION_USER",
        "WORKLOADNAME",
        "WORKLOADCONNATTR",
        "CONNATTRTYPE IN ('3', 'SESSION_USER') AND CONNATTRVALUE",
    ),
)
"""What names a user in its definition: the word for it, the column with its name, the view, the column of the user."""

XSR_OBJECTS: Final = (
    "SELECT 'XSR objects' AS KIND, O.OBJECTSCHEMA AS PLACE, O.OBJECTNAME AS NAME FROM SYSCAT.XSROBJECTAUTH A"
    " JOIN SYSCAT.XSROBJECTS O ON O.OBJECTID = A.OBJECTID"
    " WHERE A.USAGEAUTH = 'Y' AND A.GRANTEETYPE = 'U' AND A.GRANTEE = ?"
    " AND A.OBJECTID NOT IN"
    " (SELECT OBJECTID FROM SYSCAT.XSROBJECTAUTH WHERE USAGEAUTH = 'Y' AND GRANTEE IN (?, 'PUBLIC'))"
)

MOST_NAMES: Final = 20
"""How many things a refusal names."""

ONLY_ONE: Final = [
    f"SELECT DISTINCT '{kind}', '', {name} FROM SYSCAT.{view} WHERE {user} = ?"  # noqa: S608 - constants
    f" AND {name} NOT IN (SELECT {name} FROM SYSCAT.{view} WHERE {user} = ?)"
    for kind, name, view, user in NAMED_BY
]

BOUND: Final = f"{' UNION ALL '.join([XSR_OBJECTS, *ONLY_ONE])} FETCH FIRST {MOST_NAMES} ROWS ONLY"
"""What the first user has, and the second one has not."""

SENTENCES: Final[Mapping[str, str]] = {
    "XSR objects": "{user} has USAGE of the XSR object {name} (GRANT USAGE ON XSROBJECT {name} TO PUBLIC)",
    "trusted contexts": "the trusted context {name} is based on the connection of {user} (CREATE TRUSTED CONTEXT …"
    " BASED UPON CONNECTION USING SYSTEM AUTHID {other} ATTRIBUTES (…) …)",
    "uses of trusted contexts": "the trusted context {name} can be switched to {user} (ALTER TRUSTED CONTEXT {name} ADD"
    " USE FOR {other} …)",
    "user mappings": "{user} is mapped to a user of the server {name} (CREATE USER MAPPING FOR {other} SERVER {name}"
    " OPTIONS (…))",
    "audit policies": "{user} is audited by the policy {name} (AUDIT USER {other} USING POLICY {name})",
    "workloads by SYSTEM_USER": "{user} belongs to the workload {name} (ALTER WORKLOAD {name} ADD SYSTEM_USER"
    " ('{other}'))",
    "workloads by SESSION_USER": "{user} belongs to the workload {name} (ALTER WORKLOAD {name} ADD SESSION_USER"
    " ('{other}'))",
}
"""Each with a statement that follows IBM's pages. OPTIONS and ATTRIBUTES are required. One user is the SYSTEM AUTHID of
one trusted context at most. A workload takes the connections that match all kinds of attributes that it has
(https://www.ibm.com/docs/en/db2/11.1.0?topic=statements-create-user-mapping,
https://ibm.com/docs/SSEPGG_11.1.0/com.ibm.db2.luw.sql.ref.doc/doc/r0050603.html,
http://www.ibm.com/support/knowledgecenter/en/SSEPGG_10.5.0/com.ibm.db2.luw.sql.ref.doc/doc/r0050604.html,
https://www.ibm.com/docs/en/db2/12.1?topic=statements-alter-workload,
https://www.ibm.com/docs/en/db2/12.1.0?topic=statements-audit)."""


def unshared(connection: Db2Connection, user: str, other: str, remedy: str) -> Sequence[Unshared]:
    """Return what only the user has; `remedy` is for an admin that may not read the catalog."""
    return [*_in_schema(connection, user, other, remedy), *_bound(connection, user, other, remedy)]


def _in_schema(connection: Db2Connection, user: str, other: str, remedy: str) -> Sequence[Unshared]:
    schema = normal_name(user)
    parameters = [schema] * OBJECTS.count("?")
    rows = connection.ask(f"looking for objects in the schema of {user}", OBJECTS, parameters, remedy)
    counts = {row["KIND"]: (int(row["AMOUNT"]), row["EXAMPLE"]) for row in rows}
    total = sum(amount for amount, _ in counts.values())
    if not total:
        return []
    listed = ", ".join(f"{amount} {kind} ({said(name)} …)" for kind, (amount, name) in counts.items() if amount)
    quoted = identifier(schema)
    what = (
        f"the schema {schema} has {total} objects: {listed}. A session of {user} finds them without naming the schema,"
        f" one of {other} looks into {normal_name(other)} (SET CURRENT SCHEMA {quoted} and SET CURRENT PATH SYSTEM"
        f" PATH, {quoted} in each connection of the application, then accept it)"
    )
    return [Unshared("schemas", what)]


def _bound(connection: Db2Connection, user: str, other: str, remedy: str) -> Sequence[Unshared]:
    parameters = [normal_name(user), normal_name(other)] * (BOUND.count("?") // 2)
    rows = connection.ask(f"looking for what only {user} can have", BOUND, parameters, remedy)
    return [_sentence(row, user, other) for row in rows]


def _sentence(row: Mapping[str, str], user: str, other: str) -> Unshared:
    # With blanks after it if constants are CHAR: see `Db2Pair`.
    kind, place, name = row["KIND"].strip(), row["PLACE"], identifier(row["NAME"])
    name = said(f"{identifier(place)}.{name}" if place else name)
    what = SENTENCES[kind].format(user=user, other=normal_name(other), name=name)
    return Unshared(kind.removeprefix("uses of ").partition(" by ")[0].lower(), what)
