"""Leaves with 1, naming the first damage, if a wheel of this virtual environment is not all there.

Compares every installed file's size with what its wheel recorded. An interrupted pip leaves files that are missing or
cut short, which pip itself takes for installed.
"""

import importlib.metadata
import os
import sys


def damage():
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if distribution.files is None:
            return f"{name}: no record of its files"
        for file in distribution.files:
            if file.size is None:
                continue
            try:
                size = os.stat(file.locate()).st_size
            except OSError as error:
                return f"{name}: {error}"
            if size != file.size:
                return f"{name}: {file} has {size} bytes instead of {file.size}"
    return None


if __name__ == "__main__":
    found = damage()
    if found:
        sys.exit(f"damaged wheel: {found}")
