"""Telemetry: what happened, for those who operate the service.

``ids`` mints request ids, ``exchange`` holds what is known of one request, ``access_log`` and
``metrics`` write it down, ``logs`` sets up everything else that is logged.
"""
