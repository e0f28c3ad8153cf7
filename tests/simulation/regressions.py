"""Seeds that once failed, and what they found. A case that was broken stays a test.

A seed is a case of the simulation as it is: where the simulation changes, the case becomes another
one, and the words say what it was.
"""

REGRESSIONS: dict[int, str] = {
    7034: "after a restart a VM overtook the line with the ticket of an earlier wait",
    2749: "a timer of a dead daemon was heard by the next one, whose clock had been set back",
    36: "the committer ended with the daemon while an actor waited for its append",
    21: "a VM that is just being recovered is busy, and its deletion is asked for again",
}
