"""The served model: found, loaded, warmed up, and the state it is in."""
