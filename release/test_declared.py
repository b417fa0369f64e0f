"""Declarations agree with the tests: classifiers, requires-python, the workflows."""

from importlib.metadata import metadata

import pytest
import yaml
from artifacts import PYTHONS, ROOT

PREFIX = "Programming Language :: Python :: "
CLASSIFIERS = metadata("brummerbus").get_all("Classifier") or []
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(workflow: str) -> dict[str, dict]:
    """Return the jobs of a workflow."""
    text = (ROOT / ".github" / "workflows" / workflow).read_text(encoding="utf-8")
    return yaml.safe_load(text)["jobs"]


def versions_of_classifiers() -> list[str]:
    """Return the versions of Python that the classifiers name."""
    names = [name.removeprefix(PREFIX) for name in CLASSIFIERS if name.startswith(PREFIX)]
    return [name for name in names if name.startswith("3.")]


def test_classifiers_name_the_versions_that_are_tested_here_and_in_ci() -> None:
    """Neither a version that is claimed and not tested, nor one that is tested and not claimed."""
    assert versions_of_classifiers() == list(PYTHONS)
    assert jobs("ci.yml")["tests"]["strategy"]["matrix"]["python"] == list(PYTHONS)


def test_the_wheel_is_tested_in_ci_on_the_oldest_and_the_newest() -> None:
    """It is built on the oldest, and one file serves all of them."""
    assert jobs("ci.yml")["installed"]["strategy"]["matrix"]["python"] == [PYTHONS[0], PYTHONS[-1]]


def test_python_is_required_from_the_oldest_classifier_on() -> None:
    """Otherwise pip would install it where nothing was tested."""
    assert metadata("brummerbus")["Requires-Python"] == f">={PYTHONS[0]}"


def test_no_classifier_claims_what_never_ran() -> None:
    """See docs/supported.md; after a run on another system, change it there and here."""
    systems = [name for name in CLASSIFIERS if name.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX :: Linux"]
    assert not [name for name in CLASSIFIERS if "Free Threading" in name]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_jobs_have_a_limit_of_time_and_no_permission_but_those_they_name(workflow) -> None:
    """A job that hangs, or an action that was replaced, does little harm."""
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        assert job["permissions"] in ({"contents": "read"}, {"id-token": "write"})
        assert "timeout-minutes" in job or "uses" in job
