"""Why nothing was deployed."""


class RefusedError(Exception):
    """It cannot work. The message has a sentence for each reason, with what to type instead."""
