import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SINGER = os.environ.get("SINGER_BIN", "target/release/singer")
STEPS = 30
TRAINING = [
    *f"distill --teacher {REPOSITORY}/assets/demo-teacher.safetensors --student vit_tiny_patch16_224".split(),
    *f"--data scenes:32 --layers 3 --steps {STEPS} --device cpu --set train.batch=8 --set train.log_every=1".split(),
    *"--set student.embed_dim=32 --set student.depth=4 --set student.num_heads=2".split(),
    *"--set train.checkpoint_every=5".split(),
]


def records(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def training(run, *flags, **environment):
    command = [SINGER, *TRAINING, "--out", str(run), *map(str, flags)]
    return subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def trained(run, *flags, **environment):
    """Trains to the end; what it printed."""
    process = training(run, *flags, **environment)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, f"{out}\n{err}"
    return out, err


def killed(run, step, *flags, **environment):
    """Trains until a step is written, and is killed."""
    process = training(run, *flags, **environment)
    metrics = run / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < step:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


class Server:
    def __init__(self, folder, port):
        self.folder, self.port, self.process = folder, port, None
        self.uri = f"http://127.0.0.1:{port}"

    def start(self):
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        log = open(self.folder / "log", "ab")
        # A group of its own: it starts further processes.
        self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        for _ in range(240):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=2)
                return
            except OSError:
                time.sleep(0.5)
        raise AssertionError("the server does not answer")

    def stop(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def free_port():
    with socket.socket() as socket_:
        socket_.bind(("127.0.0.1", 0))
        return socket_.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("mlflow"), free_port())
    server.start()
    yield server
    server.stop()
