"""Every recorded scenario on every server: equal to Phoenix, or listed in ``allowed.toml`` with a reason."""

import warnings

import pytest

from tests.conformance import results, run
from tests.conformance.selection import wanted_cases
from tests.conformance.servers import SERVERS

CASES = [(server, scenario) for server in SERVERS for scenario in run.EXPECTED]


@pytest.fixture(scope="session")
def comparison(request: pytest.FixtureRequest) -> run.Comparison:
    """The recordings, made side by side before the first test: one after the other they take minutes."""
    wanted = wanted_cases(request.session, test_scenario)
    servers = [server for server in SERVERS if any(case[0] == server for case in wanted)]
    scenarios = [scenario for scenario in run.EXPECTED if any(case[1] == scenario for case in wanted)]
    with warnings.catch_warnings():
        # Where a server hangs up on it, the recording program leaves the socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        return run.compare(servers, scenarios)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_scenario(case: tuple[str, str], comparison: run.Comparison) -> None:
    [outcome] = [outcome for outcome in comparison.outcomes if (outcome.server, outcome.scenario) == case]
    if outcome.problem:
        pytest.fail(outcome.problem, pytrace=False)


def test_nothing_went_wrong_unseen(comparison: run.Comparison) -> None:
    if comparison.complaints:
        pytest.fail("\n\n".join(comparison.complaints), pytrace=False)


def test_the_committed_table_of_servers_is_up_to_date(comparison: run.Comparison) -> None:
    if stale := results.stale(comparison.found()):
        pytest.fail("\n".join(stale), pytrace=False)
