"""What a relay says of its failures: to `on_error`, or to the logger, and not the same again."""

import logging
from collections.abc import Callable

from brummerbus._core.log import log
from brummerbus._errors import BusError

OnError = Callable[[BusError], object]


class RelayError(BusError):
    """Something that a relay could not do, and goes on after.

    Attributes:
        event_type: The type of the event that it is about, or None.
    """

    def __init__(self, message: str, event_type: str | None = None) -> None:
        super().__init__(message)
        self.event_type = event_type


class Reporter:
    """Reports failures of one relay. From any thread; never raises.

    A failure that lasts is reported when it begins, and when it changes; `over` says that it ended.
    """

    def __init__(self, name: str, on_error: OnError | None) -> None:
        self._name = name
        self._on_error = on_error
        self._last: dict[str, str] = {}

    def once(self, subject: str, error: BusError) -> None:
        """Report a failure, unless it is the one that was reported last of that subject."""
        text = str(error)
        if self._last.get(subject) != text:
            self._last[subject] = text
            self.error(error)

    def over(self, subject: str) -> bool:
        """Note that what was reported of a subject is over; return whether anything was."""
        return self._last.pop(subject, None) is not None

    def error(self, error: BusError) -> None:
        """Report a failure."""
        if self._on_error is None:
            log(logging.ERROR, "%s: %s", self._name, error)
            return
        try:
            self._on_error(error)
        except Exception as raised:
            log(logging.ERROR, "%s: on_error raised", self._name, exc_info=raised)

    def log(self, level: int, message: str, *arguments: object) -> None:
        """Log what is no failure."""
        log(level, "%s: " + message, self._name, *arguments)

    def bug(self, what: str, error: BaseException, subject: str = "") -> None:
        """Log an exception that nothing expected, with its traceback; of a subject as `once`."""
        text = f"{what}: {error!r}"
        if subject and self._last.get(subject) == text:
            return
        if subject:
            self._last[subject] = text
        log(logging.ERROR, "%s: %s failed unexpectedly", self._name, what, exc_info=error)
