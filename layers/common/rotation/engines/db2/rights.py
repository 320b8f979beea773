"""Which rights does a user have, according to Db2's catalog, and which statements give another user the same?

The views are those that IBM lists for privileges
(https://www.ibm.com/docs/en/db2/11.5?topic=users-using-system-catalog-security-information), and the two views of
label-based access control. XSROBJECTAUTH is not read here, but in `unshared`: only PUBLIC can be granted USAGE of an
XSR object. A view has Y for a right, G for a right with the grant option, N for none. The system gives rights to the
owner of an object, and they end with the object. The other user gets them, too. They are never taken from the owner.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any, Final

from rotation.values import dataclass

HELD, GRANTABLE = "Y", "G"

RESERVED = frozenset({"LIBRARYADMAUTH"})
"""Columns without a meaning, so far."""

SYSTEM = "SYSIBM"
"""The grantor of the rights that an owner has."""


@dataclass(frozen=True, order=True)
class Right:
    """One privilege, authority, role, label or exemption."""

    what: str
    """The text of GRANT, up to TO."""
    option: str = ""
    """The text after the grantee: WITH GRANT OPTION, WITH ADMIN OPTION, or the access to a label."""
    revoked: str = field(default="", compare=False)
    """The text of REVOKE, if it differs: REVOKE has no columns and no options."""
    restrict: bool = field(default=False, compare=False)
    """Whether REVOKE must end with RESTRICT: it then fails if something depends on the right."""
    on: str = field(default="", compare=False)
    """The object, if several rights are on it that one statement can change together."""

    @property
    def key(self) -> str:
        """What one REVOKE takes away: all rights with the same key."""
        return self.revoked or self.what

    @property
    def place(self) -> str:
        """What rights have in common that one statement can change together: the object, or the right itself."""
        return self.on or self.what

    def __str__(self) -> str:
        return f"{self.what}{self.option}"


@dataclass(frozen=True)
class Rights:
    """The rights of a user: those that were granted, and those of an owner."""

    granted: frozenset[Right]
    owned: frozenset[Right]

    @property
    def all(self) -> frozenset[Right]:
        """Return both. A right with an option includes the same right without it."""
        rights = self.granted | self.owned
        return rights - _without_options(rights)

    def within(self, places: Collection[str]) -> "Rights":
        """Return the rights that are on these places."""
        granted, owned = ((right for right in rights if right.place in places) for rights in (self.granted, self.owned))
        return Rights(frozenset(granted), frozenset(owned))


def _without_options(rights: Iterable[Right]) -> set[Right]:
    """Return the rights that are included in those of them that have an option."""
    return {Right(right.what) for right in rights if right.option}


class Unreadable(Exception):
    """A view has an unknown column, which grants something."""


type Row = Mapping[str, Any]


@dataclass(frozen=True)
class View:
    """A view of the catalog, and how its rows are read."""

    query: str
    """Selects the rows of two users, its parameters."""
    read: Callable[[Row], Iterator[Right]]
    grantee: str = "GRANTEE"
    """The column with the user's name."""

    @property
    def count(self) -> str:
        """Select how many rows that query has, with the view's name, for the same parameters."""
        source = self.query.partition(" FROM ")[2]
        return f"SELECT '{self.name}' AS KIND, COUNT(*) AS AMOUNT FROM {source}"  # noqa: S608 - constants

    @property
    def name(self) -> str:
        """The name of the view, with its schema."""
        return self.query.partition(" FROM ")[2].split()[0]


def _view(name: str, target: str, *, restrict: bool = False, **privileges: str) -> View:
    """Return a view with a column for each privilege; `target` is the text of GRANT after the privilege."""

    def read(row: Row) -> Iterator[Right]:
        unknown = {column for column, value in row.items() if column.endswith("AUTH") and value in (HELD, GRANTABLE)}
        if unknown := unknown - privileges.keys() - RESERVED:
            raise Unreadable(f"{name}.{min(unknown)}")
        on_object = target.format_map(_Quoted(row))
        for column, privilege in privileges.items():
            if (value := row.get(column)) in (HELD, GRANTABLE):
                option = " WITH GRANT OPTION" if value == GRANTABLE else ""
                # By default, a grant of DBADM also grants two other authorities.
                scope = " WITHOUT DATAACCESS WITHOUT ACCESSCTRL" if (privilege, on_object) == DBADM else ""
                yield Right(f"{privilege}{scope} {on_object}", option, f"{privilege} {on_object}", restrict, on_object)

    return View(_query(name), read)


def _query(name: str, grantee: str = "GRANTEE") -> str:
    return f"SELECT * FROM SYSCAT.{name} WHERE {grantee} IN (?, ?) AND {grantee}TYPE = 'U'"  # noqa: S608 - constants


class _Quoted(dict[str, str]):
    """The texts of a row, quoted for SQL."""

    def __init__(self, row: Row) -> None:
        super().__init__({column: identifier(value) for column, value in row.items() if isinstance(value, str)})


