from infra.cli.registry.events import collapse, events_of, expand, unknown_name


def test_a_resource_stands_for_every_event_the_schema_gives_it() -> None:
    assert expand("issue") == (
        "issue.created",
        "issue.resolved",
        "issue.assigned",
        "issue.archived",
        "issue.ignored",
        "issue.unresolved",
    )
    assert set(events_of()) == {"issue", "comment", "error", "event_alert", "metric_alert", "installation"}
    assert all(events_of().values())
    assert collapse([*events_of()["issue"][::-1], "error.created", "comment.created"]) == (
        "comment.created",
        "error",
        "issue",
    )
    assert expand("comment.updated") == ("comment.updated",)
    assert expand("comment.resolved") is None
    assert expand("nothing") is None


def test_a_name_that_no_event_has_is_told_from_a_name_and_from_an_id() -> None:
    assert unknown_name("issue.craeted") == "'issue.craeted' is no event's name; did you mean issue.created?"
    assert unknown_name("nothing.like") == "'nothing.like' is no event's name"
    assert [unknown_name(each) for each in ("issue.created", "ping.test", "issue", "8f14e45f")] == [None] * 4
