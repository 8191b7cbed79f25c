from __future__ import annotations

from cxr_tasks.cli.main import main
from cxr_tasks.cli.reproduce import readable


def made_comparison(**changed):
    values = {
        "model_name": "cxr_binary",
        "version": 3,
        "outcome": "equal",
        "tolerance": 0.005,
        "recipe": "kermany_cnn",
        "dataset": "kermany",
        "fingerprint": "ab" * 32,
        "test_auroc": [0.9, 0.9],
        "best_epoch": [2, 2],
        "epochs_run": [4, 4],
        "recorded_stopped_by": "",
        "first_other_epoch": None,
        "environment": {},
        "n_numbers": 120,
        "differences": [],
        "folder": None,
    }
    return values | changed


def test_an_equal_model_is_said_to_be_equal():
    shown = readable(made_comparison())
    assert shown.startswith("cxr_binary version 3: recipe kermany_cnn, dataset kermany@abababababababab")
    assert shown.endswith("equal: every number is the same to the last bit")
    assert "differ\n" not in shown


def test_what_differs_stands_in_a_table_beside_what_may_explain_it():
    found = [{"name": "test_auroc", "recorded": 0.9, "reproduced": 0.88, "size": -0.02}]
    found += [{"name": f"number_{one}", "recorded": 1.0, "reproduced": None, "size": None} for one in range(25)]
    shown = readable(
        made_comparison(
            outcome="different",
            differences=found,
            first_other_epoch=1,
            environment={"tensorflow": ["2.21.0", "2.22.0"]},
            recorded_stopped_by="90 minutes have passed",
            folder="/home/x/var/runs/reproduce__1",
        )
    )
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "test_auroc 0.900000 0.880000 -0.020000" in lines
    assert "tensorflow 2.21.0 2.22.0" in lines
    assert "and 6 more; --json shows all" in lines
    assert "26 of 120 numbers differ" in lines
    assert "the first epoch that went otherwise is 1" in lines
    assert "the recorded training ended early: 90 minutes have passed" in lines
    assert lines[-2] == "different: an AUROC differs by more than 0.005, or other rows were scored"


def test_a_stack_that_is_down_and_a_wrong_tolerance_are_said(cxr_home, capsys):
    assert main(["reproduce", "cxr_binary", "1"]) == 1
    assert "start it with 'make up'" in capsys.readouterr().err
    assert main(["reproduce", "cxr_binary", "1", "--tolerance", "2"]) == 1
    assert "--tolerance: expected a number from 0 to 1, found 2.0" in capsys.readouterr().err
