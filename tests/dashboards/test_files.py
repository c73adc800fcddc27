"""`python -m dashboards`: the files for a Grafana and a Prometheus of one's own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.__main__ import main
from dashboards.alerts import ALERTS
from tests.dashboards.prometheus import needs_prometheus

FILES = {
    *("grafana-deployment.json", "grafana-knative.json"),
    *("rules-deployment.yaml", "rules-knative.yaml"),
}


def written(folder: Path, *options: str) -> Path:
    assert main(["--out", str(folder), *options]) == 0
    return folder


def rules(folder: Path) -> list[dict[str, Any]]:
    found = yaml.safe_load((folder / "rules-deployment.yaml").read_text())
    return found["groups"][0]["rules"]


def test_it_writes_a_file_for_each_way_to_serve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path / "new")
    assert {file.name for file in folder.iterdir()} == FILES
    assert json.loads((folder / "grafana-knative.json").read_text())["title"]
    said = capsys.readouterr().out.splitlines()
    assert {f"wrote {folder / name}" for name in FILES} == set(said[:-1])


def test_the_rules_are_all_alerts_but_googles_own_with_what_to_do(tmp_path: Path) -> None:
    found = {rule["alert"]: rule for rule in rules(written(tmp_path))}
    of_deployment = {a.name for a in ALERTS if "deployment" in a.modes and not a.only_on_spot}
    assert set(found) == of_deployment
    for alert in ALERTS:
        if alert.name in found:
            assert found[alert.name]["annotations"]["runbook"] == alert.runbook


def test_the_budget_is_the_one_that_was_given(tmp_path: Path) -> None:
    (slow,) = (r for r in rules(written(tmp_path, "--budget=42")) if r["alert"] == "SlowPictures")
    assert slow["expr"].endswith("> 42")


@pytest.mark.parametrize("budget", ["0", "soon", "nan", "-3", "100000"])
def test_a_budget_that_is_no_time_is_refused_in_one_line(
    tmp_path: Path, budget: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--out", str(tmp_path), f"--budget={budget}"])
    assert "is not a number of seconds up to a day" in capsys.readouterr().err.splitlines()[-1]


def test_a_folder_that_cannot_be_written_is_an_error_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    assert main(["--out", str(tmp_path / "taken")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "taken" in line


@needs_prometheus
def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    files = sorted(str(file) for file in written(tmp_path).glob("rules-*.yaml"))
    subprocess.run(["promtool", "check", "rules", *files], check=True, capture_output=True)


@needs_prometheus
def test_a_queue_must_be_full_for_minutes_before_somebody_is_told(tmp_path: Path) -> None:
    """Of series at one-minute steps: a single refusal, and one each minute."""
    written(tmp_path)

    def check(refused: str, firing: bool) -> None:
        queue_full = next(rule for rule in rules(tmp_path) if rule["alert"] == "QueueFull")
        expected = {
            "exp_labels": {"severity": "warning"},
            "exp_annotations": queue_full["annotations"],
        }
        test = {
            "rule_files": ["rules-deployment.yaml"],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [
                        {"series": 'web_rejected_total{reason="queue_full"}', "values": refused}
                    ],
                    "alert_rule_test": [
                        {
                            "eval_time": "20m",
                            "alertname": "QueueFull",
                            "exp_alerts": [expected] if firing else [],
                        }
                    ],
                }
            ],
        }
        (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
        done = subprocess.run(
            ["promtool", "test", "rules", "test.yaml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    check("0x16 1x10", firing=False)
    check("0x5 1+1x20", firing=True)
