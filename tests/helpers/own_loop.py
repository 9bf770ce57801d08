"""Runs a coroutine where another event loop may be running already."""

import asyncio
import concurrent.futures


def run(coroutine):
    """Runs a coroutine in a thread of its own; returns its result."""
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
