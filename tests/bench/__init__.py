"""The harness of `make bench`: who is timed, who is not, and that the figures are what they say."""
