"""Reading what `lockstep bench step --json` wrote, and rows of text in columns."""


def median_steps(entry):
    """The contenders of each of a step bench's workloads, by name."""
    if entry["result"]["benchmark"] != "step":
        return []
    return [{one["contender"]: one for one in workload["contenders"]} for workload in entry["result"]["workloads"]]


def ratio(found, of, over):
    """The time of a contender over that of another, or None where one was not measured."""
    if of not in found or over not in found:
        return None
    return found[of]["step_ms"]["median"] / found[over]["step_ms"]["median"]


def format_rows(columns, rows):
    rows = [columns, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
