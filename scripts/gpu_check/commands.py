"""Runs programs one after the other, each within its own time and within what is left of a limit on all of them."""

import math
import os
import shlex
import signal
import subprocess
import time
import typing

END_S = 20  # from asking a program to end until it is ended: a benchmark finishes its round


class Ended(typing.NamedTuple):
    code: int
    text: str  # what it printed
    timeout_s: float | None = None  # after which it was ended
    cut_off: bool = False  # by the limit on all of them, before its own timeout


class Commands:
    def __init__(self, folder, environment, time_limit_s):
        self.folder, self.environment = folder, environment
        self.log_file = None  # named once there is something to log
        self.deadline = time.monotonic() + (time_limit_s or math.inf)

    def left_s(self):
        return self.deadline - time.monotonic()

    def run(self, arguments, environment, timeout_s, share=1.0):
        """In at most that share of what is left. The output goes straight to the log, so that it is there even if we are killed."""
        arguments = list(map(str, arguments))
        allowed_s = max(0.0, min(timeout_s, (self.left_s() - END_S) * share))
        print("+", shlex.join(arguments), flush=True)
        with open(self.log_file, "ab", buffering=0) as log:
            log.write(f"\n$ {shlex.join(arguments)}\n".encode())
            begin, begin_s = log.tell(), time.monotonic()
            code, late = self._wait(arguments, environment, allowed_s, log)
        print(f"  exit code {code} after {time.monotonic() - begin_s:.1f} s", flush=True)
        with open(self.log_file, "rb") as log:
            log.seek(begin)
            text = log.read().decode(errors="replace")
        return Ended(code, text, allowed_s, allowed_s < timeout_s) if late else Ended(code, text)

    def _wait(self, arguments, environment, allowed_s, log):
        """The exit code, and whether it had to be ended."""
        try:
            process = subprocess.Popen(arguments, env={**self.environment, **environment}, cwd=self.folder, stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            log.write(f"{error}\n".encode())
            return 127, False
        try:
            return process.wait(None if math.isinf(allowed_s) else allowed_s), False
        except subprocess.TimeoutExpired:
            log.write(f"\nended after {allowed_s:.0f} s\n".encode())
            return end(process), True
        finally:
            if process.poll() is None:  # Ctrl-C
                end(process)


def end(process):
    """Ends a program and what it has started; mpirun and lockstep take their ranks with them."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)  # also what has outlived the program itself
    except ProcessLookupError:
        pass
    return process.wait()


def output_of(arguments, timeout_s=60, **more):
    """What a program prints, or None where it is missing or fails."""
    try:
        done = subprocess.run(list(map(str, arguments)), capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL, **more)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
