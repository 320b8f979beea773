"""What may a user do, as Db2's catalog says it, and which statements make it the same as another's?

The views are those that IBM lists as the ones that hold privileges
(https://www.ibm.com/docs/en/db2/11.5?topic=users-using-system-catalog-security-information), and the two of label-based
access control. A view holds Y for a right, G for one that may be passed on, N for none. What the system itself gave to
the owner of an object comes and goes with the object: it is copied to the other user, and never taken from its owner.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

HELD, GRANTABLE = "Y", "G"

RESERVED = frozenset({"LIBRARYADMAUTH"})
"""A column that means nothing yet."""

SYSTEM = "SYSIBM"
"""The grantor of what comes with an object's ownership."""


@dataclass(frozen=True, order=True)
class Right:
    """One thing that a user may do."""

    what: str
    """As GRANT takes it, up to TO."""
    option: str = ""
    """What follows the grantee: the right to pass it on, or the kind of access."""
    revoked: str = field(default="", compare=False)
    """As REVOKE takes it, where that differs: it knows no columns and no options."""
    restrict: bool = field(default=False, compare=False)
    """Whether REVOKE wants to be told that it is to fail where something depends on the right."""

    @property
    def key(self) -> str:
        """What REVOKE takes away: rights that have it in common go together."""
        return self.revoked or self.what

    def __str__(self) -> str:
        return f"{self.what}{self.option}"


@dataclass(frozen=True)
class Rights:
    """What a user may do: what was granted, and what came with the ownership of objects."""

    granted: frozenset[Right]
    owned: frozenset[Right]

    @property
    def all(self) -> frozenset[Right]:
        """Return both; a right that may be passed on includes the same without."""
        rights = self.granted | self.owned
        return rights - {Right(right.what) for right in rights if right.option}


class Unreadable(Exception):
    """A view has a column that is not known, and that grants something."""


type Row = Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """A view of the catalog, and how its rows are read."""

    query: str
    """Yields the rows of the two users that are its parameters."""
    read: Callable[[Row], Iterator[Right]]
    grantee: str = "GRANTEE"
    """The column that tells whose row it is."""


def _view(name: str, place: str, *, restrict: bool = False, **privileges: str) -> View:
    """Return a view with a column for each privilege."""

    def read(row: Row) -> Iterator[Right]:
        unknown = {column for column, value in row.items() if column.endswith("AUTH") and value in (HELD, GRANTABLE)}
        if unknown := unknown - privileges.keys() - RESERVED:
            raise Unreadable(f"{name}.{min(unknown)}")
        where = place.format_map(_Quoted(row))
        for column, privilege in privileges.items():
            if (value := row.get(column)) in (HELD, GRANTABLE):
                option = " WITH GRANT OPTION" if value == GRANTABLE else ""
                # Without these words, DBADM brings two other authorities with it.
                scope = " WITHOUT DATAACCESS WITHOUT ACCESSCTRL" if (privilege, where) == DBADM else ""
                yield Right(f"{privilege}{scope} {where}", option, f"{privilege} {where}", restrict)

    return View(_query(name), read)


def _query(name: str, grantee: str = "GRANTEE") -> str:
    return f"SELECT * FROM SYSCAT.{name} WHERE {grantee} IN (?, ?) AND {grantee}TYPE = 'U'"  # noqa: S608 - constants


class _Quoted(dict[str, str]):
    """The columns of a row as identifiers."""

    def __init__(self, row: Row) -> None:
        super().__init__({column: identifier(value) for column, value in row.items() if isinstance(value, str)})


def identifier(name: str) -> str:
    """Return a name as statements take it."""
    return '"' + name.replace('"', '""') + '"'


def _columns(row: Row) -> Iterator[Right]:
    verb = {"U": "UPDATE", "R": "REFERENCES"}[row["PRIVTYPE"]]
    quoted = _Quoted(row)
    table = "ON TABLE {TABSCHEMA}.{TABNAME}".format_map(quoted)
    option = " WITH GRANT OPTION" if row["GRANTABLE"] == GRANTABLE else ""
    yield Right(f"{verb} ({quoted['COLNAME']}) {table}", option, f"{verb} {table}")


def _roles(row: Row) -> Iterator[Right]:
    yield Right(f"ROLE {identifier(row['ROLENAME'])}", " WITH ADMIN OPTION" if row["ADMIN"] == HELD else "")


