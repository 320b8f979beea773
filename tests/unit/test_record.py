"""When does a rotation follow a change of rights, and when does it refuse to?"""

from dataclasses import replace

import pytest

from rotation.engine import Comparison, Difference, state
from rotation.errors import RightsDiffer
from rotation.record import EVERYTHING, MOST_HASHES, MOST_LISTED, PairRecord, differ, ended


def comparison(*whats: str, unlock: str | None = None, passing: tuple[str, ...] = ()) -> Comparison:
    """Return one with these differences."""
    differences = [Difference(what, f"GRANT {what} TO clone", f"REVOKE {what} FROM app") for what in whats]
    return Comparison(differences, "APP", "CLONE", unlock, passing)


EQUAL = ended(comparison(), "app", "clone")
CLONE_ONLY = ended(replace(comparison(), user_state="CHANGED"), "app", "clone")
APP_ONLY = ended(replace(comparison(), other_state="CHANGED"), "app", "clone")
OUTDATED = PairRecord(frozenset({"OLD"}))
NOTHING = PairRecord()


def require_known(record: PairRecord, found: Comparison) -> None:
    """Ask whether a rotation can end the differences."""
    record.require_known(found, "app", "clone")


# What is followed


@pytest.mark.parametrize("record", [NOTHING, EQUAL, OUTDATED])
def test_two_that_do_not_differ_need_no_record(record: PairRecord) -> None:
    require_known(record, comparison())


def test_a_change_is_followed_if_the_other_user_is_as_it_was_recorded() -> None:
    require_known(EQUAL, comparison("SELECT"))
    require_known(CLONE_ONLY, comparison("SELECT"))


def test_what_a_rotation_began_is_ended() -> None:
    begun = OUTDATED.beginning(comparison("SELECT", "INSERT"))
    require_known(begun, comparison("SELECT", "INSERT"))
    require_known(begun, comparison("INSERT"))


def test_what_passes_on_the_way_is_ended() -> None:
    begun = OUTDATED.beginning(comparison("SELECT", passing=("SELECT (a)",)))
    require_known(begun, comparison("SELECT (a)"))


def test_a_new_user_that_is_half_made_is_finished() -> None:
    require_known(NOTHING.beginning(None), comparison("SELECT", "INSERT", unlock="UNLOCK clone"))


def test_a_user_that_a_rotation_locks_on_its_way_is_let_in_again() -> None:
    begun = OUTDATED.beginning(comparison("SELECT", passing=("UNLOCK clone",)))
    require_known(begun, comparison("SELECT", unlock="UNLOCK clone"))
    with pytest.raises(RightsDiffer, match="somebody has locked clone"):
        require_known(OUTDATED.beginning(comparison("SELECT")), comparison("SELECT", unlock="UNLOCK clone"))


def test_what_a_rotation_began_twice_is_ended() -> None:
    begun = OUTDATED.beginning(comparison("SELECT")).beginning(comparison("INSERT"))
    require_known(begun, comparison("SELECT", "INSERT"))


def test_more_than_fits_into_a_label_is_everything() -> None:
    few, many = ([f"right {number}" for number in range(count)] for count in (MOST_HASHES, MOST_HASHES + 1))
    assert OUTDATED.beginning(comparison(*few)).begun != EVERYTHING
    assert OUTDATED.beginning(comparison(*many)).begun == EVERYTHING


# What is refused


@pytest.mark.parametrize("record", [NOTHING, OUTDATED, APP_ONLY])
def test_what_could_undo_a_change_of_the_other_user_is_refused(record: PairRecord) -> None:
    with pytest.raises(RightsDiffer) as caught:
        require_known(record, comparison("SELECT", "INSERT"))
    assert "(1) SELECT; (2) INSERT" in caught.value.cause
    assert "(1) GRANT SELECT TO clone or REVOKE SELECT FROM app (2) GRANT INSERT" in caught.value.remedy


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (NOTHING, "no rotation has recorded that they were equal"),
        (APP_ONLY, "and clone was changed since the last rotation"),
        (OUTDATED, "and clone and app were changed since the last rotation"),
    ],
)
def test_the_error_says_why_it_cannot_be_known(record: PairRecord, why: str) -> None:
    with pytest.raises(RightsDiffer, match=why):
        require_known(record, comparison("SELECT"))


def test_what_a_rotation_did_not_begin_is_refused_although_it_began_something() -> None:
    begun = OUTDATED.beginning(comparison("SELECT"))
    with pytest.raises(RightsDiffer):
        require_known(begun, comparison("INSERT"))


@pytest.mark.parametrize("record", [NOTHING, EQUAL, OUTDATED])
def test_a_user_that_somebody_locked_is_not_let_in(record: PairRecord) -> None:
    with pytest.raises(RightsDiffer, match=r"somebody has locked clone.* Run UNLOCK clone"):
        require_known(record, comparison(unlock="UNLOCK clone"))


