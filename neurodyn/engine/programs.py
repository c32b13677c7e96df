"""Compiled programs are kept, and used again for the same source.

A program is named by a digest of all that it was made from: each generated file, the
compiler's version and the processor. So it is never used for another source. Values of
parameters, images and weights are no part of a program: it reads them when it runs.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from neurodyn import compiled, files

PROGRAM = "main"
MOST = 200  # programs kept, of 0.1 to 2 MB
# Environment variables that change what a compiler makes of the same source.
SEARCHED = ("CPATH", "CPLUS_INCLUDE_PATH", "LIBRARY_PATH")


def build(folder: Path, make: Callable[[], None]) -> None:
    """Put the program of a folder's source into it: compile it with `make`, or copy it.

    Whatever hinders the keeping of programs, such as a full disk, hinders no simulation.
    """
    kept = None
    with suppress(OSError, subprocess.SubprocessError):
        kept = compiled.folder("programs") / digest(folder)
        shutil.copy2(kept, folder / PROGRAM)
        os.utime(kept)  # used now
        return
    make()
    if kept is not None:
        with suppress(OSError):
            _keep(folder / PROGRAM, kept)


def digest(folder: Path) -> str:
    """Return the name of the program that would be compiled from a folder's source."""
    makefile = (folder / "makefile").read_text()
    compilers = [os.environ.get("CXX", "").split() or ["g++"]]
    if nvcc := re.search(r"^NVCC\s*=\s*@?(\S+)", makefile, re.MULTILINE):
        compilers.append([nvcc[1]])
    parts = [compiled.version(compiler) for compiler in compilers]
    parts += [f"{name}={os.environ.get(name)}" for name in (*SEARCHED, "CXX")]
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".cpp", ".cu", ".h") or path.name == "makefile":
            text = path.read_text().replace(str(folder), ".")
            parts += [str(path.relative_to(folder)), text]
    return compiled.digest(*parts)


def _keep(program: Path, kept: Path) -> None:
    """Copy a program to where it is kept, and remove those that were not used longest."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = files.part_of(kept)
    try:
        shutil.copy2(program, part)
        part.replace(kept)
    finally:
        part.unlink(missing_ok=True)
    others = sorted(kept.parent.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in others[:-MOST]:
        path.unlink(missing_ok=True)
