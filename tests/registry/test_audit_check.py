from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_tasks.cli.doctor.findings import audit_findings
from cxr_tasks.installation.storage.paths import audit_log
from cxr_tasks.registry.audit import anchors, trail
from cxr_tasks.registry.audit.chain import GENESIS, KINDS, AuditEntry, parsed, sealed, split_lines, torn_detail
from cxr_tasks.registry.audit.check import check_log


def made_log(n_entries=4, **overrides) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for seq in range(1, n_entries + 1):
        values = {
            "seq": seq,
            "at": f"2026-11-26T20:00:{seq:02d}.000+00:00",
            "kind": "promoted",
            "model": "cxr_binary",
            "version": seq,
            "who": "anna",
            "why": "better",
            "fingerprint": "ab" * 32,
            "detail": {},
            "previous": entries[-1].digest if entries else GENESIS,
        }
        entries.append(sealed(**(values | overrides)))
    return entries


def content_of(entries) -> bytes:
    return b"".join(one.line() + b"\n" for one in entries)


def told(content: bytes) -> list[str]:
    return [str(one) for one in check_log(content)]


texts = st.text(max_size=12) | st.just('näme, \u2028 \\ "quoted"\n\ttwo lines') | st.just("\udc80")
details = st.dictionaries(
    texts,
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    max_size=3,
)


@st.composite
def logs(draw) -> list[AuditEntry]:
    entries: list[AuditEntry] = []
    for seq in range(1, draw(st.integers(1, 6)) + 1):
        entries.append(
            sealed(
                seq=seq,
                at=f"2026-11-26T20:00:{seq:02d}.000+00:00",
                kind=draw(st.sampled_from(KINDS[:-2])),
                model=draw(st.sampled_from(["cxr_binary", "cxr_multilabel"])),
                version=draw(st.none() | st.integers(1, 99)),
                who=draw(texts),
                why=draw(texts),
                fingerprint=draw(st.sampled_from(["", "ab" * 32])),
                detail=draw(details),
                previous=entries[-1].digest if entries else GENESIS,
            )
        )
    return entries


@given(logs())
def test_a_whole_log_has_no_problem_and_reads_back_as_written(entries):
    content = content_of(entries)
    assert check_log(content) == []
    lines, rest = split_lines(content)
    assert rest == b""
    assert [parsed(line) for line in lines] == entries


@given(logs(), st.data())
def test_any_changed_byte_is_found_in_its_line(entries, data):
    content = bytearray(content_of(entries))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda value: value != content[place]))
    line = content_of(entries)[:place].count(b"\n") + 1
    assert line in [one.line for one in check_log(bytes(content))]


@given(logs(), st.data())
def test_any_removed_line_but_the_last_is_found(entries, data):
    gone = data.draw(st.integers(0, len(entries) - 1))
    kept = entries[:gone] + entries[gone + 1 :]
    found = check_log(content_of(kept))
    # Without its last line a log is a whole, shorter log: that is what the anchors are for (test_audit.py).
    assert [one.line for one in found] == ([gone + 1] if gone < len(kept) else [])


@given(logs(), st.data())
def test_swapped_lines_are_found(entries, data):
    first, second = (data.draw(st.integers(0, len(entries) - 1)) for _ in range(2))
    swapped = list(entries)
    swapped[first], swapped[second] = swapped[second], swapped[first]
    found = [one.line for one in check_log(content_of(swapped))]
    assert found == [] if first == second else min(first, second) + 1 in found


@given(logs(), st.data())
def test_a_line_put_in_is_found(entries, data):
    place = data.draw(st.integers(0, len(entries) - 1))
    copied = data.draw(st.sampled_from(entries))
    found = [one.line for one in check_log(content_of([*entries[:place], copied, *entries[place:]]))]
    assert found
    assert min(found) <= place + 2


def test_a_changed_line_is_named_once_with_what_it_was_about():
    content = content_of(made_log()).replace(b'"version":2,"who":"anna"', b'"version":2,"who":"otto"')
    (problem,) = told(content)
    assert re.fullmatch(
        r"line 2: seq 2 \(promoted of cxr_binary version 2\) was changed: its content gives digest \w{12}\.\.\., "
        r"it bears \w{12}\.\.\.",
        problem,
    )


