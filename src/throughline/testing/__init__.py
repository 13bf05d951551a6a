"""Shipped with the product: the synthetic world and one conformance suite per plug-in family."""
