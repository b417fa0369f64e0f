"""Builds the C extension `brummerbus._core._ext`, for setuptools' `cffi_modules`.

`csrc/queue/stats.h`, `queue.h` and `items.h` are the only declarations: cffi reads them, the C
files include them. cffi cannot bind functions that take Python objects, that is, the hot path:
`csrc/python/` adds them to the same module.

cffi releases the GIL around every call, and after each release another thread may keep it for up
to the 5 ms switch interval. The wrappers that cffi generates use CPython's own two macros for it,
and the source below is inserted between `Python.h` and the wrappers, so redefining the macros here
keeps the GIL in this module. That is undocumented: pyproject.toml caps the cffi version, and
`tests/test_gil.py` tests the behaviour itself. The C code releases the GIL itself where it sleeps.
"""

import sys
from pathlib import Path

import cffi

if sys.implementation.name != "cpython":
    sys.exit("brummerbus needs CPython: its hot path is written against CPython's C API")

CSRC = Path(__file__).parents[3] / "csrc"
QUEUE = CSRC / "queue"
PYTHON = CSRC / "python"

PLATFORM = {"win32": "platform_windows.c", "darwin": "platform_macos.c"}.get(
    sys.platform, "platform_linux.c"
)
SOURCES = [
    *(path for path in QUEUE.glob("*.c") if not path.name.startswith("platform_")),
    QUEUE / PLATFORM,
    *PYTHON.glob("*.c"),
]
HEADERS = [*QUEUE.glob("*.h"), *PYTHON.glob("*.h")]

# Hidden: the C files then call each other directly, not through the dynamic linker's table.
FLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-fvisibility=hidden", "-DNDEBUG"]

PREAMBLE = """
#define PyInit__ext cffi_init_ext /* csrc/python/module.c has the one that Python calls */

#include "queue/api.h"

#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }
"""

ffi = cffi.FFI()
for header in ("stats.h", "queue.h", "items.h"):
    ffi.cdef((QUEUE / header).read_text(encoding="utf-8"))
ffi.set_source(
    "brummerbus._core._ext",
    PREAMBLE,
    sources=sorted(path.relative_to(CSRC.parent).as_posix() for path in SOURCES),
    include_dirs=["csrc"],
    depends=sorted(path.relative_to(CSRC.parent).as_posix() for path in HEADERS),
    extra_compile_args=[] if sys.platform == "win32" else FLAGS,
)
