"""Decisions and facts that see the whole pool: `top` fractions, `dedup`, `balance`."""
