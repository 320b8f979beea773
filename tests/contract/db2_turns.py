"""What do the contract tests of Db2 do with a pair that is rotated again and again?"""

from dataclasses import dataclass, field

import pytest

from rotation.credential import Credential
from rotation.engine import Comparison
from rotation.engines.db2.users import RDSADMIN
from rotation.errors import RightsDiffer
from rotation.record import MOST_LISTED
from tests.contract.db2_kit import inside
from tests.contract.pairs import RecordInMemory, set_secret
from tests.contract.test_db2_rights import held_by
from tests.laboratories import deadline
from tests.laboratories.db2 import Db2Laboratory, quoted
from tests.local.stand_ins.db2.database import Instance

IN_RDSADMIN = f"in database {RDSADMIN}: "


@dataclass
class Turns:
    """A pair under rotation, with its record."""

    laboratory: Db2Laboratory
    instance: Instance
    current: Credential
    record: RecordInMemory = field(default_factory=RecordInMemory)
    earlier: tuple[Credential, ...] = ()

    @property
    def other(self) -> str:
        """The name of the other user."""
        return self.laboratory.engine.kind.counterpart(self.current.username)

    def rotate(self) -> None:
        """Rotate: the other one is current after that."""
        pending = set_secret(self.laboratory, self.current, *self.earlier, pair=self.record)
        assert self.laboratory.logs_in(pending)
        self.current, self.earlier = pending, (self.current,)
        assert self.held(self.current.username) == self.held(self.other)

    def refused(self) -> tuple[str, Comparison]:
        """Rotate, which must be refused with both statements; return the error, and what differs."""
        before, labels, tasks = self.all_held(), self.record.labels, len(self.instance.tasks)
        with pytest.raises(RightsDiffer) as caught:
            set_secret(self.laboratory, self.current, *self.earlier, pair=self.record)
        assert self.all_held() == before
        assert self.record.labels == labels
        assert len(self.instance.tasks) == tasks
        compared = self.compared()
        for difference in compared.differences[:MOST_LISTED]:
            assert difference.what in str(caught.value)
            assert difference.change_other in str(caught.value)
            assert difference.change_user in str(caught.value)
        return str(caught.value), compared

    def compared(self) -> Comparison:
        """Compare the two, as an admin."""
        with self.laboratory.engine.connect(self.laboratory.admin, deadline()) as session:
            return session.compare(self.current.username, self.other)

    def run(self, text: str) -> None:
        """Run what an error says, as the master user does by hand."""
        for statement in text.split("; "):
            if statement.startswith(IN_RDSADMIN):
                ask = statement.removeprefix(IN_RDSADMIN)
                self.laboratory.administer(ask, *[0] * ask.count("?"))
            else:
                with self.laboratory.session() as run:
                    run(statement)

    def held(self, username: str) -> object:
        """Return all that a user has, not by the driver's own queries."""
        marks = {f"rotates_{self.current.username}".upper(), f"rotates_{self.other}".upper()}
        return held_by(self.instance, username), self.instance.groups(username) - marks

    def all_held(self) -> object:
        """Return what each of the two has."""
        return self.held(self.current.username), self.held(self.other)


RIGHTS = {
    "DBADM": "DBADM WITHOUT DATAACCESS WITHOUT ACCESSCTRL ON DATABASE",
    "DATAACCESS": "DATAACCESS ON DATABASE",
    "authority": "LOAD ON DATABASE",
    "role": "ROLE CLERKS … WITH ADMIN OPTION",
    "schema": "CREATEIN ON SCHEMA LAB … WITH GRANT OPTION",
    "schema authority": "SCHEMAADM ON SCHEMA LAB",
    "table": 'SELECT ON TABLE "od d"."it\'s ""x"""',
    "table with option": "INSERT ON TABLE LAB.LAB_ORDERS … WITH GRANT OPTION",
    "column": "UPDATE (ID) ON TABLE LAB.LAB_ORDERS",
    "column with option": "REFERENCES (ID) ON TABLE LAB.LAB_ORDERS … WITH GRANT OPTION",
    "control": "CONTROL ON TABLE LAB.LAB_INVOICES",
    "index": "CONTROL ON INDEX LAB.I",
    "package": "CONTROL ON PACKAGE NULLID.SYSSH200",
    "function": "EXECUTE ON SPECIFIC FUNCTION LAB.F",
    "procedures": "EXECUTE ON PROCEDURE LAB.* … WITH GRANT OPTION",
    "module": "EXECUTE ON MODULE LAB.M",
    "sequence": "USAGE ON SEQUENCE LAB.S",
    "variable": "WRITE ON VARIABLE LAB.V … WITH GRANT OPTION",
    "table space": "USE OF TABLESPACE USERSPACE1",
    "workload": "USAGE ON WORKLOAD SYSDEFAULTUSERWORKLOAD",
    "pass-through": "PASSTHRU ON SERVER ELSEWHERE",
    "group": "GROUP",
}
"""What an administrator gives and takes, of each kind: the text of GRANT, with what follows the grantee."""


