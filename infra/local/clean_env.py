"""Keeping what the user has set for the real AWS away from the embedded one."""

from collections.abc import MutableMapping

LOOPBACK = "127.0.0.1,localhost"


def shield(environ: MutableMapping[str, str]) -> None:
    """Drop AWS settings, such as a profile, and let no proxy stand before this machine's own addresses."""
    for name in [name for name in environ if name.startswith("AWS_")]:
        del environ[name]
    for name in ("NO_PROXY", "no_proxy"):  # the proxy stays: a build may need it to reach its packages
        environ[name] = ",".join(filter(None, (environ.get(name), LOOPBACK)))
