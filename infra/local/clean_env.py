"""Keeping the user's settings for the real AWS away from the embedded one."""

from collections.abc import MutableMapping

LOOPBACK = "127.0.0.1,localhost"


def clean_environment(environ: MutableMapping[str, str]) -> None:
    """Remove AWS settings, such as a profile, and exclude this machine's own addresses from any proxy."""
    for name in [name for name in environ if name.startswith("AWS_")]:
        del environ[name]
    for name in ("NO_PROXY", "no_proxy"):  # the proxy itself stays: a build may need it to download packages
        environ[name] = ",".join(filter(None, (environ.get(name), LOOPBACK)))
