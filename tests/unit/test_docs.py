"""The documents: they name what there is, all of it, and nothing else."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from commands import COMMANDS, ROOT, options_of
from support import REPOSITORY, template

import unitstream
from unitstream_cli.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = {
    str(path.relative_to(REPOSITORY)): path.read_text()
    for path in sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
}
README, API, COMMAND, OPERATIONS, CHANGELOG = (
    PAGES[name] for name in ("README.md", "docs/api.md", "docs/command.md", "docs/operations.md", "CHANGELOG.md")
)
# The decisions tell of what was once.
CURRENT = {name: text for name, text in PAGES.items() if "decisions" not in name and text is not CHANGELOG}
DOCUMENT = json.loads((REPOSITORY / "openapi.json").read_text())
TEMPLATE = template()
# Of every command, and of every shell.
EVERYWHERE = {"--help", "--version", "--install-completion", "--show-completion"}


def words(schema: str) -> set[str]:
    """Return the codes or kinds that openapi.json knows."""
    return set(DOCUMENT["components"]["schemas"][schema]["x-extensible-enum"])


def rows(page: str, heading: str) -> list[list[str]]:
    """Return the cells of the table below a line that begins with `heading`, without the line of dashes."""
    (table,) = re.findall(rf"^{re.escape(heading)}[^\n]*\n\|[-| ]+\n((?:\|[^\n]*\n)+)", page, re.MULTILINE)
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table.splitlines()]


def named(page: str, heading: str, column: int = 0) -> list[str]:
    """Return the names in a column of a table."""
    return [name for row in rows(page, heading) for name in re.findall(r"`([^`]+)`", row[column])]


def code(page: str) -> Iterator[str]:
    """Yield what is set as code: the lines of blocks, joined where they go on, and the spans in the text."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for block in blocks:
        yield from block.replace("\\\n", "").splitlines()
    yield from re.findall(r"`([^`]+)`", re.sub(r"^```\w*\n.*?^```", "", page, flags=re.DOTALL | re.MULTILINE))


# --- pages ------------------------------------------------------------------------------------------------------------


def test_the_readme_is_read_to_its_end() -> None:
    """It has what a newcomer needs, and says where the rest is."""
    assert len(README.splitlines()) <= 180


