"""Channels: messages published to one reach its subscribers over long poll, server-sent events and WebSocket.

Like `serving` it belongs to the template and never imports `app`, so an update may replace it.
"""
