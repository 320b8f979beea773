"""Does Db2 keep the contract, and what it alone promises?"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from rotation.deadline import Deadline
from rotation.engine import CloneStatus
from rotation.engines import network
from rotation.engines.db2.connection import Session
from rotation.engines.db2.session import Db2Session
from rotation.engines.db2.users import TASKS
from rotation.errors import (
    InvalidSecret,
    LoginBlocked,
    LoginRefused,
    NotPermitted,
    OutOfTime,
    StatementFailed,
    Unreachable,
    Unsafe,
    Unsupported,
    Untrusted,
)
from tests.contract.contract import HOSTILE, EngineContract
from tests.contract.impostor import Line, posing
from tests.contract.pairs import differences, mirror
from tests.laboratories import INVOICES, deadline
from tests.laboratories.db2 import Db2Laboratory, own, quoted
from tests.local.servers import certificates
from tests.local.stand_ins.db2 import database as db2_database
from tests.local.stand_ins.db2 import server as db2_server
from tests.local.stand_ins.db2 import wire as drda
from tests.local.stand_ins.db2.catalog import KINDS, Db2Error, is_catalog
from tests.local.stand_ins.db2.database import Instance, User
from tests.local.stand_ins.db2.database import Session as Inside

pytestmark = pytest.mark.engine("db2")


class TestDb2(EngineContract):
    """Db2 keeps the contract; but its users are the operating system's, whose names are words."""

    @pytest.mark.parametrize("text", HOSTILE)
    def test_hostile_names_and_passwords_are_only_text(self, laboratory: Db2Laboratory, text: str) -> None:  # type: ignore[override]
        user = laboratory.new_user(password=f"{text}'\"`\\ ".replace(";", ","))
        other = replace(user, username=f"{user.username}_clone", password=f"{text}\\'\"`=}}{{ -- 2".replace(";", ","))
        changed = replace(user, password=f"{text} '\"`\\ 3".replace(";", ","))
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password(changed.password)
        assert laboratory.logs_in(changed)
        mirror(laboratory, changed, other)
        assert laboratory.logs_in(other)
        assert differences(laboratory, changed, other) == []


