"""Rules that tie tables together, one module per topic. Each rule raises a `CharterError` or
returns."""
