"""Saved unit metrics: what a definition holds, and the question that it asks. Pure.

Its fields are the query parameters of an ad-hoc unit metric, and are read as those are; those that may be repeated are
lists. So what is wrong with one is said in the same words, with a pointer into the body.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from unitstream.identity import MAX_NAME
from unitstream.json_keys import repeated_keys
from unitstream.parameters import Parameters, is_text, quoted
from unitstream.problems import Finding, InvalidRequest, near_miss, pointer
from unitstream.view_questions import unit_metric_question

if TYPE_CHECKING:
    from unitstream.parameters import Query
    from unitstream.view_questions import UnitMetricQuestion

MAX_DEFINITION_BYTES = 16_384
MAX_UNIT = 64

_REQUIRED = ("numerator", "denominator")
_TEXTS = (*_REQUIRED, "granularity", "timezone", "unit")
_LISTS = ("filter", "numerator_filter", "denominator_filter", "group_by", "denominator_group_by")
FIELDS = (*_TEXTS, *_LISTS, "thresholds", "publish")
_THRESHOLDS = ("above", "rise_percent")
# What a question for data adds to the definition, or says otherwise.
DATA_PARAMETERS = ("start_date", "end_date", "granularity", "timezone", "fill", "compare", "totals")
# CloudWatch takes values up to two weeks back, so a week or a month is too old when it is over.
PUBLISHED_GRANULARITIES = ("hour", "day")
# A late one: offsets of zones from UTC are those of today then, and some were no whole hour before.
_SOME_DAY: Query = {"start_date": ["2026-01-01"], "end_date": ["2026-01-01"]}


@dataclass(frozen=True, slots=True)
class Definition:
    """A saved unit metric. `fields` are those of `FIELDS` that were sent."""

    name: str
    fields: dict[str, Any]

    @property
    def publishes(self) -> bool:
        return self.fields.get("publish") is True

    @property
    def granularity(self) -> str:
        granularity: str = self.fields.get("granularity", "day")
        return granularity

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name} | self.fields

    def question(self, query: Query) -> UnitMetricQuestion:
        """Return what the definition asks with the parameters of `query`. Raises `InvalidRequest`."""
        own = {name: [self.fields[name]] for name in _TEXTS if name in self.fields and name != "unit"}
        # An empty list of keys is what an empty parameter is; one of filters is none.
        own |= {name: self.fields[name] or [""] for name in _LISTS if _is_asked(name, self.fields)}
        return replace(unit_metric_question(own | dict(query)), unit=self.fields.get("unit"))

    def question_of_some_day(self) -> UnitMetricQuestion:
        """Return what it asks, for what is the same whatever the days."""
        return self.question(_SOME_DAY)


def definition_of(name: str, body: bytes) -> Definition:
    """Return the definition in the body of a request. Raises `InvalidRequest` with everything that is wrong with it."""
    errors = _errors_of_name(name) or _errors_of_new_name(name)
    if len(body) > MAX_DEFINITION_BYTES:
        detail = f"the body must have at most {MAX_DEFINITION_BYTES:,} bytes"
        raise InvalidRequest([*errors, Finding("too_long", detail, pointer="")])
    try:
        text = body.decode().removeprefix("\N{BYTE ORDER MARK}")
        fields = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise InvalidRequest([*errors, Finding("json_invalid", "the body is no JSON in UTF-8", pointer="")]) from exc
    if not isinstance(fields, dict):
        raise InvalidRequest([*errors, Finding("wrong_type", "the body must be an object", pointer="")])
    errors += [*repeated_keys(text), *_errors_of_types(fields)]
    definition = Definition(name, fields)
    if not errors:
        errors = _errors_of_question(definition)
    if definition.publishes and not errors and definition.granularity not in PUBLISHED_GRANULARITIES:
        detail = "publish is for hours and days: a longer period is too old for CloudWatch when it is over"
        errors.append(Finding("publish_too_coarse", detail, pointer="/publish"))
    if errors:
        raise InvalidRequest(errors)
    return definition


def data_parameters(name: str, query: Query) -> Query:
    """Return the parameters of `GET /api/unit-metrics/{name}/data`, or raise `InvalidRequest`."""
    some = Definition("any", {"numerator": "any:Sum", "denominator": "any:Sum"})
    errors = _errors_of_name(name)
    for check in (
        lambda: Parameters(query, DATA_PARAMETERS).checked(query),
        lambda: some.question({name: values for name, values in query.items() if name in DATA_PARAMETERS}),
    ):
        try:
            check()
        except InvalidRequest as exc:
            errors += exc.errors
    if errors:
        raise InvalidRequest(errors)
    return query


def name_alone(name: str, query: Query) -> str:
    """Return `name`, or raise `InvalidRequest`: also for query parameters, which nobody would look at."""
    if errors := _errors_of_name(name):
        raise InvalidRequest(errors)
    return Parameters(query, ()).checked(name)


def _is_asked(name: str, fields: dict[str, Any]) -> bool:
    return bool(fields.get(name)) or (name == "denominator_group_by" and name in fields)


def _errors_of_name(name: str) -> list[Finding]:
    if not is_text(name):
        return [Finding("not_unicode", "name in the path is not UTF-8", parameter="name")]
    if not 1 <= len(name) <= MAX_NAME:
        return [Finding("too_long", f"name must have 1 to {MAX_NAME} characters", parameter="name")]
    return []


def _errors_of_new_name(name: str) -> list[Finding]:
    """Return what is wrong with a name to save under: what has it can be read and deleted all the same."""
    if name in {".", ".."}:
        detail = f"name must not be {name}: in a path that is another one"
    elif not name.isprintable():
        detail = "name must have no control characters, no other ones that cannot be seen, and no blanks but U+0020"
    elif name != name.strip():
        detail = "name must not begin or end with a blank"
    else:
        return []
    return [Finding("name_invalid", detail, parameter="name")]


def _errors_of_types(fields: dict[str, Any]) -> list[Finding]:
    found = [
        Finding("missing", f"{name} is required", pointer=pointer(name)) for name in _REQUIRED if name not in fields
    ]
    for name, value in fields.items():
        if name not in FIELDS:
            found.append(_unknown_field(name, FIELDS, pointer(name)))
        elif name in _TEXTS and not _is_a_text(value):
            found.append(Finding("wrong_type", f"{name} must be a text", pointer=pointer(name)))
        elif name in _LISTS and not (isinstance(value, list) and all(map(_is_a_text, value))):
            found.append(Finding("wrong_type", f"{name} must be a list of texts", pointer=pointer(name)))
        elif name in _LISTS and "" in value:
            found.append(Finding("empty", f"a text in {name} must have at least 1 character", pointer=pointer(name)))
        elif name == "publish" and not isinstance(value, bool):
            found.append(Finding("wrong_type", "publish must be true or false", pointer="/publish"))
        elif name == "thresholds":
            found += _errors_of_thresholds(value)
        elif name == "unit" and len(value) > MAX_UNIT:
            found.append(Finding("too_long", f"unit must have at most {MAX_UNIT} characters", pointer="/unit"))
    return found


def _errors_of_thresholds(thresholds: object) -> list[Finding]:
    if not isinstance(thresholds, dict):
        return [Finding("wrong_type", "thresholds must be an object", pointer="/thresholds")]
    found = []
    for name, value in thresholds.items():
        place = pointer("thresholds", name)
        if name not in _THRESHOLDS:
            found.append(_unknown_field(name, _THRESHOLDS, place))
        elif isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            found.append(Finding("wrong_type", f"{name} must be a number", pointer=place))
    return found


def _errors_of_question(definition: Definition) -> list[Finding]:
    """Return what is wrong with the parameters, with pointers to the fields that hold them."""
    try:
        definition.question_of_some_day()
    except InvalidRequest as exc:
        return [Finding(one.code, one.detail, pointer=pointer(one.parameter or "")) for one in exc.errors]
    return []


def _unknown_field(name: str, known: tuple[str, ...], place: str) -> Finding:
    close = near_miss(name, known)
    hint = f": did you mean {close}?" if close else f"; known here: {', '.join(known)}"
    return Finding("unknown_field", f"{quoted(name)} is not a field{hint}", pointer=place)


def _is_a_text(value: object) -> bool:
    return isinstance(value, str) and is_text(value)
