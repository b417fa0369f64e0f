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
        ("BUILD FAILED", "ant", "failed"),
        ("Rspack compiled with 2 errors in 495 ms", "webpack", "failed"),
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
        ("vite v5.4.0 building for production...", "vite", "started"),
        ("  VITE v5.4.0  ready in 191 ms", "vite", "finished"),
        ("9:53:41 PM [vite] hmr update /src/App.vue", "vite", "progress"),
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Collecting requests\n  Using cached requests-2.32.0-py3-none-any.whl (64 kB)\n",
            [("pip", "started")],
        ),
        ("vite v5.4.0 building for production...\n✓ built in 1s\n",
         [("vite", "started"), ("vite", "finished")]),
        ("vite v5.4.0 building for production...\n✗ Build failed in 33ms\n",
         [("vite", "started"), ("vite", "failed")]),
        ("a.ts(1,7): error TS2322: no.\n\nFound 3 errors in 2 files.\n", [("tsc", "failed")]),
        ("<i> [webpack-dev-server] running\nFailed to compile.\n", [("webpack", "failed")]),
        ("  error: subprocess-exited-with-error\n", [("pip", "failed")]),
    ],
)  # fmt: skip
def test_a_step_in_plain_words_counts_beside_a_line_that_only_its_tool_prints(
    text: str, expected: list[tuple[str, str]]
) -> None:
    """Before it or after it."""
    assert find(text).builds == expected


@pytest.mark.parametrize(
    "text",
    [
        "Processing image 3\nProcessing image 4\n",
        "Collecting garbage\n",
        "Compiled successfully\n",
        "✓ built in 3 days\n",
        "Failed to compile.\n",
        'm.py:3: error: Name "x" is not defined  [name-defined]\nFound 3 errors in 1 file\n',
        "make: *** [Makefile:2: run] Interrupt\n",
        "ninja: build stopped: interrupted by user.\n",
    ],
)
def test_a_step_in_plain_words_alone_is_none(text: str) -> None:
    assert find(text).builds == []


def test_a_step_waits_for_its_proof_a_few_lines_only() -> None:
    proof = "  Using cached requests-2.32.0-py3-none-any.whl (64 kB)\n"
    assert find("Collecting x\n" + "other\n" * 5 + proof).builds == [("pip", "started")]
    assert find("Collecting x\n" + "other\n" * 50 + proof).builds == []
