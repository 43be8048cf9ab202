"""The README's section "Reproduce a DDP run", run literally: every command, and what it says."""

import pathlib
import shlex
import unittest

from run import BIN, VENV, RunTest, own_port, run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def commands(section):
    """Pairs of a command and the lines that the README shows of it."""
    text = (ROOT / "README.md").read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    found = []
    for line in text.splitlines():
        if line.startswith("    $ "):
            found.append((line[6:], []))
        elif line.startswith("    ") and found:
            found[-1][1].append(line[4:])
    return found


class ReadmeTest(RunTest):
    def test_every_command_says_what_is_shown(self):
        (self.folder / "build").mkdir()
        (self.folder / "build" / "bin").symlink_to(BIN)
        (self.folder / ".venv").symlink_to(VENV)
        (self.folder / "tests").symlink_to(ROOT / "tests")
        found = commands("Reproduce a DDP run")
        self.assertGreater(len(found), 8)
        for command, shown in found:
            with self.subTest(command=command):
                words = shlex.split(command.replace("torchrun ", f"torchrun --master-port {own_port()} "))  # its own is taken where tests run side by side
                result = run(words, cwd=self.folder)
                self.assertEqual(result.returncode, 1 if "different" in shown else 0, result.stdout + result.stderr)
                if shown:
                    # Numbers differ between kinds of processors; what is said about them does not.
                    numberless = [" ".join(word for word in line.split() if word.isalpha()) for line in shown]
                    printed = [" ".join(word for word in line.split() if word.isalpha()) for line in result.stdout.splitlines()]
                    self.assertEqual(printed, numberless)


if __name__ == "__main__":
    unittest.main(verbosity=2)
