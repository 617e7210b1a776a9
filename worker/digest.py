"""What a file is known by, whatever its name: the SHA-256 of its bytes."""

from __future__ import annotations

import hashlib
from typing import BinaryIO


def sha256_of(file: BinaryIO) -> str:
    """Of a whole file, in hexadecimal; the file stands at its beginning afterwards."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
    file.seek(0)
    return digest.hexdigest()
