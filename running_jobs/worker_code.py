"""What can be told of a worker's code without running it: its encoding, its syntax, whether it has the class. Pure."""

from __future__ import annotations

import ast
import io
import tokenize

from running_jobs.errors import InvalidWorker

MAX_CODE_BYTES = 1 << 20


def read_code(name: str, code: bytes) -> str:
    """Return a worker's code as text, in the encoding that it declares. Raise InvalidWorker."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(code).readline)
        return code.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        raise InvalidWorker(f"{name} is no text that can be shown: {error}", None) from None


def refuse_wrong_text(code: bytes) -> None:
    """Raise InvalidWorker for what is no UTF-8 of a bearable size, or says that it is something else."""
    if len(code) > MAX_CODE_BYTES:
        raise InvalidWorker(f"its code has {len(code)} bytes; at most {MAX_CODE_BYTES} are taken", None)
    try:
        code.decode()
    except UnicodeDecodeError as error:
        line = code.count(b"\n", 0, error.start) + 1
        raise InvalidWorker("is not UTF-8", line, error.start - code.rfind(b"\n", 0, error.start)) from None
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(code).readline)
    except SyntaxError as error:
        raise InvalidWorker(error.msg or "declares an unknown encoding") from None
    if encoding not in ("utf-8", "utf-8-sig", "ascii"):
        raise InvalidWorker(f"declares the encoding {encoding}; code is UTF-8")


def parse_worker(name: str, path: str, code: bytes) -> tuple[int, int, bool]:
    """Return the line and column of the class, 1 and 1 without one, and whether it may be a worker's.

    Raise InvalidWorker for what does not compile.
    """
    try:
        tree = ast.parse(code, path)
        compile(tree, path, "exec", dont_inherit=True)  # some errors of syntax are only found by this
    except SyntaxError as error:
        raise InvalidWorker(error.msg or "is no Python", error.lineno or 1, error.offset or 1) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise InvalidWorker(f"is no Python: {str(error) or 'too deeply nested'}") from None
    declared = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    if not declared:
        return 1, 1, False
    return declared[-1].lineno, declared[-1].col_offset + 1, bool(declared[-1].bases)
