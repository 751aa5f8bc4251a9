"""What a real container holds, seen from inside, and what the engine does when a sandbox goes wrong."""

import asyncio
import hashlib
import json
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from services.runner import container
from services.runner.docker_engine import DockerEngine
from services.runner.docker_factory import DockerSandboxes
from services.runner.errors import EngineUnreachable, ImageMissing, SandboxGone, SandboxUnavailable
from services.runner.last_words import LastWords
from services.runner.sandbox import Program, Sandbox, SandboxSpec
from shared.events.values import Limits
from tests.integration.services.runner.inside import SMALL, MakeSpec, Said, bash
from tests.integration.services.runner.snapshots import Snapshot

FACTS = r"""
import json, os, socket
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
mounts = [line.split() for line in open("/proc/self/mounts")]
def writable(path):
    try: open(os.path.join(path, "probe"), "w").close(); os.unlink(os.path.join(path, "probe")); return True
    except OSError: return False
print(json.dumps({
    "status": {key: status[key].strip() for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")},
    "ids": [os.getuid(), os.getgid(), os.getgroups()],
    "interfaces": os.listdir("/sys/class/net"),
    "read_only_root": [m[3].split(",")[0] for m in mounts if m[1] == "/"],
    "sources": sorted({m[1] for m in mounts if m[0].startswith("/dev/")}),
    "writable": [path for path in ("/", "/etc", "/usr", "/base", "/workspace", "/home/agent", "/tmp", "/run") if writable(path)],
    "docker_socket": os.path.exists("/var/run/docker.sock") or os.path.exists("/run/docker.sock"),
    "environment": sorted(os.environ),
    "processes": sorted(open(f"/proc/{pid}/comm").read().strip() for pid in os.listdir("/proc") if pid.isdigit()),
    "raising": [name for root, _, files in os.walk("/usr") for name in files if os.lstat(os.path.join(root, name)).st_mode & 0o6000],
}))
"""


async def ended(running: "asyncio.Task[int]") -> bool:
    """Whether a run ended as one does whose sandbox was killed."""
    try:
        return await running == 137
    except (SandboxGone, SandboxUnavailable):
        return True


async def test_hardening_as_seen_from_inside(sandbox: Sandbox) -> None:
    facts = json.loads(await bash(sandbox, f"cat > /tmp/facts.py <<'END'\n{FACTS}\nEND\npython3 /tmp/facts.py"))
    nothing = "0000000000000000"
    assert facts["status"] == {
        "CapInh": nothing, "CapPrm": nothing, "CapEff": nothing, "CapBnd": nothing, "CapAmb": nothing, "NoNewPrivs": "1", "Seccomp": "2"
    }  # fmt: skip
    assert facts["ids"] == [10001, 10001, [10001]]
    assert facts["interfaces"] == ["lo"]
    assert facts["read_only_root"] == ["ro"]
    assert facts["writable"] == ["/workspace", "/home/agent", "/tmp"]  # noqa: S108 - the sandbox's
    assert not facts["docker_socket"]
    assert set(facts["sources"]) <= {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
    assert set(facts["environment"]) <= {
        "HOME",
        "USER",
        "LOGNAME",
        "TERM",
        "PATH",
        "LANG",
        "PWD",
        "SHLVL",
        "OLDPWD",
        "_",
        "HOSTNAME",
        "LC_CTYPE",
    }
    assert {"tini", "bash"} <= set(facts["processes"])
    assert len(facts["processes"]) <= 5
    assert facts["raising"] == []


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param("kill -9 1; kill -9 $(pgrep -f attendant)", id="kill the first process"),
        pytest.param("unshare --user true", id="new user namespace"),
        pytest.param("mount -t tmpfs x /mnt", id="mount"),
        pytest.param("su -c true", id="su"),
        pytest.param("chroot / true", id="chroot"),
        pytest.param("dmesg", id="kernel log"),
        pytest.param("echo x > /proc/sys/kernel/core_pattern", id="sysctl"),
        pytest.param("echo x > /base/repo.git/x || cp /bin/true /base/true", id="write to the snapshot"),
    ],
)
async def test_a_way_out_is_closed(sandbox: Sandbox, attempt: str) -> None:
    assert "closed" in await bash(sandbox, f"if ( {attempt} ) >/dev/null 2>&1; then echo OPEN; else echo closed; fi")


