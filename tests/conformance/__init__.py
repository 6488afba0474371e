"""One set of orchestrations with their expected outcomes, run on every host."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.harness")
