"""A Worker in the real runtime: workerd, with Python from the bundle that the set-up made. Nothing leaves the
machine.

Around it are the two services that the platform has and workerd has not, KV and R2, as fakes with the
documented limits (``platform_fakes.py``), and a few lines of JavaScript that call the Worker's cron, as the
platform does.
"""

import os
import re
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from breathing_room.hosts.worker.assemble import MAIN_FILE, assemble, runtime_sdk

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
NODE_MODULES = REPOSITORY / "node_modules"
# The program itself: npm's own launcher would stand between us and its process.
WORKERD = next(NODE_MODULES.glob("@cloudflare/workerd-*/bin/workerd"), NODE_MODULES / "workerd-is-missing")
BUNDLE = REPOSITORY / "build" / "pyodide"
START_S = 60.0

ALARM_LATE = "NOSENTRY SQLite alarm overdue, running despite AlarmManager mismatch"
"""What workerd logs if an alarm was moved while it fired, on a busy machine. The alarm fires all the same."""

FLAGS = (
    "python_workers",
    "python_workers_development",
    "no_python_workers_20250116",
    "no_python_workers_314",
    "experimental",
)
"""Production needs ``python_workers`` only; the others choose the bundle that we made."""

CONFIG = """\
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "worker", worker = .worker),
    (name = "cron", worker = .cron),
    (name = "disk", disk = (path = "{disk}", writable = true)),
    {services}
  ],
  sockets = [
    (name = "http", address = "127.0.0.1:0", http = (), service = "worker"),
    (name = "cron", address = "127.0.0.1:0", http = (), service = "cron"),
  ],
);

const worker :Workerd.Worker = (
  modules = [
    {modules}
  ],
  compatibilityDate = "2026-04-07",
  compatibilityFlags = [{flags}],
  bindings = [
    (name = "ROOMS", durableObjectNamespace = "BreathingRoom"),
    {bindings}
  ],
  durableObjectNamespaces = [(className = "BreathingRoom", uniqueKey = "rooms", enableSql = true)],
  durableObjectStorage = (localDisk = "disk"),
);

const cron :Workerd.Worker = (
  modules = [(name = "cron.mjs", esModule = embed "cron.mjs")],
  compatibilityDate = "2026-04-07",
  compatibilityFlags = ["experimental", "service_binding_extra_handlers"],
  bindings = [(name = "WORKER", service = "worker")],
);
"""

CRON = """\
export default {
  async fetch(request, env) {
    const result = await env.WORKER.scheduled({scheduledTime: new Date(), cron: "* * * * *"});
    return new Response(result.outcome);
  },
};
"""


@dataclass
class Runtime:
    """A workerd that listens.

    Attributes:
        url: Where the Worker answers.
        cron_url: A request to it calls the Worker's cron.
        lines: What it printed.
    """

    process: subprocess.Popen[str]
    url: str = ""
    cron_url: str = ""
    lines: list[str] = field(default_factory=list)

    def stop(self) -> None:
        """End it as a deploy would: at once, and every socket with it."""
        self.process.kill()
        self.process.wait()

    @property
    def cpu_s(self) -> float:
        """Processor time that it has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start_runtime(
    folder: Path,
    variables: Mapping[str, str],
    *,
    services: Mapping[str, str] | None = None,
    port: int = 0,
    main: str | None = None,
) -> Runtime:
    """Start a Worker and wait until it listens.

    Args:
        folder: Where its objects are kept, and the files that it is made of.
        variables: Its variables.
        services: Bindings of KV (``kvNamespace``) and R2 (``r2Bucket``) to services on this machine, such as
            ``{"KV": "kvNamespace 127.0.0.1:4000"}``.
        port: Where it listens; 0 for a free port.
        main: The module that it begins with, None for the one that is deployed.
    """
    code = folder / "worker"
    files = {**assemble().files, **runtime_sdk()}
    if main is not None:
        files[MAIN_FILE] = main.encode()
    for path, content in files.items():
        target = code / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    (folder / "disk").mkdir(exist_ok=True)
    (folder / "cron.mjs").write_text(CRON, encoding="utf-8")
    bindings = [f'(name = "{name}", text = {_quoted(value)})' for name, value in variables.items()]
    outside = []
    for name, service in (services or {}).items():
        kind, address = service.split()
        bindings.append(f'(name = "{name}", {kind} = "{name}")')
        outside.append(f'(name = "{name}", external = (address = "{address}", http = ()))')
    (folder / "config.capnp").write_text(
        CONFIG.format(
            disk=folder / "disk",
            services=",\n    ".join(outside),
            modules=",\n    ".join(_module(path) for path in files),
            flags=", ".join(f'"{flag}"' for flag in FLAGS),
            bindings=",\n    ".join(bindings),
        ),
        encoding="utf-8",
    )
    process = subprocess.Popen(
        [
            *(WORKERD, "serve", "--experimental", f"--pyodide-bundle-disk-cache-dir={BUNDLE}"),
            *(f"--socket-addr=http=127.0.0.1:{port}", "--control-fd=1", "config.capnp"),
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    runtime = Runtime(process)
    listening = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r'"event":"listen","socket":"(http|cron)","port":(\d+)', line):
                url = f"http://127.0.0.1:{found[2]}"
                runtime.url, runtime.cron_url = (
                    (url, runtime.cron_url) if found[1] == "http" else (runtime.url, url)
                )
                if runtime.url and runtime.cron_url:
                    listening.set()
            elif ALARM_LATE not in line:
                runtime.lines.append(line.rstrip("\n"))
        listening.set()
        process.stdout.close()

    threading.Thread(target=read, daemon=True).start()
    if not listening.wait(START_S) or not runtime.url:
        runtime.stop()
        raise AssertionError("workerd did not start:\n" + "\n".join(runtime.lines))
    return runtime


def _module(path: str) -> str:
    kind = "pythonModule" if path == "main.py" else "data"
    return f'(name = "{path}", {kind} = embed "worker/{path}")'


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
