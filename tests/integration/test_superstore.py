"""Orders and sales of a shop by region and category, over three years: unit metrics as they are asked in real life."""

from __future__ import annotations

import random
import time
import uuid
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from support import point, request_body

from unitstream.catalogue import Catalogue
from unitstream.dynamodb import create_client
from unitstream.payload import parse
from unitstream.reading import Reader
from unitstream.rounds import Effort, Origin
from unitstream.store import Store
from unitstream.table import Table
from unitstream.view_questions import unit_metric_question, view_question

if TYPE_CHECKING:
    from support import Tables

    from unitstream.views import UnitMetric, View

REGIONS = ("Central", "East", "South", "West")
CATEGORIES = ("Furniture", "Office Supplies", "Technology")
FIRST, LAST = "2020-01-01", "2022-12-31"


class Shop:
    """The shop's table, and the stream that it was pushed to: sales by region and category, orders by region alone."""

    def __init__(self, tables: Tables, sales: pd.DataFrame, orders: pd.DataFrame) -> None:
        self.sales = sales
        self.orders = orders
        self._stream_id = uuid.uuid4().hex
        self._table = Table(create_client(), tables.metrics)

    def save(self) -> None:
        for name, frame, keys in (("sales", self.sales, ["region", "category"]), ("orders", self.orders, ["region"])):
            points = [
                point(f"{row['day']:%Y-%m-%d}", row["value"], name, {key: row[key] for key in keys})
                for row in frame.to_dict("records")
            ]
            ingest = parse(request_body(points, "ds_test", "Sum").encode())
            store = Store(self._table, Catalogue(self._table))
            store.save(ingest, Origin(self._stream_id, 1_700_000_000_000, 100_000), _soon(), Effort())

    def unit_metric(self, **parameters: str | list[str]) -> UnitMetric:
        asked = {"numerator": "sales:Sum", "denominator": "orders:Sum", "start_date": FIRST, "end_date": LAST}
        return Reader(self._table).unit_metric(
            self._stream_id, unit_metric_question(_lists(asked | parameters)), _soon()
        )

    def view(self, **parameters: str | list[str]) -> View:
        asked = {"metric_name": "sales", "metric_agg_func": "Sum", "start_date": FIRST, "end_date": LAST}
        question = view_question(_lists(asked | parameters))
        return Reader(self._table).view(self._stream_id, question, _soon())


def _lists(parameters: dict[str, Any]) -> dict[str, list[str]]:
    return {name: value if isinstance(value, list) else [value] for name, value in parameters.items()}


def _soon() -> float:
    return time.monotonic() + 60


@pytest.fixture(scope="module")
def shop(shared_tables: Tables, endpoint: str) -> Shop:
    """Some days without any sale, more in autumn, and prices in cents: as a shop's export has them."""
    numbers = random.Random(14)  # noqa: S311  # reproducible, on purpose
    sales, orders = [], []
    for count in range((date.fromisoformat(LAST) - date.fromisoformat(FIRST)).days + 1):
        day = pd.Timestamp(FIRST) + timedelta(count)
        for region in REGIONS:
            if numbers.random() < 0.4:
                continue
            orders.append({"day": day, "region": region, "value": numbers.randint(1, 9 + day.month)})
            for category in CATEGORIES:
                if numbers.random() < 0.7:
                    cents = numbers.randint(199, 250_000)
                    sales.append({"day": day, "region": region, "category": category, "value": cents / 100})
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        shop = Shop(shared_tables, pd.DataFrame(sales), pd.DataFrame(orders))
    shop.save()
    return shop


def by_month(frame: pd.DataFrame, *keys: str) -> pd.Series:
    months = frame["day"].dt.to_period("M").dt.start_time.rename("month")
    found: pd.Series = frame.groupby([*keys, months])["value"].sum()
    return found


