"""A labgrid strategy: flashes a place's board, runs the payload on it, and has `cargo xtask` judge what its console said.

Console and power stay labgrid's, whatever drivers the environment has for them: `cargo xtask run` reaches both by a bridge on
this machine. So one side owns the place, and the other one captures, keeps its deadlines and judges as on any board.
"""

from __future__ import annotations

import enum
import json
import os
import select
import shlex
import socket
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import attr
import pexpect
from labgrid.factory import target_factory
from labgrid.step import step
from labgrid.strategy import Strategy, StrategyError

REPOSITORY = Path(__file__).resolve().parents[2]
SWITCH = Path(__file__).with_name("switch.py")
# A console is asked for so many bytes, and for so long. Its write side waits as long, too.
MOST_BYTES, TURN_SECONDS = 4096, 0.02
# Exit status of `cargo xtask`: 0 pass, 1 fail, 3 lost. With all others there is no report.
JUDGED = (0, 1, 3)


class Status(enum.Enum):
    unknown = 0
    off = 1
    flashed = 2
    judged = 3


@target_factory.reg_driver
@attr.s(eq=False)
class InflightStrategy(Strategy):
    """Brings the board from `off` over `flashed` to `judged`; afterwards it is off again.

    Args:
        site (str): the board's file, as for `cargo xtask run --board`, without [serial] and [power]: they are labgrid's
        payload (str): what the payload is told, as `--scenario adopt,reset --cycles 10`
        flash (str): more for `cargo xtask flash`, as `--to /srv/esp`
        report (str): folder of the report
    """

    bindings = {"console": "ConsoleProtocol", "power": "PowerProtocol"}

    site = attr.ib(validator=attr.validators.instance_of(str))
    payload = attr.ib(default="", validator=attr.validators.instance_of(str))
    flash = attr.ib(default="", validator=attr.validators.instance_of(str))
    report = attr.ib(default="report", validator=attr.validators.instance_of(str))
    status = attr.ib(default=Status.unknown)
    # The exit status of `cargo xtask run`, and the end of what it said.
    exit_status = attr.ib(default=None, init=False)
    said = attr.ib(default="", init=False)

    @step(args=["status"])
    def transition(self, status: Status | str, *, step) -> None:
        status = Status[status] if isinstance(status, str) else status
        if status is self.status:
            step.skip("nothing to do")
            return
        if status is Status.off:
            self._switch(False)
        elif status is Status.flashed:
            self.transition(Status.off)
            self._flash()
        elif status is Status.judged:
            self.transition(Status.flashed)
            self._run()
        else:
            raise StrategyError(f"no transition to {status.name}")
        self.status = status

    def force(self, status: Status | str) -> None:
        self.status = Status[status] if isinstance(status, str) else status

    def _switch(self, on: bool) -> None:
        self.target.activate(self.power)
        (self.power.on if on else self.power.off)()

    def _flash(self) -> None:
        site = Path(self.site)
        # Where nothing stays on the board, each run brings the image itself.
        if tomllib.loads(site.read_text()).get("flash", {}).get("way") in ("netboot", "uboot"):
            return
        done = self._tool("flash", "--board", str(site.resolve()), *shlex.split(self.flash), *shlex.split(self.payload))
        output, _ = done.communicate()
        if done.returncode:
            raise StrategyError(f"flash: {last_line(output)}")

    def _run(self) -> None:
        folder = Path(self.report).resolve()
        self.target.activate(self.console)
        try:
            with tempfile.TemporaryDirectory(prefix="inflight-") as private, Bridge(self, Path(private)) as bridge:
                site = Path(private, "site.toml")
                site.write_text(Path(self.site).read_text() + bridge.sections())
                arguments = ["run", "--board", str(site), "--report", str(folder), *shlex.split(self.payload)]
                run = self._tool(*arguments, output=Path(private, "said"))
                try:
                    bridge.serve(run)
                finally:
                    run.kill()
                    run.wait()
                    self.said = Path(private, "said").read_text(errors="replace")
                self.exit_status = run.returncode
        except BridgeError as error:
            # What came until then is judged, and is lost: the fleet's matrix shows this board, too.
            self._tool("report", str(folder / "console.log")).communicate()
            raise StrategyError(str(error)) from error
        finally:
            self._switch(False)
            self.target.deactivate(self.console)
        if self.exit_status not in JUDGED:
            raise StrategyError(f"run: {last_line(self.said)}")

    def _tool(self, *arguments: str, output: Path | None = None) -> subprocess.Popen[str]:
        """Starts `cargo xtask`, or the program that LG_INFLIGHT names, in the checkout: an alias is found there only."""
        words = shlex.split(os.environ.get("LG_INFLIGHT", "cargo xtask"))
        streams = {"stdout": output.open("w") if output else subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen([*words, *arguments], cwd=REPOSITORY, stdin=subprocess.DEVNULL, text=True, **streams)


class BridgeError(Exception):
    """What labgrid's driver said when it failed."""


class Bridge:
    """Console and power of a target for another program, while that one runs.

    The console is a TCP port of loopback, the power a command that calls back. All of it is one loop of one thread:
    labgrid's steps nest, and belong to one thread.
    """

    def __init__(self, strategy: InflightStrategy, private: Path) -> None:
        self.strategy = strategy
        self.line = socket.create_server(("127.0.0.1", 0))
        # In a folder that is this user's only.
        self.path = private / "power"
        self.switch = socket.socket(socket.AF_UNIX)
        self.switch.bind(str(self.path))
        self.switch.listen()
        self.reader: socket.socket | None = None

    def __enter__(self) -> Bridge:
        return self

    def __exit__(self, *_: object) -> None:
        for held in (self.reader, self.line, self.switch):
            if held:
                held.close()

    def sections(self) -> str:
        """The two sections of a board's file that lead here. JSON's strings are TOML's."""
        words = {word: [sys.executable, str(SWITCH), str(self.path), word] for word in ("on", "off")}
        power = ", ".join(f"{word} = {json.dumps(command)}" for word, command in words.items())
        return f'\n[serial]\ntcp = "127.0.0.1:{self.line.getsockname()[1]}"\n[power]\ncommand = {{ {power} }}\n'

    def serve(self, program: subprocess.Popen[str]) -> None:
        """Passes on what either side says, until the program has ended."""
        while program.poll() is None:
            waiting = [held for held in (self.line, self.switch, self.reader) if held]
            for ready in select.select(waiting, [], [], 0)[0]:
                if ready is self.switch:
                    self._answer()
                elif ready is self.line:
                    self.reader = self.line.accept()[0]
                else:
                    self._to_board()
            self._from_board()

    def _answer(self) -> None:
        caller = self.switch.accept()[0]
        with caller:
            word = caller.recv(16).decode()
            try:
                self.strategy._switch(word == "on")
            except Exception as error:  # whatever the driver has, the one who called is to say it
                caller.sendall(f"power {word}: {error}".encode())

    def _to_board(self) -> None:
        data = self.reader.recv(MOST_BYTES)
        if data:
            self.strategy.console.write(data)
        else:
            self.reader.close()
            self.reader = None

    def _from_board(self) -> None:
        try:
            data = self.strategy.console.read(size=MOST_BYTES, timeout=TURN_SECONDS)
        except pexpect.TIMEOUT:
            return
        except Exception as error:  # a line that is cut: each driver has an exception of its own
            raise BridgeError(f"console: {error}") from error
        if self.reader:
            try:
                self.reader.sendall(data)
            except OSError:
                # It has ended, or opens the line again.
                self.reader.close()
                self.reader = None


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
