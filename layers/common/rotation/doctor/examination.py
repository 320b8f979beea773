"""How do the looks at one secret become one diagnosis, and one list of repairs?"""

from collections.abc import Callable, Sequence
from typing import Any

from rotation.credential import Credential, SecretValue
from rotation.deadline import Deadline
from rotation.doctor import repairs
from rotation.doctor.case import Case
from rotation.doctor.diagnosis import Diagnosis, State, of_rotation, of_versions
from rotation.doctor.pair import PairLook
from rotation.doctor.repairs import Repair
from rotation.doctor.trials import Trials
from rotation.doctor.versions import Version
from rotation.engine import InspectedEngine
from rotation.errors import RotationError, Unexpected
from rotation.finding import Outcome
from rotation.preflight.description import Description
from rotation.values import dataclass

SEVERITY = (Outcome.FAIL, Outcome.WARN, Outcome.PASS)


@dataclass(frozen=True)
class Means:
    """What a doctor looks with."""

    engine: InspectedEngine
    deadline: Deadline
    describe: Callable[[], Description]
    """Reads all about the secret but its values."""
    versions: Callable[[Description], Sequence[Version]]
    """Reads its versions, the newest first."""
    admin: Callable[[SecretValue], Credential]
    """As `rotation.logins.Context.admin`."""
    function_arn: str
    """Of the function that runs, without version and alias."""
    try_more_passwords: bool = False


@dataclass(frozen=True)
class Examination:
    """What a doctor has found."""

    case: Case
    diagnoses: Sequence[Diagnosis]
    repairs: Sequence[Repair]
    """In the order in which they are done."""

    @property
    def first(self) -> Diagnosis:
        """The worst diagnosis."""
        return min(self.diagnoses, key=lambda one: SEVERITY.index(one.outcome))

    def versions(self) -> list[dict[str, Any]]:
        """Return what a machine reads about the versions; no password."""
        return [{**one.to_json(), "Login": str(self.case.verdict(one))} for one in self.case.versions]


def examine(means: Means) -> Examination:
    """Look at a secret. Changes nothing. Raises ServiceFailed if the secret cannot be read."""
    description = means.describe()
    refusals = [Diagnosis(State.NOT_OURS, one.said) for one in description.secret() if one.outcome is Outcome.FAIL]
    if refusals:
        return Examination(Case(description, [], means.engine.kind), refusals, [])
    case = Case(description, means.versions(description), means.engine.kind)
    case, diagnoses = _looked(case, means)
    return Examination(case, diagnoses, _in_order(case, diagnoses))


def _looked(case: Case, means: Means) -> tuple[Case, list[Diagnosis]]:
    diagnoses: list[Diagnosis] = []
    try:
        case = Trials(means.engine, means.deadline, means.admin, means.try_more_passwords).of(case)
        diagnoses += of_versions(case)
        diagnoses += PairLook(means.engine, means.deadline, means.admin).of(case)
    except RotationError as error:
        diagnoses.append(Diagnosis(State.NOT_KNOWN, error.sentences))
    except Exception as error:  # noqa: BLE001 - a defect in one look is said, with what else was found
        failure = Unexpected.from_exception(error, "looking at the database")
        diagnoses.append(Diagnosis(State.NOT_KNOWN, failure.sentences))
    return case, [*diagnoses, *of_rotation(case, means.function_arn)]


def _in_order(case: Case, diagnoses: Sequence[Diagnosis]) -> list[Repair]:
    """Return all repairs; last the rotation that ends what was left."""
    found = [repair for one in diagnoses for repair in one.repairs]
    return [*found, *([repairs.rotate(case.description.arn)] if any(one.rotates for one in diagnoses) else [])]
