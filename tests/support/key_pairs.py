"""Key pairs of Ed25519, always the same ones."""

from infra.cli import signing_secrets

KEY_PAIR = signing_secrets.read("whsk_" + "AQID" * 10 + "AQI=")  # of 32 bytes
OTHER_PAIR = signing_secrets.read("whsk_" + "BAUG" * 10 + "BAU=")
