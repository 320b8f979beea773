"""What is the template without its loops?

A loop (Fn::ForEach) runs over the value of a parameter, so only CloudFormation can run it, with a macro. StackSets with
service-managed permissions take no macro (https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStackSet.html).
Without its loops, a template says what it said for the defaults of their parameters. So these parameters are fixed:

1. Each condition that follows from them alone becomes true or false.
2. Each `Fn::If` on such a condition becomes one of its branches; a resource whose condition is false goes.
3. What nothing names any more goes, too: parameters, conditions, rules, and their places in the console.

All that is left stays as it was written: it is CloudFormation that decides it, with the values of the deployment.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_LOOP = "Fn::ForEach::"
_NOTHING = {"Ref": "AWS::NoValue"}


class NotPlain(ValueError):
    """The template has a loop that this module cannot take out; the message says which, and why."""


def without_loops(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template as it is for the defaults of the parameters that its loops run over. Raises NotPlain."""
    fixed = {name: _default(template, name) for name in _looped_over(template)}
    conditions = {name: _folded(value, template["Conditions"], fixed) for name, value in template["Conditions"].items()}
    decided = {name: value for name, value in conditions.items() if isinstance(value, bool)}
    plain = {
        **template,
        "Conditions": {name: value for name, value in conditions.items() if name not in decided},
        **{part: _kept(template[part], fixed, decided) for part in ("Resources", "Outputs")},
    }
    return _without_unused(plain, fixed)


def references(value: Any) -> set[str]:  # noqa: ANN401 - whatever stands in a template
    """Return all that a value names: parameters, resources and pseudo parameters, conditions included."""
    match value:
        case {"Ref": str(name)} | {"Condition": str(name)}:
            return {name, *references([one for key, one in value.items() if key not in {"Ref", "Condition"}])}
        case {"Fn::If": [str(name), *branches]}:
            return {name, *references(branches)}
        case {"Fn::Sub": [str(text), own]} | {"Fn::Sub": str(text) as own}:
            return _placeholders(text) | references(own)
        case dict() | list():
            parts = value.values() if isinstance(value, dict) else value
            return {name for one in parts for name in references(one)}
        case _:
            return set()


