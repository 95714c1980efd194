"""nutpie without what it does not need here; and as it is, where it imports otherwise."""

import subprocess
import sys

import pytest

LOADED = "from bayeslmm.inference.nuts.load import load_nutpie; nutpie = load_nutpie()\n"


def run(code):
    done = subprocess.run(  # noqa: S603 -- this very interpreter
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_neither_numba_nor_pictures_are_loaded():
    loaded = run(f"import sys\n{LOADED}print(*sys.modules)")
    assert {"nutpie", "nutpie.compile_pymc", "nutpie.sample"} <= set(loaded)
    assert not {"arviz", "arviz_base", "arviz_stats", "matplotlib", "numba", "numba.extending"} & {
        *loaded
    }


def test_numba_marks_what_it_has_to_as_soon_as_it_is_there():
    code = (
        "marked = nutpie.compile_pymc.address_as_void_pointer\n"
        "assert type(marked).__name__ == 'function'\n"
        "import numba.extending\n"
        "marked = nutpie.compile_pymc.address_as_void_pointer\n"
        "assert type(marked) is type(numba.extending.intrinsic(lambda typingctx: None))\n"
        "import sys, arviz\n"
        "assert sys.modules['nutpie.sample'].arviz.from_dict is arviz.from_dict\n"
        "assert sys.modules['nutpie.sample'].arviz.plot_trace is arviz.plot_trace\n"
    )
    run(LOADED + code)


@pytest.mark.parametrize("first", ["arviz", "numba.extending", "nutpie"])
def test_what_is_loaded_already_stays(first):
    run(
        f"import sys, {first}\nbefore = sys.modules[{first!r}]\n{LOADED}"
        f"assert sys.modules[{first!r}] is before\n"
        f"import {first}\nassert sys.modules[{first!r}] is before\n"
    )


@pytest.mark.parametrize("change", ["raise AttributeError('x')", "raise TypeError('x')"])
def test_where_nutpie_asks_for_more_it_is_imported_as_it_is(change):
    code = (
        "import sys, bayeslmm.inference.nuts.load as load\n"
        f"def broken(marked):\n    def intrinsic(*_, **__):\n        {change}\n"
        "    module = type(sys)('numba.extending')\n    module.intrinsic = intrinsic\n"
        "    return module\n"
        "load._Extending = broken\n"
        "nutpie = load.load_nutpie()\n"
        "import numba.extending, arviz\n"
        "assert type(nutpie.compile_pymc.address_as_void_pointer).__name__ == '_Intrinsic'\n"
        "assert nutpie.sample is not None and nutpie._lib.PyNutsSettings\n"
        "assert type(sys.modules['nutpie.sample'].arviz) is type(sys)\n"
    )
    run(code)


@pytest.mark.parametrize("name", ["numba", "arviz"])
@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_another_thread_may_import_meanwhile_what_something_stands_in_for(name, first):
    code = (
        "import threading, time\n"
        "from bayeslmm.inference.nuts.load import load_nutpie\n"
        "failed = []\n"
        "def theirs():\n"
        "    try:\n"
        f"        import {name} as found\n"
        "        getattr(found, 'njit', None) or found.plot_trace\n"
        "    except Exception as error:\n"
        "        failed.append(error)\n"
        "both = [threading.Thread(target=run) for run in (theirs, load_nutpie)]\n"
        f"for thread in both[::{1 if first == 'theirs' else -1}]:\n"
        "    thread.start()\n"
        "    time.sleep(0.02)\n"
        "for thread in both:\n"
        "    thread.join()\n"
        "assert not failed, failed\n"
        "import numba.extending, arviz, nutpie\n"
        "assert type(nutpie.compile_pymc.address_as_void_pointer).__name__ == '_Intrinsic'\n"
        "assert type(arviz) is type(numba.extending) is type(threading)\n"
    )
    run(code)
