"""``edgequant targets``: the recipes that are there, and what one of them says."""

from argparse import ArgumentParser, Namespace
from typing import get_args

from toolkit.cli import terminal
from toolkit.gate import describe
from toolkit.runtime import cpu
from toolkit.runtime.manifest import Task
from toolkit.targets import Recipe, load_recipe, recipe_files, target_for


def configure(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("target", metavar="TARGET", nargs="?", help="explain this one (a name or a recipe.toml)")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(args: Namespace) -> int:
    """List the targets, or explain one."""
    if args.target:
        recipe = load_recipe(args.target)
        if args.json:
            terminal.print_json(recipe.model_dump(by_alias=True, exclude_none=True))
        else:
            terminal.out().print("\n".join(_explanation(recipe)), soft_wrap=True, markup=False)
        return 0
    recipes = [load_recipe(name) for name in recipe_files()]
    if args.json:
        terminal.print_json([recipe.model_dump(by_alias=True, exclude_none=True) for recipe in recipes])
        return 0
    suited = target_for(cpu.architecture(), cpu.features())
    made = terminal.table("target", "for", "machines", "int8 kernel")
    for recipe in recipes:
        mark = " [green](this CPU)[/]" if recipe.name == suited else ""
        made.add_row(recipe.name + mark, recipe.description, ", ".join(recipe.cpu.machines), recipe.cpu.int8_kernel)
    terminal.print_table(made)
    return 0


def _explanation(recipe: Recipe) -> list[str]:
    limits = [
        f"  {task:20} {metric:17} {describe(limit.model_dump(exclude_none=True))}"
        for task in get_args(Task)
        for metric, limit in recipe.gate.limits(task).items()
    ]
    return [
        f"{recipe.name}: {recipe.description}",
        f"  machines      {', '.join(recipe.cpu.machines)}",
        f"  requires      {recipe.cpu.architecture} with {', '.join(recipe.cpu.requires)}",
        f"  int8 kernel   {recipe.cpu.int8_kernel}",
        f"  image         {recipe.image.platform}",
        "rules, later ones win:",
        *(f"  {number}. {rule.why}" for number, rule in enumerate(recipe.quantization.rules, 1)),
        "limits of the gate:",
        *limits,
    ]