def test_the_error_is_bounded() -> None:
    error = differ(comparison(*(f"right {number}" for number in range(100))).differences, "app", "clone")
    assert f"({MOST_LISTED})" in error.cause
    assert f"({MOST_LISTED + 1})" not in str(error)
    assert "80 more" in error.cause


# How it is kept


@pytest.mark.parametrize("record", [NOTHING, EQUAL, EQUAL.beginning(comparison("x")), EQUAL.beginning(None)])
def test_labels_keep_a_record(record: PairRecord) -> None:
    assert PairRecord.from_labels({*record.labels, "AWSPENDING", "blue"}) == record


def test_a_label_fits_what_the_service_takes() -> None:
    states = (state(["a"]), state(["b"]))
    begun = ended(Comparison([], *states), "app", "clone").beginning(
        comparison(*(f"right {n}" for n in range(MOST_HASHES)))
    )
    assert all(len(label) <= 256 for label in begun.labels)


def test_everything_is_everything_although_an_older_label_says_less() -> None:
    """A rotation was cut off between adding the one and removing the other."""
    less = OUTDATED.beginning(comparison("SELECT"))
    both = PairRecord.from_labels(less.labels | less.beginning(None).labels)
    assert both.begun == EVERYTHING
    require_known(both, comparison("INSERT"))


def test_two_labels_that_do_not_fit_into_one_are_everything() -> None:
    half = MOST_HASHES // 2 + 1
    parts = [OUTDATED.beginning(comparison(*(f"{name} {n}" for n in range(half)))) for name in ("right", "role")]
    both = PairRecord.from_labels(parts[0].labels | parts[1].labels)
    assert all(len(label) <= 256 for label in both.labels)
    require_known(both, comparison("right 0", "role 0"))


def test_both_states_are_recorded_because_either_user_can_be_the_other_one_next() -> None:
    require_known(EQUAL, comparison("SELECT"))
    EQUAL.require_known(replace(comparison("SELECT"), user_state="CLONE", other_state="APP"), "clone", "app")


def test_a_state_of_one_user_says_nothing_about_the_other() -> None:
    with pytest.raises(RightsDiffer):
        require_known(EQUAL, replace(comparison("SELECT"), other_state="APP"))


def test_what_a_rotation_cannot_end_is_refused_before_it_begins() -> None:
    owned = Difference("clone owns t", "ALTER TABLE t OWNER TO app", "let app own another", can_follow=False)
    with pytest.raises(RightsDiffer, match="not all of them can be ended by a rotation"):
        require_known(EQUAL, replace(comparison("SELECT"), differences=[owned]))


def test_an_interrupted_write_leaves_both_records_and_neither_is_lost() -> None:
    both = PairRecord.from_labels(EQUAL.labels | OUTDATED.labels)
    assert both.equal == EQUAL.equal | OUTDATED.equal


def test_a_state_does_not_depend_on_the_order_and_differs_for_different_things() -> None:
    assert state(["a", "b"]) == state(["b", "a"])
    assert len({state(things) for things in ([], [""], ["ab"], ["a", "b"], ["a", "b", ""], ["b"], ["\ud800"])}) == 7


# What an application finds


@pytest.mark.parametrize("found", [{}, {"the schema": "public"}, {"the schema": "public", "the role": "none"}])
def test_what_was_found_is_known_by_the_label(found: dict[str, str]) -> None:
    record = PairRecord.from_labels(EQUAL.finding(found).labels)
    assert record.has_found(found)
    assert not record.has_found({**found, "the schema": "another"})
    assert not EQUAL.has_found(found)


def test_no_other_name_or_value_looks_like_what_was_found() -> None:
    record = EQUAL.finding({"one": "two"})
    for found in ({"two": "one"}, {"one": "two", "three": ""}, {"one": ""}, {"": "one is two"}):
        assert not record.has_found(found)


def test_what_was_found_does_not_say_that_the_other_user_is_as_it_was_left() -> None:
    record = PairRecord().finding({"the schema": "public"})
    with pytest.raises(RightsDiffer):
        require_known(record, comparison("SELECT"))


def test_no_label_is_too_long_however_many_rotations_were_cut_off_while_they_recorded() -> None:
    labels = frozenset[str]()
    for number in range(5):
        record = PairRecord.from_labels(labels).beginning(comparison())
        left = ended(
            replace(comparison(), user_state=state([f"{number}"]), other_state=state([f"other {number}"])),
            "app",
            "app_clone",
        )
        labels = record.labels | left.finding({"the schema": f"{number}"}).labels
    assert max(map(len, labels)) <= 256
    assert len(PairRecord.from_labels(labels).equal) == 15
