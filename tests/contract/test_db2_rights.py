"""Does Db2 bring the other user to the rights of the current one?"""

from dataclasses import replace

import pytest

from rotation.engines.db2.connection import Db2Connection
from rotation.errors import (
    NotPermitted,
    StatementFailed,
)
from tests.contract.db2_kit import inside, inside_session
from tests.laboratories import INVOICES, deadline
from tests.laboratories.db2 import Db2Laboratory, quoted
from tests.local.stand_ins.db2 import data as db2_data
from tests.local.stand_ins.db2.catalog import KINDS, is_catalog
from tests.local.stand_ins.db2.database import Instance

pytestmark = pytest.mark.engine("db2")


class TestDb2Rights:
    """What Db2 alone promises of rights."""

    def test_rights_of_every_sort_follow(self, laboratory: Db2Laboratory, instance: Instance) -> None:
        prepare_objects(instance)
        user = laboratory.new_user()
        clone = f"{user.username}_clone"
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            for statement in GRANTS:
                inside(instance, statement.format(user=quoted(user.username.upper())))
            session.mirror(user.username, clone)
            assert session.compare(user.username, clone).sentences == []
            mine, others = held_by(instance, user.username), held_by(instance, clone)
            assert mine == others
            assert len(mine) > len(GRANTS)
            assert {view for view, *_ in mine} == {
                *(f"SYSCAT.{kind.view}" for name, kind in KINDS.items() if name != "XSROBJECT"),  # PUBLIC's alone
                "SYSCAT.COLAUTH",
                "SYSCAT.ROLEAUTH",
                "SYSCAT.PASSTHRUAUTH",
            }
            for statement in REVOKES:
                inside(instance, statement.format(user=quoted(user.username.upper())))
            assert len(session.compare(user.username, clone).sentences) >= len(REVOKES)
            session.mirror(user.username, clone)
            assert held_by(instance, user.username) == held_by(instance, clone)
            assert session.compare(user.username, clone).sentences == []

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("GRANT SELECT ON TABLE LAB.LAB_INVOICES TO USER {0}", "WITH GRANT OPTION"),
            ("GRANT UPDATE (ID) ON TABLE LAB.LAB_INVOICES TO USER {0}", "WITH GRANT OPTION"),
            ("GRANT ROLE ROLE_TABLESPACES TO USER {0}", "WITH ADMIN OPTION"),
            ("GRANT USAGE ON SEQUENCE LAB.S TO USER {0}", "WITH GRANT OPTION"),
        ],
    )
    def test_the_right_to_pass_it_on_comes_and_goes(
        self, laboratory: Db2Laboratory, instance: Instance, before: str, after: str
    ) -> None:
        prepare_objects(instance)
        user = laboratory.new_user()
        clone, grantee = f"{user.username}_clone", quoted(user.username.upper())
        revoke = before.format(grantee).replace("GRANT", "REVOKE", 1).replace(" TO ", " FROM ").replace(" (ID)", "")
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            for statements in ([before], [f"{before} {after}"], [revoke, before], [revoke]):
                for statement in statements:
                    inside(instance, statement.format(grantee))
                session.mirror(user.username, clone)
                assert held_by(instance, user.username) == held_by(instance, clone)

    def test_control_brings_rights_that_its_user_lost_again(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        user = laboratory.new_user()
        clone, grantee = f"{user.username}_clone", quoted(user.username.upper())
        inside(instance, f"GRANT CONTROL ON TABLE LAB.LAB_INVOICES TO USER {grantee}")
        inside(instance, f"REVOKE DELETE ON TABLE LAB.LAB_INVOICES FROM USER {grantee}")
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, clone)
            assert held_by(instance, user.username) == held_by(instance, clone)

    def test_what_comes_with_ownership_is_given_and_never_taken(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        user = laboratory.new_user()
        clone = replace(user, username=f"{user.username}_clone")
        inside(instance, f"GRANT CREATETAB ON DATABASE TO USER {quoted(user.username.upper())}")
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, clone.username)
            session.set_password(clone.username, clone.password)
            with laboratory.session(clone) as run:
                run("CREATE TABLE MINE (ID INTEGER)")
            # The clone is not current: what it owns stays its own.
            session.mirror(user.username, clone.username)
            assert session.compare(user.username, clone.username).sentences == []
            # Now it is.
            session.mirror(clone.username, user.username)
            assert session.compare(clone.username, user.username).sentences == []
        with laboratory.session(user) as run:
            run(f"SELECT 1 FROM {clone.username}.MINE")  # noqa: S608 - a made-up name
        with laboratory.session(clone) as run:
            run("SELECT 1 FROM MINE")

    def test_what_the_master_user_cannot_grant_rds_does(self, laboratory: Db2Laboratory, instance: Instance) -> None:
        user = laboratory.new_user()
        clone, grantee = f"{user.username}_clone", quoted(user.username.upper())
        laboratory.administer("CALL RDSADMIN.CREATE_ROLE(?, ?)", laboratory.admin.database, "CLERK")
        for what in ("ROLE CLERK", "DBADM WITHOUT DATAACCESS WITHOUT ACCESSCTRL ON DATABASE", "DATAACCESS ON DATABASE"):
            inside(instance, f"GRANT {what} TO USER {grantee}")
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, clone)
            assert held_by(instance, user.username) == held_by(instance, clone)
            for what in ("ROLE CLERK", "DBADM ON DATABASE", "DATAACCESS ON DATABASE"):
                inside(instance, f"REVOKE {what} FROM USER {grantee}")
            session.mirror(user.username, clone)
            assert held_by(instance, user.username) == held_by(instance, clone)

    def test_what_nobody_can_grant_is_an_error_that_names_it(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        user = laboratory.new_user()
        clone = f"{user.username}_clone"
        inside(instance, f"GRANT SECADM ON DATABASE TO USER {quoted(user.username.upper())}")
        with (
            pytest.raises(NotPermitted, match=rf"GRANT SECADM ON DATABASE TO USER .{clone.upper()}"),
            laboratory.engine.connect(laboratory.admin, deadline()) as session,
        ):
            session.mirror(user.username, clone)

    def test_rights_that_are_not_committed_are_not_there(
        self, laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        clone = f"{user.username}_clone"
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, clone)
            laboratory.allow(user.username, INVOICES)
            before = session.compare(user.username, clone).sentences
        assert len(before) == 1

        def interrupted(_: Db2Connection) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Db2Connection, "commit", interrupted)
            with (
                pytest.raises(KeyboardInterrupt),
                laboratory.engine.connect(laboratory.admin, deadline()) as session,
            ):
                session.mirror(user.username, clone)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.compare(user.username, clone).sentences == before

    def test_a_right_that_is_not_known_here_is_not_left_out(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        user = laboratory.new_user()
        with inside_session(instance) as session:
            session.store.execute('ALTER TABLE "SYSCAT.SCHEMAAUTH" ADD COLUMN FLYINAUTH')
            row = (user.username.upper(), "U", "LAB", "Y")
            session.store.execute(
                'INSERT INTO "SYSCAT.SCHEMAAUTH" (GRANTEE, GRANTEETYPE, SCHEMANAME, FLYINAUTH) VALUES (?, ?, ?, ?)', row
            )
        with (
            pytest.raises(StatementFailed, match=r"SCHEMAAUTH\.FLYINAUTH is a right that is not known to this program"),
            laboratory.engine.connect(laboratory.admin, deadline()) as admin,
        ):
            admin.mirror(user.username, f"{user.username}_clone")

    def test_a_view_that_this_version_has_not_holds_no_rights(
        self, laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        monkeypatch.setattr(
            db2_data, "is_catalog", lambda place, name: name != "MODULEAUTH" and is_catalog(place, name)
        )
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, f"{user.username}_clone")


GRANTS = (
    "GRANT BINDADD, CREATETAB, LOAD ON DATABASE TO USER {user}",
    "GRANT CREATEIN, SELECTIN ON SCHEMA LAB TO USER {user}",
    "GRANT DROPIN ON SCHEMA LAB TO USER {user} WITH GRANT OPTION",
    "GRANT SCHEMAADM ON SCHEMA LAB TO USER {user}",
    "GRANT INSERT, UPDATE ON TABLE LAB.LAB_ORDERS TO USER {user}",
    "GRANT DELETE ON TABLE LAB.LAB_ORDERS TO USER {user} WITH GRANT OPTION",
    "GRANT SELECT ON TABLE SYSCAT.TABAUTH TO USER {user}",
    "GRANT UPDATE (ID) ON TABLE LAB.LAB_INVOICES TO USER {user}",
    "GRANT REFERENCES (ID) ON TABLE LAB.LAB_INVOICES TO USER {user} WITH GRANT OPTION",
    'GRANT SELECT ON TABLE "od d"."it\'s ""x""" TO USER {user}',
    "GRANT CONTROL ON INDEX LAB.I TO USER {user}",
    "GRANT BIND, EXECUTE ON PACKAGE NULLID.SYSSH200 TO USER {user}",
    "GRANT EXECUTE ON SPECIFIC FUNCTION LAB.F TO USER {user} WITH GRANT OPTION",
    "GRANT EXECUTE ON SPECIFIC PROCEDURE LAB.P TO USER {user}",
    "GRANT EXECUTE ON PROCEDURE LAB.* TO USER {user}",
    "GRANT EXECUTE ON MODULE LAB.M TO USER {user}",
    "GRANT ALTER, USAGE ON SEQUENCE LAB.S TO USER {user}",
    "GRANT READ ON VARIABLE LAB.V TO USER {user}",
    "GRANT WRITE ON VARIABLE LAB.V TO USER {user} WITH GRANT OPTION",
    "GRANT USE OF TABLESPACE USERSPACE1 TO USER {user} WITH GRANT OPTION",
    "GRANT USAGE ON WORKLOAD SYSDEFAULTUSERWORKLOAD TO USER {user}",
    "GRANT PASSTHRU ON SERVER ELSEWHERE TO USER {user}",
    "GRANT ROLE CLERKS TO USER {user} WITH ADMIN OPTION",
)

REVOKES = (
    "REVOKE LOAD ON DATABASE FROM USER {user}",
    "REVOKE DROPIN ON SCHEMA LAB FROM USER {user}",
    "REVOKE UPDATE ON TABLE LAB.LAB_ORDERS FROM USER {user}",
    "REVOKE UPDATE ON TABLE LAB.LAB_INVOICES FROM USER {user}",
    'REVOKE SELECT ON TABLE "od d"."it\'s ""x""" FROM USER {user}',
    "REVOKE CONTROL ON INDEX LAB.I FROM USER {user}",
    "REVOKE BIND ON PACKAGE NULLID.SYSSH200 FROM USER {user}",
    "REVOKE EXECUTE ON SPECIFIC FUNCTION LAB.F FROM USER {user} RESTRICT",
    "REVOKE EXECUTE ON PROCEDURE LAB.* FROM USER {user} RESTRICT",
    "REVOKE EXECUTE ON MODULE LAB.M FROM USER {user}",
    "REVOKE ALTER ON SEQUENCE LAB.S FROM USER {user}",
    "REVOKE WRITE ON VARIABLE LAB.V FROM USER {user}",
    "REVOKE USE OF TABLESPACE USERSPACE1 FROM USER {user}",
    "REVOKE USAGE ON WORKLOAD SYSDEFAULTUSERWORKLOAD FROM USER {user}",
    "REVOKE PASSTHRU ON SERVER ELSEWHERE FROM USER {user}",
    "REVOKE ROLE CLERKS FROM USER {user}",
)


OBJECTS = (
    "CREATE SEQUENCE LAB.S",
    "CREATE VARIABLE LAB.V INTEGER",
    "CREATE MODULE LAB.M",
    "CREATE FUNCTION LAB.F",
    "CREATE PROCEDURE LAB.P",
    "CREATE ROLE CLERKS",
)


def prepare_objects(instance: Instance) -> None:
    """Make an object of each kind that can be granted."""
    with inside_session(instance) as session:
        if session.registered("SEQUENCE", "LAB", "S"):
            return
        for statement in OBJECTS:
            session.prepare(statement).run(())
        session.commit()
        for kind, place, name in (
            ("TABLE", "od d", 'it\'s "x"'),
            ("INDEX", "LAB", "I"),
            ("SERVER", "", "ELSEWHERE"),
        ):
            session.register(kind, place, name)


def held_by(instance: Instance, username: str) -> set[tuple[object, ...]]:
    """Return all that the catalog says that a user holds, whoever granted it; not by the driver's own queries."""
    held: set[tuple[object, ...]] = set()
    with inside_session(instance) as session:
        views = session.store.execute("SELECT name FROM sqlite_master WHERE name LIKE 'SYSCAT.%AUTH%'").fetchall()
        for (view,) in views:
            cursor = session.store.execute(f'SELECT * FROM "{view}"')  # noqa: S608 - a name of the catalog
            names = [name for name, *_ in cursor.description]
            for values in cursor.fetchall():
                row = dict(zip(names, values, strict=True))
                if row.get("GRANTEE", row.get("TRUSTEDID")) == username.upper():
                    held |= rights_in(view, row)
    return {right for right in held if right[-1] != "Y" or (*right[:-1], "G") not in held}


def rights_in(view: str, row: dict[str, object]) -> set[tuple[object, ...]]:
    """Return the rights in a row, one by one: several grantors have several rows."""
    who = {"GRANTOR", "GRANTORTYPE", "GRANTEE", "GRANTEETYPE", "TRUSTEDID", "TRUSTEDIDTYPE"}
    flags = {key for key in row if key.endswith("AUTH") or key in {"ADMIN", "GRANTABLE"}}
    thing = tuple((key, value) for key, value in row.items() if key not in who | flags)
    return {(view, thing, key, row[key]) for key in flags if row[key] in {"Y", "G"}} | (
        {(view, thing)} if thing else set()
    )
