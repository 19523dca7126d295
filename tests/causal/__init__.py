"""Causal language models: blocks, plan, graph and the whole job on stories260k."""
