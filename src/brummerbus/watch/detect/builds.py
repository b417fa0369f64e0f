"""Build steps: make, cargo, tsc, webpack, vite and pip."""

import re

from brummerbus.watch.payloads import BuildEvent, LogLine

# The first match counts.
_RULES: tuple[tuple[str, str, str], ...] = (
    ("make", "failed", r"g?make(?:\[\d+\])?: \*\*\* .+"),
    ("make", "started", r"g?make(?:\[\d+\])?: Entering directory .+"),
    (
        "make",
        "finished",
        r"g?make(?:\[\d+\])?: (?:Leaving directory|Nothing to be done|.* is up to date).*",
    ),
    ("pip", "progress", r"\s*Downloading \S+\.(?:whl|tar\.gz|zip).*"),
    ("cargo", "started", r"\s+(?:Compiling|Checking|Documenting) \S+ v\d\S*.*"),
    ("cargo", "progress", r"\s+(?:Downloading|Downloaded|Updating|Fresh|Running|Locking) \S.*"),
    ("cargo", "finished", r"\s+Finished .*target\(s\) in .+"),
    ("cargo", "failed", r"error: (?:could not compile|build failed|aborting due to).*"),
    ("tsc", "started", r".*\bStarting (?:incremental )?compilation(?: in watch mode)?\.\.\.\s*$"),
    ("tsc", "finished", r"(?:.* - )?Found 0 errors\..*"),
    ("tsc", "failed", r"(?:.* - )?Found \d+ errors?(?:\.| in ).*"),
    ("webpack", "failed", r"webpack (?:\S+ )?compiled with \d+ errors?.*|Failed to compile\.?\s*$"),
    ("webpack", "finished", r"webpack (?:\S+ )?compiled (?:successfully|with \d+ warnings?).*"),
    ("webpack", "finished", r"Compiled (?:successfully|with warnings).*"),
    ("webpack", "progress", r"asset \S+ [\d.]+ \S+ .*\[emitted\].*"),
    ("vite", "started", r"vite v\d\S* building .*"),
    ("vite", "finished", r"\s*VITE v\d\S*\s+ready in .*|✓ built in .+"),
    (
        "vite",
        "progress",
        r"✓ \d+ modules? transformed\.|.*\[vite\] (?:hmr update|page reload|\(client\)).*",
    ),
    ("vite", "failed", r"(?:✗|x) Build failed in .+"),
    ("pip", "started", r"(?:Collecting|Processing) \S+.*"),
    ("pip", "started", r"\s*Building wheel for \S+ .*: started"),
    ("pip", "progress", r"\s*Building wheel for \S+ .*: finished with status 'done'"),
    ("pip", "failed", r"\s*Building wheel for \S+ .*: finished with status 'error'"),
    ("pip", "progress", r"Installing collected packages: .+|Requirement already satisfied: .+"),
    ("pip", "finished", r"Successfully (?:installed|built|uninstalled) \S+.*"),
    ("pip", "failed", r"error: subprocess-exited-with-error"),
    (
        "pip",
        "failed",
        r"ERROR: (?:Could not (?:find|build|install)|No matching distribution|Failed ).*",
    ),
)

_ANY = re.compile("|".join(f"(?P<r{number}>{rule[2]})" for number, rule in enumerate(_RULES)))
_HINTS = (
    "make",
    "ompil",
    "arget(s)",
    "vite",
    "VITE",
    "Build",
    "build",
    "Found ",
    "asset ",
    "transformed",
    "Success",
    "Checking",
    "Documenting",
    "Download",
    "Updating",
    "Running",
    "Collecting",
    "Processing",
    "Installing",
    "Requirement",
    "ERROR: ",
    "Locking",
    "Fresh",
    "built in",
    "aborting",
    "subprocess",
)
"""A line without any of these is skipped before the patterns are tried."""


class BuildDetector:
    """Finds build steps; each is one line, so it has no state."""

    def feed(self, line: LogLine, text: str) -> BuildEvent | None:
        """Return the step that this line reports, if any."""
        for hint in _HINTS:
            if hint in text:
                break
        else:
            return None
        match = _ANY.match(text)
        if match is None or match.lastgroup is None:
            return None
        tool, status, _ = _RULES[int(match.lastgroup[1:])]
        return BuildEvent(line.process, tool, status, text.strip(), line.time)
