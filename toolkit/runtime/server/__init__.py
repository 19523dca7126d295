"""Bundles over HTTP: h11 on asyncio, one worker thread a model, nothing else beside the runtime."""
