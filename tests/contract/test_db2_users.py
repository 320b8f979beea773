"""How does RDS for Db2 make users, and how does it change them?"""

from dataclasses import replace

import pytest

from rotation.deadline import Deadline
from rotation.engine import CloneStatus
from rotation.engines.driver import CORRECT_CAUSE
from rotation.errors import (
    LoginBlocked,
    OutOfTime,
    StatementFailed,
    Unsafe,
    Unsupported,
)
from tests.laboratories import deadline
from tests.laboratories.db2 import Db2Laboratory
from tests.local.stand_ins.db2.catalog import Db2Error
from tests.local.stand_ins.db2.database import Instance, User

pytestmark = pytest.mark.engine("db2")


class TestDb2Users:
    """What Db2 alone promises of users."""

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
            assert session.compare(user.username, clone.username).sentences == []

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

    def test_a_user_that_somebody_has_removed_is_no_lack_of_rights(self, laboratory: Db2Laboratory) -> None:
        with (
            pytest.raises(StatementFailed, match="Username gone does not exist") as caught,
            laboratory.engine.connect(laboratory.admin, deadline()) as session,
        ):
            session.set_password("gone", "Another-1")
        assert caught.value.remedy == CORRECT_CAUSE

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
            assert session.compare(clone, user.username).sentences == []
            assert session.compare(user.username, clone).sentences == []

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
            assert session.compare(user.username, clone).sentences == [
                f"{clone} is not in the group INSIDE_SALES",
                f"{clone} is not in the group SALES",
                f"{clone} is in the group LAB_USERS, {user.username} is not",
            ]
            session.mirror(user.username, clone)
            assert session.compare(user.username, clone).sentences == []

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


def refuse(*_: object) -> None:
    """Fail, as the directory of users may."""
    raise Db2Error(-438, "75000", "the directory is full")