def _routines(row: Row) -> Iterator[Right]:
    if row["EXECUTEAUTH"] not in (HELD, GRANTABLE):
        return
    kind = {"F": "FUNCTION", "M": "METHOD", "P": "PROCEDURE"}[row["ROUTINETYPE"]]
    quoted = _Quoted(row)
    if row.get("SPECIFICNAME"):
        where = f"SPECIFIC {kind} {quoted['SCHEMA']}.{quoted['SPECIFICNAME']}"
    elif kind == "METHOD":
        where = f"METHOD * FOR {quoted['TYPESCHEMA']}.{quoted['TYPENAME']}"
    else:
        where = f"{kind} {quoted['SCHEMA']}.*"
    option = " WITH GRANT OPTION" if row["EXECUTEAUTH"] == GRANTABLE else ""
    yield Right(f"EXECUTE ON {where}", option, restrict=True)


def _pass_through(row: Row) -> Iterator[Right]:
    yield Right(f"PASSTHRU ON SERVER {identifier(row['SERVERNAME'])}")


def _labels(row: Row) -> Iterator[Right]:
    access = {"B": "ALL", "R": "READ", "W": "WRITE"}[row["ACCESSTYPE"]]
    label = "SECURITY LABEL {SECPOLICYNAME}.{SECLABELNAME}".format_map(_Quoted(row))
    yield Right(label, f" FOR {access} ACCESS")


def _exemptions(row: Row) -> Iterator[Right]:
    direction = {"D": " WRITEDOWN", "U": " WRITEUP"}.get(row["ACTIONALLOWED"], "")
    yield Right(f"EXEMPTION ON RULE {row['ACCESSRULENAME']}{direction} FOR {identifier(row['SECPOLICYNAME'])}")


def _surrogates(row: Row) -> Iterator[Right]:
    name, kind = row["SURROGATEAUTHID"], row["SURROGATEAUTHIDTYPE"]
    if kind == "G" and name == "PUBLIC":
        yield Right("SETSESSIONUSER ON PUBLIC")
    elif kind == "U":
        yield Right(f"SETSESSIONUSER ON USER {identifier(name)}")


DBADM = ("DBADM", "ON DATABASE")

VIEWS: tuple[View, ...] = (
    _view(
        "DBAUTH",
        "ON DATABASE",
        ACCESSCTRLAUTH="ACCESSCTRL",
        BINDADDAUTH="BINDADD",
        CONNECTAUTH="CONNECT",
        CREATESECUREAUTH="CREATE_SECURE_OBJECT",
        CREATETABAUTH="CREATETAB",
        DATAACCESSAUTH="DATAACCESS",
        DBADMAUTH="DBADM",
        EXPLAINAUTH="EXPLAIN",
        EXTERNALROUTINEAUTH="CREATE_EXTERNAL_ROUTINE",
        IMPLSCHEMAAUTH="IMPLICIT_SCHEMA",
        LOADAUTH="LOAD",
        NOFENCEAUTH="CREATE_NOT_FENCED_ROUTINE",
        QUIESCECONNECTAUTH="QUIESCE_CONNECT",
        SECURITYADMAUTH="SECADM",
        SQLADMAUTH="SQLADM",
        WLMADMAUTH="WLMADM",
    ),
    View(_query("ROLEAUTH"), _roles),
    _view(
        "SCHEMAAUTH",
        "ON SCHEMA {SCHEMANAME}",
        ACCESSCTRLAUTH="ACCESSCTRL",
        ALTERINAUTH="ALTERIN",
        CREATEINAUTH="CREATEIN",
        DATAACCESSAUTH="DATAACCESS",
        DELETEINAUTH="DELETEIN",
        DROPINAUTH="DROPIN",
        EXECUTEINAUTH="EXECUTEIN",
        INSERTINAUTH="INSERTIN",
        LOADAUTH="LOAD",
        SCHEMAADMAUTH="SCHEMAADM",
        SELECTINAUTH="SELECTIN",
        UPDATEINAUTH="UPDATEIN",
    ),
    _view(
        "TABAUTH",
        "ON TABLE {TABSCHEMA}.{TABNAME}",
        ALTERAUTH="ALTER",
        CONTROLAUTH="CONTROL",
        DELETEAUTH="DELETE",
        INDEXAUTH="INDEX",
        INSERTAUTH="INSERT",
        REFAUTH="REFERENCES",
        SELECTAUTH="SELECT",
        UPDATEAUTH="UPDATE",
    ),
    View(_query("COLAUTH"), _columns),
    _view("INDEXAUTH", "ON INDEX {INDSCHEMA}.{INDNAME}", CONTROLAUTH="CONTROL"),
    _view(
        "PACKAGEAUTH",
        "ON PACKAGE {PKGSCHEMA}.{PKGNAME}",
        BINDAUTH="BIND",
        CONTROLAUTH="CONTROL",
        EXECUTEAUTH="EXECUTE",
    ),
    View(_query("ROUTINEAUTH"), _routines),
    _view("MODULEAUTH", "ON MODULE {MODULESCHEMA}.{MODULENAME}", EXECUTEAUTH="EXECUTE"),
    _view("SEQUENCEAUTH", "ON SEQUENCE {SEQSCHEMA}.{SEQNAME}", ALTERAUTH="ALTER", USAGEAUTH="USAGE"),
    _view("VARIABLEAUTH", "ON VARIABLE {VARSCHEMA}.{VARNAME}", READAUTH="READ", WRITEAUTH="WRITE"),
    _view("TBSPACEAUTH", "OF TABLESPACE {TBSPACE}", USEAUTH="USE"),
    _view("WORKLOADAUTH", "ON WORKLOAD {WORKLOADNAME}", USAGEAUTH="USAGE"),
    View(_query("PASSTHRUAUTH"), _pass_through),
    View(
        "SELECT A.GRANTOR, A.GRANTEE, A.USAGEAUTH, O.OBJECTSCHEMA, O.OBJECTNAME FROM SYSCAT.XSROBJECTAUTH A"
        " JOIN SYSCAT.XSROBJECTS O ON O.OBJECTID = A.OBJECTID"
        " WHERE A.GRANTEE IN (?, ?) AND A.GRANTEETYPE = 'U'",
        _view("XSROBJECTAUTH", "ON XSROBJECT {OBJECTSCHEMA}.{OBJECTNAME}", USAGEAUTH="USAGE").read,
    ),
    View(_query("SURROGATEAUTHIDS", "TRUSTEDID"), _surrogates, "TRUSTEDID"),
    View(
        "SELECT A.GRANTOR, A.GRANTEE, A.ACCESSTYPE, L.SECLABELNAME, P.SECPOLICYNAME FROM SYSCAT.SECURITYLABELACCESS A"
        " JOIN SYSCAT.SECURITYLABELS L ON L.SECLABELID = A.SECLABELID AND L.SECPOLICYID = A.SECPOLICYID"
        " JOIN SYSCAT.SECURITYPOLICIES P ON P.SECPOLICYID = A.SECPOLICYID"
        " WHERE A.GRANTEE IN (?, ?) AND A.GRANTEETYPE = 'U'",
        _labels,
    ),
    View(
        "SELECT A.GRANTOR, A.GRANTEE, A.ACCESSRULENAME, A.ACTIONALLOWED, P.SECPOLICYNAME"
        " FROM SYSCAT.SECURITYPOLICYEXEMPTIONS A"
        " JOIN SYSCAT.SECURITYPOLICIES P ON P.SECPOLICYID = A.SECPOLICYID"
        " WHERE A.GRANTEE IN (?, ?) AND A.GRANTEETYPE = 'U'",
        _exemptions,
    ),
)