@pytest.mark.parametrize("name", PAGES)
def test_no_link_leads_nowhere(name: str) -> None:
    """Files and headings that a page refers to are there."""
    prose = re.sub(r"^```\w*\n.*?^```", "", PAGES[name], flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match("[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (REPOSITORY / name).parent / path if path else REPOSITORY / name
        assert found.exists(), target
        if anchor:
            headings = re.findall("^#+ (.+)", found.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, target


def test_every_decision_is_listed() -> None:
    """Whoever looks for a reason finds it in the list."""
    files = {path.name for path in (REPOSITORY / "docs" / "decisions").glob("2*.md")}
    assert set(re.findall(r"\]\((2.+?\.md)\)", PAGES["docs/decisions/README.md"])) == files


def test_every_file_and_target_that_is_named_is_there() -> None:
    """What `make` is told to make, by hooks and workflows too, and the paths in the list of where things are."""
    targets = set(re.findall("^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for name, page in CURRENT.items():
        for line in code(page):
            for target in re.findall("^make ([a-z-]+)", line):
                assert target in targets, f"{name}: make {target}"
    for name in (".pre-commit-config.yaml", ".github/workflows/test.yml", ".github/workflows/lock.yml"):
        called = re.findall("(?:run|entry): make ([a-z-]+)", (REPOSITORY / name).read_text())
        assert called
        assert targets.issuperset(called), name
    for path in re.findall(r"^\| (`.+?) \|", README.partition("## Where things are")[2], re.MULTILINE):
        for one in re.findall("`([^`]+)`", path):
            assert (REPOSITORY / one).exists(), one


def test_the_map_of_the_layer_has_every_module() -> None:
    """And no other."""
    modules = {path.stem for path in (REPOSITORY / "layers/common/unitstream").glob("[!_]*.py")}
    assert set(re.findall(r"`(\w+)`", unitstream.__doc__ or "")) == modules


def test_the_version_is_the_same_everywhere() -> None:
    """pyproject.toml says it: to the command, to openapi.json, and to the newest heading of the changelog."""
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    newest = re.findall(r"^## (\S+)", CHANGELOG, re.MULTILINE)[0]
    assert newest == DOCUMENT["info"]["version"] == version


# --- docs/api.md ------------------------------------------------------------------------------------------------------


def operations() -> list[dict[str, Any]]:
    return [operation for path in DOCUMENT["paths"].values() for operation in path.values()]


def test_every_status_is_explained() -> None:
    """With the kinds of problems that come with it."""
    statuses = named(API, "| status | `type` |")
    assert len(set(statuses)) == len(statuses)
    assert set(statuses) == {status for one in operations() for status in one["responses"]}
    kinds = named(API, "| status | `type` |", column=1)
    assert {kind if ":" in kind else f"urn:unitstream:problem:{kind}" for kind in kinds} == words("ProblemType")


@pytest.mark.parametrize(("heading", "schema"), [("| code |", "ErrorCode"), ("| notice |", "NoticeCode")])
def test_every_code_is_explained(heading: str, schema: str) -> None:
    """Once, in its table."""
    assert sorted(named(API, heading)) == sorted(words(schema))


def test_every_parameter_of_a_query_is_explained() -> None:
    """Once, in its table; the routes as well."""
    parameters = {one["name"] for one in DOCUMENT["components"]["parameters"].values()}
    assert sorted(named(API, "| parameter |")) == sorted(parameters)
    paths = {path for path, operation in DOCUMENT["paths"].items() if "get" in operation}
    assert set(re.findall(r"^\| `(/api/[^`]+)` \|", API, re.MULTILINE)) == paths


def test_every_field_and_count_is_explained() -> None:
    """What a request has, and what its answer counts."""
    schemas = DOCUMENT["components"]["schemas"]
    point = {f"data[].{name}" for name in schemas["Point"]["properties"]}
    assert set(named(API, "| field |")) == schemas["IngestRequest"]["properties"].keys() | point
    assert set(named(API, "| count |")) == schemas["Counts"]["properties"].keys() - {"notices"}


# --- docs/command.md --------------------------------------------------------------------------------------------------


# Where a command, or a group of them, is explained; the reads share a section.
TOKENS = "Streams and tokens"
SECTIONS = {
    "push": "Push",
    "delete": "Delete",
    "replay": "Replay",
    "explore": "Explore",
    "streams": TOKENS,
    "tokens": TOKENS,
}
READS = "Views and unit metrics"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    """In the section of its command, or where the document tells of all of them."""
    shared, *sections = re.split("^## ", COMMAND, flags=re.MULTILINE)
    headings = {SECTIONS.get(name.split(maxsplit=1)[0], READS), "Exit codes"}
    page = shared + "".join(one for one in sections if one.partition("\n")[0] in headings)
    told = {option for text in code(page) for option in re.findall(r"--[a-z][a-z-]*", text)}
    assert (options_of(COMMANDS[name]) | options_of(ROOT)) - EVERYWHERE <= told


def test_no_option_is_explained_that_is_none() -> None:
    """A name that the document has and the command has not is a wrong one."""
    options = options_of(ROOT).union(EVERYWHERE, *map(options_of, COMMANDS.values()))
    told = {option for text in code(COMMAND) for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)}
    assert told <= options


def test_commands_are_written_as_they_are_called() -> None:
    """Every line that begins with `unitstream`, on every page, has a command that exists, with options of its own."""
    for name, page in CURRENT.items():
        for line in code(page):
            for call in re.findall(r"(?:^|[$(] ?)unitstream ([a-z-].*)", line):
                called = [command for command in COMMANDS if f"{call} ".startswith(f"{command} ")]
                options = options_of(ROOT) | (options_of(COMMANDS[called[-1]]) if called else set())
                assert called or call.startswith("--") or call in {"streams", "tokens"}, f"{name}: unitstream {call}"
                given = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", call.partition(" #")[0]))
                assert given <= options | EVERYWHERE, f"{name}: unitstream {call}"


def test_every_exit_code_is_explained() -> None:
    """Scripts rely on them."""
    codes = [int(row[0]) for row in rows(COMMAND, "| code | meaning |")]
    assert codes == list(ExitCode)


# --- docs/operations.md -----------------------------------------------------------------------------------------------


def test_every_parameter_of_the_template_is_explained() -> None:
    """With its default."""
    assert sorted(named(OPERATIONS, "| parameter | default |")) == sorted(TEMPLATE["Parameters"])
    for parameters, told, _ in rows(OPERATIONS, "| parameter | default |"):
        defaults = [str(TEMPLATE["Parameters"][name]["Default"]) for name in re.findall("`([^`]+)`", parameters)]
        assert told.replace("`", "") == ", ".join(filter(None, defaults))


def test_every_alarm_is_explained() -> None:
    """Whoever is woken by one finds it, and no other."""
    alarms = {name for name, one in TEMPLATE["Resources"].items() if one["Type"] == "AWS::CloudWatch::Alarm"}
    assert set(named(OPERATIONS, "| alarm |")) == alarms


def test_the_worst_hour_follows_from_the_defaults() -> None:
    """Each line is what the template's parameters, an hour and the price in its text come to, and so is the sum."""
    default = {name: int(one["Default"]) for name, one in TEMPLATE["Parameters"].items() if one["Type"] == "Number"}
    requests, hour, million = default["RateLimit"] * 3_600, 3_600, 1_000_000
    expected = [
        requests * (3.50 + 0.20) / million,
        1_000 * hour * 1.73 * 0.0000133334,
        default["MaxWriteUnits"] * hour * 0.625 / million,
        default["MaxReadUnits"] * hour * 0.125 / million,
        requests * 0.125 / million,
        requests * 3 / million * 0.50,
        requests * 6 / 1_000 * 0.09,
    ]
    *lines, (_, _, total) = rows(OPERATIONS, "| | an hour | dollars |")
    assert [float(dollars) for _, _, dollars in lines] == [round(one, 2) for one in expected]
    assert total == f"**{sum(expected):.2f}**"


def test_every_output_that_is_asked_for_is_there() -> None:
    """The commands of the guide take names from the stack's outputs."""
    asked = set(re.findall(r"\boutput ([A-Z]\w+)", OPERATIONS))
    assert asked
    assert asked <= TEMPLATE["Outputs"].keys()
