"""The level of a line: the first level word decides, where loggers write one."""

import pytest

from .helpers import find


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("E0714 09:30:00.000001       7 store.go:12] cannot sync", "cannot sync"),
        ("F0714 09:30:00.000001       7 store.go:12] gone", "gone"),
        ("07-14 09:30:00.001  12  34 E Radio: no carrier", "no carrier"),
        ("E/Radio(  12): no carrier", "no carrier"),
        ("<2>disk on fire", "disk on fire"),
        ("E, [2024-05-17T09:30:00.1 #7] ERROR -- : no route", "no route"),
        ("[09:30:00 FTL] cannot bind", "cannot bind"),
        ("[2024-05-17T09:30:00Z ERROR api::db] cannot bind", "cannot bind"),
        ("[2024-05-17 09:30:00] production.ERROR: no view", "no view"),
        ("ERRO[0012] no route", "no route"),
        ("EROR[05-17|09:30:00.000] no peer", "no peer"),
        ("7:M 17 May 2024 09:30:00.000 # Fatal error, can't open config file", None),
        ("2024/05/17 09:30:00 [crit] 7#7: *1 connect() failed", "7#7: *1 connect() failed"),
        ("[Fri May 17 09:30:00.1 2024] [proxy:error] [pid 7] AH0: down", "[pid 7] AH0: down"),
        ("2024-05-17 09:30:00 UTC [77] FATAL:  no role", "no role"),
        ("2024-05-17T09:30:00.1Z 0 [ERROR] [MY-1] gone", "[MY-1] gone"),
        ("09:30:00.123 [error] GenServer stopped", "GenServer stopped"),
        ("17-May-2024 09:30:00.123 SEVERE [main] no context", "[main] no context"),
        ("2024-05-17 09:30:00.1 | CRITICAL | app:f:3 - out", "app:f:3 - out"),
        ("2024-05-17T09:30:00Z [error    ] db failed    code=3", "db failed    code=3"),
        ("- 1715 2024.05.17 R02 2024-05-17-09.30.00.1 R02 RAS KERNEL FATAL bad cache", "bad cache"),
        ("2024-05-17 09:30:00, Error                 CBS    no package", "CBS    no package"),
        ("my.app - ERROR - no file", "no file"),
        ("sshd: error: no key", "no key"),
        ("code=3 event='db failed' level='error'", "db failed"),
        ("lvl=eror msg=stuck t=1", "stuck"),
        ("[2024-05-17 09:30:00,123: ERROR/MainProcess] no broker", "no broker"),
        ("E 2024-05-17 09:30:00,123 my-app no route", "my-app no route"),
        ("[C 09:30:00.123 LabApp] no port", "LabApp] no port"),
        ("2024-05-17T09:30:00+0000 [store#error] no route", "no route"),
        ("[2024-05-17 09:30:00,123] host/ERROR/load.user: no route", "no route"),
        ("✖  fatal     no route", "no route"),
        ("crit: no route", "no route"),
        ('{"level":50,"msg":"down"}', "down"),
        ('{"level":"error","message":"down"}', "down"),
        ('{"log.level":"fatal","message":"down"}', "down"),
        ('{"s":"E","msg":"down"}', "down"),
        ('{"log":{"level":"error"},"message":"down"}', "down"),
        ('{"record":{"level":{"name":"ERROR","no":40}},"text":"down"}', "down"),
        ('{"@level":"error","@message":"down"}', "down"),
        ('{"level":"ERROR","fields":{"message":"down"}}', "down"),
        ('{"log":"ERROR down\\n","stream":"stderr","time":"x"}', "down"),
    ],
)
def test_a_line_at_a_level_of_error_is_one_error(line: str, message: str | None) -> None:
    """The message is the sentence, without time and level."""
    [error] = find(f"INFO before\n{line}\nINFO after\n").errors
    assert (error.kind, error.first) == ("log", 1)
    assert message is None or error.message == message


@pytest.mark.parametrize(
    "line",
    [
        "[info] FATAL is a level of its own",
        "I 2024-05-17 09:30:00 app ERROR count is zero",
        "[2024-05-17 09:30:00,123: INFO/MainProcess] Task errors.report succeeded",
        "           INFO     ERROR is a word of it          app.py:12",
        "<error>none</error>",
        "2024-05-17 09:30:00 DEBUG mode ERROR -> WARN",
        "2024-05-17 09:30:00 INFO Traceback (most recent call last):",
        "2024-05-17 09:30:00 WARN [main] ERROR page shown",
        "2024-05-17 09:30:00 level set to ERROR by root",
        "W0714 09:30:00.000001       7 store.go:12] ERROR will be retried",
        "07-14 09:30:00.001  12  34 W Radio: ERROR in carrier",
        "<6>error in a notice",
        "I, [2024-05-17T09:30:00.1 #7]  INFO -- : ERROR",
        "warn: Category.Of.App[7]",
        '{"level":30,"msg":"error: none"}',
        '{"level":"info","error":"ERROR"}',
        'level=info msg="level=error is a setting" t=1',
        "2024-05-17 09:30:00 UTC [77] STATEMENT:  select ERROR",
        '1.2.3.4 - - [17/May/2024:09:30:00 +0000] "GET /ERROR HTTP/1.1" 200 3 "-" "ERROR"',
        "warning: error is deprecated",
        "LEVEL=ERROR",
        "error: 0",
        "Error: none",
        "errors: 3",
        "error handling is on",
        "log level: error",
        "an error: of judgement",
        "        error: Exception | None,",
        "| limit by | lost | error |",
        "| ERROR | what it means |",
        "    ERR trap.",
        "  *) new languages (simplified) error",
        "Error  Description",
        "License: FTL",
    ],
)
def test_a_line_at_another_level_or_at_none_is_no_error(line: str) -> None:
    """Whatever its sentence says."""
    assert find(f"{line}\nnext\n").errors == []