def read(view: View, rows: Iterable[Row], authid: str) -> Rights:
    """Return a user's rights in the rows of a view; raises Unreadable."""
    granted: set[Right] = set()
    owned: set[Right] = set()
    for row in rows:
        if row[view.grantee] == authid:
            (owned if row["GRANTOR"] == SYSTEM else granted).update(view.read(row))
    return Rights(frozenset(granted), frozenset(owned))


def joined(parts: Iterable[Rights]) -> Rights:
    """Return the rights of all views."""
    parts = list(parts)
    return Rights(
        frozenset().union(*(part.granted for part in parts)), frozenset().union(*(part.owned for part in parts))
    )


@dataclass(frozen=True)
class Change:
    """A statement, and the right that it is about."""

    statement: str
    right: Right
    grants: bool


def changes(have: Rights, want: Rights, username: str) -> Iterator[Change]:
    """Yield what makes a user that has some rights have others, first what is taken."""
    surplus = have.granted - want.all - {Right(right.what) for right in want.all}
    keys = {right.key: right for right in surplus}
    missing = (want.all - have.all) | {right for right in want.all if right.key in keys}
    for key, right in sorted(keys.items()):
        restrict = " RESTRICT" if right.restrict else ""
        yield Change(f"REVOKE {key} FROM USER {username}{restrict}", right, grants=False)
    # CONTROL brings the other rights on its object with it.
    for right in sorted(missing, key=lambda right: (not right.what.startswith("CONTROL "), right)):
        yield Change(f"GRANT {right.what} TO USER {username}{right.option}", right, grants=True)


def differences(have: Rights, want: Rights, other: str, user: str) -> list[str]:
    """Say in what the rights of two users differ."""
    return [
        *(f"{other} lacks {right}" for right in sorted(want.all - have.all)),
        *(f"{other} has {right}, {user} has not" for right in sorted(have.granted & have.all - want.all)),
    ]
