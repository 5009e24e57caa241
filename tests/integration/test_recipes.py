"""docs/recipes.md is what is tested: each of its commands is run on a small file of the kind it is for."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from pushing import RUN, environment
from support import REPOSITORY

from unitstream.identity import record_id

if TYPE_CHECKING:
    from pathlib import Path

    from pushing import Service

_RECIPE = re.compile(r"^### (.+?)\n(?:(?!^#)[^`]|`(?!``))*```\n(.+?)```", re.MULTILINE | re.DOTALL)
RECIPES: dict[str, str] = {
    title: command
    for title, command in _RECIPE.findall((REPOSITORY / "docs" / "recipes.md").read_text())
    if "unitstream push" in command
}


class Kind(NamedTuple):
    """Files, or what other programs print, and the points that are to come of them: metric, dimensions, hour, value."""

    files: dict[str, str]
    points: list[tuple[str, dict[str, str], str, float]]
    function: str = "Sum"
    encoding: str = "utf-8"


def at_midnight(metric: str, value: float, **dimensions: str) -> tuple[str, dict[str, str], str, float]:
    return metric, dimensions, "2022-10-01 00", value


FOCUS = """BilledCost,BillingCurrency,ChargePeriodStart,ChargePeriodEnd,ServiceName,SubAccountId,RegionId,Tags
1.25,USD,2022-10-01 00:00:00.000,2022-10-01 01:00:00.000,Virtual Machines,a-1,eu-1,"{""team"": ""x""}"
0.5,USD,2022-10-01T00:00:00Z,2022-10-01T01:00:00Z,Virtual Machines,a-1,eu-1,NULL
-0.25,USD,2022-10-01T00:00:00Z,2022-10-01T01:00:00Z,Support,a-1,NULL,{}
"""
CUR = (
    "identity/LineItemId,lineItem/UsageStartDate,lineItem/ProductCode,lineItem/UsageAccountId,lineItem/UnblendedCost,"
    """resourceTags/user:Team
x{n},2022-10-01T00:00:00Z,AmazonEC2,111122223333,0.0000004{n},shop
y{n},2022-10-01T00:00:00Z,AmazonS3,111122223333,1,
"""
)
CUR2 = (
    "identity_line_item_id,line_item_usage_start_date,line_item_product_code,line_item_usage_account_id,"
    """line_item_unblended_cost,product_region_code,product
x,2022-10-01T00:00:00.000Z,AmazonEC2,111122223333,0.25,eu-west-1,"{""vcpu"":""2""}"
y,2022-10-01T00:00:00.000Z,AmazonEC2,111122223333,0.5,eu-west-1,{}
"""
)
AZURE = """\ufeffInvoiceSectionName,Date,MeterCategory,SubscriptionName,CostInBillingCurrency,ResourceGroup,Tags
one,10/01/2022,Storage,Prod,0.125,rg-1,"k: ""v"" "
one,10/01/2022,Storage,Prod,2,rg-2,
"""
OPENCOST = """Date,Namespace,ControllerKind,ControllerName,Pod,Container,CPUCoreUsageAverage,CPUCost,RAMCost,TotalCost
2022-10-01,shop,deployment,web,web-1,app,0.1,0.5,0.25,0.75
2022-10-01,shop,deployment,web,web-2,app,0.1,0.5,0.25,0.75
2022-10-01,idle,,,,,0,0,0,0.5
"""
ALLOCATION = {
    "name": "shop",
    "properties": {"cluster": "one", "namespace": "shop"},
    "window": {"start": "2022-10-01T00:00:00Z", "end": "2022-10-02T00:00:00Z"},
    "totalCost": 0.75,
}
TAXI = "\n".join(json.dumps({"at": f"2022-09-30 20:{minute}:00", "zone": "zone 7"}) for minute in (10, 59))
SUPERSTORE = """Row ID,Order ID,Order Date,Ship Date,Customer Name,Region,Category,Product Name,Sales,Quantity
1,CA-1,10/1/2022,10/3/2022,Zo\u00eb,West,Furniture,"Chair, 30"" wide",261.96,2
2,CA-1,10/1/2022,10/3/2022,Zo\u00eb,West,Furniture,Table,1.04,3
3,US-2,10/1/2022,10/3/2022,Ana,West,Technology,Phone\u00a0X,9,1
"""
BIKES = """instant,dteday,season,hr,holiday,weekday,workingday,temp,casual,registered,cnt
1,2022-10-01,1,0,0,6,0,0.24,3,13,16
2,2022-10-01,1,1,0,6,0,0.22,8,32,40
"""
TRIPS = """ride_id,"rideable_type","started_at","ended_at","start_station_name","member_casual"
"A1","electric_bike","2022-09-30 20:15:29.123","2022-09-30 20:25:29.001","1 Ave & E 68 St","member"
"A2","classic_bike","2022-09-30 20:59:59","2022-09-30 21:25:29","","member"
"A3","classic_bike","2022-11-06 01:30:00","2022-11-06 01:40:00","","casual"
"""
REPORT = """Umsatzbericht
Firma;"Muster GmbH"

