"""Log lines: stable names and fields, nothing forged, nothing flooded."""

import logging

import pytest

from node.log import RateLimitedLog, SessionTagger, log_event
from ring.identity import SessionId


def test_a_line_is_an_event_name_and_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    log_event(logging.WARNING, "link_closed", {"peer": "b", "reason": "no heartbeat", "after": 3.0})
    (record,) = caplog.records
    assert record.getMessage() == 'link_closed peer=b reason="no heartbeat" after=3'
    assert record.name == "sessionring"
    assert vars(record)["event"] == "link_closed"
    assert vars(record)["fields"] == {"peer": "b", "reason": "no heartbeat", "after": 3.0}


def test_what_a_stranger_sent_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    log_event(logging.WARNING, "refused", {"reason": "bad name 'x'\nnode_ready peer=\x1b[2Jevil"})
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert "\x1b" not in record.getMessage()


def test_a_long_field_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    log_event(logging.WARNING, "refused", {"reason": "x" * 100_000})
    assert len(caplog.records[0].getMessage()) < 400


def test_a_tag_is_short_the_same_for_one_key_and_tells_no_id() -> None:
    session_id = SessionId(b"a.0123456789012345678901")
    tag = SessionTagger(b"k" * 16)
    assert tag(session_id) == tag(session_id)
    assert tag(session_id) != SessionTagger(b"l" * 16)(session_id)
    assert len(tag(session_id)) == 8


def test_one_cause_is_logged_once_an_interval_with_the_count_of_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limited = RateLimitedLog(interval_s=10)
    for tenth in range(150):
        limited.log(tenth / 10, logging.WARNING, "refused", {"reason": "too many"})
    limited.log(15.0, logging.WARNING, "refused", {"reason": "another reason"})
    limited.flush()
    assert [record.getMessage() for record in caplog.records] == [
        'refused reason="too many"',
        'refused reason="too many" left_out=99',
        'refused reason="too many"',
        'refused reason="another reason"',
        'refused reason="too many" left_out=49',
    ]


def test_a_flood_of_causes_is_bounded_too(caplog: pytest.LogCaptureFixture) -> None:
    limited = RateLimitedLog(interval_s=10, causes_max=16)
    for number in range(10_000):
        limited.log(
            0.0, logging.WARNING, "refused", {"reason": f"name {number} is not in the ring"}
        )
    limited.flush()
    assert len(caplog.records) == 17
    assert caplog.records[-1].getMessage() == 'refused reason="other reasons" left_out=9984'
