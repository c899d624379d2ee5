"""Help texts as people should see them."""

from __future__ import annotations

from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

#: what stands behind an option, by what typer calls the type of its value
_VALUES: Final = {
    "str": "TEXT",
    "int": "N",
    "float": "N",
    "path": "PATH",
    "file": "FILE",
    "dir": "FOLDER",
}


class HelpCommand(TyperCommand):
    """A command whose usage and options are written as those of other programs."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands behind the command's name; hidden arguments do not."""
        shown = [each for each in self.get_params(ctx) if not getattr(each, "hidden", False)]
        pieces = [piece for each in shown for piece in each.get_usage_pieces(ctx)]
        return [self.options_metavar or "", *(each.strip("{}") for each in pieces)]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        _name_values(self, ctx)
        super().format_help(ctx, formatter)


class HelpGroup(TyperGroup):
    """A group whose commands' paragraphs are wrapped anew, rather than as docstrings are."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, None without one."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and command.help:
            paragraphs = command.help.split("\n\n")
            command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        _name_values(self, ctx)
        super().format_help(ctx, formatter)


def _name_values(command: Any, ctx: Any) -> None:
    """Say of each option what value it takes, and nothing of a flag, which takes none."""
    for param in command.get_params(ctx):
        if param.param_type_name == "option" and param.metavar is None:
            kind = (param.display_type_rich(ctx=ctx) or "").strip("<>").removesuffix(" range")
            kind = kind.removeprefix("list[").removesuffix("]")
            param.metavar = "" if param.is_flag else _VALUES.get(kind, kind)
