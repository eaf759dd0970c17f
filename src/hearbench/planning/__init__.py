"""What an evaluation will take: time, disk and memory per stage, before it is run."""

from hearbench.planning.facts import TaskFacts, task_facts
from hearbench.planning.plan import plan_evaluation
from hearbench.planning.record import Plan, StageEstimate, TaskEstimate

__all__ = [
    "Plan",
    "StageEstimate",
    "TaskEstimate",
    "TaskFacts",
    "plan_evaluation",
    "task_facts",
]