Stand: 02.10.2022
Stunde;Filiale;Umsatz
01.10.2022 02:00;Z\u00fcrich;1.234,50
01.10.2022 02:00;Basel;-7,5
"""
READ_BACK = """timestamp,region,value,record_id,received_at
2022-10-01 00:00:00,'=eu,12,{},2022-10-02 00:00:00.123
"""
KINDS: dict[str, Kind] = {
    "FOCUS 1.0": Kind(
        {"focus.csv.gz": FOCUS},
        [
            at_midnight("cost", 1.75, service="Virtual Machines", account="a-1", region="eu-1"),
            at_midnight("cost", -0.25, service="Support", account="a-1"),
        ],
    ),
    "AWS Cost and Usage Report, legacy": Kind(
        {f"cur-0000{n}.csv.gz": CUR.replace("{n}", str(n)) for n in (1, 2)},
        [
            at_midnight("cost", 0.00000083, service="AmazonEC2", account="111122223333", team="shop"),
            at_midnight("cost", 2, service="AmazonS3", account="111122223333"),
        ],
    ),
    "AWS Data Exports, CUR 2.0": Kind(
        {"cur2.csv.gz": CUR2},
        [at_midnight("cost", 0.75, service="AmazonEC2", account="111122223333", region="eu-west-1")],
    ),
    "Azure cost details": Kind(
        {"azure.csv": AZURE}, [at_midnight("cost", 2.125, service="Storage", subscription="Prod")]
    ),
    "OpenCost, CSV export": Kind(
        {"opencost.csv": OPENCOST},
        [at_midnight("cost", 1.5, namespace="shop", workload="web"), at_midnight("cost", 0.5, namespace="idle")],
    ),
    "OpenCost, the API": Kind(
        {"curl": json.dumps({"code": 200, "data": [{"shop": ALLOCATION}]}), "jq": json.dumps(ALLOCATION)},
        [at_midnight("cost", 0.75, namespace="shop", cluster="one")],
    ),
    "Parquet with DuckDB": Kind(
        {"duckdb": "timestamp,region,orders,revenue\n2022-10-01 00:00:00,eu,7,100.25\n2022-10-01 00:00:00,us,1,3\n"},
        [
            at_midnight("orders", 7, region="eu"),
            at_midnight("revenue", 100.25, region="eu"),
            at_midnight("orders", 1, region="us"),
            at_midnight("revenue", 3, region="us"),
        ],
    ),
    "Parquet with DuckDB, as NDJSON": Kind({"duckdb": TAXI}, [at_midnight("trips", 2, zone="zone 7")]),
    "SQL with psql": Kind(
        {"psql": "timestamp,plan,customers\n2022-10-01,free,12\n"},
        [at_midnight("active-customers", 12, plan="free")],
        "Average",
    ),
    "Orders of the superstore data set: sales": Kind(
        {"superstore.csv": SUPERSTORE},
        [
            at_midnight("sales", 263, region="West", category="Furniture"),
            at_midnight("sales", 9, region="West", category="Technology"),
        ],
        encoding="cp1252",
    ),
    "Orders of the superstore data set: their number": Kind(
        {"superstore.csv": SUPERSTORE}, [at_midnight("orders", 2, region="West")], encoding="cp1252"
    ),
    "Bike sharing, counts by hour": Kind(
        {"hour.csv": BIKES},
        [at_midnight("rides", 16, workingday="0"), ("rides", {"workingday": "0"}, "2022-10-01 01", 40)],
    ),
    "Bike sharing, single trips": Kind(
        {"tripdata.csv": TRIPS},
        [at_midnight("trips", 2, rider="member"), ("trips", {"rider": "casual"}, "2022-11-06 05", 1)],
    ),
    "Taxi rides, counts by half hour": Kind(
        {"nyc_taxi.csv": "timestamp,value\n2022-10-01 00:00:00,10844\n2022-10-01 00:30:00,8127\n"},
        [at_midnight("rides", 18_971)],
    ),
    "A spreadsheet of a bank or an office suite": Kind(
        {"report.csv": REPORT},
        [at_midnight("revenue", 1234.5, branch="Z\u00fcrich"), at_midnight("revenue", -7.5, branch="Basel")],
    ),
    "What was read back": Kind(
        {"orders.csv": READ_BACK.format(record_id("orders", "Sum", {"region": "=eu"}))},
        [at_midnight("orders", 12, region="=eu")],
    ),
}


def test_every_recipe_is_tested() -> None:
    """No recipe is left out here, and none is left over."""
    assert list(RECIPES) == list(KINDS)
    assert all(len(re.findall(r"^\S*unitstream|\| \\\n +unitstream", command)) == 1 for command in RECIPES.values())


@pytest.mark.parametrize("title", KINDS)
def test_recipe(service: Service, tmp_path: Path, title: str) -> None:
    """The command of the page, pasted into a shell, saves what the file says, to the digit."""
    kind = KINDS[title]
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in kind.files.items():
        if "." in name:
            content = text.encode(kind.encoding)
            (tmp_path / name).write_bytes(gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
        else:
            (tmp_path / f"{name}.txt").write_text(text)
            program(programs / name, f"exec cat {tmp_path / name}.txt")
    program(programs / "unitstream", f"exec {sys.executable} -W error -c '{RUN}' \"$@\"")
    variables = environment(service.url, tmp_path / "state")
    variables["PATH"] = f"{programs}:{variables['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-c", RECIPES[title]], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert service.points == {
        (record_id(metric, kind.function, dimensions), hour[:10], int(hour[11:])): value
        for metric, dimensions, hour, value in kind.points
    }


def program(path: Path, line: str) -> None:
    """Write a program of one line."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
