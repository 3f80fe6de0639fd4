"""Reading the files that an operator names."""

import sys
from pathlib import Path

from infra.cli.errors import CommandError


def read_text(file: str) -> str:
    """The text of a file; `-` is standard input.

    Raises:
        CommandError: it cannot be read, or is not UTF-8.
    """
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror or error}: name a file that can be read") from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: is not UTF-8 at byte {error.start}: save it as UTF-8") from None
