"""How the service runs in production. It belongs to the template and never imports `app`, so an update may replace it."""
