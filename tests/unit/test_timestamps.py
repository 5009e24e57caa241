"""Every form that a timestamp may have, and what is rejected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from unitstream.timestamps import Hour, floor_hour, parse_hour

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_HOUR = datetime(9999, 12, 31, 23, tzinfo=UTC)
HOURS = (LAST_HOUR - EPOCH) // timedelta(hours=1)


def rejection(timestamp: object) -> PydanticCustomError:
    with pytest.raises(PydanticCustomError) as caught:
        parse_hour(timestamp)
    return caught.value


# --- accepted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timestamp",
    [
        "2022-10-01 00:00:00",
        "2022-10-01 00:00",
        "2022-10-01",
        "20221001000000",
        20221001000000,
        20221001000000.0,
        "2022-10-01T00:00:00",
        "2022-10-01t00:00:00z",
        "2022-10-01T00:00:00Z",
        "2022-10-01 00:00:00Z",
        "2022-10-01T00:00:00.000Z",
        "2022-10-01T00:00:00,000000000Z",
        "2022-10-01T00:00:00+00:00",
        "2022-10-01T00:00:00-00:00",
        "2022-10-01T02:00:00+02:00",
        "2022-10-01T02:00:00+02",
        "2022-10-01 02:00:00 +0200",
        "2022-09-30T19:00:00-05:00",
        "2022-10-01T05:30:00+0530",
        "2022-10-01T05:45:00+05:45",
        1664582400,
        1664582400.0,
        1664582400000,
        1664582400000.0,
        "1664582400",
        "1664582400000",
    ],
)
def test_every_form_names_the_same_hour(timestamp: object) -> None:
    """Whatever form a producer prefers, the same hour comes out."""
    assert parse_hour(timestamp) == Hour("2022-10-01", 0)


@pytest.mark.parametrize(
    ("timestamp", "hour"),
    [
        (0, Hour("1970-01-01", 0)),
        (-0.0, Hour("1970-01-01", 0)),
        ("1970-01-01", Hour("1970-01-01", 0)),
        ("9999-12-31 23:00:00", Hour("9999-12-31", 23)),
        ("99991231230000", Hour("9999-12-31", 23)),
        (253402297200000, Hour("9999-12-31", 23)),
        ("2024-02-29 12:00:00", Hour("2024-02-29", 12)),
        ("1969-12-31T23:00:00-01:00", Hour("1970-01-01", 0)),
        # Seconds until the year 2603; larger numbers are milliseconds.
        (19_999_998_000, Hour("2603-10-11", 11)),
        (20_001_600_000, Hour("1970-08-20", 12)),
        # As text an epoch has ten or thirteen digits.
        ("1000000800", Hour("2001-09-09", 2)),
        ("9999997200", Hour("2286-11-20", 17)),
        ("1000000800000", Hour("2001-09-09", 2)),
        ("9999997200000", Hour("2286-11-20", 17)),
    ],
)
def test_hours_at_the_edges(timestamp: object, hour: Hour) -> None:
    """The first and the last hour are accepted, and so are those next to where seconds turn into milliseconds."""
    assert parse_hour(timestamp) == hour


def text_of(form: str) -> Callable[[datetime], str]:
    return lambda moment: moment.strftime(form)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(text_of("%Y-%m-%d %H:%M:%S"), id="space"),
        pytest.param(text_of("%Y-%m-%d %H:%M"), id="no seconds"),
        pytest.param(text_of("%Y-%m-%dT%H:%M:%S"), id="T"),
        pytest.param(text_of("%Y-%m-%dT%H:%M:%SZ"), id="T and Z"),
        pytest.param(text_of("%Y-%m-%dT%H:%M:%S.%fZ"), id="fraction of zero"),
        pytest.param(text_of("%Y%m%d%H%M%S"), id="compact"),
        pytest.param(lambda moment: int(moment.strftime("%Y%m%d%H%M%S")), id="compact number"),
    ],
)
@settings(max_examples=80)
@given(hours=st.integers(0, HOURS))
def test_any_hour_survives_any_form(write: Callable[[datetime], object], hours: int) -> None:
    """An hour of the years 1970 to 9999 that is written in a form is read as itself."""
    moment = EPOCH + timedelta(hours=hours)
    assert parse_hour(write(moment)) == Hour(f"{moment:%Y-%m-%d}", moment.hour)


@settings(max_examples=80)
@given(hours=st.integers(24, HOURS - 24), offset=st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_any_hour_survives_any_offset(hours: int, offset: int) -> None:
    """An hour that is written in the local time of an offset is read as the hour in UTC."""
    moment = EPOCH + timedelta(hours=hours)
    local = moment.astimezone(timezone(timedelta(minutes=offset)))
    assert parse_hour(local.isoformat()) == Hour(f"{moment:%Y-%m-%d}", moment.hour)


def is_a_date(number: int) -> bool:
    """Whether the digits of a number are a date of the years 1970 to 2049, with or without hour and minute."""
    form = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M"}.get(len(str(number)))
    try:
        return form is not None and 1970 <= datetime.strptime(str(number), form).replace(tzinfo=UTC).year <= 2049
    except ValueError:
        return False


@settings(max_examples=80)
@given(hours=st.integers(0, HOURS) | st.integers(0, 700_000), number=st.sampled_from([int, float, str]))
def test_any_hour_survives_the_epoch(hours: int, number: type[int | float | str]) -> None:
    """An hour is read from seconds and from milliseconds, wherever the number means only one of the two."""
    expected = Hour(f"{EPOCH + timedelta(hours=hours):%Y-%m-%d}", hours % 24)
    seconds = hours * 3_600
    digits = {10} if number is str else range(12)
    if (
        len(str(seconds)) in digits
        and seconds <= 20_000_000_000
        and (seconds < 2_000_000_000 or not is_a_date(seconds))
    ):
        assert parse_hour(number(seconds)) == expected
    milliseconds = seconds * 1_000
    digits = {13} if number is str else {11, 12, 13, 15}  # 14 digits are yyyyMMddHHmmss
    if len(str(milliseconds)) in digits and milliseconds > 20_000_000_000 and not is_a_date(milliseconds):
        assert parse_hour(number(milliseconds)) == expected


def test_no_epoch_of_these_years_is_taken_for_a_date() -> None:
    """Until May 2033 each hour can be sent in seconds, also where the digits are a date of the last century."""
    first = 1_970_010_100 // 3_600 * 3_600
    for seconds in range(first, 2_000_000_000, 3_600):
        assert parse_hour(seconds).hour == seconds // 3_600 % 24


# --- two readings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [str, int, float])
@pytest.mark.parametrize(
    ("digits", "readings"),
    [
        ("2022102000", "2022-10-20 00:00:00 UTC as yyyyMMddHH or 2034-01-28 23:00:00 UTC as epoch seconds"),
        ("2022102013", "2022-10-20 13:00:00 UTC as yyyyMMddHH or 2034-01-28 23:00:13 UTC as epoch seconds"),
        ("2000010100", "2000-01-01 00:00:00 UTC as yyyyMMddHH or 2033-05-18 06:21:40 UTC as epoch seconds"),
        ("2049123123", "2049-12-31 23:00:00 UTC as yyyyMMddHH or 2034-12-07 16:52:03 UTC as epoch seconds"),
        ("20221001", "2022-10-01 00:00:00 UTC as yyyyMMdd or 1970-08-23 00:56:41 UTC as epoch seconds"),
        ("19700101", "1970-01-01 00:00:00 UTC as yyyyMMdd or 1970-08-17 00:15:01 UTC as epoch seconds"),
        ("202210010000", "2022-10-01 00:00:00 UTC as yyyyMMddHHmm or 1976-05-29 09:26:50 UTC as epoch milliseconds"),
        ("202212200000", "2022-12-20 00:00:00 UTC as yyyyMMddHHmm or 1976-05-29 10:03:20 UTC as epoch milliseconds"),
    ],
)
def test_a_date_in_digits_is_not_guessed_at(digits: str, readings: str, number: type[str | int | float]) -> None:
    """A number that is a date to a person and an epoch to a machine is refused, and the error says both readings."""
    for read in (parse_hour, floor_hour):
        with pytest.raises(PydanticCustomError) as caught:
            read(number(digits))
        assert caught.value.type == "timestamp_invalid"
        assert readings in caught.value.message()


@settings(max_examples=80)
@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2049, 12, 31)),  # noqa: DTZ001  # hypothesis asks for them
    st.sampled_from(["%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M"]),
    st.sampled_from([str, int]),
)
def test_no_date_in_digits_is_read_as_another_date(moment: datetime, form: str, number: type[str | int]) -> None:
    """Whoever sends yyyyMMdd, yyyyMMddHH or yyyyMMddHHmm gets an error: where a number is taken, it was an epoch."""
    digits = f"{moment:{form}}"
    if len(digits) == 10 and int(digits) < 2_000_000_000:
        return
    assert rejection(number(digits)).type == "timestamp_invalid"


@pytest.mark.parametrize(
    ("number", "hour"),
    [
        (1_790_002_800, Hour("2026-09-21", 15)),
        (1_999_998_000, Hour("2033-05-18", 3)),
        # As dates these are of no month, no day, no hour, or of another century.
        (2_022_130_800, Hour("2034-01-29", 7)),
        (2_022_105_600, Hour("2034-01-29", 0)),
        (2_100_002_400, Hour("2036-07-18", 14)),
        (20_224_800, Hour("1970-08-23", 2)),
    ],
)
def test_an_epoch_that_is_no_date_is_taken(number: int, hour: Hour) -> None:
    """Digits that are no plausible date are what they are documented to be."""
    assert parse_hour(number) == hour


# --- not on the hour --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timestamp",
    [
        "2022-10-01 00:30:00",
        "2022-10-01 00:00:01",
        "2022-10-01T00:01Z",
        "20221001003000",
        20221001000001,
        "2022-10-01T00:00:00.5Z",
        "2022-10-01T00:00:00.000000001Z",
        "2022-10-01T00:00:00,001",
        1664582401,
        1664582400001,
        1664582400.5,
        1664582400000.5,
        0.5,
        1e-10,
        -1e-10,
        1664582400.001,
    ],
)
def test_minutes_seconds_and_fractions_are_not_hourly(timestamp: object) -> None:
    """What is not on the hour is rejected, however small the difference."""
    assert rejection(timestamp).type == "timestamp_not_hourly"


@pytest.mark.parametrize("digits", [1, 3, 6, 7, 9, 10, 12, 30])
def test_no_fraction_is_too_small_to_notice(digits: int) -> None:
    """A fraction is never rounded away, however many digits it has."""
    assert rejection(f"2022-10-01T00:00:00.{'1':0>{digits}}Z").type in {"timestamp_not_hourly", "timestamp_invalid"}


@pytest.mark.parametrize(
    ("timestamp", "in_utc"),
    [
        ("2022-10-01T00:00:00+05:30", "2022-09-30 18:30:00 UTC"),
        ("2022-10-01T00:00:00-0330", "2022-10-01 03:30:00 UTC"),
        ("2022-10-01T12:00:00+05:45", "2022-10-01 06:15:00 UTC"),
        ("2022-10-01 00:30:00", "2022-10-01 00:30:00 UTC"),
        (1664582401, "2022-10-01 00:00:01 UTC"),
    ],
)
def test_the_message_says_what_it_became_in_utc(timestamp: object, in_utc: str) -> None:
    """Who sends a local hour of a half-hour zone sees the UTC time that it turned into."""
    error = rejection(timestamp)
    assert error.type == "timestamp_not_hourly"
    assert str(timestamp) in error.message()
    assert in_utc in error.message()


# --- out of range -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timestamp",
    [
        "1969-12-31 23:00:00",
        "1970-01-01T00:00:00+01:00",
        "0001-01-01 00:00:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:00:00-01:00",
        "19691231230000",
        10000101000000,
        -3600,
        -20_001_600_000,
        253402300800000,
        1e300,
        -1e300,
        10**30,
        pytest.param(10**4_299, id="an integer as long as JSON allows"),
        float("nan"),
        float("inf"),
        float("-inf"),
    ],
)
def test_years_before_1970_and_after_9999_are_out_of_range(timestamp: object) -> None:
    """What is before 1970 or after 9999 in UTC is rejected, also where only the offset makes it so."""
    error = rejection(timestamp)
    assert error.type == "timestamp_out_of_range"
    assert "1970 to 9999" in error.message()


# --- neither a form nor a date ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        " ",
        "now",
        "0",
        "166458240",
        "166458240000",
        "0664582400",
        "+1664582400",
        "-1664582400",
        "1664582400.0",
        "1_664_582_400",
        "1664582400 ",
        " 1664582400",
        "1664582400000\n",
        "\uff11664582400",
        "166458240\u0660",
        "2022",
        "2022-10",
        "2022-1-1",
        "01.10.2022",
        "10/01/2022",
        "2022-10-01T",
        "2022-10-01T00",
        "2022-10-01Z",
        "2022-10-01  00:00:00",
        " 2022-10-01",
        "2022-10-01\n",
        "2022-10-01 00:00:00\n",
        "+2022-10-01",
        "2022-W39-6",
        "20221099",
        "20500101",
        "202210019900",
        "2022-10-01 00:00:00 UTC",
        "2022-10-01T00:00:00+2",
        "2022-10-01T00:00:00.",
        # They look like digits.
        "\u0662\u0660\u0662\u0662-\u0661\u0660-\u0660\u0661",
        "\uff12\uff10\uff12\uff12\uff11\uff10\uff10\uff11\uff10\uff10\uff10\uff10\uff10\uff10",
    ],
)
def test_other_forms_are_invalid(timestamp: str) -> None:
    """A form that could be misread is rejected, and the message lists those that are accepted."""
    error = rejection(timestamp)
    assert error.type == "timestamp_invalid"
    assert "YYYY-MM-DD" in error.message()


@pytest.mark.parametrize(
    "blank", [" ", "  ", "\t", "\n", "\r\n", "\x0b", "\x00", "\x1f", "\x85", "\xa0", "\u2003", "\u200b", "\ufeff"]
)
@pytest.mark.parametrize(
    "timestamp",
    [
        "2022-10-01",
        "2022-10-01 00:00",
        "2022-10-01 00:00:00",
        "2022-10-01T00:00:00.0",
        "2022-10-01T00:00:00Z",
        "2022-10-01 00:00:00 +00:00",
        "20221001000000",
        "1664582400",
        "1664582400000",
    ],
)
def test_no_form_has_a_blank_around_it(timestamp: str, blank: str) -> None:
    """Neither before nor behind: what surrounds a timestamp was not meant to be sent."""
    assert parse_hour(timestamp) == Hour("2022-10-01", 0)
    assert rejection(f"{timestamp}{blank}").type == "timestamp_invalid"
    assert rejection(f"{blank}{timestamp}").type == "timestamp_invalid"


@pytest.mark.parametrize(
    "timestamp",
    [
        "2022-02-30 00:00:00",
        "2023-02-29",
        "2022-13-01",
        "2022-00-10",
        "2022-10-00",
        "0000-01-01",
        "2022-10-01 24:00:00",
        "2022-10-01 00:60:00",
        "2022-10-01 00:00:60",
        "2022-10-01T00:00:00+24:00",
        "2022-10-01T00:00:00+05:60",
        "2022-10-01T00:00:00+05:99",
        "2022-10-01T00:00:00+99:99",
        "20220230000000",
        "20221001240000",
        20220230000000,
        20221001006000,
    ],
)
def test_dates_and_times_that_do_not_exist_are_invalid(timestamp: object) -> None:
    """No date rolls over into the next month, no 24:00 into the next day, no sixty minutes into an hour."""
    assert rejection(timestamp).type == "timestamp_invalid"


def test_fourteen_digits_are_never_milliseconds() -> None:
    """A wrong yyyyMMddHHmmss that as milliseconds would be on the hour is an error, and no point in the year 2286."""
    number = 10_000_800_000_000
    assert number % 3_600_000 == 0
    assert rejection(number).type == "timestamp_invalid"


@pytest.mark.parametrize("timestamp", [None, False, True, [], {}, [0], {"seconds": 0}])
def test_what_is_no_string_and_no_number_is_invalid(timestamp: object) -> None:
    """False is no epoch 0 and True no epoch 1, not even after the numbers that they equal were read."""
    assert parse_hour(0) == parse_hour(0.0) == Hour("1970-01-01", 0)
    assert rejection(1).type == "timestamp_not_hourly"
    assert rejection(timestamp).type == "timestamp_invalid"


def test_long_text_is_cut_in_the_message() -> None:
    """A megabyte that is sent as a timestamp does not come back."""
    assert len(rejection("2" * 1_000_000).message()) < 300


near_timestamps = st.from_regex(
    r"\A[0-9]{3,4}-?[01][0-9]-?[0-3][0-9]([Tt ]?[0-2][0-9]:?[0-6][0-9](:?[0-6][0-9]([.,][0-9]{1,12})?)?"
    r"( ?(Z|[+-][0-9]{2}:?[0-9]{0,2}))?)?\Z"
)


@settings(max_examples=80)
@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**15), 10**15)
    | st.floats()
    | st.floats(-1e15, 1e15)
    | st.text()
    | near_timestamps
)
def test_every_scalar_is_an_hour_or_an_error(timestamp: object) -> None:
    """Whatever is sent is an hour between 1970 and 9999, or an error that names one of the three codes."""
    try:
        day, hour = parse_hour(timestamp)
    except PydanticCustomError as error:
        code = error.type
    else:
        moment = datetime.fromisoformat(f"{day}T{hour:02}:00:00+00:00")
        code = "" if EPOCH <= moment <= LAST_HOUR else "another century"
    assert code in {"", "timestamp_invalid", "timestamp_out_of_range", "timestamp_not_hourly"}
