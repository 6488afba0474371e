"""A stand-in of Azure's hosts: the Durable extension's task hub, and the Functions host.

Written from what the extension does (recorded from version 3.15) and not from how this
framework uses it, so that it can judge the adapter.
"""