async def test_ordinary_work_runs_under_the_filter(sandbox: Sandbox) -> None:
    script = r"""
    python3 - <<'END'
import concurrent.futures, multiprocessing, socket, sqlite3, subprocess, tempfile, threading
with concurrent.futures.ThreadPoolExecutor() as pool: assert sum(pool.map(int, "123")) == 6
with multiprocessing.Pool(2) as pool: assert sum(pool.map(int, "123")) == 6
server = socket.create_server(("127.0.0.1", 0)); client = socket.create_connection(server.getsockname())
assert socket.getaddrinfo("localhost", 80)
connection = sqlite3.connect(tempfile.mktemp()); connection.execute("create table t (x)")
END
    git init -q /tmp/r; cd /tmp/r; echo x > f; git add f; git commit -qm x; git gc -q; git log --oneline | cat
    printf 'a:\n\techo made\n' > Makefile; make -s a
    """
    assert "made" in await bash(sandbox, script)


ABANDONED = r"""
import os, time
def state(pid):
    try: return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError): return None
reading, writing = os.pipe()
ids = []
for _ in range(20):
    told, tell = os.pipe()
    if os.fork() == 0:  # ends at once, so that its child is nobody's
        orphan = os.fork()
        if orphan == 0:
            os.close(writing)
            os.read(reading, 1)  # until the whole tree is there
            os._exit(0)
        os.write(tell, str(orphan).encode())
        os._exit(0)
    ids.append(int(os.read(told, 20)))
    os.wait()
parents = {state(pid)[1] for pid in ids}
os.close(writing)
deadline = time.monotonic() + 5
while (left := [pid for pid in ids if state(pid)]) and time.monotonic() < deadline: pass
print(sorted(parents), len(left))
"""
"""Twenty processes whose parent has ended before them: who they belong to, and how many of them nobody has buried."""


async def test_the_first_process_buries_what_an_agent_leaves(sandbox: Sandbox, shell_image: str) -> None:
    """A zombie is a process of the sandbox's limit. Under a first process that does not wait for them they all stay: so this can fail."""
    assert await bash(sandbox, f"cat > /tmp/abandon.py <<'END'\n{ABANDONED}\nEND\npython3 /tmp/abandon.py") == "['1'] 0\n"
    first = "import subprocess, sys, time; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", shell_image, "-c", first, ABANDONED]
    alone = await asyncio.create_subprocess_exec("/usr/bin/env", *command, stdout=asyncio.subprocess.PIPE)
    assert (await alone.communicate())[0] == b"['1'] 20\n"


async def test_the_hosts_names_are_not_told(sandbox: Sandbox) -> None:
    told = [
        line for line in (await bash(sandbox, "cat /etc/resolv.conf /etc/hostname")).splitlines() if not line.startswith(("#", "options"))
    ]
    assert told == ["nameserver 127.0.0.1", "sandbox"]


async def test_a_prompt_passes_whole(sandbox: Sandbox) -> None:
    everything = bytes(range(256)) * 4096
    said = Said()
    assert await sandbox.run(Program(argv=("/usr/bin/sha256sum",), stdin=everything), said.take) == 0
    assert said.text.startswith(hashlib.sha256(everything).hexdigest())


async def test_a_background_process_does_not_hold_the_end_up(sandbox: Sandbox) -> None:
    begun = time.monotonic()
    assert await bash(sandbox, "sleep 50 & echo started") == "started\n"
    assert time.monotonic() - begun < 10


