"""main: the whole study: register, evaluate, measure the noise floor, compare, as nested runs under one parent.

Finished work is found by content and reused.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from entrypoints.compare import compare_cards, comparison_key
from entrypoints.evaluate import card_key, evaluate, evaluate_again, probed
from entrypoints.options import (
    AUTO,
    add_cache_limit,
    add_engine,
    add_models,
    add_plan,
    add_policy,
    add_quantizers,
    engine_of,
    obey_cache_limit,
    plan_of,
    policy_of,
    verb_parser,
    yes_or_no,
)
from entrypoints.verb import nested, run_verb, say
from qbias.arms import arms_of
from qbias.engines import EngineChoice
from qbias.engines.ray_data import RayEngine
from qbias.environment import batch_workers, one_thread_per_batch, quantizers_named
from qbias.forecast import untouched_cache
from qbias.models import models_named
from qbias.plan import Plan
from qbias.protocol import Protocol
from registry.evidence import finished_comparison, finished_evaluation
from registry.forecast_text import Study, forecast
from registry.policy import Policy, load_policy
from registry.runs import finished_arm, untouched_store
from registry.versions import VersionCard, register

NOISE = ("yes", "all", "no")


def parser() -> argparse.ArgumentParser:
    """The verb's parameters."""
    parser = verb_parser("main", __doc__ or "")
    add_models(parser, "toyworld")
    add_quantizers(parser, "study")
    parser.add_argument(
        "--noise",
        choices=NOISE,
        default="yes",
        help="measure versions again under changes that should not matter, as the noise floor of every change: yes takes one model of "
        "each size, all takes every model, no makes none",
    )
    add_policy(parser, "default", "whose endpoints and margins the comparison tests")
    add_plan(parser)
    add_cache_limit(parser)
    add_engine(parser)
    parser.add_argument(
        "--dry-run",
        type=yes_or_no,
        default=False,
        help="true: print scenarios, images, bytes, an estimate of time and what is there already, and change nothing",
    )
    return parser


def work(options: argparse.Namespace) -> str:
    """Check every parameter, then run the three steps."""
    one_thread_per_batch()
    obey_cache_limit(options)
    where = engine_of(options)
    if options.dry_run:
        with untouched_cache(), untouched_store():
            return _forecast(options, where)
    rows = models_named(options.models)
    quantizers = quantizers_named(options.quantizers)
    policy = policy_of(options) or load_policy()
    plan = plan_of(options)
    # Bad data is told now, not after an hour of quantizing.
    plan.datasets()
    cards: list[VersionCard] = []
    for number, row in enumerate(rows, start=1):
        say(f"register [{number}/{len(rows)}] {row.name}")
        cards += register(row, quantizers, report=say)
    if options.batch_size == AUTO:
        # One baseline of each size: other precisions of it need no more memory, and pairs must share the number.
        plan = probed(plan, list({card.size: card.uri for card in reversed(cards) if card.quantizer == "fp32"}.values()))
    run_ids = [evaluated(card, f"[{number}/{len(cards)}]", plan, where) for number, card in enumerate(cards, start=1)]
    return compared(cards, [*run_ids, *measured_again(cards, plan, where, noise=options.noise)], policy)


def _forecast(options: argparse.Namespace, where: EngineChoice) -> str:
    """What the rest of `work` would do."""
    if options.batch_size == AUTO:
        say(f"batch_size=auto would be probed; here it is {Protocol.batch_size}")
    plan, engine = plan_of(options), where.made()
    workers = engine.actors if isinstance(engine, RayEngine) else batch_workers()
    study = Study(
        models_named(options.models),
        quantizers_named(options.quantizers),
        plan,
        options.noise,
        workers,
        lambda card: card_key(card, plan),
    )
    return forecast(study, report=say)


def evaluated(card: VersionCard, place: str, plan: Plan, where: EngineChoice) -> str:
    """The id of this version's finished evaluation: an earlier one of the same content, or a new nested run."""
    if found := finished_evaluation(card_key(card, plan)):
        say(f"evaluate {place} {card.name} {card.quantizer}: nothing changed, run {found} stands")
        return found
    return nested("evaluate", f"evaluate {card.name} {card.quantizer}", place, lambda: evaluate(card.uri, plan, card=card, where=where))


def measured_again(cards: Sequence[VersionCard], plan: Plan, where: EngineChoice, *, noise: str) -> list[str]:
    """The ids of the noise arms' runs: those that stand, and new nested ones for the models that `noise` asks for."""
    first = {(card.quantizer, card.size): card for card in reversed(cards)}
    run_ids = []
    for card in cards:
        wanted = noise == "all" or (noise == "yes" and first[card.quantizer, card.size] is card)
        for arm in arms_of(card.quantizer):
            if found := finished_arm(arm.key(card_key(card, plan))):
                say(f"noise {card.name} {arm.name}: nothing changed, run {found} stands")
                run_ids.append(found)
            elif wanted:
                step = partial(evaluate_again, arm, card, plan, where)
                run_ids.append(nested("noise", f"noise {card.name} {arm.name}", "", step))
    return run_ids


def compared(cards: Sequence[VersionCard], run_ids: Sequence[str], policy: Policy) -> str:
    """The comparison of these evaluations: an earlier one, or a new nested run."""
    if found := finished_comparison(comparison_key(run_ids, policy.analysis_plan())):
        return f"compare: nothing changed, run {found} stands; open report/report.html among its artifacts"
    run_id = nested("compare", "compare", "", lambda: compare_cards(cards, policy))
    return f"study finished; comparison run {run_id}; see it with 'make ui' or 'mlflow ui'"


if __name__ == "__main__":
    sys.exit(run_verb("main", parser(), work))
