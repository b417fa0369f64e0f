"""Build steps in lines."""

import pytest

from .helpers import find


@pytest.mark.parametrize(
    ("line", "tool", "status"),
    [
        ("make: Entering directory '/app'", "make", "started"),
        ("make[1]: Leaving directory '/app/sub'", "make", "finished"),
        ("make: Nothing to be done for 'all'.", "make", "finished"),
        ("make: 'done' is up to date.", "make", "finished"),
        ("make: *** [Makefile:2: all] Error 1", "make", "failed"),
        ("make: *** No rule to make target 'nope'.  Stop.", "make", "failed"),
        ("   Compiling app v0.1.0 (/app)", "cargo", "started"),
        ("    Checking serde v1.0.200", "cargo", "started"),
        ("  Downloading crates ...", "cargo", "progress"),
        ("     Running unittests src/main.rs (target/debug/deps/cr-3b)", "cargo", "progress"),
        (
            "    Finished `dev` profile [unoptimized + debuginfo] target(s) in 0.60s",
            "cargo",
            "finished",
        ),
        ("    Finished dev [unoptimized + debuginfo] target(s) in 0.60s", "cargo", "finished"),
        ('error: could not compile `cr` (bin "cr") due to 1 previous error', "cargo", "failed"),
        ("09:53:41 PM - Starting compilation in watch mode...", "tsc", "started"),
        (
            "[9:53:41 PM] File change detected. Starting incremental compilation...",
            "tsc",
            "started",
        ),
        ("09:53:42 PM - Found 0 errors. Watching for file changes.", "tsc", "finished"),
        ("09:53:42 PM - Found 2 errors. Watching for file changes.", "tsc", "failed"),
        ("Found 1 error in src/m.ts:1", "tsc", "failed"),
        ("asset main.js 2.04 KiB [emitted] (name: main)", "webpack", "progress"),
        ("webpack 5.112.2 compiled successfully in 77 ms", "webpack", "finished"),
        ("webpack 5.112.2 compiled with 2 warnings in 80 ms", "webpack", "finished"),
        ("webpack 5.112.2 compiled with 1 error in 113 ms", "webpack", "failed"),
        ("Failed to compile.", "webpack", "failed"),
        ("vite v5.4.0 building for production...", "vite", "started"),
        ("✓ 34 modules transformed.", "vite", "progress"),
        ("✓ built in 1.02s", "vite", "finished"),
        ("  VITE v5.4.0  ready in 191 ms", "vite", "finished"),
        ("9:53:41 PM [vite] hmr update /src/App.vue", "vite", "progress"),
        ("✗ Build failed in 33ms", "vite", "failed"),
        ("Collecting requests", "pip", "started"),
        ("  Downloading requests-2.32.0-py3-none-any.whl (64 kB)", "pip", "progress"),
        ("  Building wheel for sdemo (pyproject.toml): started", "pip", "started"),
        (
            "  Building wheel for sdemo (pyproject.toml): finished with status 'done'",
            "pip",
            "progress",
        ),
        (
            "  Building wheel for sdemo (pyproject.toml): finished with status 'error'",
            "pip",
            "failed",
        ),
        ("Requirement already satisfied: requests in ./lib", "pip", "progress"),
        ("Successfully installed requests-2.32.0 urllib3-2.2.0", "pip", "finished"),
        ("ERROR: No matching distribution found for nonexistent", "pip", "failed"),
        ("error: subprocess-exited-with-error", "pip", "failed"),
    ],
)
def test_a_build_step_is_found(line: str, tool: str, status: str) -> None:
    assert find(f"before\n{line}\nafter\n").builds == [(tool, status)]


@pytest.mark.parametrize(
    "line",
    [
        "I make: cookies",
        "Compiling 'lib/app.py'...",
        "Found 3 files",
        "Running tests",
        "webpack is a bundler",
        "Successfully",
        "an invite v1 building",
    ],
)
def test_a_line_that_only_resembles_a_step_is_none(line: str) -> None:
    assert find(f"{line}\n").builds == []
