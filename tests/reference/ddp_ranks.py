"""PyTorch DDP runs for tests that need many: LibTorch is imported once, and each run's ranks are forked from here.

    ddp_ranks.py < REQUESTS > ANSWERS

One JSON object a line. A request: {"ranks": 2, "arguments": [arguments of ddp_training.py], "stderr": FILE}; its answer:
{"status": 0}, or the first status of a rank that was not 0. The ranks find the environment that torchrun gives them; a rank that
fails takes the others with it.
"""

import json
import os
import signal
import socket
import sys
import traceback

import ddp_training
import language_models  # noqa: F401  (slow to import, and wanted by half of the runs)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def be_rank(rank, ranks, port, arguments, stderr):
    """Never returns: the run ends the process."""
    try:
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
        os.dup2(2, 1)  # what is written there would pass for an answer
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_WORLD_SIZE=str(ranks),
                          MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        sys.argv = ["ddp_training.py", *arguments]
        ddp_training.main()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


def run(ranks, arguments, stderr):
    port, status, living = free_port(), 0, set()
    for rank in range(ranks):
        child = os.fork()
        if child == 0:
            be_rank(rank, ranks, port, arguments, stderr)
        living.add(child)
    while living:
        child, ended = os.wait()
        living.discard(child)
        if ended and not status:
            status = os.waitstatus_to_exitcode(ended)
            for other in living:
                os.kill(other, signal.SIGKILL)
    return status


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps({"status": run(request["ranks"], request["arguments"], request["stderr"])}), flush=True)
