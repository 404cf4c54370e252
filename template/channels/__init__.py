"""Channels: what is published to one reaches its subscribers over long poll, server-sent events and WebSocket alike.

Like `serving` it is the template's room: it knows nothing of `app`, and an update may replace it whole.
"""
