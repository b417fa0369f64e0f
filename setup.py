"""What pyproject.toml cannot say: the C extension, its stable-ABI tag, and a clear build error."""

import re
import sys
import sysconfig
from typing import Any

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError, ExecError, PlatformError

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))  # has no stable ABI


class BuildExt(build_ext):
    """Names the extension so that every Python finds it, and says what a failed build lacks."""

    def get_ext_filename(self, fullname: str) -> str:
        """Return the path of an extension, with the suffix that all Pythons of the wheel look for.

        CPython 3.15 prefers `.abi3-x86_64-linux-gnu.so`, which 3.10 to 3.13 do not know.
        """
        return re.sub(r"\.abi3-[^.]+\.so$", ".abi3.so", super().get_ext_filename(fullname))

    def build_extension(self, ext: Any) -> None:
        """Compile one extension, or say in one sentence what has to be installed for it."""
        try:
            super().build_extension(ext)
        except (CCompilerError, ExecError, PlatformError) as error:
            sys.exit(
                f"brummerbus could not compile its C core ({error}): install a C11 compiler and "
                "the Python headers (Debian: gcc python3-dev; Fedora: gcc python3-devel; "
                "macOS: xcode-select --install; Windows: the Visual Studio Build Tools)."
            )


class BdistWheel(bdist_wheel):
    """One wheel serves every CPython from 3.10 on."""

    def finalize_options(self) -> None:
        """Set the oldest Python that the wheel serves."""
        if not FREE_THREADED and sys.implementation.name == "cpython":
            self.py_limited_api = "cp310"
        super().finalize_options()


setup(
    cffi_modules=["src/brummerbus/_core/_ffi_build.py:ffi"],
    cmdclass={"build_ext": BuildExt, "bdist_wheel": BdistWheel},
)