async def test_memory_is_limited_and_the_kill_is_seen(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> None:
    sandbox = await sandboxes.create(make_spec(Limits(memory_mib=256, disk_mib=16, pids=64), max_result_bytes=1024 * 1024))
    assert not (await sandbox.condition()).oom_kills
    await bash(sandbox, "python3 -c 'x = bytearray(2 << 30)'", code=137)
    assert (await sandbox.condition()).oom_kills == 1


async def test_disks_are_limited_and_a_full_one_is_seen(sandbox: Sandbox) -> None:
    assert not (await sandbox.condition()).disk_full
    assert "No space left" in await bash(
        sandbox,
        "head -c 100M /dev/zero > big 2>&1 || head -c 100M /dev/zero 2>&1 > /tmp/big || true; dd if=/dev/zero of=/tmp/x bs=1M 2>&1 || true",
    )
    assert (await sandbox.condition()).disk_full


async def test_files_of_nothing_are_limited_and_seen(sandbox: Sandbox) -> None:
    """Each takes memory of the kernel's, which no size of a disk counts."""
    flood = """python3 - <<'END'
import itertools, os
for place in ("/workspace", "/tmp", "/home/agent", "/dev/shm", "/checkpoint"):
    try:
        for number in itertools.count():
            os.close(os.open(f"{place}/{number}", os.O_CREAT | os.O_WRONLY))
    except OSError as error:
        print(place, error.errno, number < 20_000 or place == "/dev/shm" and number < 30_000)
END
"""
    told = (await bash(sandbox, flood)).splitlines()
    assert told == [f"{place} 28 True" for place in ("/workspace", "/tmp", "/home/agent", "/dev/shm", "/checkpoint")]  # noqa: S108 - the sandbox's
    assert (await sandbox.condition()).disk_full


async def test_a_full_disk_can_still_be_harvested(sandbox: Sandbox, small_snapshot: Snapshot, tmp_path: Path) -> None:
    await sandbox.load(small_snapshot.tar, small_snapshot.base_sha)
    await bash(
        sandbox, "head -c 100M /dev/zero > big || true; head -c 100M /dev/zero > /tmp/x || true; head -c 100M /dev/zero > ~/x || true"
    )
    await sandbox.stop_agent()
    assert (await sandbox.harvest(small_snapshot.base_sha, tmp_path / "pack")).pack is not None


async def test_processes_are_limited(sandbox: Sandbox) -> None:
    script = 'python3 -c \'import subprocess\nfor n in range(500): print(n, flush=True); subprocess.Popen(["sleep", "60"])\''
    started = (await bash(sandbox, script, code=1)).split()
    assert 32 <= len(started) <= SMALL.pids + 16
    await sandbox.stop_agent()
    assert await bash(sandbox, "pgrep -x sleep -u 10001 || echo none") == "none\n"


async def test_a_task_may_ask_for_more_processors_than_there_are(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> None:
    sandbox = await sandboxes.create(make_spec(SMALL.model_copy(update={"cpus": 64.0})))
    assert (await bash(sandbox, "echo it runs")).strip() == "it runs"
    await sandbox.kill()


async def test_a_fork_bomb_is_held_and_removed(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> None:
    sandbox = await sandboxes.create(make_spec())
    said = Said()
    running = asyncio.create_task(sandbox.run(Program(("/bin/bash", "-s"), b"b() { b | b & }; echo go; b; sleep 60"), said.take))
    await said.spoke.wait()
    await sandbox.kill()
    assert await ended(running)
    assert not await sandboxes.leftovers()


async def test_stopping_the_agent_ends_all_it_started(sandbox: Sandbox) -> None:
    said = Said()
    script = b"trap '' TERM HUP INT; setsid sleep 1000 & (trap '' TERM; while :; do :; done) & echo up; sleep 1000"
    running = asyncio.create_task(sandbox.run(Program(("/bin/bash", "-s"), script), said.take))
    await said.spoke.wait()
    await sandbox.stop_agent()
    assert await running == 137
    assert (await bash(sandbox, "pgrep -c -x -u 10001 sleep || true")).strip() == "0"


async def test_killing_ends_a_run_at_once_and_twice_is_once(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> None:
    sandbox = await sandboxes.create(make_spec())
    said = Said()
    running = asyncio.create_task(sandbox.run(Program(("/bin/bash", "-s"), b"echo up; sleep 1000"), said.take))
    await said.spoke.wait()
    await asyncio.gather(sandbox.kill(), sandbox.kill())
    assert await ended(running)
    await sandbox.kill()
    assert not await sandboxes.leftovers()
    with pytest.raises((SandboxGone, SandboxUnavailable)):
        await sandbox.condition()


async def test_why_a_sandbox_died_is_kept(make_spec: MakeSpec, tmp_path: Path) -> None:
    words = LastWords(tmp_path / "sandboxes")
    engine = DockerEngine("unix:///var/run/docker.sock", words)
    sandboxes = DockerSandboxes(engine, deployment=f"test-{uuid.uuid4()}", runner_id="runner-1")
    sandbox = await sandboxes.create(make_spec(fence=4))
    (leftover,) = await sandboxes.leftovers()
    await engine.call(lambda api: api.kill(leftover.container_id))
    with pytest.raises(SandboxGone):
        await sandbox.condition()
    await sandbox.kill()
    assert not await sandboxes.leftovers()
    (kept,) = words.directory.iterdir()
    assert kept.name == f"{leftover.run_id}.4.log"
    assert json.loads(kept.read_text().splitlines()[0])["ExitCode"] == 137
    engine.close()


async def test_a_door_is_there_read_only(sandboxes: DockerSandboxes, make_spec: MakeSpec, tmp_path: Path) -> None:
    door = tmp_path / "door"
    door.mkdir()
    server = await asyncio.start_unix_server(lambda _, writer: (writer.write(b"hello"), writer.close())[0], door / "model.sock")
    (door / "model.sock").chmod(0o666)
    sandbox = await sandboxes.create(make_spec(door=door))
    async with server:
        heard = await bash(sandbox, f"socat -u UNIX-CONNECT:{container.DOOR}/model.sock -; touch {container.DOOR}/x || echo ' read-only'")
    assert heard == "hello read-only\n"
    assert [path.name for path in door.iterdir()] == ["model.sock"]


async def test_labels_tell_whose_a_sandbox_is(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> None:
    spec: SandboxSpec = make_spec(fence=7)
    await sandboxes.create(spec)
    (leftover,) = await sandboxes.leftovers()
    assert (leftover.runner_id, leftover.run_id, leftover.fence) == ("runner-1", spec.run_id, 7)
    await sandboxes.remove(leftover)
    await sandboxes.remove(leftover)
    assert not await sandboxes.leftovers()


async def test_a_second_sandbox_for_the_same_attempt_is_refused(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> None:
    spec: SandboxSpec = make_spec()
    await sandboxes.create(spec)
    with pytest.raises(SandboxUnavailable):
        await sandboxes.create(spec)


async def test_a_cancelled_start_leaves_nothing(sandboxes: DockerSandboxes, make_spec: MakeSpec) -> None:
    starting = asyncio.create_task(sandboxes.create(make_spec()))
    await asyncio.wait({starting}, timeout=0.1)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not await sandboxes.leftovers()


async def test_missing_things_are_said(sandboxes: DockerSandboxes, make_spec: MakeSpec, tmp_path: Path) -> None:
    with pytest.raises(ImageMissing):
        await sandboxes.create(replace(make_spec(SMALL), image="async-code/none:current"))
    engine = DockerEngine(f"unix://{tmp_path}/none.sock")
    with pytest.raises(EngineUnreachable):
        await DockerSandboxes(engine, deployment="d", runner_id="r").ready()
    engine.close()
