"""Why numba cannot compile a user's function, in words of one who wrote the function, and what to do about it."""

from __future__ import annotations

import re

_REWRITE = "write it as a Python function of one number that returns one, in arithmetic and functions of math or NumPy"

# What numba's message has, the reason, and what to do where that is not to rewrite the function. The first row counts.
_REASONS: tuple[tuple[str, str, str], ...] = (
    # "inner" is what the compiled layer calls the function itself.
    (
        r"Untyped global name 'inner'.*?<class '(?P<kind>[^']+)'>",
        "it is of type '{kind}', into which numba cannot look",
        "pass a lambda or a def of one number, in arithmetic and functions of math or NumPy",
    ),
    (
        r"Untyped global name '(?P<name>\w+)'.*?<class 'function'>",
        "it calls {name}, which is not compiled",
        "put @numba.njit above the def of {name}",
    ),
    (
        r"(?:Untyped global name|assigned to variable) '(?P<name>\w+)'",
        "it refers to {name}, of a kind that numba does not know",
        "let it refer to numbers, tuples, arrays, and functions that numba.njit has compiled",
    ),
    (r"NameError: (?P<text>name '\w+' is not defined)", "{text}", "define it before the activation is made"),
    (r"Use of unsupported NumPy function '(?P<name>[\w.]+)'", "numba does not know {name}", ""),
    (
        r"Unknown attribute '(?P<name>\w+)' of type Module\(<module '(?P<module>[\w.]+)'",
        "numba does not know {module}.{name}",
        "",
    ),
    (r"has no attribute '(?P<name>\w+)'", "it asks for {name}, which is not there", ""),
    (r"setitem\(array\(float64, 1d, C\), \w+, (?P<kind>\w+)", "it returns {kind}, which is no real number", ""),
    ("exception_match", "it catches exceptions of one kind, and numba all or none", ""),
    (r"Function\(<(?:[a-z-]+ )?(?:function|ufunc) '?(?P<name>\w+)", "numba does not know {name} of a number", ""),
    (r"Unknown attribute '(?P<name>\w+)' of type (?:float|int)\w+", "it asks for {name} of a number", ""),
    (r"to signature '(?P<signature>\([^']*\))'", "it takes {signature}, and is called with one number", ""),
    (r"Cannot unify (?P<one>\S+) and (?P<other>\w+)", "it returns values of two kinds, {one} and {other}", ""),
    (r"(?:Casting|Cannot cast) (?P<kind>\w+) to float64", "it returns {kind}, which is no real number", ""),
)  # fmt: skip


def refusal(error: Exception) -> str:
    """The reason and the remedy, for an *error* that numba raised when it was to compile the function."""
    text = re.sub(r"\x1b\[\d*m|Failed in nopython mode pipeline \(step: [^)]*\)", "", str(error))
    text = " ".join(text.split())
    for pattern, reason, remedy in _REASONS:
        if found := re.search(pattern, text):
            return f"{reason}; {remedy or _REWRITE}".format(**found.groupdict())
    return f"{re.split(r' (?:File|During|Raised from|There are) ', text)[0].rstrip('.:')[:160]}; {_REWRITE}"
