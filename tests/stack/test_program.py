"""What a program of the stack is given before it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cxr_tasks.installation.logins import AIRFLOW_PASSWORDS
from cxr_tasks.stack.program import passwords_to_write

LOGINS = json.dumps({"admin": "correct horse"})


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    (tmp_path / AIRFLOW_PASSWORDS).write_text(LOGINS)
    return tmp_path


def test_passwords_that_may_be_written_stay_where_they_are(secrets):
    assert passwords_to_write(secrets) == {}


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts")
def test_airflow_opens_passwords_that_are_mounted_read_only(secrets):
    """As in a container, where Airflow ended: it opens the file for writing though no user is missing from it."""
    passwords = secrets / AIRFLOW_PASSWORDS
    look = (
        "import sys; from pathlib import Path; from cxr_tasks.stack.program import passwords_to_write as told\n"
        "(place,) = told(Path(sys.argv[1])).values(); print(Path(place).stat().st_mode & 0o777)\n"
        "print(open(place, 'a+').seek(0), open(place, 'a+').name != sys.argv[1], Path(place).read_text())"
    )
    mounted = f"mount --bind '{passwords}' '{passwords}' && mount -o remount,ro,bind '{passwords}'"
    command = ["unshare", "--mount", "sh", "-c", f'{mounted} || exit 77; exec "$@"', "sh"]
    told = [sys.executable, "-c", look, str(secrets)]
    done = subprocess.run([*command, *told], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip(f"nothing may be mounted here: {done.stderr}")
    assert done.stdout.split("\n")[:2] == [str(0o600), f"0 True {LOGINS}"], done.stderr
