"""The core of the bus: private, and subject to change."""

from brummerbus._core._ext import check_interpreter

check_interpreter()
