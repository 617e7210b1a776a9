"""Programs that give credentials (`credential_process`) end in time: botocore itself would wait for them for ever."""

from __future__ import annotations

import subprocess
from functools import partial
from typing import Any

from botocore.exceptions import CredentialRetrievalError


class _Program(subprocess.Popen[bytes]):
    """What botocore starts, and asks once for all that it writes."""

    def __init__(self, seconds: float, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seconds = seconds

    def communicate(self, input: bytes | None = None, timeout: float | None = None) -> tuple[Any, Any]:
        try:
            return super().communicate(input, timeout or self._seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            with self:  # what it started may go on, and hold its pipes: they are not read to their end
                raise CredentialRetrievalError(
                    provider="custom-process", error_msg=f"the program did not end within {self._seconds:.0f} s"
                ) from error


def bound_programs(session: Any, seconds: float) -> None:
    """Let botocore's session give up a program that takes longer. It has no setting for that, and no public way."""
    popen = partial(_Program, seconds)
    providers = session.get_component("credential_provider")
    providers.get_provider("custom-process")._popen = popen
    builder = providers.get_provider("assume-role")._profile_provider_builder  # of the profile whose role is taken
    make = builder._create_process_provider

    def made(profile_name: str) -> Any:
        provider = make(profile_name)
        provider._popen = popen
        return provider

    builder._create_process_provider = made
