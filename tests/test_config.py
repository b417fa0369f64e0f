"""A configuration is validated on construction, immutable, and sized for its environment."""

import copy
import inspect
import json
import pickle
from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brummerbus import _config as config_module
from brummerbus._config import EventBusConfig
from brummerbus._events import EventType
from brummerbus._policies import BackpressurePolicy
from brummerbus._priorities import DEFAULT_PRIORITIES
from brummerbus.sizing import _formulas


class Job:
    """An event class of a program's own."""


class TestDefaults:
    """The settings of a bus without any."""

    def test_the_fields_have_the_defaults_of_the_contract(self) -> None:
        """Three levels, drop-oldest, a tenth of a second, a reserve, monitoring on."""
        made = EventBusConfig()
        assert made.priority_levels == 3
        assert made.policy is BackpressurePolicy.DROP_OLDEST
        assert made.publish_timeout == 0.1
        assert made.handler_reserve == 4096
        assert made.starvation_after is None
        assert made.shutdown_timeout == 5.0
        assert made.monitoring is True

    def test_the_size_follows_the_formula(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Workers by cores, queue by workers; None stands for both."""
        monkeypatch.setattr(_formulas, "available_cores", lambda: 6)
        for made in (
            EventBusConfig(),
            EventBusConfig.default(),
            EventBusConfig(workers=None, queue_size=None),  # type: ignore[arg-type]
        ):
            assert (made.workers, made.queue_size) == (15, 150)

    def test_the_queue_follows_workers_that_are_given(self) -> None:
        """Ten slots each."""
        assert EventBusConfig(workers=7).queue_size == 70

    @pytest.mark.parametrize(
        ("event_type", "priority"),
        [
            ("process.started", 3),
            ("process.exited", 3),
            ("log.line", 1),
            ("error.detected", 3),
            ("build.event", 2),
            ("test.failed", 3),
            ("test.passed", 2),
            ("mcp.activity", 1),
            ("mcp.connected", 3),
            ("mcp.disconnected", 3),
        ],
    )
    def test_each_event_type_has_the_studys_priority(self, event_type: str, priority: int) -> None:
        """The ten rows of the table."""
        assert EventBusConfig().priorities[event_type] == priority

    def test_the_table_has_the_ten_types_and_no_other(self) -> None:
        """Other types are medium, which is left to routing."""
        assert set(DEFAULT_PRIORITIES) == {kind.value for kind in EventType}


class TestForEnvironment:
    """`for_environment` applies CI, low memory and high performance."""

    @staticmethod
    def made(
        monkeypatch: pytest.MonkeyPatch,
        cores: int,
        *,
        ci: bool = False,
        low: bool = False,
        high: bool = False,
    ) -> tuple[int, int]:
        """Return workers and queue size for an environment."""
        for module in (config_module, _formulas):
            monkeypatch.setattr(module, "available_cores", lambda: cores)
        monkeypatch.setattr(config_module, "is_ci", lambda: ci)
        monkeypatch.setattr(config_module, "is_low_memory", lambda: low)
        monkeypatch.setattr(config_module, "is_high_performance", lambda: high)
        made = EventBusConfig.for_environment()
        return made.workers, made.queue_size

    def test_ci_has_four_workers_and_twenty_places(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """At most 4 workers, queue x 5."""
        assert self.made(monkeypatch, 16, ci=True) == (4, 20)

    def test_low_memory_has_two_workers_and_ten_places(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At most 2 workers, queue x 5."""
        assert self.made(monkeypatch, 16, low=True) == (2, 10)

    def test_high_performance_has_four_workers_a_core_and_twenty_places_each(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """min(cores x 4, 32) workers, queue x 20."""
        assert self.made(monkeypatch, 8, high=True) == (32, 640)
        assert self.made(monkeypatch, 64, high=True) == (32, 640)

    def test_low_memory_outranks_ci_outranks_high_performance(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The scarcer resource decides."""
        assert self.made(monkeypatch, 16, low=True, ci=True, high=True) == (2, 10)
        assert self.made(monkeypatch, 16, ci=True, high=True) == (4, 20)

    def test_elsewhere_it_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In size and everything else."""
        assert self.made(monkeypatch, 6) == (15, 150)
        assert EventBusConfig.for_environment() == EventBusConfig.default()


NOT_INTS: list[Any] = [True, False, 1.0, float("nan"), "4", "", b"", [], object]
INT_RANGES = {"workers": (1, 1024), "queue_size": (1, 16_777_216), "priority_levels": (1, 8)}
TIME_FIELDS = ["publish_timeout", "starvation_after", "shutdown_timeout"]


class TestBadValues:
    """Every bad value is a `ValueError` that names the field, the value and the range."""

    @pytest.mark.parametrize("name", INT_RANGES)
    @pytest.mark.parametrize(
        "value", [*NOT_INTS, 0, -1, 2**63, pytest.param(10**9999, id="very long"), float("inf")]
    )
    def test_an_int_out_of_range_or_no_int_at_all_is_refused(self, name: str, value: Any) -> None:
        """Wrong types included."""
        low, high = INT_RANGES[name]
        with pytest.raises(ValueError, match=rf"^{name} must be an int from {low} to {high}, got "):
            EventBusConfig(**{name: value})

    @pytest.mark.parametrize("name", INT_RANGES)
    def test_both_ends_of_a_range_are_accepted_and_the_next_refused(self, name: str) -> None:
        """The range in the message is the one that applies."""
        low, high = INT_RANGES[name]
        for value in (low, high):
            assert getattr(EventBusConfig(**{name: value}), name) == value  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=rf"{name} .* got {high + 1}"):
            EventBusConfig(**{name: high + 1})  # type: ignore[arg-type]

    def test_priority_levels_cannot_be_none(self) -> None:
        """Only the sizes have a formula."""
        with pytest.raises(ValueError, match=r"priority_levels .* got None"):
            EventBusConfig(priority_levels=None)  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", TIME_FIELDS)
    @pytest.mark.parametrize(
        "value",
        [-1, -0.001, float("nan"), float("inf"), 2**63, 10**400, True, False, "1", "", 1j, [0.1]],
    )
    def test_a_time_that_is_none_is_refused(self, name: str, value: Any) -> None:
        """Negative, infinite, not a number, or something else."""
        with pytest.raises(ValueError, match=rf"^{name} must be .*seconds from .* to 1e\+09, got "):
            EventBusConfig(**{name: value})

    @pytest.mark.parametrize("name", ["publish_timeout", "shutdown_timeout"])
    def test_zero_seconds_are_accepted(self, name: str) -> None:
        """0 means not to wait."""
        assert getattr(EventBusConfig(**{name: 0}), name) == 0.0  # type: ignore[arg-type]

    def test_a_publisher_cannot_be_given_no_limit_but_a_shutdown_can(self) -> None:
        """Publishing without a limit is the policy BLOCK; a drain may have no limit."""
        with pytest.raises(ValueError, match=r"publish_timeout .* got None"):
            EventBusConfig(publish_timeout=None)  # type: ignore[arg-type]
        assert EventBusConfig(shutdown_timeout=None).shutdown_timeout is None

    @pytest.mark.parametrize("value", [*NOT_INTS, None, -1, 2**24 + 1])
    def test_a_reserve_is_an_int_from_0_to_the_largest_queue(self, value: Any) -> None:
        """0 means none."""
        with pytest.raises(ValueError, match=r"^handler_reserve must be an int from 0 to 16777216"):
            EventBusConfig(handler_reserve=value)
        for end in (0, 2**24):
            assert EventBusConfig(handler_reserve=end).handler_reserve == end

    @pytest.mark.parametrize("value", [0, 0.0, 1e-10, 5e-324])
    def test_starvation_after_nothing_at_all_is_refused(self, value: float) -> None:
        """The minimum is a nanosecond; None switches it off, and the message says so."""
        with pytest.raises(ValueError, match="starvation_after must be None or a number"):
            EventBusConfig(starvation_after=value)

    def test_times_are_kept_as_floats(self) -> None:
        """Whole seconds may be given as ints."""
        made = EventBusConfig(publish_timeout=1, starvation_after=2, shutdown_timeout=3)
        assert [repr(getattr(made, name)) for name in TIME_FIELDS] == ["1.0", "2.0", "3.0"]

    @pytest.mark.parametrize("value", ["drop", "", " block", None, 0, b"block", BackpressurePolicy])
    def test_a_policy_that_is_none_is_refused_with_all_that_are(self, value: Any) -> None:
        """The message lists the accepted names."""
        with pytest.raises(ValueError, match=r"^policy must be a BackpressurePolicy or") as caught:
            EventBusConfig(policy=value)
        assert repr(value) in str(caught.value)
        assert all(repr(policy.value) in str(caught.value) for policy in BackpressurePolicy)

    @pytest.mark.parametrize("policy", BackpressurePolicy)
    def test_a_policy_may_be_given_by_name(self, policy: BackpressurePolicy) -> None:
        """As in a settings file, in lower or upper case; the field is the policy itself."""
        for name in (policy.value, policy.name):
            made = EventBusConfig(policy=name)
            assert made.policy is policy
            assert made == EventBusConfig(policy=policy)

    @pytest.mark.parametrize("value", [0, 1, None, "yes", ""])
    def test_monitoring_is_true_or_false(self, value: Any) -> None:
        """And nothing that is merely truthy or falsy."""
        with pytest.raises(ValueError, match=r"^monitoring must be one of True, False, got "):
            EventBusConfig(monitoring=value)

    @settings(deadline=None)
    @given(
        name=st.sampled_from([field.name for field in fields(EventBusConfig)]),
        value=st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary()
        | st.dictionaries(st.text(), st.integers()),
    )
    def test_no_value_leads_to_another_exception(self, name: str, value: Any) -> None:
        """It is accepted, or a `ValueError` that begins with the field's name."""
        message = name
        try:
            EventBusConfig(**{name: value})
        except ValueError as error:
            message = str(error)
        assert message.startswith(name)

    def test_a_value_whose_repr_fails_is_still_named(self) -> None:
        """The error is about the field, not about the value's `repr`."""

        class Silent:
            def __repr__(self) -> str:
                raise RuntimeError

        with pytest.raises(ValueError, match=r"^workers must be .* got <Silent>$"):
            EventBusConfig(workers=Silent())  # type: ignore[arg-type]


class TestValue:
    """A config behaves as a value."""

    EXAMPLE = EventBusConfig(
        workers=3,
        queue_size=33,
        policy=BackpressurePolicy.BLOCK,
        starvation_after=1.5,
        monitoring=False,
        priorities={"a": 1, Job: 3},
    )

    def test_a_field_cannot_be_set(self) -> None:
        """It is frozen."""
        with pytest.raises(FrozenInstanceError):
            self.EXAMPLE.workers = 4  # type: ignore[misc]

    def test_equal_settings_are_equal(self) -> None:
        """However they were created."""
        assert EventBusConfig(workers=4) == EventBusConfig(workers=4, queue_size=40)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_survives_pickling(self, protocol: int) -> None:
        """For processes that are started with it; the table stays read-only."""
        again = pickle.loads(pickle.dumps(self.EXAMPLE, protocol))
        assert again == self.EXAMPLE
        with pytest.raises(TypeError, match="read-only"):
            again.priorities["a"] = 2

    @pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
    def test_survives_copying(self, duplicate: Any) -> None:
        """Shallow and deep."""
        assert duplicate(self.EXAMPLE) == self.EXAMPLE

    def test_one_setting_is_changed_with_replace(self) -> None:
        """The others are kept, and the new one is validated."""
        changed = replace(self.EXAMPLE, workers=8)
        assert asdict(changed) == asdict(self.EXAMPLE) | {"workers": 8}
        with pytest.raises(ValueError, match="workers"):
            replace(self.EXAMPLE, workers=0)

    def test_can_be_turned_into_a_dict_and_json(self) -> None:
        """For logs and reports."""
        shown = asdict(EventBusConfig(workers=4))
        assert shown["priorities"] == DEFAULT_PRIORITIES
        assert json.loads(json.dumps(shown, default=str))["queue_size"] == 40


def test_every_field_is_told_by_help() -> None:
    """In the docstring of the class, under its name."""
    text = inspect.cleandoc(EventBusConfig.__doc__ or "")
    for field in fields(EventBusConfig):
        assert f"\n    {field.name}: " in text, field.name