class TestDb2Alone:
    """What Db2 alone promises."""

    def test_a_certificate_of_another_authority_is_not_trusted(
        self, laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DB_CA_BUNDLE")
        with (
            pytest.raises(Untrusted, match=r"414.*certificate of the RDS authorities"),
            laboratory.engine.connect(laboratory.admin, deadline()),
        ):
            pass

    def test_a_certificate_for_another_host_name_is_not_trusted(
        self, laboratory: Db2Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        issued = certificates.issue(tmp_path)
        monkeypatch.setenv("DB_CA_BUNDLE", str(issued.ca))
        # The whole of 127.0.0.0/8 is this machine, on Linux.
        with (
            shaking_hands(issued, "127.0.0.2") as (port, heard),
            pytest.raises(Untrusted, match=r"SQL20576N.*host name that the certificate is for"),
            laboratory.engine.connect(replace(laboratory.admin, host="127.0.0.2", port=port), deadline()),
        ):
            pass
        assert laboratory.admin.password.encode() not in b"".join(heard)

    def test_an_expired_certificate_is_not_trusted(
        self, laboratory: Db2Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expired = certificates.issue(tmp_path, ends=timedelta(days=-1))
        monkeypatch.setenv("DB_CA_BUNDLE", str(expired.ca))
        with (
            posing(partial(show, expired)) as impostor,
            pytest.raises(Untrusted, match=r"414.*certificate of the RDS authorities"),
            laboratory.engine.connect(replace(laboratory.admin, port=impostor.port), deadline()),
        ):
            pass
        assert impostor.heard == b"", "neither user nor password"

    def test_an_authority_anywhere_in_the_bundle_is_trusted(
        self, laboratory: Db2Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bundle = tmp_path / "bundle.pem"
        certs = Path(network.__file__).parents[1] / "certs" / "rds-global-bundle.pem"
        bundle.write_bytes(certs.read_bytes() + laboratory.ca_bundle.read_bytes())
        monkeypatch.setenv("DB_CA_BUNDLE", str(bundle))
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.verify([])

    @pytest.mark.parametrize("content", [None, "no certificate"])
    def test_a_bundle_that_cannot_be_read_is_reported(
        self, laboratory: Db2Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
    ) -> None:
        bundle = tmp_path / "bundle.pem"
        if content:
            bundle.write_text(content)
        monkeypatch.setenv("DB_CA_BUNDLE", str(bundle))
        with pytest.raises(Untrusted, match="DB_CA_BUNDLE"), laboratory.engine.connect(laboratory.admin, deadline()):
            pass

    def test_a_port_without_tls_learns_nothing_and_the_remedy_names_the_other_port(
        self, laboratory: Db2Laboratory
    ) -> None:
        with (
            serving_once(b"no TLS here") as (port, heard),
            pytest.raises(Untrusted, match=r'ssl_svcename.*"ssl": false'),
            laboratory.engine.connect(replace(laboratory.admin, port=port), deadline()),
        ):
            pass
        assert laboratory.admin.password.encode() not in b"".join(heard)

    def test_without_tls_only_if_the_secret_says_so(self, laboratory: Db2Laboratory) -> None:
        with laboratory.engine.connect(replace(laboratory.admin, tls=False), deadline()) as session:
            session.verify([])

    def test_without_tls_the_client_gets_the_address_that_was_checked(
        self, laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The client asks the system itself what a name leads to, and the system does not know this one."""
        place = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", laboratory.admin.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: place)
        plain = replace(laboratory.admin, host="db.example", tls=False)
        with laboratory.engine.connect(plain, deadline()) as session:
            session.verify([])

    def test_nobody_is_followed_to_another_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server names others as it lets somebody in; a client may go on there where the connection is lost."""
        pack = drda.pack

        def lose(*_: object) -> None:
            raise ConnectionResetError

        # The server is one of its own: the client keeps such a list for as long as the process lives.
        with own() as laboratory, posing(lambda _: None) as other:
            address = pack(drda.Code.IPADDR, socket.inet_aton("127.0.0.1"), struct.pack(">H", other.port))
            one = pack(drda.Code.SRVLSRV, drda.number(drda.Code.SRVPRTY, 1), address)
            others = pack(drda.Code.SRVLST, drda.number(drda.Code.SRVLCNT, 1), one)
            monkeypatch.setattr(
                db2_server,
                "pack",
                lambda code, *parts: pack(code, *parts, *([others] if code == drda.Code.ACCRDBRM else [])),
            )
            monkeypatch.setattr(db2_server._Conversation, "_prepare", lose)  # noqa: SLF001 - the stand-in is bent
            plain = replace(laboratory.admin, tls=False)
            with pytest.raises(Unreachable), laboratory.engine.connect(plain, deadline()) as session:
                session.verify(["SELECT 1 FROM SYSIBM.SYSDUMMY1"])
        assert not other.lines

    def test_a_server_that_falls_silent_after_the_handshake_is_left_in_time(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        with (
            held(instance.lock),
            pytest.raises(Unreachable, match="no answer within"),
            laboratory.engine.connect(laboratory.admin, deadline(2.5)),
        ):
            pass

    def test_a_statement_that_is_never_answered_is_left_in_time(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        with (
            pytest.raises(Unreachable, match="looking at tasks: the server gave no answer within"),
            laboratory.engine.connect(replace(laboratory.admin, database="RDSADMIN"), deadline(3.0)) as session,
            held(instance.lock),
        ):
            session.execute("looking at tasks", TASKS.format(which="1", kind="NULL"))

    @pytest.mark.parametrize("database", [None, "", "A;UID=other", "TOOLONGNAME", "1ST", "{A}"])
    def test_a_database_is_named_and_is_one_name(self, laboratory: Db2Laboratory, database: str | None) -> None:
        with (
            pytest.raises(InvalidSecret, match='"dbname"'),
            laboratory.engine.connect(replace(laboratory.admin, database=database), deadline()),
        ):
            pass

    @pytest.mark.parametrize("text", ["x;Security=", "{x;y}", '"x;y"', "'x;y'", " x", "x" * 256, "ß" * 128])
    def test_what_the_client_cannot_take_is_never_sent(self, laboratory: Db2Laboratory, text: str) -> None:
        for who in (replace(laboratory.admin, password=text), replace(laboratory.admin, username=text)):
            field = "password" if who.password == text else "username"
            with pytest.raises(InvalidSecret, match=f'"{field}"') as caught, laboratory.engine.connect(who, deadline()):
                pass
            assert laboratory.admin.password not in str(caught.value)
            assert who.password not in str(caught.value)
        with laboratory.engine.connect(laboratory.new_user(), deadline()) as session, pytest.raises(InvalidSecret):
            session.change_own_password(text)

    def test_a_password_arrives_as_it_is(self, laboratory: Db2Laboratory) -> None:
        everything = "".join(chr(code) for code in range(33, 127) if chr(code) != ";") + "äß€😀 "
        user = laboratory.new_user()
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password(everything)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.set_password(user.username, everything)
        with laboratory.engine.connect(replace(user, password=everything), deadline()) as session:
            session.change_own_password("{" + "x" * 254)
        assert laboratory.logs_in(replace(user, password="{" + "x" * 254))

    def test_a_wrong_password_has_a_remedy_and_is_not_shown(self, laboratory: Db2Laboratory) -> None:
        user = replace(laboratory.new_user(), password="wrong-password")
        with (
            pytest.raises(LoginRefused, match=r"SQL30082N.*Put the user's real password") as caught,
            laboratory.engine.connect(user, deadline()),
        ):
            pass
        assert "wrong-password" not in str(caught.value)

    def test_what_keeps_a_login_out_is_no_wrong_password(self, laboratory: Db2Laboratory, instance: Instance) -> None:
        user = laboratory.new_user()
        known = instance.user(user.username)
        assert known
        for change, database, match in (
            ("", "NOWHERE", r'SQL30061N.*"dbname"'),
            ("", "RDSADMIN", "SQL1060N.*GRANT CONNECT"),
            ("is_expired", user.database, "PASSWORD EXPIRED.*by hand"),
            ("is_disabled", user.database, "DISABLED.*Enable"),
        ):
            if change:
                setattr(known, change, True)
            with (
                pytest.raises(LoginBlocked, match=match),
                laboratory.engine.connect(replace(user, database=database), deadline()),
            ):
                pass
            if change:
                setattr(known, change, False)
        assert laboratory.logs_in(user)

    def test_a_server_that_changes_no_passwords_leaves_it_to_the_admin(
        self, laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        monkeypatch.setattr(instance, "changes_passwords", False)
        with (
            pytest.raises(NotPermitted, match=r'changing the password of .*"masterarn"'),
            laboratory.engine.connect(user, deadline()) as session,
        ):
            session.change_own_password("Another-1")
        assert laboratory.logs_in(user)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.set_password(user.username, "Another-1")
        assert laboratory.logs_in(replace(user, password="Another-1"))

    def test_a_password_against_the_policy_has_a_remedy(
        self, laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        monkeypatch.setattr(instance, "shortest_password", 12)
        with (
            pytest.raises(NotPermitted, match=r"SQL30083N.*NEW PASSWORD INVALID.*PASSWORD_LENGTH.*masterarn") as caught,
            laboratory.engine.connect(user, deadline()) as session,
        ):
            session.change_own_password("Another-1")
        assert "Another-1" not in str(caught.value)
        assert laboratory.logs_in(user)
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password("Another-longer-1")
        assert laboratory.logs_in(replace(user, password="Another-longer-1"))

    def test_a_user_without_the_packages_of_dynamic_sql_gets_the_remedy(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.session() as run:
            run(f"REVOKE ROLE ROLE_NULLID_PACKAGES FROM USER {quoted(user.username.upper())}")
        with laboratory.engine.connect(user, deadline()) as session:
            session.change_own_password("Another-1")
            with pytest.raises(NotPermitted, match="ROLE_NULLID_PACKAGES"):
                session.verify(["SELECT 1 FROM lab_orders"])

    # Who has logged in

    @pytest.mark.parametrize(
        ("register", "attribute", "name"),
        [("SESSION_USER", "authid", "ADMIN"), ("SYSTEM_USER", "system_user", "SHARED")],
    )
    def test_who_is_another_one_to_the_server_has_proved_nothing(
        self, laboratory: Db2Laboratory, instance: Instance, register: str, attribute: str, name: str
    ) -> None:
        """A procedure that runs at the connect can set the session's user; a directory can map names."""
        with laboratory.engine.connect(laboratory.new_user(), deadline()) as session:
            session.verify(["SELECT ID FROM lab_orders"])
            setattr(instance.sessions[-1], attribute, name)
            with pytest.raises(Unsafe, match=rf"{name} \({register}\)"):
                session.proof()

    def test_who_is_gone_is_not_found(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.engine.connect(user, deadline()) as session:
            proof = session.proof()
        laboratory.administer("CALL RDSADMIN.REMOVE_USER(?)", user.username)
        with (
            pytest.raises(Unsafe, match=f"there is no user {user.username}"),
            laboratory.engine.connect(laboratory.admin, deadline()) as session,
        ):
            session.require_proven(proof)

    def test_who_logged_in_to_another_database_is_not_found(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.engine.connect(user, deadline()) as session:
            proof = session.proof()
        with (
            pytest.raises(Unsafe, match="another user has logged in, or to another database"),
            laboratory.engine.connect(replace(laboratory.admin, database="RDSADMIN"), deadline()) as session,
        ):
            session.require_proven(proof)

    # What runs at the connect

    def test_where_a_procedure_runs_at_the_connect_an_admin_changes_nothing(
        self, laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        clone = f"{user.username}_clone"
        with connect_procedure(instance, "TRAPS.AT_CONNECT"):
            with laboratory.engine.connect(user, deadline()) as session:
                proof = session.proof()
            changes: tuple[Callable[[Db2Session], object], ...] = (
                lambda session: session.require_proven(proof),
                lambda session: session.clone_status(user.username, clone),
                lambda session: session.mirror(user.username, clone),
                lambda session: session.set_password(user.username, "Another-1"),
                lambda session: session.reset_password(user.username, "Another-1"),
            )
            for change in changes:
                with (
                    pytest.raises(Unsafe, match=r"TRAPS\.AT_CONNECT.*ALLOW_FOREIGN_TRIGGERS"),
                    laboratory.engine.connect(laboratory.admin, deadline()) as session,
                ):
                    change(session)
            assert not instance.user(clone)
            assert laboratory.logs_in(user)
            monkeypatch.setenv("ALLOW_FOREIGN_TRIGGERS", "true")
            with laboratory.engine.connect(laboratory.admin, deadline()) as session:
                session.mirror(user.username, clone)
        assert instance.user(clone)

    # Users

    def test_what_rds_does_later_is_waited_for(
        self, laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        clone = replace(user, username=f"{user.username}_clone")
        monkeypatch.setattr(instance, "delay", 0.4)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, clone.username)
            session.set_password(clone.username, clone.password)
            assert laboratory.logs_in(clone)
            assert session.differences(user.username, clone.username) == []

    def test_what_rds_never_does_is_waited_for_while_there_is_time(
        self, laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        left = iter([*[30.0] * 12, *[0.0] * 9])
        with laboratory.engine.connect(laboratory.admin, Deadline(lambda: next(left))) as session:
            monkeypatch.setattr(instance, "delay", 3600)
            with pytest.raises(OutOfTime, match=f"setting the password of {user.username}"):
                session.set_password(user.username, "Another-1")
            left = iter([30.0] * 9)

    def test_what_rds_fails_to_do_is_reported(
        self, laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        monkeypatch.setattr(instance, "delay", 0.2)
        monkeypatch.setattr(User, "change_password", refuse)
        with (
            pytest.raises(StatementFailed, match=r"RDS's task \d+ failed: .*the directory is full") as caught,
            laboratory.engine.connect(laboratory.admin, deadline()) as session,
        ):
            session.set_password(user.username, "Another-1")
        assert not caught.value.ends_version, "whether it was about the password, RDS does not say"
        assert laboratory.logs_in(user)

    def test_a_server_that_is_not_of_rds_is_reported(
        self, laboratory: Db2Laboratory, instance: Instance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            instance, "databases", {name: value for name, value in instance.databases.items() if name != "RDSADMIN"}
        )
        with (
            pytest.raises(LoginBlocked, match="Other servers have no RDSADMIN"),
            laboratory.engine.connect(laboratory.admin, deadline()) as session,
        ):
            session.set_password("anybody", "Another-1")

    def test_the_mark_is_a_group_and_no_other_group_is_one(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        clone = f"{user.username}_clone"
        # As AWS's template makes it, in a group of that name; and as the clone of somebody else.
        laboratory.administer("CALL RDSADMIN.ADD_USER(?, ?, ?)", clone, "Another-1", "group,rotates_somebody")
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.clone_status(user.username, clone) is CloneStatus.UNKNOWN
            session.mirror(user.username, clone)
            assert session.clone_status(user.username, clone) is CloneStatus.OURS
            assert session.clone_status(clone, user.username) is CloneStatus.OURS
            session.mirror(clone, user.username)
            assert session.differences(clone, user.username) == []
            assert session.differences(user.username, clone) == []

    def test_a_mark_says_nothing_of_who_was_made_anew(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        clone = f"{user.username}_clone"
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, clone)
            session.mirror(clone, user.username)
            for gone, left in ((clone, user.username), (user.username, clone)):
                laboratory.administer("CALL RDSADMIN.REMOVE_USER(?)", gone)
                assert session.clone_status(left, gone) is CloneStatus.ABSENT
                laboratory.administer("CALL RDSADMIN.ADD_USER(?, ?, ?)", gone, "Another-1", "lab_users")
                assert session.clone_status(left, gone) is CloneStatus.UNKNOWN

    def test_a_clone_begins_with_a_password_that_nobody_learns(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        passwords = set()
        for _ in range(2):
            clone = f"{laboratory.new_user().username}_clone"
            with laboratory.engine.connect(laboratory.admin, deadline()) as session:
                session.mirror(clone.removesuffix("_clone"), clone)
            known = instance.user(clone)
            assert known
            passwords.add(known.password)
        assert len(passwords) == 2
        for password in passwords:
            assert len(password) > 30
            assert password not in laboratory.log_text()

    def test_groups_follow(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        clone = f"{user.username}_clone"
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, clone)
            laboratory.administer("CALL RDSADMIN.ADD_GROUPS(?, ?)", user.username, "sales,inside_sales")
            laboratory.administer("CALL RDSADMIN.REMOVE_GROUPS(?, ?)", user.username, "lab_users")
            assert session.differences(user.username, clone) == [
                f"{clone} is not in the group INSIDE_SALES",
                f"{clone} is not in the group SALES",
                f"{clone} is in the group LAB_USERS, {user.username} is not",
            ]
            session.mirror(user.username, clone)
            assert session.differences(user.username, clone) == []

    @pytest.mark.parametrize("name", ["it's", "a,b", "a b", "1st", "", "ü", 'a"b', "a.b"])
    def test_a_name_that_is_no_word_is_never_passed_on(self, laboratory: Db2Laboratory, name: str) -> None:
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            for verb in (session.clone_status, session.mirror):
                with pytest.raises(Unsupported, match="not made of letters"):
                    verb("app", name)

    def test_the_case_of_a_name_makes_no_other_user(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        kind = laboratory.engine.kind
        assert laboratory.logs_in(replace(user, username=user.username.upper()))
        assert kind.normal_name(user.username) == kind.normal_name(user.username.upper())
        for name in ("app_clone", "APP_CLONE", "App_Clone"):
            assert kind.counterpart(name).lower() == "app"
        assert kind.counterpart("APP") == "APP_clone"

    def test_a_user_that_is_not_there_has_no_clone(self, laboratory: Db2Laboratory) -> None:
        with (
            laboratory.engine.connect(laboratory.admin, deadline()) as session,
            pytest.raises(Unsafe, match="there is no user nobody"),
        ):
            session.clone_status("nobody", "nobody_clone")

    # Rights

    def test_rights_of_every_sort_follow(self, laboratory: Db2Laboratory, instance: Instance) -> None:
        prepare_objects(instance)
        user = laboratory.new_user()
        clone = f"{user.username}_clone"
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            for statement in GRANTS:
                inside(instance, statement.format(user=quoted(user.username.upper())))
            session.mirror(user.username, clone)
            assert session.differences(user.username, clone) == []
            mine, others = held_by(instance, user.username), held_by(instance, clone)
            assert mine == others
            assert len(mine) > len(GRANTS)
            assert {view for view, *_ in mine} == {f"SYSCAT.{kind.view}" for kind in KINDS.values()} | {
                "SYSCAT.COLAUTH",
                "SYSCAT.ROLEAUTH",
                "SYSCAT.PASSTHRUAUTH",
            }
            for statement in REVOKES:
                inside(instance, statement.format(user=quoted(user.username.upper())))
            assert len(session.differences(user.username, clone)) >= len(REVOKES)
            session.mirror(user.username, clone)
            assert held_by(instance, user.username) == held_by(instance, clone)
            assert session.differences(user.username, clone) == []

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
            assert session.differences(user.username, clone.username) == []
            # Now it is.
            session.mirror(clone.username, user.username)
            assert session.differences(clone.username, user.username) == []
        with laboratory.session(user) as run:
            run(f"SELECT 1 FROM {clone.username}.MINE")  # noqa: S608 - a made-up name
        with laboratory.session(clone) as run:
            run("SELECT 1 FROM MINE")

    def test_what_the_master_user_may_not_grant_rds_does(self, laboratory: Db2Laboratory, instance: Instance) -> None:
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
            before = session.differences(user.username, clone)
        assert len(before) == 1

        def interrupted(_: Session) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Db2Session, "commit", interrupted)
            with (
                pytest.raises(KeyboardInterrupt),
                laboratory.engine.connect(laboratory.admin, deadline()) as session,
            ):
                session.mirror(user.username, clone)
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            assert session.differences(user.username, clone) == before

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
            pytest.raises(StatementFailed, match=r"SCHEMAAUTH\.FLYINAUTH is a right that is not known"),
            laboratory.engine.connect(laboratory.admin, deadline()) as admin,
        ):
            admin.mirror(user.username, f"{user.username}_clone")

    def test_a_view_that_this_version_has_not_holds_no_rights(
        self, laboratory: Db2Laboratory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = laboratory.new_user()
        monkeypatch.setattr(
            db2_database, "is_catalog", lambda place, name: name != "MODULEAUTH" and is_catalog(place, name)
        )
        with laboratory.engine.connect(laboratory.admin, deadline()) as session:
            session.mirror(user.username, f"{user.username}_clone")

    # Statements

    def test_a_lock_is_waited_for_no_longer_than_the_time_allows(
        self, laboratory: Db2Laboratory, instance: Instance
    ) -> None:
        user = laboratory.new_user()
        with inside_session(instance) as other:
            other.store.execute("BEGIN IMMEDIATE")
            with (
                pytest.raises(StatementFailed, match=r"SQL0911N.*holds the lock"),
                laboratory.engine.connect(laboratory.admin, deadline(6.0)) as session,
            ):
                session.mirror(user.username, f"{user.username}_clone")
            other.store.execute("ROLLBACK")

    @pytest.mark.parametrize("statement", ["COMMIT", "CALL x()", "TRUNCATE t IMMEDIATE", "-- SELECT", "/* */ SELECT"])
    def test_what_could_not_be_rolled_back_is_not_run(self, laboratory: Db2Laboratory, statement: str) -> None:
        with (
            pytest.raises(StatementFailed, match="Begin it with one of SELECT"),
            laboratory.engine.connect(laboratory.new_user(), deadline()) as session,
        ):
            session.verify([statement])

    def test_what_verify_writes_is_rolled_back(self, laboratory: Db2Laboratory) -> None:
        user = laboratory.new_user()
        with laboratory.session() as run:
            run(f"GRANT INSERT ON TABLE LAB.LAB_ORDERS TO USER {quoted(user.username.upper())}")
        with laboratory.engine.connect(user, deadline()) as session:
            session.verify(["INSERT INTO lab_orders VALUES (7)", "SELECT ID FROM lab_orders"])
        with laboratory.session() as run:
            assert run("SELECT ID FROM LAB.LAB_ORDERS") == []

    def test_the_text_of_a_syntax_error_is_not_passed_on(self, laboratory: Db2Laboratory) -> None:
        with (
            pytest.raises(StatementFailed, match="SQL0104N") as caught,
            laboratory.engine.connect(laboratory.new_user(), deadline()) as session,
        ):
            session.execute("asking", "ALTER USER x PASSWORD 'hidden'")
        assert "hidden" not in str(caught.value)


OBJECTS = (
    "CREATE SEQUENCE LAB.S",
    "CREATE VARIABLE LAB.V INTEGER",
    "CREATE MODULE LAB.M",
    "CREATE FUNCTION LAB.F",
    "CREATE PROCEDURE LAB.P",
    "CREATE ROLE CLERKS",
)

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
    "GRANT USAGE ON XSROBJECT LAB.X TO USER {user}",
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
    "REVOKE USAGE ON XSROBJECT LAB.X FROM USER {user}",
    "REVOKE ROLE CLERKS FROM USER {user}",
)


@pytest.fixture
def instance(laboratory: Db2Laboratory) -> Instance:
    """The stand-in from inside; a real server shows no such thing."""
    if not laboratory.instance:
        pytest.skip("looks into the stand-in")
    return laboratory.instance


@contextmanager
def inside_session(instance: Instance) -> Iterator[Inside]:
    """Be the instance's owner, who may do everything."""
    database = instance.databases[db2_server.DATABASE]
    with database.open() as store:
        yield Inside(instance, database, "RDSDB", store)


def inside(instance: Instance, statement: str) -> None:
    """Run a statement as the instance's owner."""
    with inside_session(instance) as session:
        session.prepare(statement).run(())
        session.commit()


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
            ("XSROBJECT", "LAB", "X"),
        ):
            session.register(kind, place, name)
        session.store.execute("INSERT INTO \"SYSCAT.XSROBJECTS\" VALUES (1, 'LAB', 'X')")


@contextmanager
def connect_procedure(instance: Instance, name: str) -> Iterator[None]:
    """Have the database configuration name a procedure that runs at each connect."""
    update = "UPDATE \"SYSIBMADM.DBCFG\" SET VALUE = ?, DEFERRED_VALUE = ? WHERE NAME = 'connect_proc'"
    with inside_session(instance) as session:
        session.store.execute(update, (name, name))
        try:
            yield
        finally:
            session.store.execute(update, ("", ""))


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


def refuse(*_: object) -> None:
    """Fail, as the directory of users may."""
    raise Db2Error(-438, "75000", "the directory is full")


@contextmanager
def held(lock: "threading.RLock") -> Iterator[None]:
    """Have another thread hold a lock."""
    taken, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            taken.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        release.set()
        thread.join()


@contextmanager
def serving_once(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answer all connections with some bytes, and collect what they say."""
    heard: list[bytes] = []
    with socket.create_server(("localhost", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    way, _ = listener.accept()
                except OSError:
                    return
                with closing(way), suppress(OSError):
                    heard.append(way.recv(4096))
                    way.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1]), heard


def show(issued: certificates.Certificates, line: Line) -> None:
    """Talk as Db2 does where there is TLS: that comes first."""
    line.show(issued)


@contextmanager
def shaking_hands(issued: certificates.Certificates, host: str) -> Iterator[tuple[int, list[bytes]]]:
    """Speak TLS at an address, and collect what is said inside."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    heard: list[bytes] = []
    with socket.create_server((host, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    way, _ = listener.accept()
                except OSError:
                    return
                with closing(way), suppress(OSError), context.wrap_socket(way, server_side=True) as protected:
                    heard.append(protected.recv(4096))

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1]), heard
