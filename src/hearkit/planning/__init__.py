"""What an evaluation will take: time, disk and memory per stage, before it is run."""

from hearkit.planning.facts import TaskFacts, task_facts
from hearkit.planning.plan import plan_evaluation
from hearkit.planning.record import Plan, StageEstimate, TaskEstimate

__all__ = [
    "Plan",
    "StageEstimate",
    "TaskEstimate",
    "TaskFacts",
    "plan_evaluation",
    "task_facts",
]
