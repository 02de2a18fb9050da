"""Approved commands: templates in the settings with checked parameters, instead of free shell lines. Pure.

`[allowed_commands.NAME]` has `command`: a list of arguments, in which `{parameter}` stands for a value, or a text: a
shell line that stays as it is and finds the values in its environment. A value never becomes part of a shell line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from running_jobs.errors import InvalidJob
from running_jobs.parameters import InvalidSchema, Parameter, check_values, read_schema, with_defaults

VARIABLE = "PARAM_"  # before a parameter's name in the environment: no value can stand for a PATH

_KEYS = ("command", "cmd", "description", "parameters", "cwd", "env")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TYPES = ("string", "integer", "number", "boolean")
_SHELLS = (
    "sh", "ash", "bash", "csh", "dash", "fish", "ksh", "lksh", "mksh", "pwsh", "rbash", "rksh", "tcsh", "yash", "zsh",
)  # fmt: skip
_HAVE_A_SHELL = ("flock", "runuser", "script", "su")  # what stands behind their -c, wherever that is, is for a shell
_ALL_FOR_A_SHELL = ("eval", "rsh", "ssh", "watch")  # whatever they are given is
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SHELL_LINE_FOLLOWS = re.compile(r"[-+][A-Za-z]*c[A-Za-z]*|--command")
_INTERPRETERS = re.compile(r"(python|pypy|perl|ruby|node|nodejs|deno|php|lua|luajit|Rscript|julia)[0-9.]*")
_CODE_FOLLOWS = re.compile(r"-[A-Za-z]*[ceErp]|--eval|--print|--run")
_SPLITS = re.compile(r"-[A-Za-z0]*S|--split-string")  # of env
MAX_NAME = 100
MAX_ARGUMENT_BYTES = (128 << 10) - 1  # of one argument or NAME=VALUE, as execve(2) takes it


@dataclass(frozen=True)
class ApprovedCommand:
    """What one entry holds: `template` is a tuple of arguments or one shell line, an empty `cwd` the home directory."""

    name: str
    template: tuple[str, ...] | str
    parameters: tuple[Parameter, ...] = ()
    description: str = ""
    cwd: str = ""
    env: Mapping[str, str] | None = None

    def check(self, field: str, values: Any) -> dict[str, Any]:
        """Return values that fit. Raise InvalidJob for one that does not, is missing or is not declared.

        A text without pattern or choices is one line that is not empty. With a pattern it may only begin with a dash
        if the pattern does: no value becomes an option where nobody thought of it.
        """
        given = check_values(field, self.parameters, values)
        for parameter in self.parameters:
            if given.get(parameter.name) is not None:
                _check_text(f"{field}.{parameter.name}", parameter, given[parameter.name])
        handed_over = [*self.argv(given, ""), *(f"{name}={text}" for name, text in self.variables(given).items())]
        if any(len(text.encode()) > MAX_ARGUMENT_BYTES for text in handed_over):
            raise InvalidJob(field, f"expected at most {MAX_ARGUMENT_BYTES} bytes in one argument")
        return given

    def argv(self, values: Mapping[str, Any], shell: str) -> list[str]:
        """Return the arguments to execute; one whose parameter has no value is left out."""
        if isinstance(self.template, str):
            return [shell, "-c", self.template]
        texts = self._texts(values)
        return [
            _PLACEHOLDER.sub(lambda found: texts[found[1]], argument)
            for argument in self.template
            if all(name in texts for name in _PLACEHOLDER.findall(argument))
        ]

    def variables(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return the environment variables that the command gets: its own, and the values under PARAM_<name>."""
        return {**(self.env or {}), **{f"{VARIABLE}{name}": text for name, text in self._texts(values).items()}}

    def _texts(self, values: Mapping[str, Any]) -> dict[str, str]:
        found = with_defaults(self.parameters, values)
        return {
            parameter.name: parameter.shown(found[parameter.name])
            for parameter in self.parameters
            if found.get(parameter.name) is not None
        }


def find_command(allowed_commands: Mapping[str, Any], field: str, name: str) -> ApprovedCommand:
    """Return an approved command by its name. Raise InvalidJob if the settings have none of that name."""
    if name not in allowed_commands:
        known = ", ".join(allowed_commands) or "none"
        raise InvalidJob(field, f"{name[:40]!r} is no approved command; approved are {known}"[:1000])
    return read_command(name, allowed_commands[name])


def read_command(name: str, entry: Any) -> ApprovedCommand:
    """Read one entry of the setting. Raise ValueError, its text saying what was expected."""
    where = f"[allowed_commands.{name}]"
    if not (0 < len(name) <= MAX_NAME and name.isprintable() and name.strip() == name and name[0] != "-"):
        raise ValueError(f"a name of 1 to {MAX_NAME} characters on one line, not beginning with -, found {name!r:.120}")
    if not isinstance(entry, Mapping):
        raise ValueError("a table of tables, as [allowed_commands.NAME]")
    for key in entry:
        if key not in _KEYS:
            raise ValueError(f"{where} without {key}; known are {', '.join(_KEYS)}")
    if ("command" in entry) == ("cmd" in entry):
        raise ValueError(f"{where} with either command or cmd")
    template = _template(where, entry.get("command", entry.get("cmd")))
    parameters = _parameters(where, entry.get("parameters", {}))
    _refuse_wrong_placeholders(where, template, {parameter.name for parameter in parameters})
    description, cwd, env = entry.get("description", ""), entry.get("cwd", ""), entry.get("env", {})
    if not isinstance(description, str):
        raise ValueError(f"{where} description as a text")
    if not isinstance(cwd, str) or (cwd and not os.path.isabs(cwd)):
        raise ValueError(f"{where} cwd as an absolute path")
    if not isinstance(env, Mapping) or not all(_is_variable(key, value) for key, value in env.items()):
        raise ValueError(f"{where} env as a table of texts")
    return ApprovedCommand(name, template, parameters, description, cwd, dict(env))


