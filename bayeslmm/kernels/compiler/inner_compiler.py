"""How Numba compiles functions that only compiled code calls: once, inside their callers.

Numba optimises each function by itself, emits its machine code, links it into its caller and
optimises the two again, at every level of calls. Of some 120 functions ten are called from outside.
Here the others stay unoptimised LLVM code until a caller that is run takes them in.
"""

from __future__ import annotations

from typing import Any

import numba

# Numba's internals are no interface: with any other version functions compile as usual, later and
# to the same numbers.
_TRIED = {(0, 68)}


def inner_options() -> dict[str, Any]:
    """Return what ``numba.njit`` is given for such functions.

    Returns
    -------
    dict
        ``pipeline_class`` where this package was tried with the installed Numba; empty otherwise.
    """
    if tuple(numba.version_info.short) not in _TRIED:
        return {}
    return {"pipeline_class": _pipeline()}


def _pipeline() -> type:
    # Inside a function, so that another version's missing names are never looked up.
    from numba import _dynfunc  # noqa: PLC0415
    from numba.core.codegen import JITCodeLibrary  # noqa: PLC0415
    from numba.core.compiler import (  # noqa: PLC0415
        CompilerBase,
        DefaultPassBuilder,
        _LowerResult,
    )
    from numba.core.compiler_lock import require_global_compiler_lock  # noqa: PLC0415
    from numba.core.compiler_machinery import PassManager, register_pass  # noqa: PLC0415
    from numba.core.typed_passes import NativeLowering  # noqa: PLC0415

    class InnerLibrary(JITCodeLibrary):  # type: ignore[misc]
        """LLVM code that is only ever linked into other code."""

        def finalize(self) -> None:
            require_global_compiler_lock()
            self._raise_if_finalized()
            for library in dict.fromkeys(self._linking_libraries):
                self._reload_init.update(library._reload_init)
                self._final_module.link_in(library._get_module_for_linking(), preserve=True)
            self._finalize_dynamic_globals()
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:  # noqa: ARG002
            # Asked for although there are no wrappers; a true answer would emit machine code.
            self._ensure_finalized()
            return 0

    @register_pass(mutates_CFG=True, analysis_only=False)
    class InnerLowering(NativeLowering):  # type: ignore[misc]
        """Lower into an `InnerLibrary`, and let callers know of it."""

        _name = "bayeslmm_inner_lowering"

        def run_pass(self, state: Any) -> bool:
            context = state.targetctx
            state.library = InnerLibrary(context.codegen(), state.func_id.func_qualname)
            # What would look for machine code is done below, without it.
            state.flags.no_compile = True
            super().run_pass(state)
            state.flags.no_compile = False
            lowered = state["cr"]
            about = lowered.fndesc
            state.library.finalize()
            name = about.qualname.rsplit(".", 1)[-1]
            entry = _dynfunc.make_function(
                about.lookup_module(), name, "inner", 0, lowered.env, (state.library,)
            )
            context.insert_user_function(entry, about, [state.library])
            state["cr"] = _LowerResult(about, lowered.call_helper, cfunc=entry, env=lowered.env)
            return True

    class InnerCompiler(CompilerBase):  # type: ignore[misc]
        """Numba's own passes, lowering excepted."""

        def define_pipelines(self) -> list[Any]:
            manager = PassManager("inner")
            for step, text in DefaultPassBuilder.define_nopython_pipeline(self.state).passes:
                manager.add_pass(InnerLowering if step is NativeLowering else step, text)
            manager.finalize()
            return [manager]

    return InnerCompiler
