"""Pictures as files: their formats, and the text that says how they were made."""
