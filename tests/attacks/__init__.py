"""Attacks: what a stranger, another site's page, a viewer, a hostile command or a wrong setting could try.

Each test is an attempt that has to fail without a trace.
"""
