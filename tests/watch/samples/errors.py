"""Errors as Python, Node, Java, Go, Rust and compilers print them."""

TRACEBACK = """\
starting
Traceback (most recent call last):
  File "app.py", line 9, in <module>
    main()
  File "app.py", line 6, in main
    1 / 0
    ~~^~~
ZeroDivisionError: by zero
done
"""

CHAINED = """\
Traceback (most recent call last):
  File "load.py", line 4, in load
    connect()
ConnectionError: refused

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "load.py", line 12, in <module>
    load()
  File "load.py", line 9, in load
RuntimeError: cannot load

next
"""

LOGGED = """\
ERROR:root:request failed
Traceback (most recent call last):
  File "app.py", line 2, in handle
    user = session["user"]
KeyError: 'user'
"""

GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "g.py", line 1, in <module>
  |     raise ExceptionGroup("two", [ValueError(1), TypeError(2)])
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +---------------- 2 ----------------
    | Traceback (most recent call last):
    |   File "g.py", line 7, in inner
    |     raise TypeError(2)
    | TypeError: 2
    +------------------------------------
after
"""

SYNTAX = """\
Compiling 'lib/bad.py'...
***   File "lib/bad.py", line 2
    print "x" y
              ^
SyntaxError: invalid syntax

Compiling 'lib/good.py'...
"""

CUT_SHORT = """\
Traceback (most recent call last):
  File "app.py", line 6, in main
    1 / 0
"""

RECURSION = (
    "Traceback (most recent call last):\n"
    + '  File "deep.py", line 3, in deep\n    deep()\n' * 200
    + "RecursionError: too deep\n"
)

NODE = """\
start
/app/j.js:1
function inner() { x(); }
                   ^

TypeError: x is no function
    at inner (/app/j.js:1:25)
    at Object.<anonymous> (/app/j.js:4:1)
    at node:internal/main/run_main_module:28:49

Node.js v20.20.2
"""

NODE_OBJECT = """\
Error: Cannot find module './nope'
Require stack:
- /app/k.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1207:15)
    at Object.<anonymous> (/app/k.js:1:1)
    at Function.executeUserEntryPoint [as runMain] (node:internal/modules/run_main:164:12) {
  code: 'MODULE_NOT_FOUND',

  requireStack: [ '/app/k.js' ]
}

Node.js v20.20.2
"""

JAVA = """\
Exception in thread "main" java.lang.RuntimeException: outer
second line
\tat J.main(J.java:5)
Caused by: java.lang.IllegalStateException: inner
\tat J.a(J.java:2)
\tat java.base/jdk.internal.reflect.NativeMethodAccessorImpl.invoke0(Native Method)
\t... 1 more
next
"""

JAVA_LOGGED = """\
2024-05-17 09:30:00.123 ERROR 1 --- [main] c.e.Server : request failed
java.io.IOException: closed
\tat c.e.Server.read(S.java:41)
2024-05-17 09:30:00.124  INFO 1 --- [main] c.e.Server : next
"""

GO = """\
panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.pick(...)
\t/app/main.go:8
main.main()
\t/app/main.go:4 +0x1d
exit status 2
next
"""

GO_DEADLOCK = """\
fatal error: all goroutines are asleep - deadlock!

goroutine 1 [chan receive]:
main.main()
\t/app/main.go:5 +0x2d
"""

RUST = """\

thread 'main' (4422) panicked at src/main.rs:1:116:
index out of bounds: the len is 0 but the index is 5
stack backtrace:
   0: __rustc::rust_begin_unwind
             at /rustc/5980/library/std/src/panicking.rs:689:5
   5: p::main
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
next
"""

RUST_OLD = """\
thread 'main' panicked at 'called `None`', src/main.rs:2:5
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
"""

GCC = """\
bad.c: In function 'main':
bad.c:3:19: error: 'y' undeclared (first use in this function)
    3 |     int x = "a" + y;
      |                   ^
bad.c:3:19: note: each undeclared identifier is reported only once for each function it appears in
bad.c:4:12: warning: implicit declaration of function 'foo' [-Wimplicit-function-declaration]
    4 |     return foo(x)
      |            ^~~
bad.c:4:18: error: expected ';' before '}' token
    4 |     return foo(x)
      |                  ^
      |                  ;
    5 | }
make: *** [Makefile:2: all] Error 1
"""

CLANG = """\
bad.c:3:19: error: use of undeclared identifier 'y'
    3 |     int x = "a" + y;
      |                   ^
bad.c:1:5: note: 'z' declared here
1 error generated.
"""

DRIVER = """\
cc1: fatal error: nofile.c: No such file or directory
compilation terminated.
"""

LINKER = """\
/usr/bin/ld: /tmp/ccO0XJ6H.o: in function `main':
link.c:(.text+0x5): undefined reference to `missing'
collect2: error: ld returned 1 exit status
"""

RUSTC = """\
error[E0425]: cannot find value `z` in this scope
 --> q.rs:1:39
  |
1 | fn main() { let x: i32 = "a"; let y = z; }
  |                                       ^
  |
help: a local variable with a similar name exists

error[E0308]: mismatched types
 --> q.rs:1:26
  |
1 | fn main() { let x: i32 = "a"; let y = z; }
  |                    ---   ^^^ expected `i32`, found `&str`

error: aborting due to 2 previous errors

Some errors have detailed explanations: E0308, E0425.
For more information about an error, try `rustc --explain E0308`.
"""

RUSTC_PLAIN = """\
error: expected `!` or `::`
 --> src/main.rs:1:5
  |
1 | fnn main() {}
  |     ^^^^ expected one of `!` or `::`

error: could not compile `x` (bin "x") due to 1 previous error
"""

TSC = """\
src/m.ts(1,7): error TS2322: Type 'string' is not assignable to type 'number'.
src/m.ts(2,18): error TS2304: Cannot find name 'zz'.
"""

TSC_PRETTY = """\
src/m.ts:1:7 - error TS2322: Type 'string' is not assignable to type 'number'.

1 const x: number = "a";
        ~

src/m.ts:2:18 - error TS2304: Cannot find name 'zz'.

2 export const y = zz;
                   ~~


Found 2 errors in the same file, starting at: src/m.ts:1
"""

GO_BUILD = """\
# example.com/app
./main.go:5:2: undefined: foo
\thave (int)
\twant (string)
"""

WEBPACK = """\
./src/index.js 33 bytes [built] [code generated]
ERROR in ./src/index.js 1:0-16
Module not found: Error: Can't resolve './nope'
resolve './nope' in '/app/src'

webpack 5.112.2 compiled with 1 error in 113 ms
"""

VITE = """\
x Build failed in 33ms
error during build:
Could not resolve "./nope" from "src/main.js"
file: /app/src/main.js

"""

NODE_SYNTAX = """\
/app/parse.js:1
function {
         ^

SyntaxError: Unexpected token '{'
    at wrapSafe (node:internal/modules/cjs/loader:1464:18)
    at node:internal/main/run_main_module:28:49

Node.js v20.20.2
"""

RUBY_LOAD = """\
<internal:/lib/require.rb>:85:in `require': cannot load such file -- n (LoadError)
	from <internal:/lib/require.rb>:85:in `require'
	from app.rb:1:in `<main>'
"""

DASH = """\
run.sh: 1: cd: can't cd to /nowhere
run.sh: 5: UNSET: parameter not set
"""

NPM_SCRIPT = """\
npm error Missing script: "nothing"
npm error
npm error To see a list of scripts, run:
npm error   npm run
npm error A complete log of this run can be found in: /home/dev/.npm/_logs/debug-0.log
"""
