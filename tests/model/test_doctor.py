"""Whatever has happened, and whatever goes on: does a doctor that repairs make anything worse?

It is asked between any two calls of rotations, answered from the past as they are, and does its safe repairs at once.
"""

from collections import Counter

import pytest
from hypothesis.stateful import rule, run_state_machine_as_test

from rotation import deadline
from rotation.admin import Admins
from rotation.deadline import Deadline
from rotation.doctor.examination import Means, examine
from rotation.doctor.trials import FEW_PASSWORDS
from rotation.doctor.versions import Reader
from rotation.errors import ServiceFailed
from rotation.preflight.description import Description
from rotation.redaction import Redactor
from tests.fakes import CURRENT
from tests.model.database import KIND
from tests.model.machine import MACHINES, RotationMachine
from tests.model.scenario import Clock, Scenario
from tests.model.service import FUNCTION
from tests.profiles import examples


def means(scenario: Scenario) -> Means:
    """Return what a doctor looks with."""
    client, time, redactor = scenario.client, Deadline(lambda: 30.0), Redactor()
    reader = Reader(client, scenario.arn, KIND, redactor, time, "")
    return Means(
        engine=scenario.database,
        deadline=time,
        describe=lambda: Description.parse(client.describe_secret(SecretId=scenario.arn)),
        versions=lambda description: reader.versions(description.stages),
        admin=Admins(client, lambda _: None, KIND, redactor, time).find,  # type: ignore[arg-type,return-value] # no RDS
        function_arn=FUNCTION,
    )


class DoctorsRule(RotationMachine):
    """What a doctor adds to all that can happen."""

    @rule()
    def a_doctor_looks_and_repairs(self) -> None:
        """Ask, and do what is safe: it changes labels alone, and never so that an application is locked out."""
        scenario, database = self.scenario, self.scenario.database
        users, labels, worked = scenario.users(), scenario.labels, scenario.logs_in(scenario.read())
        refused = len(database.refused)
        found = examine(means(scenario))
        assert (scenario.users(), scenario.labels) == (users, labels), "it only looks"
        counts = Counter(one.username for one in database.refused[refused:])
        assert all(count <= FEW_PASSWORDS for count in counts.values()), "few logins"
        try:
            for repair in found.repairs:
                if repair.safe:
                    repair.safe.carry_out(scenario.client, scenario.arn, Deadline(lambda: 30.0))
        except ServiceFailed:
            pass  # somebody has moved the label meanwhile
        if scenario.labels == labels:
            return
        self._current_was_moved()
        assert scenario.logs_in(scenario.read()) or not worked, "it made it worse"
        if scenario.labels[CURRENT] != labels[CURRENT]:
            assert scenario.logs_in(scenario.read()), "it moved AWSCURRENT to a version that does not log in"


@pytest.mark.parametrize("machine", MACHINES, ids=[machine.strategy for machine in MACHINES])
def test_a_doctor_that_repairs_makes_nothing_worse_whatever_happens(
    machine: type[RotationMachine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "time", Clock)
    with_doctor = type(f"{machine.__name__}WithDoctor", (DoctorsRule, machine), {})
    run_state_machine_as_test(with_doctor, settings=examples(20, steps=20))
