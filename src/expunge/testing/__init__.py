"""Contract checks for methods, modifiers and learners, ours and yours: each has a name and raises ContractError.

from expunge.testing import check_method, tiny
check_method(MyMethod(), *tiny("classifier"))
"""

from expunge.testing._case import Case, ContractError, tiny
from expunge.testing._learner import LEARNER_CHECKS, check_learner
from expunge.testing._method import METHOD_CHECKS, check_method

__all__ = ["LEARNER_CHECKS", "METHOD_CHECKS", "Case", "ContractError", "check_learner", "check_method", "tiny"]
