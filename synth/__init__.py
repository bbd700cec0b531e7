"""What generates text and boxes, with provenance."""
