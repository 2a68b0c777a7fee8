"""How long until an event, where for some it has not come yet."""
