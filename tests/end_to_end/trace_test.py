"""--trace leaves a trace that viewers can read: all ranks, the steps asked for, each event inside what it belongs to."""

import json
import unittest

from run import RunTest

RANKS = 3
SLACK_US = 0.002  # times are rounded to thousandths of a microsecond


def contains(outer, inner):
    return (outer["ts"] <= inner["ts"] + SLACK_US and
            inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"] + SLACK_US)


class TraceTest(RunTest):
    def trace(self, *options):
        self.train("run", RANKS, "--model", "mlp", "--data", "synthetic", "--synthetic-samples", "192", "--batch-size", "4",
                   "--trace", *options)
        return json.loads((self.folder / "run" / "trace.json").read_text())

    def test_format(self):
        trace = self.trace("--max-steps", "12", "--bucket-cap-mb", "0.1")
        self.assertEqual(trace["otherData"]["steps"], "6 to 8")
        for event in trace["traceEvents"]:
            self.assertIn(event["ph"], ("X", "i", "M"))
            self.assertIsInstance(event["name"], str)
            self.assertIn(event["pid"], range(RANKS))
            self.assertIsInstance(event["tid"], int)
            if event["ph"] != "M":
                self.assertGreaterEqual(event["ts"], 0)
            if event["ph"] == "X":
                self.assertGreaterEqual(event["dur"], 0)
        names = {(e["pid"], e["name"]): e["args"] for e in trace["traceEvents"] if e["ph"] == "M"}
        self.assertTrue(names[(2, "process_name")]["name"].startswith("rank 2 on "))

    def test_events_lie_where_they_belong(self):
        trace = self.trace("--backend", "mpi", "--max-steps", "12", "--bucket-cap-mb", "0.1", "--trace-steps", "2")
        for rank in range(RANKS):
            events = [e for e in trace["traceEvents"] if e["pid"] == rank and e["ph"] != "M"]
            of = lambda category: [e for e in events if e["cat"] == category]  # noqa: E731
            steps = of("step")
            self.assertEqual([step["name"] for step in steps], ["step 6", "step 7"])
            for step in steps:
                parts = [part for part in of("part") if contains(step, part)]
                self.assertEqual([p["name"] for p in parts if p["name"] != "other"],
                                 ["data", "forward", "backward", "exposed_communication", "optimizer"])
                backward = next(part for part in parts if part["name"] == "backward")
                waits = [wait for wait in of("wait") if contains(backward, wait)]
                self.assertGreater(len(waits), 1)  # a cap of 100 KB makes several buckets
                for bucket in range(len(waits)):
                    line = [e for e in of("bucket") if e["tid"] == 1 + bucket and step["ts"] <= e["ts"] <= step["ts"] + step["dur"]]
                    self.assertEqual([e["name"] for e in line], ["ready", "reduction"])
                    self.assertGreater(line[1]["args"]["bytes"], 0)
                    self.assertTrue(contains(backward, line[1]))
            self.assertEqual(len(of("part")), len([p for p in of("part") if any(contains(step, p) for step in steps)]))

    def test_gradients_averaged_in_shared_memory(self):
        trace = self.trace("--backend", "shm", "--max-steps", "12", "--trace-steps", "2")
        for rank in range(RANKS):
            spans = [e for e in trace["traceEvents"] if e["pid"] == rank and e["ph"] == "X"]
            for step in (e for e in spans if e["cat"] == "step"):
                waits = [e["name"] for e in spans if e["cat"] == "wait" and contains(step, e)]
                self.assertEqual(len(waits), 1)  # all of them in one go, in the backward pass or in the update

    def test_a_short_run_is_traced_to_its_end(self):
        trace = self.trace("--max-steps", "2")
        self.assertEqual(trace["otherData"]["steps"], "1 to 2")

    def test_nothing_is_written_unasked(self):
        self.train("run", 2, "--model", "mlp", "--data", "synthetic", "--synthetic-samples", "32", "--max-steps", "2", "--batch-size", "4")
        self.assertFalse((self.folder / "run" / "trace.json").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
