"""The contract suite is imported by tests, but its asserts deserve pytest's explanations too."""

import pytest

pytest.register_assert_rewrite("hot.contract")
