"""Fixtures that start the real thing: a data directory, the command line, a server, a browser.

Whatever a test starts is ended after it, by pid.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache

from running_jobs import files
from running_jobs.actions import Actions
from running_jobs.cli import main
from running_jobs.job import Job
from running_jobs.processes import ENGINE_MARK
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.web.application import build_app

PROJECT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "nginx": "nginx",
    "openssl": "openssl",
    "povray": "povray",
}
TEST_MARK = "LC_RUNNING_JOBS_TEST"  # names a test's data directory; the engine passes on what begins with LC_
BROWSER_OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


class Compiled(BytecodeCache):
    """Keeps compiled templates for all applications of this process: each would take 0.2 s of its own to compile them."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take a template that was compiled from the same source."""
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template."""
        self._codes[bucket.key, bucket.checksum] = bucket.code


Flask.jinja_options = {**Flask.jinja_options, "bytecode_cache": Compiled()}


def require(*programs: str) -> None:
    """Skip a test whose programs are missing; fail it where everything is required (TEST_REQUIRE=all)."""
    for program in programs:
        if shutil.which(program) is None:
            message = f"{program} is missing, apt-get install {PACKAGES[program]}"
            (pytest.fail if os.environ.get("TEST_REQUIRE") == "all" else pytest.skip)(message)


def wait_for(condition: Callable[[], Any], what: str = "the condition", timeout_s: float = 20) -> Any:
    """Return what the condition returns as soon as it is true; fail after timeout_s seconds."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s:g} s in vain for {what() if callable(what) else what}")
        time.sleep(0.005)


def wait_for_end(store: JobStore, job_id: str, timeout_s: float = 20) -> Job:
    """Return a job once it is final; fail with its record and the tail of its err otherwise."""

    def told() -> str:
        err = Path(store.paths.err(job_id))
        errors = Path(store.paths.errors)
        tails = [path.read_text(errors="replace")[-2000:] for path in (err, errors) if path.exists()]
        return f"the end of {store.get(job_id)}\n" + "\n".join(tails)

    return wait_for(lambda: job if (job := store.get(job_id)).is_final else None, told, timeout_s)


def wait_for_status(store: JobStore, job_id: str, status: str, timeout_s: float = 20) -> Job:
    """Return a job once it has a status."""
    return wait_for(
        lambda: job if (job := store.get(job_id)).status == status else None,
        lambda: f"{status}: {store.get(job_id)}",
        timeout_s,
    )


def wait_for_session(store: JobStore, job_id: str) -> Job:
    """Return an active job once its record tells the session of its command, a few milliseconds after it was started."""
    return wait_for(
        lambda: job if (job := store.get(job_id)).status == "active" and job.session is not None else None,
        lambda: f"its session: {store.get(job_id)}",
    )


def read_of_each(name: str) -> Iterator[tuple[int, bytes]]:
    """Yield the pid and the content of a file in /proc of each process; psutil takes three times as long for that."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
            if found := file.read():
                yield int(pid), found


def processes_of(data: Path | str) -> list[psutil.Process]:
    """Return the processes of a data directory's jobs, known by their environment."""
    found = []
    mark = f"JOB_FILES={data}/".encode()
    for pid, environ in read_of_each("environ"):
        if mark in environ and any(variable.startswith(mark) for variable in environ.split(b"\0")):
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                found += [process] if process.status() != psutil.STATUS_ZOMBIE else []
    return found


def dispatcher_of(data: Path | str) -> psutil.Process | None:
    """Return the dispatcher of a data directory, if one lives and has signed its lock."""
    with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
        signed = json.loads(Path(data, "run", "dispatcher.lock").read_text())
        process = psutil.Process(signed["pid"])
        if process.status() != "zombie" and process.cmdline()[-1:] == [str(data)]:
            return process
    return None


def runners_of(store: JobStore) -> list[psutil.Process]:
    """Return the runners of a store's jobs, those too whose job has ended: they may still start a dispatcher."""
    ids = set(store.ids())
    found = []
    for pid, title in read_of_each("cmdline") if ids else ():
        if title.startswith(b"running-jobs: job ") and title.replace(b"\0", b" ").split()[2].decode() in ids:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                found += [] if is_gone(process) else [process]
    return found


