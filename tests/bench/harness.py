"""What the measuring scripts share: programs that start and stop, load by wrk, CPU from /proc."""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TICK = os.sysconf("SC_CLK_TCK")
SECRET = "a secret of more than 32 bytes, for the benchmark"


def install(program: str, package: str) -> None:
    """A Debian package, if the program is not there."""
    if shutil.which(program):
        return
    root = [] if os.getuid() == 0 else ["sudo"]
    subprocess.run([*root, "apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq", "update"], check=True)
    subprocess.run([*root, "apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq", "install", "-y", "--no-install-recommends", package], check=True,
                   stdout=subprocess.DEVNULL)


def build(profile: str) -> Path:
    """Builds both proxies alike; returns the folder that holds them."""
    subprocess.run(["cargo", "build", "--locked", "--profile", profile, "--bin", "cloakroom", "--example", "bare"], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / ("debug" if profile == "dev" else profile)


def mongod() -> str | None:
    tool = ROOT / "tests/.tools/mongod"
    return os.environ.get("MONGOD") or shutil.which("mongod") or (str(tool) if tool.exists() else None)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextmanager
def running(command, port: int, cwd=None, env=None):
    """A process that listens on the port; its output shows only when it fails to start."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([str(c) for c in command], cwd=cwd, env=os.environ | (env or {}), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        log.seek(0)
                        sys.exit(f"{command[0]} does not listen on {port}:\n{log.read().decode(errors='replace')}")
                    time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass
class Server:
    """A process that is measured, and where it listens. `store` is the process of its mongod, if it has one."""
    pid: int
    port: int
    store: int | None = None
    store_port: int | None = None


@contextmanager
def bare(built: Path, *arguments):
    """Pingora and nothing else, or the upstream of all (bare.rs)."""
    port = free_port()
    role, *rest = arguments
    with running([built / "examples/bare", role, f"127.0.0.1:{port}", *rest], port) as process:
        yield Server(process.pid, port)


@contextmanager
def database(folder: Path):
    """A replica set of one, as small as a fleet's store can be: with change streams and majority writes."""
    port = free_port()
    (folder / "data").mkdir()
    command = [mongod(), "--dbpath", folder / "data", "--port", port, "--bind_ip", "127.0.0.1", "--nounixsocket", "--replSet", "rs",
               "--wiredTigerCacheSizeGB", "1"]
    with running(command, port) as process:
        asked(port, f"replSetInitiate: {{ _id: 'rs', members: [{{ _id: 0, host: '127.0.0.1:{port}' }}] }}")
        yield process.pid, port


def asked(port: int, command: str, database: str = "admin") -> str:
    """The answer of a mongod to a command, as JSON."""
    script = f"""const c = new (require("mongodb").MongoClient)("mongodb://127.0.0.1:{port}/?directConnection=true");
        c.db("{database}").command({{ {command} }}).then((a) => {{ console.log(JSON.stringify(a)); return c.close(); }})"""
    return subprocess.run(["node", "-e", script], cwd=ROOT / "tests/apps/node", check=True, capture_output=True, text=True).stdout


@contextmanager
def product(binary, store: str, upstream: int, *, access: bool = False, cache: str | None = None, more: str = "", place: "Place | None" = None):
    """Cloakroom over this store, in a new place unless told; with the access log off unless told, as bare Pingora has none."""
    with ExitStack() as stack:
        place = place or stack.enter_context(new_place(store))
        lines = {"memory": "", "embedded": 'path = "cloakroom.db"', "mongodb": 'uri = "env:MONGODB_URI"'}[store]
        lines += f"\ncache = {cache}" if cache else ""
        env = {"SESSION_SECRET": SECRET, "MONGODB_URI": f"mongodb://127.0.0.1:{place.store_port}/?replicaSet=rs"}
        port = free_port()
        (place.folder / "proxy.toml").write_text(f"""
[server]
listen = ["127.0.0.1:{port}"]
[store]
kind = "{store}"
{lines}
[session]
secrets = ["env:SESSION_SECRET"]
[log]
access = {str(access).lower()}
{more}
[[routes]]
upstream = "http://127.0.0.1:{upstream}"
write = "all"
""")
        process = stack.enter_context(running([binary], port, place.folder, env))
        yield Server(process.pid, port, place.store, place.store_port)


@dataclass
class Place:
    """Where sessions are kept: the folder of a file, or a mongod (its process and port)."""
    folder: Path
    store: int | None = None
    store_port: int | None = None


@contextmanager
def new_place(store: str):
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        yield Place(folder, *stack.enter_context(database(folder))) if store == "mongodb" else Place(folder)


def take_cookie(port: int) -> str:
    """The first visit of a page that changes the session makes one."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/change") as page:
        cookie = page.headers["Set-Cookie"]
    if not cookie:
        sys.exit("the proxy set no cookie on /change: there is no session to measure")
    return cookie.split(";")[0]


@contextmanager
def cookies(port: int, count: int):
    """A file with the cookies of so many new sessions."""
    with tempfile.NamedTemporaryFile("w", prefix="cookies-") as file:
        file.writelines(f"{take_cookie(port)}\n" for _ in range(count))
        file.flush()
        yield file.name


def cpu_seconds(pid: int | None) -> float:
    """User and system time of a process."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident_mb(pid: int) -> float:
    """What a process has in memory, in millions of bytes."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) * 1024 / 1e6


@dataclass
class Measured:
    rate: float
    """Requests per second."""
    cpu: float
    """CPU seconds of the proxy per request."""
    store: float
    """CPU seconds of its mongod per request."""
    requests: int


def load(server: Server, path: str, cookies: str | None, seconds: int, connections: int) -> Measured:
    """Requests one after the other on so many connections, with the file's cookies in turn."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(ROOT / "tests/bench/cookies.lua"), f"http://127.0.0.1:{server.port}{path}"]
    env = {k: v for k, v in os.environ.items() if k != "BENCH_COOKIES"} | ({"BENCH_COOKIES": cookies} if cookies else {})
    before = cpu_seconds(server.pid), cpu_seconds(server.store)
    out = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(server.pid) - before[0], cpu_seconds(server.store) - before[1]
    requests, microseconds, errors = map(int, re.search(r"RESULT (\d+) (\d+) (\d+)", out).groups())
    if errors or not requests:
        sys.exit(f"{path} on port {server.port}: {errors} bad answers of {requests}")
    return Measured(requests / microseconds * 1e6, spent[0] / requests, spent[1] / requests, requests)