def test_a_line_written_anew_with_a_right_digest_is_named_by_the_next():
    entries = made_log()
    forged = sealed(**(entries[1].content() | {"who": "otto"}))
    (problem,) = told(content_of([entries[0], forged, *entries[2:]]))
    assert problem == (
        "line 3: seq 3 (promoted of cxr_binary version 3) does not follow the line before it: "
        "the line before was changed or replaced, or this line was put in"
    )


@pytest.mark.parametrize(
    ("kept", "problem"),
    [
        ([0, 2, 3], "line 2: seq 2 removed before it: expected seq 2, found seq 3 (promoted of cxr_binary version 3)"),
        (
            [0, 3],
            "line 2: seq 2 to 3 removed before it: expected seq 2, found seq 4 (promoted of cxr_binary version 4)",
        ),
        ([1, 2, 3], "line 1: seq 1 removed before it: expected seq 1, found seq 2 (promoted of cxr_binary version 2)"),
    ],
)
def test_removed_lines_are_named_by_their_seq(kept, problem):
    entries = made_log()
    assert told(content_of([entries[one] for one in kept])) == [problem]


def test_lines_out_of_order_say_which_line_they_follow():
    first, second, third, fourth = made_log()
    found = told(content_of([first, third, second, fourth]))
    assert found[0].startswith("line 2: seq 3 (promoted of cxr_binary version 3) stands in the wrong place")
    assert found[0].endswith("it follows line 3")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"not json",
        b"[1, 2]",
        b'{"seq": 1}',
        b"[" * 100_000,
        made_log()[1].line().replace(b'"seq":2', b'"seq":"2"'),
        made_log()[1].line().replace(b'"promoted"', b'"praised"'),
    ],
)
def test_a_line_that_is_no_entry_is_named_and_the_rest_is_still_read(line):
    first, _, third, fourth = made_log()
    found = told(content_of([first]) + line + b"\n" + content_of([third, fourth]))
    assert [one.split(":")[0] for one in found] == ["line 2"]


def test_another_spelling_of_the_same_content_counts_as_changed():
    content = content_of(made_log())
    (problem,) = told(content.replace(b'"seq":3,', b'"seq": 3,'))
    assert problem == "line 3: seq 3 was changed: it is not spelt as the log spells it"


def test_an_unfinished_line_is_torn_until_an_entry_takes_note_of_it():
    first, second = made_log(2)
    rest = second.line()[:40]
    (problem,) = check_log(content_of([first]) + rest)
    assert (problem.line, problem.is_torn) == (2, True)
    note = sealed(**(second.content() | {"kind": "log_torn", "detail": torn_detail(rest)}))
    assert told(content_of([first]) + rest + b"\n" + content_of([note])) == []
    assert told(content_of([first]) + rest[:-1] + b"\n" + content_of([note])) != []


def test_a_cut_that_was_noted_stays_a_problem_for_ever():
    entries = made_log(3)
    note = sealed(**(entries[2].content() | {"kind": "log_cut", "detail": {"seq": 9, "digest": "cd" * 32}}))
    (problem,) = told(content_of([*entries[:2], note]))
    assert problem.startswith("line 3: seq 3 took note that seq 9 (digest cdcdcdcdcdcd...) had been recorded")


def test_an_entry_of_a_kind_that_only_newer_code_writes_is_part_of_the_chain(cxr_home):
    """After an upgrade that was taken back: the log goes on, and nobody is accused of having changed it."""
    first = made_log(1)
    newer = made_log(1, seq=2, kind="quarantined", previous=first[0].digest)
    audit_log().parent.mkdir(parents=True, mode=0o700)
    audit_log().write_bytes(content_of([*first, *newer]))
    anchors.write_local_head(anchors.Head.of(newer[0]))
    entry = trail.record("promoted", model="cxr_binary", version=3, who="anna")
    assert (entry.seq, entry.previous) == (3, newer[0].digest)
    assert [one.kind for one in trail.entries()] == ["promoted", "quarantined", "promoted"]
    assert trail.verify() == []
    assert [(one.level, one.text[:45]) for one in audit_findings()] == [
        ("WARN", "1 entries are of a kind that only a newer ver"),
        ("OK", "3 entries, the chain is whole"),
    ]
