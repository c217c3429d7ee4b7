"""What is said of a host that failed."""

from __future__ import annotations

from pyinfra.api.exceptions import ConnectError, PyinfraError

from deploy.results import Step
from deploy.runner import reason_of


def as_pyinfra_ends(cause: PyinfraError) -> PyinfraError:
    """pyinfra gives a host up while it handles what happened to it."""
    try:
        try:
            raise cause
        except PyinfraError:
            raise PyinfraError("No hosts remaining!")  # noqa: B904
    except PyinfraError as error:
        return error


def test_the_step_that_failed_has_the_reason() -> None:
    steps = [Step("Files", "changed", 0.1, ""), Step("Service", "failed", 0.2, "the port is taken")]
    assert reason_of(as_pyinfra_ends(PyinfraError("Error in operation Service on lab1")), steps) == "the port is taken"


def test_what_kept_a_step_from_running_is_said_in_its_own_words() -> None:
    no_files = as_pyinfra_ends(ConnectError("Unable to establish SFTP connection."))
    assert reason_of(no_files, [Step("Files", "unchanged", 0.1, "")]) == "Unable to establish SFTP connection."
    assert reason_of(PyinfraError("the host refuses"), []) == "the host refuses"