def give(turns: Turns, what: str, username: str) -> None:
    """Give a right to a user, as an administrator who may give all of them."""
    if what == "GROUP":
        turns.laboratory.administer("CALL RDSADMIN.ADD_GROUPS(?, ?)", username, "sales")
        return
    right, _, option = what.partition(" … ")
    inside(turns.instance, f"GRANT {right} TO USER {quoted(username.upper())} {option}")


def take(turns: Turns, what: str, username: str) -> None:
    """Take it away again, and all that came with it."""
    if what == "GROUP":
        turns.laboratory.administer("CALL RDSADMIN.REMOVE_GROUPS(?, ?)", username, "sales")
        return
    right = what.partition(" … ")[0].replace(" (ID)", "").replace(" WITHOUT DATAACCESS WITHOUT ACCESSCTRL", "")
    restrict = " RESTRICT" if right.startswith("EXECUTE ON") and "MODULE" not in right else ""
    inside(turns.instance, f"REVOKE {right} FROM USER {quoted(username.upper())}{restrict}")
    if right == "CONTROL ON TABLE LAB.LAB_INVOICES":
        brought = "ALTER, DELETE, INDEX, INSERT, REFERENCES, SELECT, UPDATE ON TABLE LAB.LAB_INVOICES"
        inside(turns.instance, f"REVOKE {brought} FROM USER {quoted(username.upper())}")
    if right == "CONTROL ON PACKAGE NULLID.SYSSH200":
        brought = "BIND, EXECUTE ON PACKAGE NULLID.SYSSH200"
        inside(turns.instance, f"REVOKE {brought} FROM USER {quoted(username.upper())}")


def change_many(turns: Turns) -> None:
    """Change the current user in all ways that a rotation follows with more than one statement."""
    user = turns.current.username
    grantee, table = quoted(user.upper()), "ON TABLE LAB.LAB_INVOICES"
    inside(turns.instance, f"GRANT CONTROL {table} TO USER {grantee}")
    inside(turns.instance, f"REVOKE DELETE, SELECT {table} FROM USER {grantee}")  # noqa: S608 - made-up names
    inside(turns.instance, f"GRANT SELECT {table} TO USER {grantee}")
    take(turns, "UPDATE ON TABLE LAB.LAB_ORDERS", user)
    give(turns, "UPDATE (ID) ON TABLE LAB.LAB_ORDERS", user)
    take(turns, "ROLE CLERKS", user)
    give(turns, "ROLE CLERKS", user)
    give(turns, RIGHTS["DBADM"], user)
    give(turns, "CREATETAB ON DATABASE", user)
    take(turns, "DATAACCESS ON DATABASE", user)
    turns.laboratory.administer("CALL RDSADMIN.ADD_GROUPS(?, ?)", user, "sales")
    turns.laboratory.administer("CALL RDSADMIN.REMOVE_GROUPS(?, ?)", user, "lab_users")


def prepare_many(turns: Turns) -> None:
    """Give both what `change_many` changes."""
    for what in (
        *("UPDATE ON TABLE LAB.LAB_ORDERS … WITH GRANT OPTION", "ROLE CLERKS … WITH ADMIN OPTION"),
        *("DATAACCESS ON DATABASE", "BINDADD ON DATABASE", "SELECT ON TABLE LAB.LAB_INVOICES … WITH GRANT OPTION"),
    ):
        give(turns, what, turns.current.username)
    turns.rotate()
