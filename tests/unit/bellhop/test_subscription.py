from bellhop.subscription import subscribed_name


def test_archived_is_an_old_name_of_ignored() -> None:
    assert subscribed_name("issue.ignored", ["issue.archived"]) == "issue.archived"
    assert subscribed_name("issue.ignored", ["issue.archived", "issue.ignored"]) == "issue.ignored"
    assert subscribed_name("issue.archived", ["issue.ignored"]) == "issue.ignored"
    assert subscribed_name("issue.resolved", ["issue.ignored"]) is None
