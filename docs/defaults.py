"""Shows the defaults of options, which stand beside the class that declares them.

Read, as all else: nothing is imported.
"""

from typing import Any

import griffe

DECLARED = "fcdcc_keras.rewriting.options.DEFAULTS"


class Defaults(griffe.Extension):
    """Puts them in place of the ``...`` that ``unpack_typeddict`` leaves."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Looks at one function, whose options are unpacked by now."""
        if not any(parameter.default == "..." for parameter in func.parameters):
            return
        declared = func.modules_collection[DECLARED].value
        pairs = zip(declared.keys, declared.values, strict=True)
        values = {str(key).strip("'"): _value(func, value) for key, value in pairs}
        for option in func.parameters:
            option.default = values.get(option.name, option.default)
        for section in func.docstring.parsed:
            if section.kind is griffe.DocstringSectionKind.parameters:
                for argument in section.value:
                    argument.value = values.get(argument.name, argument.value)


def _value(func: griffe.Function, value: Any) -> str:
    """Follows a name to what it stands for."""
    while isinstance(value, griffe.Expr):
        found = func.modules_collection[value.canonical_path]
        value = (found.final_target if found.is_alias else found).value
    return str(value)
