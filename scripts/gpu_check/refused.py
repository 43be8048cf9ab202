class Refused(Exception):
    """What was asked for cannot be done here; the text is the one line that is said."""
