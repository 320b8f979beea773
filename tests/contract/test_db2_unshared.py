"""Does Db2 find what is bound to the name of one user of a pair?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from rotation.engine import Unshared
from tests.contract.db2_kit import inside, inside_session
from tests.laboratories import deadline
from tests.laboratories.db2 import Db2Laboratory, quoted
from tests.local.stand_ins.db2 import data
from tests.local.stand_ins.db2.database import Instance
from tests.local.stand_ins.db2.wire import Value

pytestmark = pytest.mark.engine("db2")


def test_who_has_nothing_of_its_own_shares_everything(laboratory: Db2Laboratory) -> None:
    user = laboratory.new_user()
    laboratory.allow(user.username, "LAB_INVOICES")
    assert unshared(laboratory, user.username) == []


@pytest.mark.parametrize(
    ("kind", "listed"),
    [
        ("TABLE", "tables, views and aliases"),
        ("VIEW", "tables, views and aliases"),
        ("ALIAS", "tables, views and aliases"),
        ("ROUTINE", "routines"),
        ("SEQUENCE", "sequences"),
        ("TYPE", "types"),
        ("VARIABLE", "variables"),
        ("MODULE", "modules"),
    ],
)
def test_an_object_in_the_users_own_schema_is_found_without_its_schema(
    laboratory: Db2Laboratory, instance: Instance, kind: str, listed: str
) -> None:
    user = laboratory.new_user()
    schema, clone = user.username.upper(), f"{user.username}_clone"
    with inside_session(instance) as session:
        session.register(kind, schema, "THING")
    [found] = unshared(laboratory, user.username)
    assert found.kind == "schemas"
    assert f"the schema {schema} has 1 objects: 1 {listed} (THING …)" in found.what
    assert f"{clone} looks into {schema}_CLONE" in found.what
    assert f'SET CURRENT SCHEMA "{schema}"' in found.what
    assert unshared(laboratory, clone, user.username) == [], "the other direction has nothing to lose"


def test_objects_are_counted(laboratory: Db2Laboratory, instance: Instance) -> None:
    user = laboratory.new_user()
    inside(instance, f"GRANT CREATETAB ON DATABASE TO USER {quoted(user.username.upper())}")
    with laboratory.session(user) as run:
        run("CREATE TABLE T2 (ID INTEGER)")
        run("CREATE TABLE T1 (ID INTEGER)")
        run("CREATE SEQUENCE S")
    [found] = unshared(laboratory, user.username)
    assert "3 objects: 2 tables, views and aliases (T1 …), 1 sequences (S …)" in found.what


def test_what_an_application_finds_unqualified_is_lost_to_the_other_user(
    laboratory: Db2Laboratory, instance: Instance
) -> None:
    """The reason for all of this: the clone may read the table, and does not find it."""
    user = laboratory.new_user()
    clone = f"{user.username}_clone"
    inside(instance, f"GRANT CREATETAB ON DATABASE TO USER {quoted(user.username.upper())}")
    with laboratory.session(user) as run:
        run("CREATE TABLE T (ID INTEGER)")
        assert run("SELECT ID FROM T") == []
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        assert [one.kind for one in session.unshared(user.username, clone)] == ["schemas"]
        session.mirror(user.username, clone)
        assert session.compare(user.username, clone).sentences == []


def test_an_xsr_object_that_public_cannot_use_is_named(laboratory: Db2Laboratory, instance: Instance) -> None:
    user = laboratory.new_user()
    name = f"X_{user.username.upper()}"
    with inside_session(instance) as session:
        session.register("XSROBJECT", "LAB", name)
        number = len(session.store.execute('SELECT 1 FROM "SYSCAT.XSROBJECTS"').fetchall()) + 1
        session.store.execute("INSERT INTO \"SYSCAT.XSROBJECTS\" VALUES (?, 'LAB', ?)", (number, name))
        session.store.execute(
            'INSERT INTO "SYSCAT.XSROBJECTAUTH" (GRANTOR, GRANTORTYPE, GRANTEE, GRANTEETYPE, OBJECTID, USAGEAUTH)'
            " VALUES ('SYSIBM', 'S', ?, 'U', ?, 'Y')",
            (user.username.upper(), number),
        )
    [found] = unshared(laboratory, user.username)
    assert found.kind == "xsr objects"
    assert f'GRANT USAGE ON XSROBJECT "LAB"."{name}" TO PUBLIC' in found.what
    with laboratory.engine.connect(laboratory.admin, deadline()) as admin:
        admin.mirror(user.username, f"{user.username}_clone")  # no GRANT … TO USER, which Db2 does not know
        assert admin.compare(user.username, f"{user.username}_clone").sentences == []
    inside(instance, f"GRANT USAGE ON XSROBJECT LAB.{name} TO PUBLIC")
    assert unshared(laboratory, user.username) == [], "everybody has it"


@pytest.mark.parametrize(
    ("kind", "where", "match"),
    [
        ("trusted contexts", ("CONTEXTS", ("IT", "{user}", "Y")), 'the trusted context "IT" is based on'),
        (
            "trusted contexts",
            ("SURROGATEAUTHIDS", ("BOSS", "IT", "C", "{user}", "U")),
            'ALTER TRUSTED CONTEXT "IT" ADD USE FOR {other}',
        ),
        (
            "user mappings",
            ("USEROPTIONS", ("{user}", "U", "IT", "REMOTE_PASSWORD", "hidden")),
            'CREATE USER MAPPING FOR {other} SERVER "IT" OPTIONS (…)',
        ),
        ("audit policies", ("AUDITUSE", ("IT", "i", "U", "", "{user}")), 'AUDIT USER {other} USING POLICY "IT"'),
        (
            "workloads",
            ("WORKLOADCONNATTR", (7, "IT", "3", "{user}")),
            """ALTER WORKLOAD "IT" ADD SESSION_USER ('{other}')""",
        ),
        ("workloads", ("WORKLOADCONNATTR", (7, "IT", "SYSTEM_USER", "{user}")), """ADD SYSTEM_USER ('{other}')"""),
    ],
)
def test_what_names_the_user_is_named_until_it_names_the_other_one_too(
    laboratory: Db2Laboratory, instance: Instance, kind: str, where: tuple[str, Sequence[object]], match: str
) -> None:
    view, values = where
    user = laboratory.new_user().username
    with row(instance, view, values, user.upper()):
        [found] = unshared(laboratory, user)
        assert found.kind == kind
        assert match.format(user=user, other=f"{user}_clone".upper()) in found.what
        assert "hidden" not in found.what
        assert unshared(laboratory, f"{user}_clone", user) == []
        with row(instance, view, values, f"{user}_clone".upper()):
            assert unshared(laboratory, user) == []


def test_a_word_that_comes_with_blanks_is_read(
    laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the constants of a UNION ALL were CHAR, which they are with DB2_COMPATIBILITY_VECTOR=100."""
    user = laboratory.new_user().username
    rows_of = data.Data._rows  # noqa: SLF001 - of the stand-in

    def with_blanks(asked: data.Data, text: str, values: Sequence[Value]) -> list[Sequence[Value]]:
        rows = rows_of(asked, text, values)
        return [(f"{first:<40}", *rest) for first, *rest in rows] if "AUDITUSE" in text else rows

    monkeypatch.setattr(data.Data, "_rows", with_blanks)
    with row(instance, "AUDITUSE", ("IT", "i", "U", "", "{user}"), user.upper()):
        assert [found.kind for found in unshared(laboratory, user)] == ["audit policies"]


def unshared(laboratory: Db2Laboratory, user: str, other: str | None = None) -> Sequence[Unshared]:
    """Ask as the admin."""
    with laboratory.engine.connect(laboratory.admin, deadline()) as session:
        return session.unshared(user, other or f"{user}_clone")


@contextmanager
def row(instance: Instance, view: str, values: Sequence[object], user: str) -> Iterator[None]:
    """Put a row into a view of the catalog, for a while."""
    filled = [value.format(user=user) if isinstance(value, str) else value for value in values]
    marks = ", ".join("?" * len(filled))
    with inside_session(instance) as session:
        number = session.store.execute(f'INSERT INTO "SYSCAT.{view}" VALUES ({marks})', filled).lastrowid  # noqa: S608 - constants
    yield
    with inside_session(instance) as session:
        session.store.execute(f'DELETE FROM "SYSCAT.{view}" WHERE rowid = ?', (number,))  # noqa: S608 - constants
