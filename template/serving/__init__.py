"""The template's room: what keeps the service standing. It knows nothing of `app`; an update may replace it whole."""
