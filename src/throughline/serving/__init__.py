"""Models behind a port: answers under load, a poisoned request failing alone, versions changed without a gap."""
