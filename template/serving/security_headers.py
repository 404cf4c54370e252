"""Response headers that restrict what browsers do."""


def security_headers(hsts_seconds: int) -> list[tuple[bytes, bytes]]:
    """For every response that does not set its own; Strict-Transport-Security if `hsts_seconds` is not 0."""
    hsts = [(b"strict-transport-security", b"max-age=%d" % hsts_seconds)] if hsts_seconds else []
    return [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", b"frame-ancestors 'none'"),
        *hsts,
    ]
