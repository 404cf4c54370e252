"""Response headers that tell a browser what it must not do."""


def security_headers(hsts_seconds: int) -> list[tuple[bytes, bytes]]:
    """For every response that does not say otherwise; Strict-Transport-Security if there are seconds for it."""
    hsts = [(b"strict-transport-security", b"max-age=%d" % hsts_seconds)] if hsts_seconds else []
    return [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", b"frame-ancestors 'none'"),
        *hsts,
    ]