def engine_of(data: Path) -> list[psutil.Process]:
    """Return the dispatchers and runners that a test has started, those too whose title tells of no job."""
    found = []
    marks = {f"{TEST_MARK}={data}".encode(), f"{ENGINE_MARK}=1".encode()}
    for pid, environ in read_of_each("environ"):
        if marks.issubset(environ.split(b"\0")):
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                found += [] if is_gone(process) else [process]
    return found


def remove_tree(path: Path) -> None:
    """Remove a folder in which a runner or dispatcher that is just ending may still make a file."""
    wait_for(lambda: shutil.rmtree(path, ignore_errors=True) or not path.exists(), f"{path} to be gone")


def is_gone(process: psutil.Process) -> bool:
    """Say whether a process has ended, whether or not init has noticed."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def kill_and_wait(process: psutil.Process) -> None:
    """SIGKILL a process that is not ours to reap, and wait until it is dead."""
    process.kill()
    wait_for(lambda: is_gone(process), f"the death of {process}")


def try_to_be_the_dispatcher(store: JobStore) -> bool:
    """Say whether no dispatcher lives or is about to, in a way that none can come after it."""
    with contextlib.suppress(FileNotFoundError):
        if files.is_locked(store.paths.dispatcher_lock):
            return False
        os.unlink(store.paths.dispatcher_lock)  # one that still comes finds that it is not the one, and leaves
    return True


def end_everything(data: Path) -> None:
    """End all that runs for a data directory: the dispatcher first, so that nothing new starts."""
    deadline = time.monotonic() + 10
    store = JobStore(str(data))
    with contextlib.suppress(OSError):
        (data / "paused").touch()
    while time.monotonic() < deadline:
        engine = (dispatcher_of(data), *runners_of(store), *engine_of(data))
        victims = [process for process in (*engine, *processes_of(data)) if process]
        if not victims:
            if try_to_be_the_dispatcher(store):
                return
            time.sleep(0.02)  # one is about to start: it has the lock, and has not signed it yet
            continue
        for process in victims:
            with contextlib.suppress(psutil.Error):
                kill_and_wait(process)
    pytest.fail(f"processes of {data} could not be ended: {victims}")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a data directory of its own, with four slots and a grace of one second."""
    for name in [name for name in os.environ if name.startswith("JOBS_")]:
        monkeypatch.delenv(name)
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "config.toml").write_text("slots = 4\ngrace_seconds = 1\n")
    monkeypatch.setenv("JOBS_DATA", str(directory))
    monkeypatch.setenv(TEST_MARK, str(directory))
    yield directory
    end_everything(directory)


@pytest.fixture
def configure(data: Path) -> Callable[..., Actions]:
    """Give a function that writes settings and returns actions that use them."""

    def write(text: str = "") -> Actions:
        if text:
            (data / "config.toml").write_text(text)
        return Actions(load_settings(str(data)))

    return write


@pytest.fixture
def actions(configure: Callable[..., Actions]) -> Actions:
    """Give the verbs on the test's data directory."""
    return configure()


@pytest.fixture
def store(actions: Actions) -> JobStore:
    """Give the store of the test's data directory."""
    return actions.store


@pytest.fixture
def launch(actions: Actions) -> Callable[..., Job]:
    """Give a function that queues a shell line."""

    def start(cmd: str, **options: Any) -> Job:
        return actions.submit({"command": {"type": "exec", "cmd": cmd}, "start": True, **options})

    return start


@pytest.fixture
def app_py(data: Path) -> Callable[..., SimpleNamespace]:
    """Give a function that runs `python app.py ...` on the test's data directory to its end."""

    def run(*args: str, text: str | None = None, **environ: str) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, str(PROJECT / "app.py"), *args],
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **environ},
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return run


@pytest.fixture
def app_here(data: Path) -> Callable[..., SimpleNamespace]:
    """Give a function that does what `python app.py ...` does in this process: for long tables of arguments."""

    def run(*args: str, text: str | None = None) -> SimpleNamespace:
        done = CliRunner().invoke(main, args, input=text, prog_name="app.py")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return SimpleNamespace(code=done.exit_code, out=done.stdout, err=done.stderr)

    return run