def test_sales_per_order_by_category_month_over_month(shop: Shop) -> None:
    """Orders have no category: each is divided by all orders, beside the month before; the rows add up to the total."""
    answer = shop.unit_metric(
        granularity="month", group_by="category", denominator_group_by="", compare="period", totals="true"
    )
    sales, orders = by_month(shop.sales, "category"), by_month(shop.orders)
    assert [row.dimensions["category"] for row in answer.series] == list(CATEGORIES)
    for row in answer.series:
        expected = sales[row.dimensions["category"]] / orders
        assert [cell.current_timeframe_unit_metric for cell in row.data] == pytest.approx(list(expected), rel=1e-12)
        changes = [cell.pop_change for cell in row.data]
        assert changes[0] is None
        assert changes[1:] == pytest.approx(list(expected.pct_change()[1:]), rel=1e-9)
        assert all(cell.complete for cell in row.data)
    assert answer.total
    assert answer.total.current_timeframe_unit_metric == pytest.approx(
        shop.sales["value"].sum() / shop.orders["value"].sum(), rel=1e-12
    )
    units = [row.total.current_timeframe_unit_metric or 0 for row in answer.series if row.total]
    assert sum(units) == pytest.approx(answer.total.current_timeframe_unit_metric, rel=1e-12)


def test_sales_per_order_by_region_and_category_beside_the_year_before(shop: Shop) -> None:
    """Each category of a region per the orders of that region, in two regions, a year over a year."""
    answer = shop.unit_metric(
        start_date="2021-01-01",
        granularity="month",
        group_by=["region", "category"],
        denominator_group_by="region",
        numerator_filter="-category:Technology",
        filter="region:East,West",
        compare="year",
    )
    sales, orders = by_month(shop.sales, "region", "category"), by_month(shop.orders, "region")
    groups = [tuple(row.dimensions.values()) for row in answer.series]
    assert groups == [(region, category) for region in ("East", "West") for category in CATEGORIES[:2]]
    for row, (region, category) in zip(answer.series, groups, strict=True):
        units = sales[region, category] / orders[region]
        now, before = units["2021-01-01":], units[:"2021-12-01"]
        assert [cell.current_timeframe_unit_metric for cell in row.data] == pytest.approx(list(now), rel=1e-12)
        assert [cell.previous_timeframe_unit_metric for cell in row.data] == pytest.approx(list(before), rel=1e-12)
        assert [cell.previous_date for cell in row.data] == [f"{month:%Y-%m-%d}" for month in before.index]


def test_a_share_of_the_same_metric(shop: Shop) -> None:
    """Technology's part of all sales: both halves of one metric, which is read once."""
    answer = shop.unit_metric(
        denominator="sales:Sum", granularity="year", numerator_filter="category:Technology", totals="true"
    )
    years = shop.sales.groupby([shop.sales["category"] == "Technology", shop.sales["day"].dt.year])["value"].sum()
    expected = years[True] / (years[True] + years[False])
    (row,) = answer.series
    assert [cell.current_timeframe_unit_metric for cell in row.data] == pytest.approx(list(expected), rel=1e-12)


def test_the_month_so_far_beside_the_same_days_of_the_month_before(shop: Shop) -> None:
    """A view to 10 December: the part is compared with the same part, and says that it is one."""
    answer = shop.view(
        start_date="2022-11-01", end_date="2022-12-10", granularity="month", compare="period", totals="true"
    )
    sales = shop.sales.set_index("day")["value"].sort_index()
    november, december = answer.series[0].data
    assert (november.value, december.value) == pytest.approx(
        (sales["2022-11"].sum(), sales["2022-12-01":"2022-12-10"].sum()), rel=1e-12
    )
    before = [getattr(cell, "previous_timeframe_value", None) for cell in (november, december)]
    assert before == pytest.approx([sales["2022-10"].sum(), sales["2022-11-01":"2022-11-10"].sum()], rel=1e-12)
    assert [getattr(cell, "complete", None) for cell in (november, december)] == [True, False]
    assert answer.notices == ()
