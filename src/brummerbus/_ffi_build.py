"""The recipe of the C extension `brummerbus._cring`, for setuptools' `cffi_modules`.

`csrc/ring.h` is the one declaration: cffi reads it as it stands, the C files include it.

cffi releases the GIL around every call. For calls of 30 ns that is the whole cost: each release
invites another thread to keep the GIL for up to the 5 ms switch interval, which took p99 of
`publish` beside a computing handler from 60 us to 10 ms. The wrappers that cffi generates use
CPython's own two macros for it, and the source below is pasted between `Python.h` and the
wrappers, so redefining the macros here keeps the GIL in this module. That is undocumented:
pyproject.toml caps the cffi version, and `tests/test_gil.py` tests the behaviour itself. On PyPy
the wrappers are made differently and this is left alone.

The C code releases the GIL itself where it sleeps, through the two functions of `bb_host`.
"""

import sys
from pathlib import Path

import cffi

CSRC = Path(__file__).parents[2] / "csrc"

PLATFORM = {"win32": "platform_windows.c", "darwin": "platform_macos.c"}.get(
    sys.platform, "platform_linux.c"
)
SOURCES = [
    "registry.c",
    "life.c",
    "ring.c",
    "waiting.c",
    "publish.c",
    "worker.c",
    "stats.c",
    "meters.c",
    PLATFORM,
]

# Hidden: the C files then call each other directly, not through the table of the dynamic linker.
FLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"]

PREAMBLE = """
#include "internal.h"

#ifndef PYPY_VERSION
#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS {
#define Py_END_ALLOW_THREADS }

static void *detach(void) { return PyEval_SaveThread(); }
static void attach(void *token) { PyEval_RestoreThread(token); }
static void bind_host(void) { host = (bb_host){.detach = detach, .attach = attach}; }
#else
static void bind_host(void) {}
#endif
"""

ffi = cffi.FFI()
ffi.cdef((CSRC / "ring.h").read_text(encoding="utf-8"))
ffi.cdef("void bind_host(void); /* let sleeping calls release the GIL; once, at import */")
ffi.set_source(
    "brummerbus._cring",
    PREAMBLE,
    sources=[f"csrc/{name}" for name in SOURCES],
    include_dirs=["csrc"],
    depends=["csrc/ring.h", "csrc/internal.h", "csrc/platform.h"],
    extra_compile_args=[] if sys.platform == "win32" else FLAGS,
)