class Answer(SimpleNamespace):
    """What came back: code, headers, body; `json` is the body read as JSON."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


class Client:
    """A client that is no browser: sends what it is told, follows no redirect."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, auth: str | None = None
    ) -> Answer:
        """Send a request; a dict or list is sent as JSON."""
        content, sent = self._as_sent(body, headers, auth)
        request = urllib.request.Request(self.url + path, content, sent, method=method)
        try:
            with self._opener.open(request, timeout=30) as answer:
                return Answer(code=answer.status, headers=answer.headers, body=answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(code=error.code, headers=error.headers, body=error.read())

    @staticmethod
    def _as_sent(body: Any, headers: dict[str, str] | None, auth: str | None) -> tuple[Any, dict[str, str]]:
        content = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        content = content.encode() if isinstance(content, str) else content
        sent = {"Content-Type": "application/json"} if isinstance(body, (dict, list)) else {}
        if auth:
            sent["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
        return content, {**sent, **(headers or {})}

    def get(self, path: str, **more: Any) -> Answer:
        return self.request("GET", path, **more)

    def post(self, path: str, body: Any = b"", **more: Any) -> Answer:
        return self.request("POST", path, body, **more)

    def put(self, path: str, body: Any = b"", **more: Any) -> Answer:
        return self.request("PUT", path, body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        return self.request("DELETE", path, **more)

    def token(self, **more: Any) -> str:
        """Return the page's CSRF token."""
        return self.get("/", **more).text.split('name="token" value="')[1].split('"')[0]

    def post_form(self, path: str, fields: dict[str, str], **more: Any) -> Answer:
        """Post a form with the page's token."""
        body = urllib.parse.urlencode({"token": self.token(**more), **fields})
        headers = {"Content-Type": "application/x-www-form-urlencoded", **more.pop("headers", {})}
        return self.request("POST", path, body, headers=headers, **more)


class LocalClient(Client):
    """A client of an application in this process: for what needs no server of its own."""

    def __init__(self, data: Path) -> None:
        super().__init__("")
        self._client = build_app(load_settings(str(data))).test_client()

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, auth: str | None = None
    ) -> Answer:
        """Send a request as Client does."""
        content, sent = self._as_sent(body, headers, auth)
        with self._client.open(path, method=method, data=content, headers=sent) as answer:
            return Answer(code=answer.status_code, headers=answer.headers, body=answer.data)


class Server(Client):
    """A server process of its own, and a client of it."""

    def __init__(self, data: Path, *args: str, port: int = 0, code: Path = PROJECT, **environ: str) -> None:
        self.port = port or free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.log = data.parent / f"server-{self.port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(code / "app.py"), "serve", "--port", str(self.port), *args],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "JOBS_DATA": str(data), **environ},
            )
        try:
            wait_for(self._answers, lambda: f"the server: {self.log.read_text()}")
        except BaseException:
            self.kill()
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/health").code == 200
        except OSError:
            return False

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Listener:
    """A real HTTP server that notes what it is asked: `asked` holds (method, path) in order; `/delay/S` waits."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[str] = []
        self.on_request: Callable[[str], object] = lambda path: None
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                listener.on_request(self.path)
                listener.asked.append((self.command, self.path))
                listener.bodies.append(body.decode())
                if self.path.startswith("/delay/"):
                    time.sleep(float(self.path.split("/")[2].split("?")[0]))
                self.send_response(int(self.path.split("/")[2]) if self.path.startswith("/status/") else 200)
                self.end_headers()
                self.wfile.write(f"asked {self.path}\n".encode())

            do_GET = do_POST = answer  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Say nothing of a client that was stopped while it waited."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Give a real HTTP server that notes what it is asked."""
    running = Listener()
    yield running
    running.close()


def free_port() -> int:
    """Return a port that is free on loopback now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start_server(data: Path) -> Iterator[Callable[..., Server]]:
    """Give a function that starts a server on the test's data directory."""
    started: list[Server] = []

    def start(*args: str, **more: Any) -> Server:
        started.append(Server(data, *args, **more))
        return started[-1]

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    """Give a running server without a guard."""
    return start_server()


@pytest.fixture
def local(data: Path) -> LocalClient:
    """Give an application without a guard in this process."""
    return LocalClient(data)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """Give a headless Chromium with a fresh profile; fail the test if its console shows an error at the end."""
    require("chromium", "chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in (*BROWSER_OPTIONS.split(), f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    chrome.set_window_size(1440, 900)
    try:
        yield chrome
        complaints = [entry["message"] for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"]
        assert not complaints, complaints
    finally:
        chrome.quit()


@contextlib.contextmanager
def chromium(profile: Path, prefs: dict[str, int]) -> Iterator[Any]:
    """Run a headless Chromium with a profile and preferences of its own."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in (*BROWSER_OPTIONS.split(), f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.add_experimental_option("prefs", prefs)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        chrome.set_window_size(1440, 900)
        yield chrome
    finally:
        chrome.quit()


@pytest.fixture(scope="session")
def one_chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Start one browser for all tests that need none of their own: a start takes as long as such a test."""
    require("chromium", "chromedriver")
    with chromium(tmp_path_factory.mktemp("profile"), {}) as chrome:
        yield chrome


@pytest.fixture
def tab(one_chromium: Any) -> Iterator[Any]:
    """Give the shared browser; fail the test if its console shows an error at the end."""
    yield one_chromium
    one_chromium.get("about:blank")
    one_chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    complaints = [entry["message"] for entry in one_chromium.get_log("browser") if entry["level"] == "SEVERE"]
    assert not complaints, complaints


@pytest.fixture
def plain_browser(tmp_path: Path) -> Iterator[Any]:
    """Give a headless Chromium that runs no scripts."""
    require("chromium", "chromedriver")
    with chromium(tmp_path / "plain-profile", {"profile.managed_default_content_settings.javascript": 2}) as chrome:
        yield chrome


@pytest.fixture
def forms(data: Path) -> Any:
    """Give the page of an application in this process."""
    from .forms import Forms

    return Forms(data)


class Nginx:
    """A real nginx with deploy/nginx.conf, on ports of its own: `root` and `prefixed` are its two clients."""

    def __init__(self, folder: Path, server_port: int) -> None:
        ports = {"listen 80;": free_port(), "listen 8080;": free_port()}
        text = (PROJECT / "deploy" / "nginx.conf").read_text()
        changes = {listen: f"listen 127.0.0.1:{port};" for listen, port in ports.items()}
        changes["server 127.0.0.1:8000;"] = f"server 127.0.0.1:{server_port};"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        own = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
        changes["http {"] = f"http {{\naccess_log off;\n{own}"
        for shipped, adapted in changes.items():
            assert text.count(shipped) == 1, f"{shipped} in deploy/nginx.conf"
            text = text.replace(shipped, adapted)
        folder.mkdir()
        config, log = folder / "nginx.conf", folder / "error.log"
        config.write_text(("user root;\n" if os.geteuid() == 0 else "") + text)
        main = f"daemon off; pid {folder}/pid; error_log {log};"
        command = [shutil.which("nginx"), "-p", str(folder), "-c", str(config), "-e", str(log), "-g", main]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.root, self.prefixed = (Client(f"http://127.0.0.1:{port}") for port in ports.values())
        self.log = log
        wait_for(self._answers, lambda: f"nginx: {log.read_text()}")

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.root.get("/health").code == 200
        except OSError:
            return False

    def end(self) -> None:
        """End it and its workers."""
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def nginx(data: Path, start_server: Callable[..., Server], tmp_path: Path) -> Iterator[Nginx]:
    """Give an nginx in front of a server that trusts one proxy."""
    require("nginx")
    with (data / "config.toml").open("a") as config:
        config.write('trusted_proxies = 1\ntrusted_hosts = ["jobs.example.com", "www.example.com"]\n')
    proxy = Nginx(tmp_path / "nginx", start_server().port)
    yield proxy
    proxy.end()
