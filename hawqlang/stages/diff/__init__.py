"""``hawqc diff``: what differs between two specs, locks, saved plans or artifacts."""
