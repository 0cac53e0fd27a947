"""Expected makespan of a plan on a cluster whose nodes fail, beside the least that is possible. A simulation.

    python benchmarks/cluster.py [--runs 2000] [--nodes 64] [--repeat 20]

Nothing is trained. The lengths of runs are drawn: methods differ by a factor of 50, seeds by a tenth, with a mean of
20 minutes. Jobs are packed and take runs from each other by the code of `avbench run --executor slurm`, in a simulated
time: a job begins the runs of its pack and then those that no other has begun. A node fails after an exponential time;
what it was doing is lost and its run is free for others at once (SLURM says that the job is over) or after the silence
of its heartbeat. The job is queued again and begins after the repair. The bound is the largest of the mean work of a
node and the longest run: nothing is faster, with or without failures. The last column is what LPT, which knows all
lengths and meets no failure, would need.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from avbench.harness.cluster.packing import order_of, pack
from avbench.harness.running.claims import SILENT_SECONDS
from avbench.harness.running.estimates import makespan

METHODS = 16
MEAN_SECONDS = 1200.0
START_SECONDS = 20.0
REPAIR_SECONDS = 600.0


@dataclass(frozen=True)
class World:
    """What befalls the nodes."""

    hours_between_failures: float | None
    """Of one node, in the mean; None: they never fail."""
    asks_scheduler: bool = True
    known: bool = True
    """Whether the lengths of runs are known beforehand, by method."""


@dataclass(frozen=True)
class Outcome:
    hours: float
    failures: int
    lost_hours: float
    """Work that was done for nothing."""


def lengths(count: int, dice: random.Random) -> tuple[list[float], list[float]]:
    """The true length of each run, and what earlier runs of its method tell."""
    typical = [50 ** (number / (METHODS - 1)) for number in range(METHODS)]
    scale = MEAN_SECONDS / mean(typical)
    told = [typical[number % METHODS] * scale for number in range(count)]
    return [length * dice.lognormvariate(0, 0.1) for length in told], told


def simulate(seconds: Sequence[float], told: Sequence[float], nodes: int, world: World, dice: random.Random) -> Outcome:
    """One plan, from the first start of a node to the last record."""
    packs = pack(told if world.known else [None] * len(told), target=1800.0, most=nodes)
    orders = [order_of(packs, number) for number in range(len(packs))]
    done, claimed_until = set[int](), dict[int, float]()
    events = [(START_SECONDS, number) for number in range(len(packs))]  # when a job looks for its next run
    heapq.heapify(events)
    end, failures, lost = 0.0, 0, 0.0
    while events:
        now, number = heapq.heappop(events)
        index = next((i for i in orders[number] if i not in done and claimed_until.get(i, 0.0) <= now), None)
        if index is None:
            if len(done) < len(seconds) and (
                free := [t for i, t in claimed_until.items() if i not in done and t > now]
            ):
                heapq.heappush(events, (min(free), number))  # as the command does that follows the plan
            continue
        length = seconds[index]
        hours = world.hours_between_failures
        alive = dice.expovariate(1 / (3600 * hours)) if hours else float("inf")
        if alive >= length:
            claimed_until[index] = float("inf")
            done.add(index)
            end = max(end, now + length)
            heapq.heappush(events, (now + length, number))
            continue
        failures, lost = failures + 1, lost + alive
        claimed_until[index] = now + alive + (0.0 if world.asks_scheduler else SILENT_SECONDS)
        heapq.heappush(events, (now + alive + REPAIR_SECONDS + START_SECONDS, number))
    assert len(done) == len(seconds), "a run was lost"
    return Outcome(end / 3600, failures, lost / 3600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=20)
    given = parser.parse_args()
    worlds = {
        "no failures": World(None),
        "no failures, lengths unknown": World(None, known=False),
        "a node fails every 7 days": World(168),
        "every day": World(24),
        "every day, the queue cannot be asked": World(24, asks_scheduler=False),
        "every 4 hours": World(4),
    }
    print("| nodes | makespan, h | bound, h | ratio | failures | work lost, h | LPT without failures, h |")
    print("|---|---|---|---|---|---|---|")
    for name, world in worlds.items():
        found, bounds, lpt = [], [], []
        for repetition in range(given.repeat):
            dice = random.Random(repetition)
            seconds, told = lengths(given.runs, dice)
            found.append(simulate(seconds, told, given.nodes, world, dice))
            bounds.append((max(sum(seconds) / given.nodes, max(seconds)) + START_SECONDS) / 3600)
            lpt.append((makespan(seconds, given.nodes) + START_SECONDS) / 3600)
        hours = mean(outcome.hours for outcome in found)
        print(
            f"| {name} | {hours:.2f} | {mean(bounds):.2f} | {hours / mean(bounds):.3f} "
            f"| {mean(o.failures for o in found):.1f} | {mean(o.lost_hours for o in found):.2f} | {mean(lpt):.2f} |"
        )


if __name__ == "__main__":
    main()