def _template(where: str, found: Any) -> tuple[str, ...] | str:
    if isinstance(found, str) and found.strip() and "\0" not in found:
        return found
    if isinstance(found, list) and all(isinstance(item, str) and "\0" not in item for item in found):
        if found and found[0].strip():
            return tuple(found)
        raise ValueError(f"{where} command to begin with the name of a program")
    raise ValueError(f"{where} command as a list of texts or a shell line")


def _refuse_wrong_placeholders(where: str, template: tuple[str, ...] | str, declared: set[str]) -> None:
    """Raise ValueError for a placeholder that is not declared, or stands where no value may go."""
    if isinstance(template, str):
        for found in _PLACEHOLDER.finditer(template):
            if found[1] in declared and template[found.start() - 1 : found.start()] != "$":
                raise ValueError(f'{where} "${VARIABLE}{found[1]}" in a shell line, not {found[0]}')
        return
    for place, argument in enumerate(template):
        for used in _PLACEHOLDER.findall(argument):
            if used not in declared:
                raise ValueError(f"{where} parameters to declare {used}, which command uses")
            if place == 0:
                raise ValueError(f"{where} command to begin with the name of a program, not with a parameter")
            if _is_shell_line(template, place):
                raise ValueError(f'{where} "${VARIABLE}{used}" in a shell line, not {{{used}}}')
            if _is_code(template, place):
                raise ValueError(
                    f"{where} {{{used}}} as an argument behind the code that an interpreter runs, not in it"
                )


def _is_shell_line(template: tuple[str, ...], place: int) -> bool:
    """Say whether a shell reads this argument as its line, as in `bash -c LINE`, or as an option before that."""
    before = template[:place]
    names = [os.path.basename(argument) for argument in before]
    if any(name in _ALL_FOR_A_SHELL for name in names):
        return True
    if "env" in names and any(_SPLITS.match(argument) for argument in template[: place + 1]):
        return True
    if any(name in _HAVE_A_SHELL for name in names) and _SHELL_LINE_FOLLOWS.fullmatch(before[-1]):
        return True
    shell = next((at for at, name in enumerate(names) if name in _SHELLS), None)
    if shell is None or not all(argument.startswith(("-", "+")) for argument in before[shell + 1 :]):
        return False  # no shell, or behind its script, whose own arguments follow
    asked = any(_SHELL_LINE_FOLLOWS.fullmatch(argument) for argument in before[shell + 1 :])
    return asked or template[place].startswith(("-", "+"))  # an option could bring a line along


def _is_code(template: tuple[str, ...], place: int) -> bool:
    """Say whether an interpreter runs this argument as a program, as in `python3 -c CODE`."""
    names = [os.path.basename(argument) for argument in template[:place]]
    interpreter = next((at for at, name in enumerate(names) if _INTERPRETERS.fullmatch(name)), None)
    if interpreter is None or not all(argument.startswith("-") for argument in template[interpreter + 1 : place]):
        return False  # no interpreter, or behind its program, whose own arguments follow
    return bool(_CODE_FOLLOWS.fullmatch(template[place - 1]) or _CODE_FOLLOWS.match(template[place]))


def _parameters(where: str, found: Any) -> tuple[Parameter, ...]:
    try:
        if isinstance(found, Mapping):
            for name, entry in found.items():
                if isinstance(entry, str) and entry not in _TYPES:  # a type that is misspelt is no description
                    raise InvalidSchema(f"{name}: expected one of {', '.join(_TYPES)}, or a table")
        declared = [_narrowed(parameter) for parameter in read_schema(found)]
        for parameter in declared:
            if parameter.default is not None:
                parameter.check(parameter.name, parameter.default)
                _check_text(parameter.name, parameter, parameter.default)
    except InvalidSchema as error:
        raise ValueError(f"{where} parameters as a schema: {error}") from None
    except InvalidJob as error:
        raise ValueError(f"{where} parameters as a schema: the default of {error}") from None
    return tuple(declared)


def _narrowed(parameter: Parameter) -> Parameter:
    """Return a parameter that only takes what can be handed over."""
    if parameter.choices:
        if not all(isinstance(choice, (str, int, float)) for choice in parameter.choices):
            raise InvalidSchema(f"{parameter.name}: choices: expected texts, numbers, true or false")
        return parameter
    kind = parameter.type or ("string" if parameter.minimum is None and parameter.maximum is None else "number")
    if kind not in _TYPES:
        raise InvalidSchema(f"{parameter.name}: type: expected one of {', '.join(_TYPES)}")
    return parameter._replace(type=kind)


def _check_text(field: str, parameter: Parameter, value: Any) -> None:
    if not isinstance(value, str) or parameter.choices:
        return
    if parameter.pattern is None and (not value or _CONTROL.search(value)):
        raise InvalidJob(field, "expected one line of text, not empty")
    if value.startswith("-") and not (parameter.pattern or "").startswith(("-", r"\-")):
        raise InvalidJob(field, "must not begin with -, as an option would")


def _is_variable(name: str, value: Any) -> bool:
    return bool(name) and "=" not in name and isinstance(value, str) and "\0" not in name + value
