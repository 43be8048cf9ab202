"""What was found: written to files after each part, so that a check that is killed leaves what it had."""

import json
import os
import pathlib
import re

from gpu_check import mfu
from gpu_check.bars import bars_of, format_bars
from gpu_check.refused import Refused
from gpu_check.tables import format_rows, median_steps, ratio


class Results:
    def __init__(self, folder, gpus, command):
        name, driver = gpus[0]
        self.stem = folder / re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        self.report = {"gpu": name, "gpus": len(gpus), "driver": driver, "command": command, "versions": {}, "tests": {},
                       "left_out": [], "benches": [], "bars": []}

    def file(self, ending):
        return pathlib.Path(f"{self.stem}.{ending}")

    def take_over(self, parts):
        """What an earlier check of the same build on this GPU found in parts other than these."""
        if not self.file("json").exists():
            return
        try:
            earlier = json.loads(self.file("json").read_text())
            commits = {report["versions"]["commit"] for report in (earlier, self.report)}
            same_card = all(earlier[key] == self.report[key] for key in ("gpu", "driver"))
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(f"{self.file('json')} is none of this script's results ({error!r}); move it away, or leave --only out") from error
        # Of sources that were changed since a commit nobody knows whether they are the same.
        if len(commits) > 1 or not same_card or commits.pop().endswith(("-dirty", "unknown")):
            return
        self.report["versions"] = earlier["versions"] | self.report["versions"]
        self.report["tests"] = {title: tests for title, tests in earlier["tests"].items() if tests["part"] not in parts}
        for key in ("left_out", "benches"):
            self.report[key] = [entry for entry in earlier[key] if entry["part"] not in parts]

    def add_test(self, part, title, name, passed):
        tests = self.report["tests"].setdefault(title, {"part": part, "passed": 0, "failed": 0, "failures": []})
        tests["passed" if passed else "failed"] += 1
        if not passed:
            tests["failures"].append(name)

    def add_bench(self, entry):
        self.report["benches"].append(entry)
        if entry["result"]:
            self.report["versions"] |= entry["result"]["versions"]

    def leave_out(self, part, what):
        self.report["left_out"].append({"part": part, "what": what})
        print(f"left out: {what}", flush=True)

    def ok(self):
        """No test and no benchmark at all is no proof."""
        tests, benches = self.report["tests"].values(), self.report["benches"]
        return bool(tests or benches) and not any(one["failed"] for one in tests) and all(one["ok"] for one in benches)

    def write(self):
        self.report["bars"] = bars_of(self.report["benches"])
        for ending, text in (("json", json.dumps(self.report, indent=2) + "\n"), ("txt", self.table())):
            unfinished = self.file(f"{ending}.part")
            unfinished.write_text(text)
            os.replace(unfinished, self.file(ending))

    def table(self):
        report = self.report
        lines = [f"# {report['gpu']}, driver {report['driver']}, {report['gpus']} here", f"# {report['command']}"]
        lines += [f"# {key} {value}" for key, value in report["versions"].items()]
        for title, tests in report["tests"].items():
            failures = f" ({', '.join(tests['failures'])})" if tests["failures"] else ""
            lines.append(f"{title}: {tests['passed']} passed, {tests['failed']} failed{failures}")
        if report["left_out"]:
            lines += ["", *(f"left out: {entry['what']}" for entry in report["left_out"])]
        measured = [entry for entry in report["benches"] if entry["result"]]
        for columns, rows in ((STEP_COLUMNS, rows_of_steps(measured)), (REDUCE_COLUMNS, rows_of_reductions(measured))):
            if rows:
                lines += ["", *format_rows(columns, rows)]
        lines += ["", *mfu.lines(report["gpu"], measured)]
        lines += ["", *format_bars(report["bars"])]
        lines += [f"failed: {entry['name']}: exit code {entry['exit_code']}: {entry['error']}" for entry in report["benches"] if not entry["ok"]]
        return "\n".join(lines) + "\n"


STEP_COLUMNS = ["training step", "ours", "time", "throughput", "local / this", "PyTorch eager / this", "compiled / this", "share of peak"]
REDUCE_COLUMNS = ["all-reduce", "bytes", "time", "busbw GB/s", "wrong"]


def rows_of_steps(entries):
    """A row for each contender of ours."""
    rows = []
    for entry in entries:
        for found in median_steps(entry):
            rows += [row_of_step(entry["name"], ours, found) for ours in ("local", "averaged", "captured") if ours in found]
    return rows


def row_of_step(name, ours, found):
    def over(theirs):
        value = ratio(found, theirs, ours)
        return "-" if value is None else f"{value:.3f}"

    one = found[ours]
    rate = f"{one['tokens_per_s']:.0f} tokens/s" if "tokens_per_s" in one else f"{one['samples_per_s']:.1f} samples/s"
    share = "-" if one.get("peak_share") is None else f"{100 * one['peak_share']:.1f} %"
    return [name, ours, f"{one['step_ms']['median']:.3f} ms", rate, "-" if ours == "local" else over("local"),
            over("pytorch local" if ours == "local" else "pytorch ddp"), over("pytorch compiled"), share]


def rows_of_reductions(entries):
    return [[entry["name"], str(row["size_bytes"]), f"{row['time_us']['median']:.1f} us", f"{row['busbw_gb_per_s']:.2f}",
             str(row.get("wrong", "-"))]
            for entry in entries if entry["result"]["benchmark"] == "all-reduce" for row in entry["result"]["rows"]]
