"""What was measured, for people: spreads and tables. Numbers only; nothing here measures or judges."""

import statistics
import sys


class Spread:
    """The rounds of one quantity."""

    def __init__(self, values):
        self.values = list(values)

    @property
    def median(self):
        """The one in the middle."""
        return statistics.median(self.values)

    def told(self, digits=1):
        """`lowest median highest`, as three cells."""
        return [f"{value:.{digits}f}" for value in (min(self.values), self.median, max(self.values))]

    def json(self):
        """For --json."""
        return {"min": min(self.values), "median": self.median, "max": max(self.values), "rounds": self.values}


def pairs(values, base):
    """Each round divided by the same round of the base: what the machine did to both in that minute cancels out."""
    return Spread(value / other for value, other in zip(values, base, strict=True))


def table(head, rows):
    """Columns as wide as they must be: the first to the left, numbers to the right."""
    lines = [head, *rows]
    widths = [max(len(str(line[column])) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = [str(cell).ljust(width) if not n else str(cell).rjust(width) for n, (cell, width) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip())


def megabytes(count):
    """Bytes, as millions of them."""
    return f"{count / 1e6:.1f}"


def say(*words):
    """What happens meanwhile; not part of the result."""
    print(*words, file=sys.stderr, flush=True)


def shout(faults):
    """The run is worth nothing, and nobody may overlook it."""
    say("\n" + "!" * 78)
    say("INVALID: requests failed, so these numbers measure something else. Do not use them.")
    for fault in faults:
        say("  " + fault)
    say("!" * 78)
