"""Calls of machine code by tables of words: arrays by address, numbers as they are.

A signature is a list of texts: ``q`` a whole number, ``d`` a real one, ``?`` yes or no; with a
digit behind it, an array of so many axes. A list in place of a text is a tuple of them; of results,
one with a name in front is a named tuple, by its module and its class.

An array's word is where NumPy's own record of it begins: address of its data, number of axes,
address of its shape. That order is part of NumPy's interface for C.
"""

from __future__ import annotations

import ctypes
import pickle
import struct
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Letters, and lists of them.
type Signature = list[str | Signature]
# What a call returned: a letter, the parts of a tuple, or nothing.
type Result = str | list[Any] | None

_DTYPES = {"q": np.dtype(np.int64), "d": np.dtype(np.float64)}
_WORD = 8
# What stands before an array's record: what all objects have.
HEAD = object.__basicsize__
# Room behind a call's words for arrays that it returns; larger ones come by address.
ROOM = 128
# In place of an array's owner: its numbers stand behind the words.
BEHIND = -1


def letters(result: Result | Signature) -> Iterator[str]:
    """Yield the letters of arguments or of a result, tuples written out."""
    if isinstance(result, str):
        yield result
    else:
        for part in _parts(result or []):
            yield from letters(part)


def _parts(of_tuple: list[Any]) -> list[Any]:
    """Return what a tuple consists of, without its name."""
    return of_tuple[1:] if of_tuple and ":" in of_tuple[0] else of_tuple


def _flat(arguments: tuple[Any, ...], signature: Signature) -> Iterator[Any]:
    """Yield arguments, tuples written out."""
    for value, letter in zip(arguments, signature, strict=True):
        if isinstance(letter, str):
            yield value
        else:
            yield from _flat(value, letter)


def records_are_as_expected() -> bool:
    """Return whether NumPy's record of an array is where, and as, machine code reads it."""
    if sys.implementation.name != "cpython":
        return False
    probe = np.empty((2, 3))
    data, _, shape = (ctypes.c_size_t * 3).from_address(id(probe) + HEAD)
    return data == probe.ctypes.data and tuple((ctypes.c_size_t * 2).from_address(shape)) == (2, 3)


class Entry:
    """A function of the shipped machine code, called with the arrays that the kernel takes.

    Parameters
    ----------
    function : callable
        (address of words, address of results) -> 0, or the address of an exception.
    release : callable
        Gives an array's memory back.
    arguments : Signature
        Letters of the arguments.
    result : Result
        What it returns.
    """

    def __init__(
        self,
        function: Callable[..., int],
        release: Callable[[int], None],
        arguments: Signature,
        result: Result,
    ) -> None:
        self._function, self._release, self._result = function, release, result
        flat = list(letters(arguments))
        self._arguments = [
            (_DTYPES[letter[0]], int(letter[1])) if len(letter) > 1 else None for letter in flat
        ]
        self._tuples = None if flat == arguments else arguments
        taken = ("d" if letter == "d" else "q" for letter in flat)
        self._pack = struct.Struct("=" + "".join(taken)).pack
        layout = "=" + "".join(map(_layout, letters(result)))
        self._unpack = struct.Struct(layout).unpack_from
        self._results = ctypes.c_int64 * (struct.calcsize(layout) // _WORD + ROOM)

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        """Run the machine code; `NotImplemented` where the arguments are not what it was made for.

        A method of both steps, since words are addresses: arguments must outlive the call.
        """
        words = self._words(arguments)
        if words is None:
            return NotImplemented
        results = self._results()
        failed = self._function(words, results)
        if failed:
            raise _exception(failed)
        if self._result is None:
            return None
        return self._build(self._result, iter(self._unpack(results)), results)

    def _words(self, arguments: tuple[Any, ...]) -> bytes | None:
        values: list[Any] = []
        try:
            if self._tuples is not None:
                arguments = tuple(_flat(arguments, self._tuples))
            for value, kind in zip(arguments, self._arguments, strict=True):
                if kind is None:
                    values.append(value)
                    continue
                dtype, ndim = kind
                usable = isinstance(value, np.ndarray) and value.flags.c_contiguous
                if not usable or value.dtype != dtype or value.ndim != ndim:
                    return None
                values.append(id(value) + HEAD)
            return self._pack(*values)
        except (TypeError, ValueError, struct.error):
            return None

    def _build(self, result: str | list[Any], words: Iterator[Any], results: Any) -> Any:
        if isinstance(result, str):
            if len(result) > 1:
                return self._array(result, words, results)
            return bool(next(words)) if result == "?" else next(words)
        built = [self._build(part, words, results) for part in _parts(result)]
        return _tuple_of(result[0])(*built) if ":" in result[0] else tuple(built)

    def _array(self, letter: str, words: Iterator[Any], results: Any) -> Any:
        owner, place = next(words), next(words)
        shape = [next(words) for _ in range(int(letter[1]))]
        dtype = _DTYPES[letter[0]]
        if owner == BEHIND:
            return np.ndarray(shape, dtype, results, _WORD * place)
        out = np.empty(shape, dtype)
        ctypes.memmove(out.ctypes.data, place, out.nbytes)
        if owner:
            self._release(owner)
        return out


@cache
def _tuple_of(name: str) -> Any:
    """Return a class of named tuples: its module is that of the kernel, or was imported by it."""
    module, _, kind = name.partition(":")
    return getattr(sys.modules[module], kind)


def _layout(letter: str) -> str:
    """Return the words of a part of a result: an array's are its owner, its place, its shape."""
    if len(letter) > 1:
        return "qq" + "q" * int(letter[1])
    return "d" if letter == "d" else "q"


def _exception(address: int) -> BaseException:
    """Return the exception that compiled code raised: Numba keeps it pickled in the code."""
    if address == 1:
        return RuntimeError("Compiled code failed for an unknown reason.")
    length = ctypes.c_int32.from_address(address + _WORD).value
    content = ctypes.string_at(ctypes.c_void_p.from_address(address).value or 0, length)
    kind, arguments, _ = pickle.loads(content)  # noqa: S301 - the library was verified
    error: BaseException = kind(*(arguments or ()))
    return error
