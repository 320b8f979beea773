"""Which values of a template's parameters does CloudFormation refuse before it makes anything, and with which words?

It looks at each value by itself, then at the Rules. What Rules can be written with is less than elsewhere
(https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-rules.html).
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.local.aws.intrinsics import Resolver, Unresolvable

_FUNCTIONS: Final = frozenset({
    *("Ref", "Fn::And", "Fn::Or", "Fn::Not", "Fn::Equals"),
    *("Fn::Contains", "Fn::EachMemberEquals", "Fn::EachMemberIn"),
})  # fmt: skip
_MOST_ARGUMENTS: Final = 10
"""Of Fn::And and Fn::Or."""


def refusals(template: Mapping[str, Any], values: Mapping[str, str]) -> list[str]:
    """Return what CloudFormation would say about these values; nothing, if it takes them. Raises Unresolvable."""
    resolver = Resolver(template, values)
    given = {name: str(values.get(name, one["Default"])) for name, one in template["Parameters"].items()}
    return [*_of_values(template["Parameters"], given), *_of_rules(template["Rules"], resolver)]


def _of_values(parameters: Mapping[str, Any], given: Mapping[str, str]) -> Iterator[str]:
    for name, parameter in parameters.items():
        items = [each.strip() for each in given[name].split(",")] if "List" in parameter["Type"] else [given[name]]
        if not all(_is_allowed(parameter, item) for item in items):
            yield f"{name} {parameter.get('ConstraintDescription', 'is not allowed')}"


def _is_allowed(parameter: Mapping[str, Any], item: str) -> bool:
    if parameter["Type"] == "Number" and not item.isdecimal():
        return False
    return (
        item in map(str, parameter.get("AllowedValues", [item]))
        and re.fullmatch(parameter.get("AllowedPattern", ".*"), item) is not None
        and ("MinValue" not in parameter or parameter["MinValue"] <= int(item) <= parameter["MaxValue"])
    )


def _of_rules(rules: Mapping[str, Any], resolver: Resolver) -> Iterator[str]:
    for rule in rules.values():
        _check(rule.get("RuleCondition", {}))
        applies = resolver.resolve(rule["RuleCondition"]) if "RuleCondition" in rule else True
        for assertion in rule["Assertions"]:
            _check(assertion["Assert"])
            if applies and not resolver.resolve(assertion["Assert"]):
                yield assertion["AssertDescription"]


def _check(value: object) -> None:
    """Raises Unresolvable for what CloudFormation does not take in Rules."""
    if isinstance(value, list):
        for one in value:
            _check(one)
    if isinstance(value, dict):
        for name, arguments in value.items():
            if name not in _FUNCTIONS:
                raise Unresolvable(f"{name} in Rules")
            if name in {"Fn::And", "Fn::Or"} and not 2 <= len(arguments) <= _MOST_ARGUMENTS:
                raise Unresolvable(f"{name} of {len(arguments)} conditions")
            _check(arguments)
