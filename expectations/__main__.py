"""``python -m expectations``: write the suites' JSON anew."""

from __future__ import annotations

from expectations.files import write_suites

if __name__ == "__main__":
    for path in write_suites():
        print(path)
