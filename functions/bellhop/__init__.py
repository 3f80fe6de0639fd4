"""What notify, deliver and health share: messages, tables, settings, telemetry."""
