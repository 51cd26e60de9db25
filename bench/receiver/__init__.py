"""What it costs to take a delivery, beside Debian's ``webhook``."""