def _looped_over(template: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameter of each loop."""
    for place in ("Conditions", "Outputs"):
        if loops := [name for name in template.get(place, {}) if name.startswith(_LOOP)]:
            raise NotPlain(f"take the loop {loops[0]} out of {place}: only loops in Resources can be left out")
    for name, loop in template["Resources"].items():
        if name.startswith(_LOOP):
            match loop:
                case [_, {"Ref": str(parameter)}, _] if parameter in template["Parameters"]:
                    yield parameter
                case _:
                    raise NotPlain(f"let the loop {name} run over a parameter: over another list it cannot be left out")


def _default(template: Mapping[str, Any], parameter: str) -> Any:  # noqa: ANN401 - a text or a list of texts
    found = template["Parameters"][parameter]
    if "Default" not in found:
        raise NotPlain(f"give the parameter {parameter} a default: without its loop it has no other value")
    text = str(found["Default"])
    return text.split(",") if "List" in found["Type"] else text


def _folded(value: Any, conditions: Mapping[str, Any], fixed: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a condition
    """Return what a condition is: true or false if it follows from what is fixed, else what is left of it."""

    def fold(one: Any) -> Any:  # noqa: ANN401
        return _folded(one, conditions, fixed)

    match value:
        case {"Condition": str(name)}:
            decided = fold(conditions[name])
            return decided if isinstance(decided, bool) else value
        case {"Fn::Not": [one]}:
            decided = fold(one)
            return not decided if isinstance(decided, bool) else {"Fn::Not": [decided]}
        case {"Fn::And": several}:
            return _joined("Fn::And", [fold(one) for one in several], decisive=False)
        case {"Fn::Or": several}:
            return _joined("Fn::Or", [fold(one) for one in several], decisive=True)
        case {"Fn::Equals": [left, right]}:
            left, right = _literal(left, fixed), _literal(right, fixed)
            both_known = isinstance(left, str) and isinstance(right, str)
            return left == right if both_known else {"Fn::Equals": [left, right]}
        case _:
            return value


def _joined(function: str, several: list[Any], *, decisive: bool) -> Any:  # noqa: ANN401 - a condition
    """Return an And or an Or without what does not matter; one that is decisive decides it."""
    if any(one is decisive for one in several):
        return decisive
    match [one for one in several if not isinstance(one, bool)]:
        case []:
            return not decisive
        case [one]:
            return one
        case rest:
            return {function: rest}


def _literal(value: Any, fixed: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever stands in a template
    """Return the value with what is fixed in its place."""
    match value:
        case {"Ref": str(name)} if name in fixed:
            return fixed[name]
        case {"Fn::Join": [str(separator), elements]}:
            known = _literal(elements, fixed)
            all_known = isinstance(known, list) and all(isinstance(one, str) for one in known)
            return separator.join(known) if all_known else {"Fn::Join": [separator, known]}
        case dict():
            return {key: _literal(one, fixed) for key, one in value.items()}
        case list():
            return [_literal(one, fixed) for one in value]
        case _:
            return value


def _kept(part: Mapping[str, Any], fixed: Mapping[str, Any], decided: Mapping[str, bool]) -> dict[str, Any]:
    """Return the resources, or outputs, that are still there."""
    kept = {}
    for name, one in part.items():
        if name.startswith(_LOOP) or not decided.get(one.get("Condition", ""), True):
            continue
        own = {key: value for key, value in one.items() if key != "Condition" or value not in decided}
        kept[name] = _chosen(_literal(own, fixed), decided)
    return kept


def _chosen(value: Any, decided: Mapping[str, bool]) -> Any:  # noqa: ANN401 - whatever stands in a template
    """Return the value with each decided Fn::If replaced by its branch, and without what is then no value."""
    match value:
        case {"Fn::If": [str(name), then, otherwise]} if name in decided:
            return _chosen(then if decided[name] else otherwise, decided)
        case dict():
            entries = {key: _chosen(one, decided) for key, one in value.items()}
            return {key: one for key, one in entries.items() if one != _NOTHING or one == value[key]}
        case list():
            elements = [(one, _chosen(one, decided)) for one in value]
            return [chosen for one, chosen in elements if chosen != _NOTHING or chosen == one]
        case _:
            return value


def _without_unused(template: dict[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template without the conditions and parameters that nothing names, and without what is said of them."""
    used = references([template["Resources"], template["Outputs"], template.get("Globals", {})])
    conditions = template["Conditions"]
    while further := {one for name in used & conditions.keys() for one in references(conditions[name])} - used:
        used |= further
    rules = _rules(template.get("Rules", {}), fixed)
    used |= references(list(rules.values()))
    parts = {
        "Parameters": {name: one for name, one in template["Parameters"].items() if name in used},
        "Conditions": {name: one for name, one in conditions.items() if name in used},
        "Metadata": {"AWS::CloudFormation::Interface": _interface(template["Metadata"], used)},
        "Rules": rules,
    }
    rest = {name: part for name, part in template.items() if name not in {*parts, "Transform"}}
    return {**rest, **{name: part for name, part in parts.items() if part}}


def _rules(rules: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """Return each rule with the assertions that say nothing of a fixed parameter; no rule without an assertion."""
    left = {
        name: {**rule, "Assertions": [one for one in rule["Assertions"] if not references(one) & fixed.keys()]}
        for name, rule in rules.items()
        if not references(rule.get("RuleCondition")) & fixed.keys()
    }
    return {name: rule for name, rule in left.items() if rule["Assertions"]}


def _interface(metadata: Mapping[str, Any], used: set[str]) -> dict[str, Any]:
    groups = metadata["AWS::CloudFormation::Interface"]["ParameterGroups"]
    left = [{**group, "Parameters": [name for name in group["Parameters"] if name in used]} for group in groups]
    return {"ParameterGroups": [group for group in left if group["Parameters"]]}


def _placeholders(text: str) -> set[str]:
    """Return the names in a text of Fn::Sub; of an attribute, the resource."""
    names = [part.partition("}")[0] for part in text.split("${")[1:]]
    return {name.partition(".")[0] for name in names if not name.startswith("!")}
