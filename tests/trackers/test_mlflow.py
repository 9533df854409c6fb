"""`--track mlflow` against a real server, read back by MLflow's own client."""

import json
import subprocess

import pytest
from conftest import SINGER, STEPS, free_port, killed, records, trained
from mlflow import MlflowClient


def on_server(server, run):
    client = MlflowClient(server.uri)
    return client, client.get_run(json.loads((run / "mlflow.json").read_text())["run_id"])


def steps(client, run, name):
    return [metric.step for metric in client.get_metric_history(run.info.run_id, name)]


def test_a_run_is_on_the_server_as_in_its_folder(server, tmp_path):
    folder = tmp_path / "student"
    out, err = trained(folder, "--track", "mlflow", MLFLOW_TRACKING_URI=server.uri)
    client, run = on_server(server, folder)
    assert f"tracked in {server.uri}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}" in out
    assert "warning" not in err
    assert run.info.status == "FINISHED" and run.info.run_name == "student"
    assert client.get_experiment(run.info.experiment_id).name == "singer"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [metric.step for metric in history] == list(range(1, STEPS + 1))
    losses = [record["loss"] for record in records(folder)]
    assert [metric.value for metric in history] == pytest.approx(losses, rel=1e-6)
    assert run.data.params["train.batch"] == "8" and run.data.params["student.arch"] == "vit_tiny_patch16_224"
    result = json.loads((folder / "run.json").read_text())["result"]
    student = run.data.metrics["norm over median/student"]
    assert student == pytest.approx(result["student_norms"]["max_over_median"], rel=1e-6)
    assert [artifact.path for artifact in client.list_artifacts(run.info.run_id)] == ["report.html"]
    page = client.download_artifacts(run.info.run_id, "report.html", str(tmp_path))
    assert open(page).read() == (folder / "report.html").read_text()


def test_a_killed_and_resumed_run_goes_on_as_the_same_without_a_step_twice(server, tmp_path):
    folder = tmp_path / "student"
    killed(folder, 13, "--track", "mlflow", MLFLOW_TRACKING_URI=server.uri)
    trained(folder, "--track", "mlflow", "--resume", MLFLOW_TRACKING_URI=server.uri)
    client, run = on_server(server, folder)
    assert run.info.status == "FINISHED"
    assert steps(client, run, "loss") == list(range(1, STEPS + 1))


def test_a_server_that_is_away_is_one_warning_and_gets_the_run_later(server, tmp_path):
    folder = tmp_path / "student"
    away = f"http://127.0.0.1:{free_port()}"
    _, err = trained(folder, "--track", "mlflow", MLFLOW_TRACKING_URI=away)
    assert err.count("warning") == 1 and "training goes on" in err and len(records(folder)) == STEPS
    assert not (folder / "mlflow.json").exists()
    command = [SINGER, "report", folder, "--track", "mlflow"]
    for _ in range(2):
        subprocess.run(command, check=True, env={"MLFLOW_TRACKING_URI": server.uri}, capture_output=True)
    client, run = on_server(server, folder)
    assert steps(client, run, "loss") == list(range(1, STEPS + 1))
    assert steps(client, run, "norm over median/student") == [STEPS]


def test_nothing_is_sent_unless_asked(server, tmp_path):
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("singer").experiment_id
    before = len(client.search_runs([experiment]))
    trained(tmp_path / "student", MLFLOW_TRACKING_URI=server.uri)
    assert len(client.search_runs([experiment])) == before
    assert not (tmp_path / "student" / "mlflow.json").exists()
