"""The backend for `django.tasks`, where there is no Django 6; else see `tests/proofs`."""

from helpers.processes import run_python


def test_without_django_6_the_import_says_what_to_install() -> None:
    """And not that some module of Django is missing."""
    end = run_python("""
        sys.modules["django.tasks"] = None
        try:
            import brummerbus.django
        except ImportError as error:
            say(error)
    """)
    assert end.lines == [
        "brummerbus.django needs Django 6 or newer: pip install 'brummerbus[django]'"
    ]
