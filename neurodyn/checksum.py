"""The SHA-256 checksum in the metadata of a safetensors file, over the rest of the file."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

SHA256 = "sha256"


class Mismatch(ValueError):
    """The content of a file does not match its checksum."""


def header(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the header of a valid safetensors file, and the bytes of its arrays.

    See https://github.com/huggingface/safetensors#format.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), memoryview(content)[end:]


def of_safetensors(content: bytes) -> str:
    """Return the checksum of a valid file, whether or not its metadata hold one."""
    described, arrays = header(content)
    (described.get("__metadata__") or {}).pop(SHA256, None)
    digest = sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(arrays)
    return digest.hexdigest()


def metadata_of(path: Path, content: bytes) -> dict[str, str]:
    """Return the metadata of a valid file.

    Raises
    ------
    Mismatch
        If they hold a checksum that the content does not match.
    """
    described = header(content)[0].get("__metadata__") or {}
    check(path, described.get(SHA256), lambda: of_safetensors(content))
    return described


def check(path: Path, noted: str | None, computed: Callable[[], str]) -> None:
    """Raise Mismatch if a checksum was noted for the file and is not the computed one."""
    if noted is not None and noted != computed():
        raise Mismatch(
            f"{path} is damaged, or of another version: its content does not match its "
            "checksum; train anew (`fastpath train --overwrite`)"
        )
