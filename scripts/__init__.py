"""What set-up and the demo run: not part of the wheel."""
