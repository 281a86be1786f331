"""Moves the bytes of files: resumable uploads, parallel resumable downloads, digests.

Bodies travel over :mod:`http.client`, not httpx: on two busy cores, fetching 1 GiB took 0.5 s with ``splice`` from the
socket into the file and 0.9 s with ``readinto``, but 3.7 s through httpx's byte iterator.
"""
