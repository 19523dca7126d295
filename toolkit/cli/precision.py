"""``--fallback`` and ``--budget`` of ``quantize``: what they ask for, and what they gave up."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Callable

from toolkit.cli import terminal
from toolkit.cli.reach import cache_folder
from toolkit.errors import EdgequantError, UsageError
from toolkit.fallback import AccuracyBudget, Budget, Fallback, parse_budget, sentences
from toolkit.isa.choose import place_to_time_on
from toolkit.isa.place import Place
from toolkit.runtime.manifest import Task
from toolkit.targets import Recipe, Verify

BUDGET_HELP = (
    "as fast as possible within an accuracy: accuracy (the recipe's limits), METRIC>=VALUE or METRIC<=VALUE; or as "
    "accurate as possible within a time: speedup>=N (over fp32), speedup>=N@BxT or Nms@BxT (B texts of T tokens)"
)


def configure(parser: ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("mixed precision")
    group.add_argument(
        "--fallback",
        action=BooleanOptionalAction,
        help="if the gate refuses, let layers give up int8 until it passes (default: as the recipe says)",
    )
    group.add_argument("--budget", metavar="BUDGET", help=BUDGET_HELP)


def budget_of(args: Namespace) -> Budget | None:
    """Return the budget; UsageError where it is not understood, or a search is asked for and forbidden."""
    if args.budget is None:
        return None
    if args.fallback is False:
        raise UsageError("--budget is a search, --no-fallback forbids one", hint="leave one of them out")
    return parse_budget(args.budget)


def refuse(args: Namespace, what: str) -> None:
    """Raise UsageError where a budget is given for what has no layers to trade by it."""
    if args.budget is not None:
        hint = "budgets are for text encoders that edgequant itself quantizes"
        raise UsageError(f"{what} takes no budget", got=f"--budget {args.budget}", hint=hint)


def recipe_for(args: Namespace, recipe: Recipe, budget: Budget | None, task: Task) -> Recipe:
    """Return the recipe with what the options say; UsageError for a metric that the task does not have."""
    if args.fallback is not None:
        rules = recipe.quantization.model_copy(update={"fallback": args.fallback})
        recipe = recipe.model_copy(update={"quantization": rules})
    return budget.within(recipe, task) if isinstance(budget, AccuracyBudget) else recipe


def clock(target: Verify) -> Callable[[], Place | None]:
    """Return what gives the place where layers for a target are timed; None where this machine has none."""

    def place() -> Place | None:
        try:
            return place_to_time_on(target.isa, cache_folder())
        except EdgequantError as reason:
            terminal.err().print(f"costs of layers are estimated: {reason}", soft_wrap=True, markup=False)
            return None

    return place


def facts(found: Fallback | None) -> list[str]:
    """Return what was given up, for people."""
    return [] if found is None else ["fallback  " + "\n          ".join(sentences(found.as_dict()))]
