"""Help texts as people should see them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class HelpCommand(TyperCommand):
    """A command whose hidden arguments are not in its usage line."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What stands behind the command's name."""
        shown = [each for each in self.get_params(ctx) if not getattr(each, "hidden", False)]
        return [
            self.options_metavar or "",
            *(piece for each in shown for piece in each.get_usage_pieces(ctx)),
        ]


class HelpGroup(TyperGroup):
    """A group whose commands' paragraphs are wrapped anew, rather than as docstrings are."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, None without one."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and command.help:
            paragraphs = command.help.split("\n\n")
            command.help = "\n\n".join(" ".join(each.split()) for each in paragraphs)
        return command
