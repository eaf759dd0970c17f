"""Planning: time, disk and memory that an evaluation takes, per stage, before it is run."""

from hearbench.planning.estimates import Asked
from hearbench.planning.facts import TaskFacts, task_facts
from hearbench.planning.plan import plan_evaluation
from hearbench.planning.record import Plan, StageEstimate, TaskEstimate

__all__ = [
    "Asked",
    "Plan",
    "StageEstimate",
    "TaskEstimate",
    "TaskFacts",
    "plan_evaluation",
    "task_facts",
]
