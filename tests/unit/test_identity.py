"""Record IDs, which may never change: points that are stored already would no longer be found."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unitstream.identity import record_id

if TYPE_CHECKING:
    from random import Random


@pytest.mark.parametrize(
    ("name", "agg_func", "dimensions", "document"),
    [
        pytest.param("orders", "Sum", {}, '["orders","Sum",[]]', id="no dimensions"),
        pytest.param(
            "orders",
            "Average",
            {"region": "eu", "app": "web"},
            '["orders","Average",[["app","web"],["region","eu"]]]',
            id="sorted by key",
        ),
        pytest.param(
            'the "big" \\ one',
            "Maximum",
            {"a/b": "it's", '"': ""},
            r'["the \"big\" \\ one","Maximum",[["\"",""],["a/b","it' r"'" r's"]]]',
            id="quotes, slashes and backslashes",
        ),
        pytest.param(
            "Ums\u00e4tze \u20ac \U0001f600",
            "Minimum",
            {"stra\u00dfe": "\u6771\u4eac"},
            '["Ums\u00e4tze \u20ac \U0001f600","Minimum",[["stra\u00dfe","\u6771\u4eac"]]]',
            id="as UTF-8, not as escapes",
        ),
        pytest.param(
            "a\nb\tc\rd\be\ff",
            "Sum",
            {"nul": "\x00\x1f", "delete": "\x7f\u2028"},
            '["a\\nb\\tc\\rd\\be\\ff","Sum",[["delete","\x7f\u2028"],["nul","\\u0000\\u001f"]]]',
            id="control characters",
        ),
        pytest.param(
            "m",
            "Sum",
            {"\U0001f600": "1", "\uff5e": "2", "b": "3", "B": "4", "": "5"},
            '["m","Sum",[["","5"],["B","4"],["b","3"],["\uff5e","2"],["\U0001f600","1"]]]',
            id="sorted by code point, not by UTF-16 unit",
        ),
        pytest.param(
            "e\u0301",
            "Sum",
            {"k": "\u00e9 "},
            '["e\u0301","Sum",[["k","\u00e9 "]]]',
            id="neither normalised nor stripped",
        ),
    ],
)
def test_golden(name: str, agg_func: str, dimensions: dict[str, str], document: str) -> None:
    """A record ID is the SHA-256 of a JSON text that anybody can write by hand."""
    assert record_id(name, agg_func, dimensions) == hashlib.sha256(document.encode("utf-8")).hexdigest()


def test_golden_digest() -> None:
    """The digest itself, as `sha256sum` prints it for `["orders","Sum",[["app","web"],["region","eu"]]]`."""
    expected = "56f002a9be0fc873d257846bfb26115cb79551cb16028862485c782b3ad94fd7"
    assert record_id("orders", "Sum", {"region": "eu", "app": "web"}) == expected


def test_no_separator_makes_two_dimensions_collide() -> None:
    """The dimensions a: 'b=c' and a=b: 'c' are two records, and so are other ways to cut the same characters."""
    cuts = [{"a": "b=c"}, {"a=b": "c"}, {"a": "b", "c": ""}, {"a": 'b"],["c'}, {"a": "b,c"}, {"a,b": "c"}]
    assert len({record_id("m", "Sum", dimensions) for dimensions in cuts}) == len(cuts)


dimensions_of_any_kind = st.dictionaries(st.text(), st.text(), max_size=10)
series = st.tuples(st.text(), st.sampled_from(["Sum", "Average", "Maximum", "Minimum"]), dimensions_of_any_kind)


@given(dimensions_of_any_kind, st.randoms(use_true_random=False))
def test_the_order_of_the_dimensions_does_not_matter(dimensions: dict[str, str], random: Random) -> None:
    """A producer may write its dimensions in any order and updates the same record."""
    items = list(dimensions.items())
    random.shuffle(items)
    assert record_id("orders", "Sum", dict(items)) == record_id("orders", "Sum", dimensions)


# From few characters, among them those that JSON escapes, so that close calls come up.
close_text = st.text(alphabet='ab=,"\\[]:{} \n', max_size=4)
close_series = st.tuples(close_text, st.sampled_from(["Sum", "Average"]), st.dictionaries(close_text, close_text))


@settings(max_examples=50)
@given(st.lists(series | close_series, unique_by=repr))
def test_different_series_have_different_ids(
    different: list[tuple[str, str, dict[str, str]]],
) -> None:
    """Series that differ in their name, function or dimensions never share a record."""
    distinct = {(name, func, frozenset(dimensions.items())) for name, func, dimensions in different}
    ids = {record_id(name, func, dict(dimensions)) for name, func, dimensions in distinct}
    assert len(ids) == len(distinct)
    assert all(len(one) == 64 for one in ids)