def identifier(name: str) -> str:
    """Return a name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _columns(row: Row) -> Iterator[Right]:
    verb = {"U": "UPDATE", "R": "REFERENCES"}[row["PRIVTYPE"]]
    quoted = _Quoted(row)
    table = "ON TABLE {TABSCHEMA}.{TABNAME}".format_map(quoted)
    option = " WITH GRANT OPTION" if row["GRANTABLE"] == GRANTABLE else ""
    yield Right(f"{verb} ({quoted['COLNAME']}) {table}", option, f"{verb} {table}", on=table)


def _roles(row: Row) -> Iterator[Right]:
    yield Right(f"ROLE {identifier(row['ROLENAME'])}", " WITH ADMIN OPTION" if row["ADMIN"] == HELD else "")


def _routines(row: Row) -> Iterator[Right]:
    if row["EXECUTEAUTH"] not in (HELD, GRANTABLE):
        return
    kind = {"F": "FUNCTION", "M": "METHOD", "P": "PROCEDURE"}[row["ROUTINETYPE"]]
    quoted = _Quoted(row)
    if row.get("SPECIFICNAME"):
        routine = f"SPECIFIC {kind} {quoted['SCHEMA']}.{quoted['SPECIFICNAME']}"
    elif kind == "METHOD":
        routine = f"METHOD * FOR {quoted['TYPESCHEMA']}.{quoted['TYPENAME']}"
    else:
        routine = f"{kind} {quoted['SCHEMA']}.*"
    option = " WITH GRANT OPTION" if row["EXECUTEAUTH"] == GRANTABLE else ""
    yield Right(f"EXECUTE ON {routine}", option, restrict=True)


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
    View(
        # The system makes the index of an unnamed primary or unique key, in SYSIBM. Nobody can drop it, and CONTROL is
        # the right to drop an index (https://www.ibm.com/docs/en/db2/11.5.x?topic=privileges-index). No document says
        # whether it can be granted there.
        "SELECT A.* FROM SYSCAT.INDEXAUTH A"
        " JOIN SYSCAT.INDEXES I ON I.INDSCHEMA = A.INDSCHEMA AND I.INDNAME = A.INDNAME"
        " WHERE I.USER_DEFINED = 1 AND A.GRANTEE IN (?, ?) AND A.GRANTEETYPE = 'U'",
        _view("INDEXAUTH", "ON INDEX {INDSCHEMA}.{INDNAME}", CONTROLAUTH="CONTROL").read,
    ),
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

COUNTS: Final = " UNION ALL ".join(view.count for view in VIEWS)
"""Which of these views has rows of the two users: few have, and only those are read then."""


def read(view: View, rows: Iterable[Row], username: str) -> Rights:
    """Return the rights of a user, named as the catalog has it, in the rows of a view; raises Unreadable."""
    granted: set[Right] = set()
    owned: set[Right] = set()
    for row in rows:
        if row[view.grantee] == username:
            (owned if row["GRANTOR"] == SYSTEM else granted).update(view.read(row))
    return Rights(frozenset(granted), frozenset(owned))


def joined(parts: Iterable[Rights]) -> Rights:
    """Return the rights of all views."""
    parts = list(parts)
    granted = frozenset(right for part in parts for right in part.granted)
    return Rights(granted, frozenset(right for part in parts for right in part.owned))


@dataclass(frozen=True)
class Change:
    """A right that is granted to a user, or revoked from it."""

    right: Right
    grants: bool
    grantee: str
    """The user's name, as the catalog has it."""

    @property
    def statement(self) -> str:
        """The statement, which somebody runs who may."""
        user = f"USER {identifier(self.grantee)}"
        if self.grants:
            return f"GRANT {self.right.what} TO {user}{self.right.option}"
        return f"REVOKE {self.right.key} FROM {user}{' RESTRICT' if self.right.restrict else ''}"


DBADM_RIGHT: Final = Right("DBADM WITHOUT DATAACCESS WITHOUT ACCESSCTRL ON DATABASE", "", "DBADM ON DATABASE")

NOT_FENCED: Final = "CREATE_NOT_FENCED_ROUTINE ON DATABASE"

PART_OF_DBADM: Final = frozenset(
    f"{authority} ON DATABASE"
    for authority in (
        *("BINDADD", "CONNECT", "CREATETAB", "CREATE_EXTERNAL_ROUTINE", "CREATE_NOT_FENCED_ROUTINE"),
        *("IMPLICIT_SCHEMA", "LOAD", "QUIESCE_CONNECT"),
    )
)
"""What cannot be revoked from a user who has DBADM, which includes it
(https://www.ibm.com/docs/en/db2/12.1?topic=statements-revoke-database-authorities)."""


def missing(user_rights: Rights, other_rights: Rights) -> frozenset[Right]:
    """Return the rights of the user that the other user has not."""
    return user_rights.all - other_rights.all - _without_options(other_rights.all)


def surplus(user_rights: Rights, other_rights: Rights) -> frozenset[Right]:
    """Return the rights that somebody granted to the other user, and that the user has not."""
    found = other_rights.granted - user_rights.all - {Right(right.what) for right in user_rights.all}
    if DBADM_RIGHT in user_rights.all & other_rights.all:
        return frozenset(right for right in found if right.key not in PART_OF_DBADM)
    return found


def changes(user_rights: Rights, other_rights: Rights, grantee: str) -> Iterator[Change]:
    """Yield what gives the other user, the grantee, the rights of the user; what is revoked comes first."""
    revoked = {right.key: right for right in surplus(user_rights, other_rights)}
    for _, right in sorted(revoked.items(), key=lambda item: (*including_first(item[1]), item[0])):
        yield Change(right, grants=False, grantee=grantee)
    needed = missing(user_rights, other_rights) | {right for right in user_rights.all if right.key in revoked}
    for right in sorted(needed, key=including_first):
        yield Change(right, grants=True, grantee=grantee)


def including_first(right: Right) -> tuple[bool, Right]:
    """Sort by this: a grant of the first ones brings others with it, which cannot be revoked before them."""
    return right != DBADM_RIGHT and right.what != NOT_FENCED and not right.what.startswith("CONTROL "), right
