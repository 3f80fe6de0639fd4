"""What a query of CloudWatch Logs Insights reads: the fields and the texts that it looks for. It runs nothing."""

import re

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html: the words that the queries use.
WORDS = {
    *("SOURCE", "filter", "fields", "stats", "sort", "display", "limit", "parse", "unnest"),
    *("into", "by", "as", "asc", "desc", "like", "or"),
    *("count", "count_distinct", "pct", "min", "max", "latest"),
    *("coalesce", "fromMillis", "jsonParse", "jsonStringify"),
}
OF_CLOUDWATCH = {"@timestamp", "@message", "@log"}  # of every line, JSON or not

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'')
_PATTERN = re.compile(r"/(?:[^/\\\n]|\\.)+/")
_NAME = re.compile(r"@?[A-Za-z_][\w.]*")
_MADE = re.compile(r"\b(?:as|into) (\w+)|\(\?<(\w+)>")


def fields(query: str) -> set[str]:
    """The fields of lines that a query names: not those of every line, nor those that the query makes itself."""
    made = {name for pair in _MADE.findall(query) for name in pair if name}
    plain = _PATTERN.sub("", _STRING.sub("", query))
    names = {name for name in _NAME.findall(plain) if name not in WORDS | OF_CLOUDWATCH}
    # What a query has parsed is the whole line: `line.deliveries` is the line's field `deliveries`.
    parsed = re.findall(r"jsonParse\(@message\) as (\w+)", query)
    return {name.removeprefix(f"{line}.") for name in names - made for line in parsed or [""]}


def whole_messages(query: str) -> list[str]:
    """The messages that lines must have to be found."""
    return re.findall(r'\bmessage = "([^"]+)"', query)


def parts_of_messages(query: str) -> list[str]:
    """The texts that a line's message may contain to be found."""
    return re.findall(r'(?<!@)\bmessage like "([^"]+)"', query)


def levels(query: str) -> list[str]:
    """The levels at which lines are found whatever their message is."""
    return re.findall(r'\blevel = "([^"]+)"', query)
