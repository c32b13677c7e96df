"""A data set that is missing: downloaded once, whole or not at all, and with progress."""

import gzip
import hashlib
import http.server
import multiprocessing
import os
import signal
import struct
import sys
import threading
import time

import numpy as np
import pytest
from tqdm import tqdm

from fastpath.data import datasets
from neurodyn import exits, progress

needs_locks = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no such locks"
)
SHAPES = {"train": (20, 4, 4), "t10k": (10, 4, 4)}


def idx(array: np.ndarray) -> bytes:
    """Return an array in the format of MNIST's files, packed."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


@pytest.fixture(scope="module")
def archives():
    rng = np.random.default_rng(0)
    held = {}
    for split, shape in SHAPES.items():
        held[f"{split}-images-idx3-ubyte.gz"] = idx(rng.integers(0, 256, shape, np.uint8))
        labels = (np.arange(shape[0]) % 10).astype(np.uint8)
        held[f"{split}-labels-idx1-ubyte.gz"] = idx(labels)
    return held


class Server(http.server.ThreadingHTTPServer):
    """Serves the archives, counts what is asked for, and may be slow or break off."""

    def __init__(self, archives):
        super().__init__(("127.0.0.1", 0), Handler)
        self.handle_error = lambda *_: None  # of those who asked and are gone
        self.archives, self.asked = archives, []
        self.wait = lambda: None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        content = self.answer()
        if self.headers.get("Method") == "HEAD":  # as torchvision looks for redirections
            self.wfile.write(content)
            return
        self.server.asked.append(self.path)
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.server.wait()
        self.wfile.write(content[len(content) // 2 :])

    def answer(self) -> bytes:
        content = self.server.archives.get(self.path[1:])
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        return content or b""

    def log_message(self, *_):
        pass


@pytest.fixture
def server(archives, monkeypatch):
    from torchvision.datasets import MNIST

    with Server(archives) as serving:
        monkeypatch.setattr(MNIST, "mirrors", [serving.url])
        monkeypatch.setattr(MNIST, "resources", resources(archives))
        monkeypatch.setitem(datasets.IDX_MD5, "MNIST", {})
        yield serving
        serving.shutdown()


def resources(archives) -> list[list[str]]:
    return [[name, hashlib.md5(content).hexdigest()] for name, content in archives.items()]


def hidden(root) -> list[str]:
    return [path.name for path in root.glob(".*") if path.name != ".mnist.lock"]


def test_what_is_missing_is_downloaded_with_one_line_where_nobody_looks(
    server, archives, tmp_path, capfd
):
    images = datasets.load("mnist", tmp_path)
    packed = gzip.decompress(archives["train-images-idx3-ubyte.gz"])[16:]
    assert images.x_train.tobytes() == packed
    assert images.y_test.tolist() == list(range(10))
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == f"fastpath: downloading 'mnist' to {tmp_path}\n"
    assert hidden(tmp_path) == []
    server.asked.clear()
    datasets.load("mnist", tmp_path)
    assert server.asked == []


def test_a_damaged_set_is_replaced(server, tmp_path):
    whole = datasets.load("mnist", tmp_path)
    path = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:50])
    np.testing.assert_array_equal(datasets.load("mnist", tmp_path).x_train, whole.x_train)


def test_a_broken_download_leaves_no_data_set(server, tmp_path, capfd):
    def break_off():
        raise ConnectionError

    server.wait = break_off
    with pytest.raises(ValueError, match=r"cannot read 'mnist' under .*check the network"):
        datasets.load("mnist", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mnist.lock"]
    assert "Traceback" not in capfd.readouterr().err


def test_a_server_that_falls_silent_is_given_up(server, tmp_path, monkeypatch):
    from fastpath.data import download

    silent = threading.Event()
    server.wait = silent.wait
    monkeypatch.setattr(download, "SILENCE", 0.5)
    with pytest.raises(ValueError, match=r"cannot read 'mnist'.*timed out"):
        datasets.load("mnist", tmp_path)
    silent.set()


def test_a_terminal_gets_a_bar_and_a_file_gets_none(server, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    # As if it took longer than a second.
    monkeypatch.setattr(progress, "_bar", lambda: lambda **how: tqdm(**how | {"delay": 0}))
    datasets.load("mnist", tmp_path)
    assert "downloading mnist: 100%" in capfd.readouterr().err


def load_in_process(root, results):
    """What a command does with the data set, in a process of its own."""
    with exits.orderly("fastpath"):
        results.put(int(datasets.load("mnist", root).x_train.sum()))


@pytest.fixture
def several(tmp_path):
    """Start so many processes that load the data set."""
    started = []

    def start(number: int):
        fork = multiprocessing.get_context("fork")  # they know of the server
        results = fork.Queue()
        for _ in range(number):
            started.append(fork.Process(target=load_in_process, args=(tmp_path, results)))
            started[-1].start()
        return started, results

    yield start
    for process in started:
        process.kill()
        process.join()


@needs_locks
def test_of_several_processes_one_downloads(server, several):
    server.wait = lambda: time.sleep(0.3)
    processes, results = several(4)
    sums = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert len(sums) == 1
    assert sorted(server.asked) == sorted(f"/{name}" for name in server.archives)


@needs_locks
def test_a_failing_download_ends_all_that_wait_for_it(server, several, capfd):
    def fail():
        time.sleep(1)
        raise ConnectionError

    server.wait = fail
    processes, _ = several(3)
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 2
    assert len(server.asked) == 1
    said = capfd.readouterr().err
    assert said.count("fastpath: cannot read 'mnist' under") == 3
    assert "Traceback" not in said


@needs_locks
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_download_is_begun_anew(server, several, tmp_path, number):
    reached = threading.Event()
    server.wait = lambda: (reached.set(), time.sleep(1))
    [process], _ = several(1)
    assert reached.wait(60)
    os.kill(process.pid, number)
    process.join(timeout=60)
    assert process.exitcode == (-number if number == signal.SIGKILL else 128 + number)
    assert not (tmp_path / "MNIST").exists()
    assert len(hidden(tmp_path)) == (1 if number == signal.SIGKILL else 0)
    server.wait = lambda: None
    assert len(datasets.load("mnist", tmp_path).x_train) == 20
    assert hidden(tmp_path) == []
