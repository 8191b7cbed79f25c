"""Where an audit log's chain is broken, and how."""

from __future__ import annotations

from cxr_tasks.registry.audit.chain import GENESIS, AuditEntry, Problem, parsed, split_lines, torn_detail


def check_log(content: bytes) -> list[Problem]:
    """What is wrong with a log, by line; empty when it is whole from its first line to its last.

    A line changed, inserted or moved is named by its number, a removed one by its seq and the line it stood before.
    """
    lines, rest = split_lines(content)
    problems: list[Problem] = []
    entries: dict[int, AuditEntry] = {}
    for number, line in enumerate(lines, start=1):
        try:
            entries[number] = parsed(line)
        except ValueError as error:
            problems.append(Problem(number, str(error)))
    explained = _torn_and_told(lines, entries)
    problems = [problem for problem in problems if problem.line not in explained]
    entries = {number: entry for number, entry in entries.items() if number not in explained}
    broken = {problem.line for problem in problems}
    problems += _breaks(entries, broken)
    problems += [Problem(number, _lost(entry)) for number, entry in entries.items() if entry.kind == "log_cut"]
    if rest:
        text = f"torn: {len(rest)} bytes without an end; a process was stopped while it wrote them"
        problems.append(Problem(len(lines) + 1, text, is_torn=True))
    return sorted(problems, key=lambda problem: problem.line)


def _torn_and_told(lines: list[bytes], entries: dict[int, AuditEntry]) -> set[int]:
    """The unfinished lines that the entry right after them takes note of, with their length and hash."""
    return {
        number - 1
        for number, entry in entries.items()
        if entry.kind == "log_torn" and number > 1 and dict(entry.detail) == torn_detail(lines[number - 2])
    }


def _breaks(entries: dict[int, AuditEntry], broken: set[int]) -> list[Problem]:
    """Lines that do not follow the entry before them."""
    place = {entry.digest: number for number, entry in entries.items()}
    problems = []
    seq, digest, before = 0, GENESIS, 0
    for number, entry in entries.items():
        follows = entry.previous == digest and entry.seq == seq + 1
        between = broken & set(range(before + 1, number))
        # A changed line is named already; what follows it is judged by the digest that follows it.
        if not follows and not (between and entry.seq == seq + 1 + len(between)):
            problems.append(Problem(number, _break(entry, seq, place)))
        seq, digest, before = entry.seq, entry.digest, number
    return problems


def _break(entry: AuditEntry, seq: int, place: dict[str, int]) -> str:
    shown = f"seq {entry.seq} ({entry.kind} of {entry.model} version {entry.version})"
    if entry.previous in place:
        follows = place[entry.previous]
        return f"{shown} stands in the wrong place, or lines were put in before it: it follows line {follows}"
    if entry.seq > seq + 1:
        missing = f"seq {seq + 1}" if entry.seq == seq + 2 else f"seq {seq + 1} to {entry.seq - 1}"
        return f"{missing} removed before it: expected seq {seq + 1}, found {shown}"
    return (
        f"{shown} does not follow the line before it: the line before was changed or replaced, or this line was put in"
    )


def _lost(entry: AuditEntry) -> str:
    known = entry.detail
    return (
        f"seq {entry.seq} took note that seq {known.get('seq')} (digest {str(known.get('digest'))[:12]}...) had been "
        f"recorded and was no longer there when the log ended at seq {entry.seq - 1}: entries were removed or replaced"
    )
